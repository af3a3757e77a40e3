"""`session.json`: what is known of one session, beside its log. Its host writes it at the start, and once more at the end.

Imported before the child starts: no more here than that takes. Who reads many of them uses `archive.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codewrap.errors import StoreError
from codewrap.store.files import PRIVATE_FILE, write_private

VERSION = 1
FILE_NAME = "session.json"
HEARTBEAT = "heartbeat"
"""An empty file whose time the uplink sets while its host lives."""
CLEANED = ".cleaned"
"""Beside the sessions: its time is when what is too much was deleted last."""
CLEAN_EVERY_S = 3600.0
_MAX_BYTES = 32 * 1024 * 1024  # as for a record: a command line may have megabytes
_FIRST_READ_BYTES = 64 * 1024
# Room for the end, taken at the start: a disk that is full by then has it all the same.
_END_BYTES = 200


def write_start(directory: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write what is known at the start; returns it all, for `write_end`. Raises StoreError."""
    written = {"v": VERSION, **facts, "machine": machine(), "ended": None}
    data = json.dumps(written).encode()
    write_private(directory / FILE_NAME, data.ljust(len(data) + _END_BYTES))
    return written


def write_end(
    directory: Path,
    written: Mapping[str, Any],
    *,
    code: int | None,
    signal: int | None,
    duration_s: float,
    output_bytes: int,
    at: float | None = None,
) -> None:
    """Add how it ended, and when, to what was ``written`` at the start. Raises StoreError."""
    ended = {
        "at": time.time() if at is None else at,
        "code": code,
        "signal": signal,
        "duration_s": round(duration_s, 3),
        "output_bytes": output_bytes,
    }
    data = json.dumps({**written, "ended": ended}).encode()
    try:
        write_private(directory / FILE_NAME, data)
    except StoreError:
        if not _written_over(directory / FILE_NAME, data):
            raise


def _written_over(path: Path, data: bytes) -> bool:
    """In place of what stands there, without room for more: not whole at every moment, as what is renamed is."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        size = os.fstat(fd).st_size
        return len(data) <= size and os.pwrite(fd, data.ljust(size), 0) == size
    except OSError:
        return False
    finally:
        os.close(fd)


def read(directory: str) -> dict[str, Any]:
    """What stands there; {} where there is nothing, or nothing that makes sense (a disk that lost its power)."""
    try:
        fd = os.open(f"{directory}/{FILE_NAME}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return {}
    try:
        data = os.read(fd, _FIRST_READ_BYTES)
        while len(data) < _MAX_BYTES and (more := os.read(fd, _MAX_BYTES) if len(data) >= _FIRST_READ_BYTES else b""):
            data += more
        facts = json.loads(data.decode())
    except (OSError, ValueError, RecursionError):
        return {}
    finally:
        os.close(fd)
    return facts if isinstance(facts, dict) else {}


def sign_of_life(directory: Path, at: float | None = None) -> None:
    """The session was there ``at`` (Unix time; now). A disk that refuses, or a log that is deleted, costs the sign alone."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    with contextlib.suppress(OSError):
        fd = os.open(directory / HEARTBEAT, flags, PRIVATE_FILE)
        try:
            os.utime(fd, None if at is None else (at, at))
        finally:
            os.close(fd)


def clean_is_due(directory: Path, now: float) -> bool:
    """Whether it is time to delete what is too much in ``directory``, that of all sessions."""
    try:
        done = (directory / CLEANED).stat()
    except OSError:
        return True
    # Empty: just made. A time to come: the clock was set back since, and this must not wait for it.
    return not done.st_size or not 0 <= now - done.st_mtime < CLEAN_EVERY_S


def machine() -> str:
    """This machine's name: a home directory may be shared, and a pid means nothing elsewhere."""
    return os.uname().nodename
