"""The session log: what the child wrote, by position, and a timeline beside it. The host appends, the uplink follows.

Two append-only files in a private directory: ``output`` (position = offset) and ``timeline`` (JSON lines ``[time_s, offset, what,
...]``). An entry stands in the timeline before the bytes that follow it, so that who measures ``output`` first and reads the
timeline next knows everything that concerns those bytes. Old bytes are given back to the disk in big holes beyond ``keep_bytes``.
A machine that lost its power may leave anything at the end of both: a line that is no entry is passed over. docs/recordings.md.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codewrap.errors import StoreError
from codewrap.protocol.geometry import Size
from codewrap.store.files import create_private, private_directory

KEEP_BYTES = 256 * 1024 * 1024
BLOCK_BYTES = 1 << 20
HOLE_BYTES = 16 * 1024 * 1024  # given back at once: a hole costs one system call for this much output
MARK_INTERVAL_S = 0.02  # times of output are kept this finely
_to_json = json.JSONEncoder(separators=(",", ":")).encode  # `json.dumps` would build one at every call
_OUTPUT, _TIMELINE = "output", "timeline"
STREAMS = ("stdout", "stderr")
MARKS = frozenset({"join", "leave", "marker", "prompt", "gap"})
"""What the uplink may have written into the timeline."""
MAX_MARK_CHARACTERS = 500
_MOST_S = 1e9
_MOST_OFFSET = 1 << 53


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline: at ``offset``, at ``time_s`` since the session began, ``what`` and its values."""

    time_s: float
    offset: int
    what: str
    values: tuple[Any, ...] = ()


class LogWriter:
    """The host's end. A disk that refuses ends the log (``broken`` says why), never the command."""

    _output = _timeline = -1

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
            output = create_private(directory / _OUTPUT)
            timeline = _second(output, lambda: create_private(directory / _TIMELINE, os.O_APPEND))
        except OSError as error:
            raise StoreError(str(directory), f"the session log cannot be made: {error.strerror}") from error
        self._output, self._timeline = output, timeline

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

    def mark(self, what: str, values: Sequence[object], now_s: float) -> None:
        """Something else that happened now. Raises ValueError for what may not stand there."""
        if what not in MARKS or len(values) > 4 or not all(isinstance(value, str | int | float) for value in values):
            raise ValueError(what)
        self._note(now_s, what, *(value[:MAX_MARK_CHARACTERS] if isinstance(value, str) else value for value in values))

    def typed(self, text: str, now_s: float) -> None:
        """Input that was given to the command. Only where somebody asked for that to be kept."""
        self._note(now_s, "input", text)

    def close(self) -> None:
        """Close both files; they stay."""
        self._output, self._timeline = _closed(self._output), _closed(self._timeline)

    __del__ = close

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

    _output = _timeline = -1

    def __init__(self, directory: Path, keep_bytes: int = KEEP_BYTES) -> None:
        self.directory = directory
        self._keep_bytes = keep_bytes
        try:
            output = _open_file(directory / _OUTPUT)
            timeline = _second(output, lambda: _open_file(directory / _TIMELINE))
        except OSError as error:
            raise StoreError(str(directory), f"the session log cannot be read: {error.strerror}") from error
        self._output, self._timeline = output, timeline
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
        return list(self.each_entry())

    def each_entry(self) -> Iterator[Entry]:
        """The same, as they are read: a timeline may be longer than what should be held at once."""
        while block := os.pread(self._timeline, BLOCK_BYTES, self._timeline_position):
            self._timeline_position += len(block)
            *lines, self._partial = (self._partial + block).split(b"\n")
            if len(self._partial) > BLOCK_BYTES:
                self._partial = b""  # no entry is that long
            for line in lines:
                entry = _entry(line)
                if entry is not None:
                    yield entry

    def written_end(self) -> int:
        """The offset after the last byte that is not zero: a file system that lost its power may have filled up the rest."""
        end = self.end()
        while end > 0:
            start = max(0, end - BLOCK_BYTES)
            held = self.read(start, end - start).rstrip(b"\0")
            if held or start < self.start(self.end()):
                return start + len(held)
            end = start
        return 0

    def sizes(self) -> tuple[int, int]:
        """How long both files are."""
        return os.fstat(self._output).st_size, os.fstat(self._timeline).st_size

    def sync(self) -> None:
        """Have all that is written brought to the disk. Raises OSError."""
        for fd in (self._timeline, self._output):
            os.fdatasync(fd)

    def close(self) -> None:
        """Close both files."""
        self._output, self._timeline = _closed(self._output), _closed(self._timeline)

    __del__ = close


def _closed(fd: int) -> int:
    """Close it, unless that is done; what stands in its place."""
    if fd >= 0:
        with contextlib.suppress(OSError):
            os.close(fd)
    return -1


def delete(directory: Path) -> None:
    """Remove a session's log; what is gone already is not an error."""
    import shutil

    shutil.rmtree(directory, ignore_errors=True)


def _open_file(path: Path) -> int:
    """To read what is a file, and nothing else: a pipe would be waited for. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, f"{path.name} is no file")
    return fd


def _second(first_fd: int, open_second: Callable[[], int]) -> int:
    """Open the other of two files; without it the first is of no use and closed."""
    try:
        return open_second()
    except OSError:
        os.close(first_fd)
        raise


def _entry(line: bytes) -> Entry | None:
    """None for a line that is no entry: of a log whose machine lost its power, or of a later version."""
    try:
        match json.loads(line):
            case [int() | float() as time_s, int() as offset, str() as what, *values]:
                pass
            case _:
                return None
    except (ValueError, RecursionError):
        return None
    sound = math.isfinite(time_s) and 0 <= time_s <= _MOST_S and 0 <= offset <= _MOST_OFFSET and _fit(what, values)
    return Entry(time_s, offset, what, tuple(values)) if sound else None


def _fit(what: str, values: list[Any]) -> bool:
    """Whether the values are those that who reads such an entry takes them for."""
    match what, values:
        case "resize", [int() as cols, int() as rows]:
            return cols > 0 and rows > 0
        case "exit", [int() | None, int() | None]:
            return True
        case (("resize" | "exit"), _):
            return False
        case (("join" | "leave" | "marker" | "prompt" | "input"), [str(), *_]):
            return True
        case (("join" | "leave" | "marker" | "prompt" | "input"), _):
            return False
        case _:
            return True


def _punch_hole(fd: int, offset: int, length: int) -> bool:
    """fallocate(2) with FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE (Linux); False where it is not to be had."""
    import ctypes

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        result: int = libc.fallocate(fd, 0x03, ctypes.c_longlong(offset), ctypes.c_longlong(length))
    except (OSError, AttributeError):
        return False
    return result == 0
