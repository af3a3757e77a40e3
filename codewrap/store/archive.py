"""The sessions whose logs are kept, whether they run, have ended or were lost: found, renamed, deleted.

Each is a directory ``NAME-EPOCH`` of its own, which is all that must be readable: `session.json`, the timeline and the times of
the files say more, as far as they can be read. After a power loss any of them may be cut off, empty, or full of zeros.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import json
import math
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codewrap.errors import SessionNotFound, StoreError
from codewrap.protocol.channels import check_session_name, is_session_name
from codewrap.protocol.geometry import Size
from codewrap.store import sessionfile
from codewrap.store.files import PRIVATE_FILE, write_private
from codewrap.store.sessions import process_start

# The uplink gives a sign of life every five seconds; more of them than this are not missed one after the other.
FRESH_S = 20.0
# There was no codewrap before (September 2020): a time from then is that of a clock that nobody had set yet.
_FIRST_AT = 1_600_000_000.0
# The entry of the end is the last, or has a few of those who watched behind it.
_TAIL_BYTES = 16 * 1024
_DIRECTORY = re.compile(r"(.{1,48})-([0-9a-f]{16})")
_GONE = ".gone"


class Fate(enum.Enum):
    """What became of a session. LOST: its host is gone and said nothing."""

    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class State:
    """``at`` (Unix time): when it ended, or was last seen; ``code`` or ``signal``, when it ended. None: not known."""

    fate: Fate
    at: float | None = None
    code: int | None = None
    signal: int | None = None
    duration_s: float | None = None
    output_bytes: int | None = None

    @property
    def status(self) -> int | None:
        """The exit status, as a shell says it: 128 + n when signal n killed it. None unless it has ended."""
        if self.fate is not Fate.ENDED:
            return None
        return 128 + self.signal if self.signal is not None else self.code


@dataclass(frozen=True, slots=True)
class Kept:
    """One session. What could not be read is empty: 0, "" or None; ``name``, ``epoch`` and ``directory`` are always known.

    ``facts`` is what stood in `session.json`, and read by the properties alone: of most sessions few are ever asked for.
    """

    name: str
    epoch: str
    directory: Path
    """Where its log is (`sessionlog.LogReader`)."""
    facts: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def pid(self) -> int:
        """Of its host."""
        pid = self.facts.get("pid")
        return pid if type(pid) is int and 0 < pid < 2**31 else 0

    @property
    def pid_started(self) -> str:
        """As `sessions.process_start` says."""
        return _text(self.facts.get("pid_started"))

    @property
    def machine(self) -> str:
        """Whose process that is."""
        return _text(self.facts.get("machine"))

    @property
    def command(self) -> tuple[str, ...]:
        """With its arguments."""
        command = self.facts.get("command")
        return tuple(map(str, command)) if isinstance(command, list) else ()

    @property
    def working_directory(self) -> str:
        """Where it was started."""
        return _text(self.facts.get("directory"))

    @property
    def started_at(self) -> float:
        """Unix time."""
        return _number(self.facts.get("started_at")) or 0.0

    @property
    def mode(self) -> str:
        """How it reached its viewers."""
        return _text(self.facts.get("mode"))

    @property
    def endpoint(self) -> str:
        """Over what."""
        return _text(self.facts.get("endpoint"))

    @property
    def encrypted(self) -> bool:
        """End to end."""
        return self.facts.get("encrypted") is not False

    @property
    def share(self) -> str:
        """Who else could type."""
        return _text(self.facts.get("share"))

    @property
    def pty(self) -> bool | None:
        """Whether the command had a terminal."""
        pty = self.facts.get("pty")
        return pty if isinstance(pty, bool) else None

    @property
    def size(self) -> Size | None:
        """Of that terminal, at the beginning."""
        match self.facts.get("size"):
            case [int(rows), int(cols)]:
                return Size(rows, cols).clamped()
            case _:
                return None

    @property
    def kept(self) -> bool:
        """False: the log goes with the session."""
        return self.facts.get("kept") is not False

    @property
    def ended(self) -> State | None:
        """As `session.json` said when it was read; `state` is how things are."""
        return _ended(self.facts)

    @property
    def state(self) -> State:
        """As it is now, by evidence: its process, what its host wrote last, when it was last seen."""
        if (ended := self.ended) is not None:
            return ended
        if self._is_alive():
            return State(Fate.RUNNING)
        # It may have ended since this was read.
        written = _ended(sessionfile.read(str(self.directory))) or self._end_in_timeline()
        return written or State(Fate.LOST, self.last_seen() or self.started_at or None)

    def last_seen(self) -> float:
        """When its log or sign of life changed last (Unix time); 0.0 where that cannot be said."""
        return max(self._changed_at(name) for name in (sessionfile.HEARTBEAT, "output", "timeline"))

    def over_at(self, state: State) -> float:
        """Since when it is over (Unix time), for who asks how long ago that was; 0.0 where nothing says so.

        A clock that was set back while it ran says a time before its beginning. One that was not set at all says nothing, and
        then the sign of life counts, which `Archive.prune` gives it in the place of one of its uplink.
        """
        at = max(state.at or 0.0, self.started_at)
        return at if at == 0.0 or at >= _FIRST_AT else max(at, self._changed_at(sessionfile.HEARTBEAT))

    def size_bytes(self) -> int:
        """What all its files take of the disk."""
        return sum(_disk_bytes(str(self.directory)))

    def public(self, state: State | None = None) -> dict[str, Any]:
        """For programs (`--json`). ``state``: where it is known already."""
        state, size = state or self.state, self.size
        return {
            "name": self.name,
            "epoch": self.epoch,
            "state": state.fate.value,
            "status": state.status,
            "code": state.code,
            "signal": state.signal,
            "ended_at": state.at if state.fate is Fate.ENDED else None,
            "last_seen": state.at if state.fate is Fate.LOST else None,
            "duration_s": state.duration_s,
            "output_bytes": state.output_bytes,
            "command": list(self.command),
            "directory": self.working_directory,
            "started_at": self.started_at or None,
            "pid": self.pid or None,
            "mode": self.mode or None,
            "endpoint": self.endpoint or None,
            "encrypted": self.encrypted,
            "share": self.share or None,
            "read_only": self.share == "view",
            "pty": self.pty,
            "size": [size.rows, size.cols] if size else None,
            "kept": self.kept,
            "log_directory": str(self.directory),
        }

    def _is_alive(self) -> bool:
        if self.pid_started and self.machine == sessionfile.machine():
            return process_start(self.pid) == self.pid_started
        # Of another machine, or only just begun: who gave a sign of life a moment ago lives.
        seen = max(self._changed_at(sessionfile.HEARTBEAT), 0.0 if self.pid_started else self._changed_at("."))
        return abs(time.time() - seen) < FRESH_S

    def _changed_at(self, name: str) -> float:
        try:
            return (self.directory / name).lstat().st_mtime
        except OSError:
            return 0.0

    def _end_in_timeline(self) -> State | None:
        """For a host that wrote the end of its log, and could not write how it ended."""
        try:
            fd = os.open(self.directory / "timeline", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            tail = os.pread(fd, _TAIL_BYTES, max(0, os.fstat(fd).st_size - _TAIL_BYTES))
        except OSError:
            return None
        finally:
            os.close(fd)
        for line in reversed(tail.split(b"\n")):
            if b'"exit"' in line and (state := self._exit_of(line)) is not None:
                return state
        return None

    def _exit_of(self, line: bytes) -> State | None:
        try:
            time_s, offset, what, code, signal, *_ = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            return None
        if what != "exit" or (duration_s := _number(time_s)) is None or type(offset) is not int:
            return None
        at = self._changed_at("timeline") or self.started_at + duration_s
        return State(Fate.ENDED, at, _whole(code), _whole(signal), duration_s, offset)


@dataclass(frozen=True, slots=True)
class Policy:
    """How long (since the end, or when it was last seen) and how much is kept. None: no limit."""

    age_s: float | None = None
    most_bytes: int | None = None


class Archive:
    """The sessions of one user. ``directory`` is that of session logs, private already, and may be missing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def sessions(self, name: str | None = None) -> list[Kept]:
        """All, or those of ``name``, the newest first."""
        found = [_kept(self._directory, *each) for each in self._named() if name is None or each[0] == name]
        return sorted(found, key=lambda kept: kept.started_at or kept.last_seen(), reverse=True)

    def names(self) -> set[str]:
        """The names of all; reads no file."""
        return {name for name, _ in self._named()}

    def named(self) -> set[tuple[str, str]]:
        """Name and epoch of all; reads no file."""
        return set(self._named())

    def session(self, name: str, epoch: str) -> Kept:
        """The one of that name and epoch, as far as it can be read; whether it is there is not asked."""
        return _kept(self._directory, name, epoch)

    def find(self, text: str) -> Kept | None:
        """The newest of a name, or the one that ``NAME@EPOCH`` says, of which the beginning is enough.

        Raises SessionNotFound where several begin so.
        """
        name, at, epoch = text.partition("@")
        if not is_session_name(name) or (at and not epoch):
            return None
        found = [kept for kept in self.sessions(name) if kept.epoch.startswith(epoch)]
        if at and len(found) > 1:
            raise SessionNotFound(text, "several begin so, give more of it")
        return found[0] if found else None

    def delete(self, kept: Kept) -> None:
        """Remove it with all that it has; what is gone already is not an error. Raises StoreError.

        At once, as others see it: who breaks off leaves no half of it.
        """
        hidden = self._directory / f".{kept.name}-{kept.epoch}{_GONE}"
        try:
            kept.directory.rename(hidden)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(str(kept.directory), f"cannot be deleted: {error.strerror}") from error
        shutil.rmtree(hidden, ignore_errors=True)

    def rename(self, kept: Kept, name: str) -> Kept:
        """Give it another name; of a session that runs the caller has to beware. Raises ConfigError, StoreError."""
        check_session_name(name, "NEW")
        directory = self._directory / f"{name}-{kept.epoch}"
        try:
            kept.directory.rename(directory)
        except OSError as error:
            raise StoreError(str(kept.directory), f"cannot be renamed: {error.strerror}") from error
        facts = sessionfile.read(str(directory))
        if facts:  # the directory's name counts
            write_private(directory / sessionfile.FILE_NAME, json.dumps(facts | {"name": name}).encode())
        return _kept(self._directory, name, kept.epoch)

    def doomed(self, policy: Policy, now: float) -> list[Kept]:
        """What ``policy`` does not keep at ``now`` (Unix time): never what runs, always what was to go with its session."""
        everything = self.sessions()
        return _doomed(everything, _over(everything), policy, now)

    def prune(self, policy: Policy, now: float) -> list[Kept]:
        """Delete what is `doomed`, and what an earlier deletion left; returns what was deleted.

        A session of a time when the clock was not set is as old as it can be known to be: from this moment on.
        """
        with contextlib.suppress(OSError), os.scandir(self._directory) as entries:
            for entry in entries:
                if entry.name.startswith(".") and entry.name.endswith(_GONE):
                    shutil.rmtree(entry.path, ignore_errors=True)
        everything = self.sessions()
        over = _over(everything)
        deleted = []
        for kept in _doomed(everything, over, policy, now):
            with contextlib.suppress(StoreError):
                self.delete(kept)
                deleted.append(kept)
        if now >= _FIRST_AT:
            for kept in (kept for at, kept in over if _is_undated(at)):
                sessionfile.sign_of_life(kept.directory, now)
        return deleted

    def clean_up(self, policy: Policy, now: float) -> list[Kept]:
        """`prune`, unless that was done of late, or somebody else does it now."""
        try:
            fd = os.open(
                self._directory / sessionfile.CLEANED, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE
            )
        except OSError:
            return []
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not sessionfile.clean_is_due(self._directory, now):
                return []
            os.pwrite(fd, b"\n", 0)
            os.utime(fd, (now, now))
            return self.prune(policy, now)
        except OSError:
            return []
        finally:
            os.close(fd)

    def _named(self) -> Iterator[tuple[str, str]]:
        """Name and epoch of every session's directory."""
        try:
            with os.scandir(self._directory) as entries:
                for entry in entries:
                    found = _DIRECTORY.fullmatch(entry.name)
                    if found is not None and is_session_name(found[1]) and entry.is_dir(follow_symlinks=False):
                        yield found[1], found[2]
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(str(self._directory), f"cannot be read: {error.strerror}") from error


