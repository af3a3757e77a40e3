"""Sessions on this machine by name, whether they run or are kept: for the commands that take one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from codewrap.errors import CodewrapError, SessionNotFound
from codewrap.store import files
from codewrap.store.archive import Archive, Fate, Kept, State
from codewrap.store.sessions import SessionRecord, SessionStore

SESSION_HELP = "Name of the session, or NAME@ID of an earlier one."
NOT_HERE = "it neither runs nor is kept on this machine (codewrap ls --all)"


def archive(values: Mapping[str, str]) -> Archive:
    """This user's. Raises StoreError."""
    return Archive(files.state_directory(values) / "sessions")


def running(values: Mapping[str, str], name: str) -> SessionRecord | None:
    """The session of that name that runs here."""
    with contextlib.suppress(CodewrapError):  # without a private directory there are no sessions of ours to find
        return SessionStore(files.runtime_directory(values)).find(name)
    return None


def look_for(values: Mapping[str, str], text: str) -> Kept | None:
    """The one that runs, the newest of that name, or what ``NAME@ID`` says."""
    record = running(values, text)
    if record is not None:  # its log may be elsewhere, by the settings it was started with
        found = Archive(Path(record.log_directory).parent).find(f"{record.name}@{record.epoch}")
        if found is not None:
            return found
    return archive(values).find(text)


def find(values: Mapping[str, str], text: str) -> Kept:
    """As `look_for`. Raises SessionNotFound."""
    found = look_for(values, text)
    if found is None:
        raise SessionNotFound(text, NOT_HERE)
    return found


def complete(incomplete: str) -> list[str]:
    """Names of all sessions that run here or are kept, for the shell."""
    with contextlib.suppress(CodewrapError, OSError):
        names = archive(os.environ).names()
        names.update(record.name for record in SessionStore(files.runtime_directory(os.environ)).running())
        return sorted(name for name in names if name.startswith(incomplete))
    return []


def how(state: State) -> str:
    """What became of a session, in a word or three."""
    if state.fate is not Fate.ENDED:
        return str(state.fate.value)
    if state.signal is not None:
        return f"killed by signal {state.signal}"
    return "ended" if state.code is None else f"exit {state.code}"
