"""Kept sessions as a host leaves them, for tests of what reads them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

from codewrap.protocol.geometry import Size
from codewrap.store import sessionfile
from codewrap.store.archive import Archive, Kept
from codewrap.store.sessionlog import LogWriter
from codewrap.store.sessions import process_start

_EPOCHS = itertools.count(1)
BEGAN_AT = 1_700_000_000.0
NOBODY = 2**22 + 1
"""A pid that no process has: beyond what Linux gives."""


def epoch() -> str:
    """One that no other session has."""
    return f"{next(_EPOCHS):016x}"


def facts(name: str, of_epoch: str, **changes: Any) -> dict[str, Any]:
    """What a host says of itself that has gone."""
    return {
        "name": name,
        "epoch": of_epoch,
        "pid": NOBODY,
        "pid_started": "a boot:1",
        "command": ["make", "all"],
        "directory": "/where",
        "started_at": BEGAN_AT,
        "mode": "embedded",
        "endpoint": "http://127.0.0.1:1",
        "encrypted": True,
        "share": "ask",
        "pty": True,
        "size": [24, 80],
        "kept": True,
    } | changes


def of_this_process() -> dict[str, Any]:
    """For `facts`: the host is the test itself."""
    return {"pid": os.getpid(), "pid_started": process_start(os.getpid())}


def lost(directory: Path, name: str, of_epoch: str = "", output: bytes = b"hello\r\n", **changes: Any) -> Kept:
    """A session whose host has said nothing of an end."""
    of_epoch = of_epoch or epoch()
    place = directory / f"{name}-{of_epoch}"
    log = LogWriter(place, 0.0)
    log.resized(Size(24, 80), 0.0)
    if output:
        log.append(output, "stdout", 0.5)
    log.close()
    sessionfile.write_start(place, facts(name, of_epoch, **changes))
    return found(directory, place)


def ended(
    directory: Path,
    name: str,
    of_epoch: str = "",
    output: bytes = b"hello\r\n",
    code: int | None = 0,
    signal: int | None = None,
    at: float = BEGAN_AT + 60,
    **changes: Any,
) -> Kept:
    """A session that ended ``at``."""
    kept = lost(directory, name, of_epoch, output, **changes)
    written = sessionfile.read(str(kept.directory))
    sessionfile.write_end(kept.directory, written, code=code, signal=signal, duration_s=60.0, output_bytes=len(output), at=at)
    return found(directory, kept.directory)


def found(directory: Path, place: Path) -> Kept:
    """The session whose log is at ``place``."""
    (kept,) = [each for each in Archive(directory).sessions() if each.directory == place]
    return kept
