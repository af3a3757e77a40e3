"""The command's door: what it imports, and how its page looks on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.support.examined import COMMAND, WITHIN_S, environ
from tests.support.served import REPOSITORY

COLUMNS = 100


def on_terminal(directory: Path, **settings: str) -> str:
    """What a terminal of 100 columns gets to see."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    values = environ(directory, {"TERM": "xterm-256color", **settings})
    process = subprocess.Popen([*COMMAND], cwd=directory, env=values, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65_536):
            shown += chunk
    except OSError:
        pass  # Linux says EIO when the last writer has gone
    finally:
        os.close(ours)
        process.wait(WITHIN_S)
    return shown.decode()


def test_importing_the_command_imports_nothing_of_the_network() -> None:
    code = (
        "import sys, codewrap.cli.doctor;"
        "print([m for m in ('asyncio', 'socket', 'starlette', 'uvicorn', 'pusher', 'pysher', 'nacl', 'websockets', 'rich.table')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_a_terminal_gets_colours_and_nothing_wider_than_itself(tmp_path: Path) -> None:
    shown = on_terminal(
        tmp_path, SOKETI_SERVICE_USER="1", SOKETI_SERVICE_KEY="app-key", SOKETI_SERVICE_SECRET="x", SOKETI_PORT="1"
    )
    assert "\x1b[32m ok" in shown
    assert "\x1b[1;31m FAIL" in shown
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(map(len, lines)) <= COLUMNS
    details = {line.index(line[35:].strip()) for line in lines[2:8]}
    assert details == {35}, "the details are not aligned"
    assert f"xterm-256color, UTF-8, {COLUMNS} x 40" in shown


@pytest.mark.parametrize("settings", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colours_where_they_are_not_wanted(settings: dict[str, str], tmp_path: Path) -> None:
    shown = on_terminal(tmp_path, SOKETI_SERVICE_USER="1", **settings)
    assert "FAIL" in shown
    assert "\x1b" not in shown
