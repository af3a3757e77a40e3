"""Records of this user's running sessions: one private JSON file each in the runtime directory.

A record says who runs the session (pid and that process's start time, so that a reused pid is not taken for it) and how to reach
it. In embedded mode it holds the hub's keys: the file's permissions are the authorization there (same user, same machine).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from codewrap.errors import SessionNameTaken, StoreError
from codewrap.protocol.channels import is_session_name
from codewrap.store.files import write_private
from codewrap.store.spent import Spent, read_spent

_SUFFIX = ".json"
_MAX_RECORD_BYTES = 32 * 1024 * 1024  # a command line may have megabytes, and JSON makes six bytes of some


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One running session. ``endpoint`` is for people; ``hub`` holds what reaches an embedded broker, else None."""

    name: str
    pid: int
    pid_started: str
    epoch: str
    mode: str
    endpoint: str
    encrypted: bool
    read_only: bool
    command: list[str]
    started_at: float
    log_directory: str
    hub: dict[str, Any] | None = field(default=None, repr=False)
    share: str = "ask"
    lane: str = field(default="", repr=False)
    """The name that its lane listens by (`transport/lane.py`); "" where there is none."""

    def spent(self) -> Spent:
        """What it has spent so far at its broker; the uplink writes that down every few seconds."""
        return read_spent(Path(self.log_directory)) or Spent(since=self.started_at)

    def public(self) -> dict[str, Any]:
        """What `ls --json` shows: everything but keys."""
        fields = asdict(self)
        del fields["hub"], fields["lane"], fields["pid_started"]
        return fields


class SessionStore:
    """Records by name in ``directory``, which is private already."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def create(self, record: SessionRecord) -> None:
        """Add a record. Raises SessionNameTaken when a live session has the name; a stale record is taken over."""
        with self._locked():
            if self.find(record.name) is not None:
                raise SessionNameTaken(record.name)
            write_private(self._path(record.name), json.dumps(asdict(record)).encode())

    def remove(self, name: str, epoch: str) -> None:
        """Remove the record of ``name`` if it is still that session's."""
        with self._locked():
            record = self._read(self._path(name))
            if record is not None and record.epoch == epoch:
                self._path(name).unlink(missing_ok=True)

    def find(self, name: str) -> SessionRecord | None:
        """The record of a session that runs, or None."""
        if not is_session_name(name):
            return None
        record = self._read(self._path(name))
        return record if record is not None and is_alive(record) else None

    def running(self) -> list[SessionRecord]:
        """All sessions that run, oldest first; records of dead ones are removed on the way."""
        found = []
        for path in sorted(self._directory.glob("*" + _SUFFIX)):
            record = self._read(path)
            if record is None:
                continue
            if is_alive(record):
                found.append(record)
            else:
                self.remove(path.name.removesuffix(_SUFFIX), record.epoch)
        return sorted(found, key=lambda record: record.started_at)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time from look to change: or a record that just took a dead one's place would go with it."""
        try:
            fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(str(self._directory), f"cannot be opened: {error.strerror}") from error
        try:
            with contextlib.suppress(OSError):  # a file system without locks: as good as it gets there
                fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _path(self, name: str) -> Path:
        return self._directory / (name + _SUFFIX)

    def _read(self, path: Path) -> SessionRecord | None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(fd, "rb") as file:
            if os.fstat(fd).st_uid != os.getuid():
                return None
            data = file.read(_MAX_RECORD_BYTES)
        try:
            return SessionRecord(**json.loads(data))
        except (ValueError, TypeError):
            return None


def is_alive(record: SessionRecord) -> bool:
    """Whether the very process that made ``record`` still runs."""
    return bool(record.pid_started) and process_start(record.pid) == record.pid_started


def process_start(pid: int) -> str:
    """What tells this process from a later one with the same pid; "" when there is none.

    Linux: boot id and start time in ticks since boot (proc(5), stat field 22). Elsewhere: `ps -o lstart=`.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except FileNotFoundError:
        return "" if Path("/proc/self/stat").exists() else _started_by_ps(pid)
    except OSError:
        return ""
    if fields[0] in {"Z", "X"}:
        return ""
    return f"{_boot_id()}:{fields[19]}"


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started_by_ps(pid: int) -> str:
    import subprocess

    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip()
