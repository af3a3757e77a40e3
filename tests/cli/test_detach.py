"""How a process gets into the background: what the caller gets to know, and what is not taken along."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from codewrap.cli import detach
from codewrap.errors import NoRoom
from tests.support.ptydriver import eventually

DEADLINE_S = 30
WORK = """
import json, os, signal, sys
from pathlib import Path
from codewrap.cli.detach import Caller, in_background, stand_alone

def work(caller):
{}

sys.exit(in_background(work))
"""


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Path]:
    """Where what goes on in the background waits for a word: a FIFO, opened by the test when it is to end."""
    path = tmp_path / "door"
    os.mkfifo(path)
    yield path
    with path.open("r+b", buffering=0) as door:  # none may be left waiting, whatever failed
        door.write(b"\n" * 10)


def program(body: str) -> list[str]:
    return [sys.executable, "-c", WORK.format("\n".join("    " + line for line in body.strip().splitlines()))]


def done(body: str, *arguments: object, **how: object) -> subprocess.CompletedProcess[str]:
    """The caller's end: not before both of its streams are let go by everybody."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [*program(body), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        **{"stdin": subprocess.DEVNULL, **how},
    )


def test_the_caller_leaves_as_soon_as_it_is_let_go_and_its_streams_are_free(tmp_path: Path, doors: Path) -> None:
    said = tmp_path / "said"
    body = """
print("up", flush=True)
caller.let_go(Path(sys.argv[1]))
Path(sys.argv[2]).open("rb").readline()
print("to nobody", flush=True)
print("later", file=sys.stderr, flush=True)
return 9
"""
    ended = done(body, said, doors)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "up\n", "")
    assert said.read_text() == ""
    assert said.stat().st_mode & 0o777 == 0o600
    doors.write_text("\n")
    eventually(lambda: said.read_text() == "later\n", "what is said later")


def test_what_ends_before_it_is_up_gives_the_caller_its_status() -> None:
    ended = done('print("no", file=sys.stderr)\nreturn 127')
    assert (ended.returncode, ended.stderr) == (127, "no\n")


def test_what_is_killed_before_it_is_up_is_one_line_and_125() -> None:
    ended = done("os.kill(os.getpid(), signal.SIGKILL)")
    assert (ended.returncode, ended.stdout) == (125, "")
    assert re.fullmatch(r"\[codewrap\] the session was killed by signal 9 while it began\n", ended.stderr)


def test_an_interrupted_caller_takes_back_what_is_not_up_yet(doors: Path) -> None:
    body = """
signal.signal(signal.SIGHUP, lambda *_: (print("hung up", flush=True), os._exit(0)))
print("begun", flush=True)
Path(sys.argv[1]).open("rb").readline()
"""
    with subprocess.Popen([*program(body), str(doors)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"begun\n"
        caller.send_signal(signal.SIGINT)
        assert caller.stdout.read() == b"hung up\n"
        assert caller.wait(DEADLINE_S) == -signal.SIGINT


def test_a_system_without_room_for_another_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(NoRoom, match="the session: cannot be started: resource temporarily unavailable"):
        detach.in_background(lambda _: 0)


def test_what_goes_on_leads_a_session_without_a_terminal_and_holds_and_ignores_nothing(tmp_path: Path) -> None:
    body = """
found = {
    "leads": os.getsid(0) == os.getpid() == os.getpgrp(),
    "terminal": Path("/proc/self/stat").read_text().rpartition(")")[2].split()[4],
    "others": sorted(int(name) for name in os.listdir("/dev/fd") if os.path.exists(f"/dev/fd/{name}"))[3:],
    "ignored": [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN],
    "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "umask": os.umask(0),
    "directory": os.getcwd(),
    "environment": os.environ["KEPT"],
}
print(json.dumps(found), flush=True)
caller.let_go()
return 0
"""

    def before() -> None:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        os.umask(0o027)

    kept = os.open(tmp_path, os.O_RDONLY)
    try:
        how = {"pass_fds": (kept,), "preexec_fn": before, "cwd": tmp_path, "env": {**os.environ, "KEPT": "as it was"}}
        ended = done(body, **how)
    finally:
        os.close(kept)
    assert (ended.returncode, ended.stderr) == (0, "")
    found = json.loads(ended.stdout)
    assert len(found.pop("others")) == 1  # the pipe to the caller
    assert found == {
        "leads": True,
        "terminal": "0",
        "ignored": [signal.SIGPIPE, signal.SIGXFSZ],
        "blocked": 0,
        "umask": 0o027,
        "directory": str(tmp_path),
        "environment": "as it was",
    }


def test_a_file_that_cannot_be_made_keeps_nothing_from_going_on(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("somebody's")
    body = """
caller.let_go(Path(sys.argv[1]))
print("to nobody", file=sys.stderr, flush=True)
Path(sys.argv[2]).touch()
return 0
"""
    assert done(body, taken, tmp_path / "went on").returncode == 0
    eventually((tmp_path / "went on").exists, "it goes on")
    assert taken.read_text() == "somebody's"


def test_a_caller_that_is_gone_does_not_matter(tmp_path: Path, doors: Path) -> None:
    body = """
print("begun", flush=True)
Path(sys.argv[1]).open("rb").readline()
caller.let_go()
Path(sys.argv[2]).touch()
return 0
"""
    with subprocess.Popen([*program(body), str(doors), str(tmp_path / "went on")], stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"begun\n"
        caller.kill()
        caller.wait(DEADLINE_S)
        doors.write_text("\n")
        eventually((tmp_path / "went on").exists, "it goes on")


def test_settings_of_a_terminal_are_taken_over_unless_a_program_has_it_raw(tmp_path: Path) -> None:
    master, slave = os.openpty()
    try:
        settings = termios.tcgetattr(slave)
        settings[6][termios.VERASE] = b"\x08"
        termios.tcsetattr(slave, termios.TCSANOW, settings)
        found = detach.cooked_settings(slave)
        assert found is not None
        assert found == termios.tcgetattr(slave)
        tty.setraw(slave)
        assert detach.cooked_settings(slave) is None
    finally:
        os.close(master)
        os.close(slave)
    with (tmp_path / "file").open("w") as file:
        assert detach.cooked_settings(file.fileno()) is None


def test_programs_are_told_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    detach.tell_program("brave-otter\n")
    assert capsys.readouterr().out == "brave-otter\n"


def test_a_program_that_does_not_listen_harms_nobody() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    script = "from codewrap.cli.detach import tell_program; import os; tell_program('x\\n'); os._exit(0)"
    with os.fdopen(writes, "wb") as nobody:
        ended = subprocess.run(
            [sys.executable, "-c", script], stdout=nobody, stderr=subprocess.PIPE, check=False, timeout=DEADLINE_S
        )
    assert (ended.returncode, ended.stderr) == (0, b"")
