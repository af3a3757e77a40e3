"""One user's places on this machine as command lines find them, with sessions that the test itself runs in them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from codewrap.store.sessions import SessionRecord, SessionStore, process_start
from tests.support import kept
from tests.support.cli import CommandLine


def sessions_of(codewrap: CommandLine) -> Path:
    """The directory of its session logs."""
    directory = codewrap.directory / "state" / "codewrap" / "sessions"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def run_here(codewrap: CommandLine, name: str, of_epoch: str = "", place: Path | None = None, lane: str = "") -> SessionRecord:
    """A session whose host is this process, with its log at ``place``."""
    runtime = codewrap.directory / "runtime" / "codewrap"
    runtime.mkdir(mode=0o700, exist_ok=True)
    session = kept.lost(place or sessions_of(codewrap), name, of_epoch, started_at=time.time(), **kept.of_this_process())
    record = SessionRecord(
        name=name,
        pid=os.getpid(),
        pid_started=process_start(os.getpid()),
        epoch=session.epoch,
        mode="embedded",
        endpoint="http://127.0.0.1:1",
        encrypted=True,
        read_only=False,
        command=["make", "all"],
        started_at=time.time(),
        log_directory=str(session.directory),
        hub={"secret": "hush"},
        lane=lane,
    )
    SessionStore(runtime).create(record)
    return record
