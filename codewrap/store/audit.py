"""The audit log: who asked for what and what was decided, as hash-chained lines in numbered files of a private directory.

`AuditLog` appends and rotates; `auditcheck.py` verifies and reads. Several processes may write one log: a lock on the directory
lets one at a time look where the chain ends and go on from there. Whoever audits must not be stopped by it: nothing here
raises to a caller that only writes; what cannot be written is counted, and a line says so once the disk takes lines again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from codewrap.errors import StoreError
from codewrap.store import auditlines
from codewrap.store.auditlines import DAMAGED, HEADER, LOST, NO_HASH, TORN, Record, Value, bounded, build, parse
from codewrap.store.files import PRIVATE_FILE, create_private, private_directory

DEFAULT_FILE_BYTES = 16 * 1024 * 1024
DEFAULT_FILES = 8
LEAST_FILE_BYTES = 1024
LEAST_FILES = 2  # the newest may be empty: then the one before says where the chain ends
# After a write that failed the disk is left alone for so long: meanwhile lines are only counted.
RETRY_S = 1.0
# Nobody holds the lock for longer than it takes to write a line, unless stopped; a keystroke does not wait for that one.
LOCK_WAIT_S = 0.1
_LOCK_PAUSE_S = 0.0005
_TAIL_BYTES = 2 * auditlines.MAX_LINE_BYTES


def server_log(state: Path) -> Path:
    """Where `serve-auth` with that state directory keeps its log."""
    return state / "serve-auth" / "audit"


def session_log(log_directory: Path) -> Path:
    """Where a host keeps the log of the session with that log directory; it goes with the session."""
    return log_directory / "audit"


class Head(NamedTuple):
    """The last line of a log. Kept elsewhere, it is an anchor: what is cut off behind or rewritten before it can be told."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


EMPTY = Head(0, NO_HASH)


