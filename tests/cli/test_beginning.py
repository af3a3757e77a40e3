"""What is broken off before its command runs leaves no record and no log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codewrap.cli.beginning import Beginning
from codewrap.store.sessions import SessionRecord, SessionStore, process_start

BROKEN_OFF = """
import os, signal, sys
from pathlib import Path
from codewrap.cli.beginning import Beginning
from codewrap.store.sessions import SessionRecord, SessionStore, process_start
from tests.cli.test_beginning import session_record

runtime, log = map(Path, sys.argv[1:3])
for number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
if "ignored" in sys.argv:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
with Beginning() as beginning:
    record = session_record(log_directory=str(log))
    beginning.made(SessionStore(runtime), record)
    SessionStore(runtime).create(record)
    log.mkdir()
    os.kill(os.getpid(), signal.Signals[sys.argv[3]])
    beginning.begun()
print("begun")
"""


def session_record(epoch: str = "ab" * 8, log_directory: str = "") -> SessionRecord:
    pid = os.getpid()
    return SessionRecord("otter", pid, process_start(pid), epoch, "embedded", "", True, False, ["bash"], 0.0, log_directory)


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    (tmp_path / "runtime").mkdir(mode=0o700)
    return tmp_path / "runtime"


def broken_off(runtime: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BROKEN_OFF, str(runtime), str(runtime.parent / "log"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize(("name", "status"), [("SIGHUP", 129), ("SIGTERM", 143), ("SIGINT", -signal.SIGINT)])
def test_a_signal_before_the_command_runs_leaves_nothing(runtime: Path, name: str, status: int) -> None:
    assert broken_off(runtime, name).returncode == status
    assert list(runtime.parent.iterdir()) == [runtime]
    assert list(runtime.iterdir()) == []


def test_what_is_ignored_breaks_nothing_off(runtime: Path) -> None:
    assert broken_off(runtime, "SIGHUP", "ignored").stdout == "begun\n"
    assert (runtime.parent / "log").is_dir()
    assert len(list(runtime.iterdir())) == 1


def test_an_error_leaves_nothing_and_the_handlers_are_put_back(runtime: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    log, store = runtime.parent / "log", SessionStore(runtime)
    with pytest.raises(ValueError), Beginning() as beginning:
        beginning.made(store, session_record(log_directory=str(log)))
        store.create(session_record(log_directory=str(log)))
        log.mkdir()
        raise ValueError
    assert signal.getsignal(signal.SIGTERM) is before
    assert not log.exists()
    assert store.running() == []


def test_the_record_of_another_session_of_that_name_stays(runtime: Path) -> None:
    store = SessionStore(runtime)
    store.create(session_record(epoch="00" * 8))
    with Beginning() as beginning:
        beginning.made(store, session_record(epoch="11" * 8, log_directory=str(runtime.parent / "log")))
    assert [record.epoch for record in store.running()] == ["00" * 8]
