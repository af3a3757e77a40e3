"""Recordings as `serve-auth` keeps them: files of sealed bytes, of which it can tell nothing, by session. Blocking.

What is listed stands in the names of directories and files (`NAME/EPOCH.OPENED.OWNER`, and `.ended` where nothing follows): a
list opens no file and needs no index, and copies of the server may share the directory. Who changes one holds flock(2) on its
session's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from codewrap.errors import CodewrapError, StoreError
from codewrap.protocol.channels import is_session_name
from codewrap.protocol.roles import USER
from codewrap.store.files import PRIVATE_FILE, private_directory

SESSION_BYTES = 256 * 1024 * 1024
# A host sends what is new every few seconds. Who sent nothing for so long may be taken for gone where room is short.
QUIET_S = 3600.0
_ATTEMPTS = 3
_FILE = re.compile(rf"([0-9a-f]{{16}})\.([0-9]{{1,12}})\.({USER.pattern})(\.ended)?")
EPOCH = re.compile(r"[0-9a-f]{16}")


class OutOfPlace(CodewrapError):
    """The bytes do not belong where they were said to: there are only ``size_bytes``, or the recording has ended."""

    def __init__(self, size_bytes: int, *, ended: bool) -> None:
        super().__init__(size_bytes)
        self.size_bytes = size_bytes
        self.ended = ended


class TooLong(CodewrapError):
    """One session's recording may not grow so large."""


class NoRoom(CodewrapError):
    """The disk is full, or what all recordings may take is in use by sessions that run."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One recording. Times are seconds since 1970, by the server's clock."""

    name: str
    epoch: str
    owner: str
    opened_at: int
    updated_at: float
    size_bytes: int
    ended: bool
    path: Path


class RecordingFiles:
    """``directory`` is made and checked. None: no limit."""

    def __init__(self, directory: Path, age_s: float | None, most_bytes: int | None, session_bytes: int = SESSION_BYTES) -> None:
        self._directory = private_directory(directory)
        self._age_s = age_s
        self.most_bytes = most_bytes
        self.session_bytes = session_bytes

    def all(self, reached: Callable[[str], bool] = lambda _name: True) -> list[Stored]:
        """Those of the sessions that are ``reached``, the one last heard of first. Raises StoreError."""
        try:
            with os.scandir(self._directory) as entries:
                names = [entry.name for entry in entries if is_session_name(entry.name) and reached(entry.name)]
        except OSError as error:
            raise StoreError(str(self._directory), f"cannot be read: {error.strerror}") from error
        found = [stored for name in names for stored in self._of(name)]
        return sorted(found, key=lambda stored: (stored.updated_at, stored.opened_at), reverse=True)

    def of(self, name: str) -> list[Stored]:
        """All of a session's name, the one last heard of first."""
        return sorted(self._of(name), key=lambda stored: (stored.updated_at, stored.opened_at), reverse=True)

    def find(self, name: str, epoch: str) -> Stored | None:
        """That of one run."""
        return next((stored for stored in self._of(name) if stored.epoch == epoch), None)

    def put(self, name: str, epoch: str, owner: str, at: int, data: bytes, *, last: bool, now_s: float) -> Stored:
        """Have ``data`` stand at ``at``; what else stood there and behind is gone. Again the same changes nothing.

        Raises OutOfPlace, TooLong, NoRoom, StoreError. ``last``: nothing follows.
        """
        if at + len(data) > self.session_bytes:
            raise TooLong
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError), self._locked(name):  # else: an empty directory was removed meanwhile
                stored = self.find(name, epoch)
                if stored is None:
                    path = self._directory / name / f"{epoch}.{int(now_s)}.{owner}"
                    stored = Stored(name, epoch, owner, int(now_s), now_s, 0, False, path)
                self._write(stored, at, data)
                if last and not stored.ended:
                    stored.path.rename(f"{stored.path}.ended")
                return self.find(name, epoch) or stored
        raise StoreError(str(self._directory), "is changed by others all the time")

    def read(self, stored: Stored, at: int, size: int) -> bytes:
        """Up to ``size`` bytes at ``at``; none where it was deleted meanwhile, or replaced by a shorter one."""
        for path in (stored.path, stored.path.with_name(f"{stored.path.name}.ended")):
            with contextlib.suppress(FileNotFoundError):
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    return os.pread(fd, size, at)
                finally:
                    os.close(fd)
        return b""

    def delete(self, stored: Stored) -> None:
        """Remove it; what is gone already is not an error. Raises StoreError."""
        try:
            with contextlib.suppress(FileNotFoundError), self._locked(stored.name, make=False):
                for each in self._of(stored.name):
                    if each.epoch == stored.epoch:
                        each.path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # not empty
                    (self._directory / stored.name).rmdir()
        except OSError as error:
            raise StoreError(str(stored.path), f"cannot be deleted: {error.strerror}") from error

    def clean_up(self, now_s: float, more_bytes: int = 0) -> tuple[list[Stored], int]:
        """Delete what is too old, then what is too much where ``more_bytes`` come, the oldest first.

        Returns what was deleted, and how many bytes are left.
        """
        everything = self.all()
        doomed = [each for each in everything if self._age_s is not None and now_s - each.updated_at >= self._age_s]
        left = sum(each.size_bytes for each in everything) - sum(each.size_bytes for each in doomed)
        known = {each.path for each in doomed}
        for each in reversed(everything):
            if self.most_bytes is None or left + more_bytes <= self.most_bytes:
                break
            if each.path not in known and (each.ended or now_s - each.updated_at >= QUIET_S):
                doomed.append(each)
                left -= each.size_bytes
        for each in doomed:
            with contextlib.suppress(StoreError):
                self.delete(each)
        return doomed, left

    def _write(self, stored: Stored, at: int, data: bytes) -> None:
        try:
            fd = os.open(stored.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
        except FileNotFoundError:
            raise  # the directory was removed
        except OSError as error:
            raise NoRoom(error.strerror) from error
        try:
            size = os.fstat(fd).st_size
            if at > size:
                raise OutOfPlace(size, ended=stored.ended)
            if os.pread(fd, len(data), at) == data:  # said again: its answer was lost
                return
            if stored.ended:
                raise OutOfPlace(size, ended=True)
            os.ftruncate(fd, at)
            _write_all(fd, data, at)
        finally:
            empty = not os.fstat(fd).st_size
            os.close(fd)
            if empty:
                stored.path.unlink(missing_ok=True)

    def _of(self, name: str) -> Iterator[Stored]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._directory / name) as entries:
            for entry in entries:
                parts = _FILE.fullmatch(entry.name)
                if parts is not None:
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        yield Stored(
                            name,
                            parts[1],
                            parts[3],
                            int(parts[2]),
                            status.st_mtime,
                            status.st_size,
                            parts[4] is not None,
                            self._directory / name / entry.name,
                        )

    @contextlib.contextmanager
    def _locked(self, name: str, *, make: bool = True) -> Iterator[None]:
        """Nobody else changes the recordings of that name. Raises FileNotFoundError, NoRoom."""
        directory = self._directory / name
        if make:
            try:
                private_directory(directory)
            except StoreError as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    raise error.__cause__ from error  # removed between being made and being looked at
                raise NoRoom(error.reason) from error
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _write_all(fd: int, data: bytes, at: int) -> None:
    """All or nothing. Raises NoRoom."""
    view = memoryview(data)
    written = 0
    try:
        while written < len(view):
            written += os.pwrite(fd, view[written:], at + written)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.ftruncate(fd, at)
        raise NoRoom(error.strerror) from error
