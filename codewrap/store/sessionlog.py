"""The session log: what the child wrote, by position, and a timeline beside it. The host appends, the uplink follows.

Two append-only files in a private directory: ``output`` (position = offset) and ``timeline`` (JSON lines ``[time_s, offset, what,
...]``). An entry stands in the timeline before the bytes that follow it, so that who measures ``output`` first and reads the
timeline next knows everything that concerns those bytes. Old bytes are given back to the disk in big holes beyond ``keep_bytes``.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codewrap.errors import StoreError
from codewrap.protocol.geometry import Size
from codewrap.store.files import create_private, private_directory

KEEP_BYTES = 256 * 1024 * 1024
HOLE_BYTES = 16 * 1024 * 1024  # given back at once: a hole costs one system call for this much output
MARK_INTERVAL_S = 0.02  # times of output are kept this finely
_to_json = json.JSONEncoder(separators=(",", ":")).encode  # `json.dumps` would build one at every call
_OUTPUT, _TIMELINE = "output", "timeline"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline: at ``offset``, at ``time_s`` since the session began, ``what`` and its values."""

    time_s: float
    offset: int
    what: str
    values: tuple[Any, ...] = ()


class LogWriter:
    """The host's end. A disk that refuses ends the log (``broken`` says why), never the command."""

    def __init__(self, directory: Path, started_s: float, keep_bytes: int = KEEP_BYTES) -> None:
        self.directory = private_directory(directory)
        self.end = 0
        self.start = 0
        self.broken = ""
        self._started_s = started_s
        self._keep_bytes = keep_bytes
        self._stream = ""
        self._marked_s = 0.0
        try:
            self._output = create_private(directory / _OUTPUT)
            self._timeline = _second(self._output, lambda: create_private(directory / _TIMELINE, os.O_APPEND))
        except OSError as error:
            raise StoreError(str(directory), f"the session log cannot be made: {error.strerror}") from error

    def append(self, data: bytes | memoryview, stream: str, now_s: float) -> None:
        """Bytes as read from the child. ``stream`` is "stdout" or "stderr"."""
        if self.broken:
            return
        if stream != self._stream or now_s - self._marked_s >= MARK_INTERVAL_S:
            self._stream, self._marked_s = stream, now_s
            self._note(now_s, stream)
        self.end += self._write(self._output, data)
        if self.end - self.start > self._keep_bytes + HOLE_BYTES:
            self._give_back()

    def tail(self, most_bytes: int) -> bytes:
        """The last bytes of the output, at most so many."""
        try:
            return os.pread(self._output, most_bytes, max(0, self.end - most_bytes))
        except OSError:
            return b""

    def resized(self, size: Size, now_s: float) -> None:
        """The terminal has this size from here on."""
        self._note(now_s, "resize", size.cols, size.rows)

    def ended(self, code: int | None, signal: int | None, now_s: float) -> None:
        """The child is gone; nothing follows."""
        self._note(now_s, "exit", code, signal)

    def close(self) -> None:
        """Close both files; they stay."""
        for fd in (self._output, self._timeline):
            with contextlib.suppress(OSError):
                os.close(fd)

    def _note(self, now_s: float, what: str, *values: object) -> None:
        line = _to_json([round(now_s - self._started_s, 4), self.end, what, *values])
        self._write(self._timeline, line.encode() + b"\n")

    def _write(self, fd: int, data: bytes | memoryview) -> int:
        """Bytes written: fewer than there are where the disk refuses."""
        if self.broken:
            return 0
        written = 0
        try:
            while written < len(data):
                written += os.write(fd, data[written:] if written else data)
        except OSError as error:
            self.broken = error.strerror or "it cannot be written"
        return written

    def _give_back(self) -> None:
        start = (self.end - self._keep_bytes) // HOLE_BYTES * HOLE_BYTES
        if start > self.start and _punch_hole(self._output, 0, start):
            self.start = start
        elif start > self.start:
            self.start = start  # no holes on this file system: kept, but not promised


class LogReader:
    """The uplink's end: any range by position, and the timeline entry by entry. Survives a restart of either side."""

    def __init__(self, directory: Path, keep_bytes: int = KEEP_BYTES) -> None:
        self.directory = directory
        self._keep_bytes = keep_bytes
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._output = os.open(directory / _OUTPUT, flags)
            self._timeline = _second(self._output, lambda: os.open(directory / _TIMELINE, flags))
        except OSError as error:
            raise StoreError(str(directory), f"the session log cannot be read: {error.strerror}") from error
        self._timeline_position = 0
        self._partial = b""

    def end(self) -> int:
        """The offset after the last byte written. Ask it before `entries`."""
        return os.fstat(self._output).st_size

    def start(self, end: int) -> int:
        """The first offset that is still held when ``end`` is the last."""
        if end <= self._keep_bytes + HOLE_BYTES:
            return 0
        return (end - self._keep_bytes) // HOLE_BYTES * HOLE_BYTES

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes at ``offset``; fewer at the end."""
        return os.pread(self._output, size, offset)

    def entries(self) -> list[Entry]:
        """Timeline entries since the last call; a line that is not finished waits for the next."""
        found: list[Entry] = []
        while block := os.pread(self._timeline, 1 << 20, self._timeline_position):
            self._timeline_position += len(block)
            *lines, self._partial = (self._partial + block).split(b"\n")
            found.extend(_entry(line) for line in lines if line)
        return found

    def close(self) -> None:
        """Close both files."""
        for fd in (self._output, self._timeline):
            with contextlib.suppress(OSError):
                os.close(fd)


def delete(directory: Path) -> None:
    """Remove a session's log; what is gone already is not an error."""
    import shutil

    shutil.rmtree(directory, ignore_errors=True)


def _second(first_fd: int, open_second: Callable[[], int]) -> int:
    """Open the other of two files; without it the first is of no use and closed."""
    try:
        return open_second()
    except OSError:
        os.close(first_fd)
        raise


def _entry(line: bytes) -> Entry:
    time_s, offset, what, *values = json.loads(line)
    return Entry(time_s, offset, what, tuple(values))


def _punch_hole(fd: int, offset: int, length: int) -> bool:
    """fallocate(2) with FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE (Linux); False where it is not to be had."""
    import ctypes

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        result: int = libc.fallocate(fd, 0x03, ctypes.c_longlong(offset), ctypes.c_longlong(length))
    except (OSError, AttributeError):
        return False
    return result == 0