def _when(pair: tuple[float, Kept]) -> float:
    return pair[0]


def _over(everything: Iterable[Kept]) -> list[tuple[float, Kept]]:
    """Those that do not run, with since when; the oldest first."""
    states = ((kept, kept.state) for kept in everything)
    return sorted(((kept.over_at(state), kept) for kept, state in states if state.fate is not Fate.RUNNING), key=_when)


def _is_undated(at: float) -> bool:
    return 0.0 < at < _FIRST_AT


def _doomed(everything: Iterable[Kept], over: list[tuple[float, Kept]], policy: Policy, now: float) -> list[Kept]:
    age_s = math.inf if policy.age_s is None else policy.age_s
    found = [kept for at, kept in over if not kept.kept or age_s <= 0 or (now - at >= age_s and not _is_undated(at))]
    if policy.most_bytes is not None:
        sizes = {kept.directory: kept.size_bytes() for kept in everything}
        left_bytes = sum(sizes.values()) - sum(sizes[kept.directory] for kept in found)
        known = {kept.directory for kept in found}
        for kept in (kept for _, kept in over if kept.directory not in known):
            if left_bytes <= policy.most_bytes:
                break
            found.append(kept)
            left_bytes -= sizes[kept.directory]
    return found


def _kept(directory: Path, name: str, epoch: str) -> Kept:
    place = directory / f"{name}-{epoch}"
    return Kept(name, epoch, place, sessionfile.read(str(place)))


def _ended(facts: dict[str, Any]) -> State | None:
    ended = facts.get("ended")
    if not isinstance(ended, dict) or (at := _number(ended.get("at"))) is None:
        return None
    code, signal = _whole(ended.get("code")), _whole(ended.get("signal"))
    return State(Fate.ENDED, at, code, signal, _number(ended.get("duration_s")), _whole(ended.get("output_bytes")))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    return value if type(value) is int else None


def _number(value: object) -> float | None:
    """JSON as Python reads it knows infinities, and whole numbers without end."""
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _disk_bytes(directory: str) -> Iterator[int]:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                yield entry.stat(follow_symlinks=False).st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    yield from _disk_bytes(entry.path)
