"""`codewrap wait`: leaves with the session's status when it is over, not before, and at the latest when it is told to."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codewrap.cli.wait import over
from codewrap.store import sessionfile
from codewrap.store.activity import Activity, write_activity
from codewrap.store.archive import Archive, Fate, Kept
from codewrap.store.sessions import process_start
from tests.support.accounts import run_here, sessions_of
from tests.support.cli import CommandLine
from tests.support.kept import ended, lost
from tests.support.ptydriver import eventually


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def host() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends when its stdin does."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def of_host(codewrap: CommandLine, host: subprocess.Popen[bytes]) -> Kept:
    return lost(sessions_of(codewrap), "build", pid=host.pid, pid_started=process_start(host.pid))


def opened_by(pid: int) -> list[str]:
    """What its descriptors lead to."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(path.readlink()))
    return found


@pytest.mark.parametrize(("code", "signal", "status"), [(0, None, 0), (3, None, 3), (None, 9, 137)])
def test_the_status_is_the_session_s(codewrap: CommandLine, code: int | None, signal: int | None, status: int) -> None:
    ended(sessions_of(codewrap), "build", code=code, signal=signal)
    done = codewrap("wait", "build")
    assert (done.status, done.out, done.err) == (status, "", "")


def test_a_session_that_runs_is_waited_for(codewrap: CommandLine, host: subprocess.Popen[bytes]) -> None:
    kept = of_host(codewrap, host)
    words = [sys.executable, "-m", "codewrap.cli.main", "wait", "build", "--for", "exit", "--timeout", "60s"]
    with subprocess.Popen(words, env=codewrap.environ) as waiting:
        eventually(lambda: any("pidfd" in path for path in opened_by(waiting.pid)), "it waits for the host's process")
        sessionfile.write_end(kept.directory, kept.facts, code=7, signal=None, duration_s=1.0, output_bytes=0)
        assert host.stdin is not None
        host.stdin.close()
        host.wait()
        assert waiting.wait(60) == 7


def test_a_session_whose_host_vanishes_is_254_and_a_line(codewrap: CommandLine, host: subprocess.Popen[bytes]) -> None:
    of_host(codewrap, host)
    host.kill()
    host.wait()
    done = codewrap("wait", "build")
    assert (done.status, done.out) == (254, "")
    (line,) = done.err.splitlines()
    assert "session build is lost: its host is gone, seen last " in line


def test_out_of_time_is_124_and_a_line(codewrap: CommandLine) -> None:
    run_here(codewrap, "build")
    done = codewrap("wait", "build", "--timeout", "1s")
    assert (done.status, done.out) == (124, "")
    assert done.err == "[codewrap] session build: after 1s still no exit\n"


def test_an_end_of_which_nothing_is_known_is_125(codewrap: CommandLine) -> None:
    kept = ended(sessions_of(codewrap), "build", code=None)
    assert json.loads((kept.directory / "session.json").read_text())["ended"]["code"] is None
    done = codewrap("wait", "build")
    assert done.status == 125
    assert "not known how" in done.err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["nothing"], 255, "ls --all"),
        (["build", "--for", "nonsense"], 2, "--for"),
        (["build", "--for", "match"], 2, "regular expression"),
        (["build", "--for", "match", "("], 2, "regular expression"),
        (["build", "--for", "idle", "hello"], 2, "belong together"),
        (["build", "--timeout", "soon"], 2, "--timeout"),
    ],
)
def test_what_makes_no_sense_is_one_line(codewrap: CommandLine, words: list[str], status: int, said: str) -> None:
    ended(sessions_of(codewrap), "build")
    done = codewrap("wait", *words)
    assert (done.status, done.out) == (status, "")
    (line,) = done.err.splitlines()
    assert said in line


def test_state_and_text_are_waited_for(codewrap: CommandLine) -> None:
    record = run_here(codewrap, "build")
    write_activity(Path(record.log_directory), Activity("idle", 1.0, offset=7))
    assert codewrap("wait", "build", "--for", "idle").status == 0
    assert codewrap("wait", "build", "hel+o", "--for", "match").status == 0
    assert codewrap("wait", "build", "--for", "input", "--timeout", "1s").status == 124
    kept = ended(sessions_of(codewrap), "over")
    assert codewrap("wait", kept.name, "--for", "input").status == 125


def test_one_of_another_machine_is_waited_for_by_its_signs_of_life(tmp_path: Path) -> None:
    kept = lost(tmp_path, "build")
    facts = {**kept.facts, "machine": "another.example", "pid": os.getpid(), "pid_started": process_start(os.getpid())}
    (kept.directory / "session.json").write_text(json.dumps(facts))
    (there,) = Archive(tmp_path).sessions()
    (there.directory / sessionfile.HEARTBEAT).write_text("")
    assert over(there, time.monotonic()) is None
    sessionfile.write_end(there.directory, facts, code=4, signal=None, duration_s=1.0, output_bytes=0)
    os.utime(there.directory / sessionfile.HEARTBEAT, (1000, 1000))
    state = over(there, None)
    assert state is not None
    assert (state.fate, state.status) == (Fate.ENDED, 4)
