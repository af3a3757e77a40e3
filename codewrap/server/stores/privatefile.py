"""The file of a SQLite store: made for its owner alone in a directory that is its owner's alone, checked before it is trusted.

The directory must be private (0700, ours, no symlink), the file 0600 and a plain file. Nothing that is there is changed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from codewrap.errors import StoreError

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BESIDE = ("-wal", "-shm", "-journal")  # SQLite's own, which get the mode of the file


def private_file(path: Path) -> Path:
    """``path``, absolute, made (empty) where it is missing. Raises StoreError."""
    path = path.absolute()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = _checked_directory(path.parent)
        try:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path.name, _FILE_FLAGS | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory))
            _check_file(directory, path)
            for end in _BESIDE:
                with contextlib.suppress(FileNotFoundError):
                    _check_file(directory, path.with_name(path.name + end))
        finally:
            os.close(directory)
    except OSError as error:
        raise StoreError(str(path), error.strerror or str(error)) from error
    return path


def _checked_directory(path: Path) -> int:
    try:
        directory = os.open(path, _DIRECTORY_FLAGS)
    except OSError as error:
        raise StoreError(str(path), "is not a directory, or is a symlink") from error
    facts = os.fstat(directory)
    problem = ""
    if facts.st_uid != os.geteuid():
        problem = "belongs to another user"
    elif stat.S_IMODE(facts.st_mode) & 0o077:
        problem = f"is open to others: chmod 700 {path}"
    if problem:
        os.close(directory)
        raise StoreError(str(path), problem)
    return directory


def _check_file(directory: int, path: Path) -> None:
    # By its name, not opened: closing a descriptor would drop the locks that SQLite holds on the file in this process.
    facts = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid():
        raise StoreError(str(path), "is not a file of this user, or is a symlink")
    if stat.S_IMODE(facts.st_mode) & 0o077:
        raise StoreError(str(path), f"is open to others, who may have changed it: delete it, or chmod 600 {path}")