class AuditLog:
    """One process's end of the log in ``directory``; used by one thread at a time. Opened at the first line.

    A file is closed when it has ``file_bytes``; the last ``files`` are kept. ``lock_wait_s`` is how long a write may wait
    for another process.
    """

    def __init__(
        self,
        directory: Path,
        file_bytes: int = DEFAULT_FILE_BYTES,
        files: int = DEFAULT_FILES,
        *,
        lock_wait_s: float = LOCK_WAIT_S,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = directory
        self.refused_writes = 0
        self.problem = ""
        """Why lines cannot be written now; "" while they can."""
        self._file_bytes = max(LEAST_FILE_BYTES, file_bytes)
        self._files = max(LEAST_FILES, files)
        self._lock_wait_s = lock_wait_s
        self._clock = clock
        self._monotonic = monotonic
        self._head = EMPTY
        self._lock_fd = self._fd = -1
        self._number = 0
        self._end = 0
        self._next_path = ""
        self._lost = 0
        self._retry_at_s = 0.0

    def write(self, event: str, /, **fields: Value) -> bool:
        """Append a line. False where it could not be written; it is counted then, and nothing is raised."""
        return self.append(event, fields)

    def append(self, event: str, fields: Mapping[str, Value], at_s: float | None = None) -> bool:
        """`write`, of something that happened at ``at_s`` (seconds since 1970)."""
        if self.problem and self._monotonic() < self._retry_at_s:
            self.count_lost(1)
            return False
        try:
            self._lock()
            try:
                self._catch_up()
                self._note_lost()
                if self._end >= self._file_bytes:
                    self._rotate()
                self._put(event, bounded(fields), at_s)
            finally:
                self._unlock()
        except (OSError, StoreError) as error:
            self._refused(error)
            self.count_lost(1)
            return False
        self.problem = ""
        return True

    def count_lost(self, lines: int) -> None:
        """So many could not be written (or were dropped on the way here): the next line that is written says so."""
        self.refused_writes += lines
        self._lost += lines

    def open(self) -> None:
        """Open it now rather than at the first line, to be told. Raises StoreError."""
        try:
            self._lock()
            try:
                self._catch_up()
            finally:
                self._unlock()
        except OSError as error:
            self._close_files()
            raise StoreError(str(self.directory), f"the audit log cannot be written: {error.strerror}") from error

    def head(self) -> Head:
        """The last line as far as this process knows; (0, zeros) before there is one."""
        return self._head

    def close(self) -> None:
        """Say what was lost, if that can be said now, and close the files. Never raises."""
        if self._lost:
            with contextlib.suppress(OSError, StoreError):
                self._lock()
                self._catch_up()
                self._note_lost()
        self._close_files()

    def _refused(self, error: OSError | StoreError) -> None:
        self._close_files()  # what is there is looked at anew: the disk may have taken a part
        self.problem = (error.strerror if isinstance(error, OSError) else error.reason) or "it cannot be written"
        self._retry_at_s = self._monotonic() + RETRY_S

    def _note_lost(self) -> None:
        if self._lost:
            self._put(LOST, {"lines": self._lost}, None)
            self._lost = 0

    def _lock(self) -> None:
        if self._lock_fd < 0:
            private_directory(self.directory)
            self._lock_fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        take_lock(self._lock_fd, fcntl.LOCK_EX, self._lock_wait_s)

    def _unlock(self) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def _catch_up(self) -> None:
        """Be at the end of the chain, whoever wrote meanwhile."""
        if self._fd < 0:
            self._open_last()
            return
        status = os.fstat(self._fd)
        if not status.st_nlink or os.access(self._next_path, os.F_OK):
            self._close_file()
            self._open_last()
        elif status.st_size != self._end:
            self._read_tail(status.st_size)

    def _open_last(self) -> None:
        numbers = auditlines.file_numbers(self.directory)
        if not numbers:
            self._begin_file(self._number + 1, 1)  # of a log that somebody removed, files are missing from here on
            return
        self._number, self._end = numbers[-1], 0
        self._next_path = str(self._path(self._number + 1))
        self._fd, size = _open_private(self._path(self._number))
        if size:
            self._read_tail(size)
        if not self._end:  # whoever began it was stopped before its first line
            self._follow_file(numbers)
            self._put_header(numbers[0])

    def _read_tail(self, size: int) -> None:
        """Take the chain up where the file ends, and close off what a killed writer left there. No whole line: as if empty."""
        last, damaged, rest = _last_record(self._fd, size)
        if last is None and not damaged:
            os.ftruncate(self._fd, 0)
            return
        self._follow(last)
        self._end = size
        if rest and (whole := parse(rest)) is not None:
            self._put_bytes(b"\n")  # nothing but the newline was missing
            self._follow(whole)
        elif rest:
            self._put(TORN, auditlines.torn_fields(rest), None, before=b"\n")
        elif damaged:
            self._put(DAMAGED, {"bytes": damaged}, None)

    def _follow_file(self, numbers: list[int]) -> None:
        if len(numbers) > 1:
            fd, size = _open_private(self._path(numbers[-2]))
            try:
                self._follow(_last_record(fd, size)[0])
            finally:
                os.close(fd)

    def _follow(self, last: Record | None) -> None:
        """Go on from ``last``; not if this process knows of more: lines were cut off, and the chain's break shall show it."""
        if last is not None and last.seq > self._head.seq:
            self._head = Head(last.seq, last.hash)

    def _rotate(self) -> None:
        numbers = auditlines.file_numbers(self.directory)
        kept = numbers[-(self._files - 1) :]
        self._begin_file(self._number + 1, kept[0])
        for number in numbers[: -len(kept)]:
            with contextlib.suppress(OSError):
                self._path(number).unlink()

    def _begin_file(self, number: int, oldest: int) -> None:
        """A new file with its first line; where that cannot be, the one before stays the last."""
        path = self._path(number)
        fd = create_private(path, os.O_APPEND)
        self._close_file()
        self._fd, self._number, self._end = fd, number, 0
        self._next_path = str(self._path(number + 1))
        try:
            self._put_header(oldest)
        except OSError:
            self._number = number - 1
            with contextlib.suppress(OSError):
                path.unlink()
            raise

    def _put_header(self, oldest: int) -> None:
        self._put(HEADER, {"file": self._number, "oldest": oldest, "v": auditlines.FORMAT}, None)

    def _path(self, number: int) -> Path:
        return self.directory / auditlines.file_name(number)

    def _put(self, event: str, fields: Mapping[str, Value], at_s: float | None, *, before: bytes = b"") -> None:
        at = auditlines.utc(self._clock() if at_s is None else at_s)
        line, digest = build(event, fields, self._head.seq + 1, at, self._head.hash)
        self._put_bytes(before + line)
        self._head = Head(self._head.seq + 1, digest)

    def _put_bytes(self, data: bytes) -> None:
        """All of it or nothing. Raises OSError."""
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:] if written else data)
        except OSError:
            if written:
                os.ftruncate(self._fd, self._end)
            raise
        self._end += written

    def _close_file(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1

    def _close_files(self) -> None:
        self._close_file()
        if self._lock_fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._lock_fd)
            self._lock_fd = -1


def take_lock(directory_fd: int, kind: int, wait_s: float) -> None:
    """Have the log of a directory for oneself. Raises OSError where another process does not let go of it.

    A file system without locks is as good as it gets there.
    """
    until_s = 0.0
    while True:
        try:
            fcntl.flock(directory_fd, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            now_s = time.monotonic()
            until_s = until_s or now_s + wait_s
            if now_s >= until_s:
                raise
            time.sleep(_LOCK_PAUSE_S)
        except OSError:
            return


def _last_record(fd: int, size: int) -> tuple[Record | None, int, bytes]:
    """The last line that is whole; how many bytes of lines after it are none; and what stands behind the last newline."""
    start = max(0, size - _TAIL_BYTES)
    *lines, rest = os.pread(fd, size - start, start).split(b"\n")
    damaged = 0
    while lines:
        line = lines.pop()
        if (record := parse(line)) is not None:
            return record, damaged, rest
        damaged += len(line) + 1
    return None, damaged, rest


def _open_private(path: Path) -> tuple[int, int]:
    """A file of the log that is there, and its size. Raises OSError, or StoreError where it is not a file of ours alone."""
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_nlink != 1:
            raise StoreError(str(path), "is not a file of yours alone")
        if status.st_mode & 0o077:
            os.fchmod(fd, PRIVATE_FILE)
    except BaseException:
        os.close(fd)
        raise
    return fd, status.st_size
