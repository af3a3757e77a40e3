"""Kept sessions as a host leaves them: a directory with log and `session.json`, without a host."""

from __future__ import annotations

import os
import time
from pathlib import Path

from codewrap.protocol.geometry import Size
from codewrap.store import sessionfile
from codewrap.store.sessionlog import LogWriter
from codewrap.store.sessions import process_start

SIZE = Size(rows=24, cols=80)
EPOCH = "0123456789abcdef"


class KeptSession:
    """One session below ``state`` (the state directory). It is of this process, so it runs, until it has `ended` or is `lost`."""

    def __init__(
        self, state: Path, name: str = "demo", *, pty: bool = True, began_ago_s: float = 0.0, epoch: str = EPOCH
    ) -> None:
        for directory in (state, state / "sessions"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory = state / "sessions" / f"{name}-{epoch}"
        self.log = LogWriter(self.directory, 0.0)
        self.log.resized(SIZE, 0.0)
        self._facts = {
            "name": name,
            "epoch": epoch,
            "pid": os.getpid(),
            "pid_started": process_start(os.getpid()),
            "command": ["sh", "-c", "<b>&"],
            "directory": "/",
            "started_at": time.time() - began_ago_s,
            "mode": "embedded",
            "endpoint": "",
            "encrypted": True,
            "share": "ask",
            "pty": pty,
            "size": [SIZE.rows, SIZE.cols],
            "kept": True,
        }
        self._written = sessionfile.write_start(self.directory, self._facts)

    def ended(self, code: int = 0, at_s: float = 10.0) -> None:
        """The command came to its end."""
        self.log.ended(code, None, at_s)
        self.log.close()
        sessionfile.write_end(
            self.directory, self._written, code=code, signal=None, duration_s=at_s, output_bytes=self.log.end, at=time.time()
        )

    def lost(self) -> None:
        """Its host has vanished."""
        self.log.close()
        sessionfile.write_start(self.directory, {**self._facts, "pid_started": "another boot:1"})
