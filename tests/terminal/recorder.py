"""Records real full-screen programs in a PTY: ``python -m tests.terminal.recorder`` makes `tests/vectors/terminal/` anew.

The recordings show made-up content only, so that they tell nothing of the machine they were made on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import tempfile
import termios
import time
from pathlib import Path

from codewrap.protocol.queries import Responder, TerminalFacts

ROWS, COLS = 24, 80
QUIET_S = 0.25
DEADLINE_S = 20.0
VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "terminal"

SAMPLE = "".join(
    f"def function_{number}(value: int) -> str:\n"
    f'    """Returns {number} × value — grüße, 漢字 and a rather long line that must be wrapped or cut by whoever shows it."""\n'
    f"    return str(value * {number})  # TODO\n\n"
    for number in range(60)
)
SCREENS = "set -g status-right ''\nset -g default-command 'bash --norc'\nset -g default-terminal tmux-256color\n"
PROGRAMS: dict[str, tuple[list[str], str]] = {
    "vim": (
        ["vim", "-u", "NONE", "-c", "set nocp nu hls t_Co=256 title mouse=a ttymouse=sgr", "-c", "syntax on", "sample.py"],
        r"""10j|/return\r|n|dd|ohello ü 漢\e|\x06|:vsplit\r|\x17l|G|:split\r|\e[<64;10;10M|u|gg|ZQ|:qa!\r""",
    ),
    "less": (["less", "-R", "sample.py"], r""" | |/value\r|n|b|G|-S\r|\e[C|g|q"""),
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        r"""PS1='\[\\e[1;32m\]$ \[\\e[m\]'\r|for i in 1 2 3 4 5 6 7 8; do printf '\\e[3%dmcolour %d\\e[m\\n' $i $i; done\r"""
        r"""|head -40 sample.py\r|echo one two\x01\ef\ef\x17three\r|printf '\\e]0;my title\\a\\e[5 q\\e[?25l'\r"""
        r"""|printf '%0200d\\n' 7\r|printf 'a\\tb\\e[1;5r\\e[?7l%0100d\\e[?7h\\e[r' 8; clear\r|less -R sample.py\r| |q|ls\r"""
        r"""|printf '\\e[38;2;9;99;200mrgb\\e[48;5;22mtwo\\e[K\\e[m\\n\\e[?1000;1006;2004h'\r|exit\r""",
    ),
    "tmux": (
        ["tmux", "-L", "recording", "-f", "tmux.conf", "new", "bash --norc"],
        r"""PS1='$ '; clear\r|head -30 sample.py\r|\x02%|PS1='> '; clear\r|echo right\r|\x02"|PS1='# '; vim -u NONE sample.py\r"""
        r"""|5j|\x02o|seq 40\r|\x02[|\e[5~|q|\x02z|\x02z|\x02:kill-server\r""",
    ),
    "top": (["top", "-d", "0.5"], r"""|c|1|V|q"""),
    "htop": (["htop"], r"""|t|\e[B|\e[B|/|\e|q"""),
}
"""Command, and what is typed: | ends each piece, backslash escapes as in the shell's ``$'...'``."""

STORED = ("vim", "less", "bash", "tmux")


def record(name: str) -> bytes:
    """Run a program of ``PROGRAMS``, type each of its keys once its output has become quiet; what it wrote."""
    command, typed = PROGRAMS[name]
    keys = [_key(piece) for piece in typed.split("|")]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sample.py").write_text(SAMPLE)
        Path(folder, "tmux.conf").write_text(SCREENS)
        return _run(command, keys, folder)


def _key(piece: str) -> bytes:
    named = {"\\\\": b"\\", "\\e": b"\x1b", "\\r": b"\r"}
    parts = re.split(r"(\\\\|\\e|\\r|\\x[0-9a-f]{2})", piece)
    return b"".join(named.get(part) or (bytes.fromhex(part[2:]) if part[:2] == "\\x" else part.encode()) for part in parts)


def _run(command: list[str], keys: list[bytes], folder: str) -> bytes:
    child, master = pty.fork()
    if child == 0:
        try:
            os.chdir(folder)
            environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8", "HOME": folder}
            os.execvpe(command[0], command, environment | {"TMUX_TMPDIR": folder})
        finally:
            os._exit(127)
    try:
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLS, 0, 0))
        return _converse(master, keys)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(master)


def _converse(master: int, keys: list[bytes]) -> bytes:
    recording = b""
    responder = Responder()
    left = list(keys)
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        readable, _, _ = select.select([master], [], [], QUIET_S)
        if not readable:
            if not left:
                break
            os.write(master, left.pop(0))
            continue
        try:
            data = os.read(master, 65536)
        except OSError:  # the program has ended
            break
        recording += data
        os.write(master, responder.answers(data, TerminalFacts(rows=ROWS, cols=COLS)))
    return recording


def main() -> None:
    VECTORS.mkdir(parents=True, exist_ok=True)
    for name in STORED:
        if shutil.which(PROGRAMS[name][0][0]) is None:
            raise SystemExit(f"{name} is not installed")
        (VECTORS / f"{name}.bin").write_bytes(record(name))


if __name__ == "__main__":
    main()
