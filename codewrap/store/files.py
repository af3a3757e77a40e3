"""Private directories and files: made for their owner alone, checked before they are trusted, no symlink followed."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from codewrap.errors import StoreError

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600


def runtime_directory(environ: Mapping[str, str]) -> Path:
    """Where session records live: gone after a reboot. Made and checked. Raises StoreError."""
    if chosen := environ.get("CODEWRAP_RUNTIME_DIR"):
        return private_directory(Path(chosen))
    if base := environ.get("XDG_RUNTIME_DIR"):
        path = Path(base)
        if path.is_absolute() and path.is_dir() and os.access(path, os.W_OK):
            return private_directory(path / "codewrap")
    import tempfile

    return private_directory(Path(tempfile.gettempdir()) / f"codewrap-{os.getuid()}")


def state_directory(environ: Mapping[str, str]) -> Path:
    """Where session logs live. Made and checked. Raises StoreError."""
    if chosen := environ.get("CODEWRAP_STATE_DIR"):
        return private_directory(Path(chosen))
    base = environ.get("XDG_STATE_HOME") or ""
    home = environ.get("HOME") or "/"
    root = Path(base) if base.startswith("/") else Path(home) / ".local" / "state"
    return private_directory(root / "codewrap")


def private_directory(path: Path) -> Path:
    """Make ``path`` (and what is above it) if it is not there; it must be ours alone. Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir(mode=PRIVATE_DIRECTORY)
        except FileExistsError:
            pass
        status = path.lstat()
    except OSError as error:
        raise StoreError(str(path), f"cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise StoreError(str(path), "is not a directory (a symbolic link is not followed)")
    if status.st_uid != os.getuid():
        raise StoreError(str(path), "belongs to another user")
    if status.st_mode & 0o077:
        try:
            path.chmod(PRIVATE_DIRECTORY)
        except OSError as error:
            raise StoreError(str(path), "is open to others") from error
    return path


def create_private(path: Path, flags: int = 0) -> int:
    """Create ``path``, which must not exist, for reading and writing; returns a descriptor. Raises OSError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | flags, PRIVATE_FILE)


def write_private(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` in one step. Raises StoreError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        fd = create_private(temporary)
        try:
            view = memoryview(data)
            while view:  # a disk that fills up takes a part first
                view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StoreError(str(path), f"cannot be written: {error.strerror}") from error
