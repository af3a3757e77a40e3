"""Sessions within sessions: which one this process runs in, and what is not done there without being asked for.

A person at a terminal who wraps a command inside a session most often did not mean to: it is seen there already, and a start-up
file of the shell that wraps the shell would never end. Programs that do so mean it; theirs go on.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from codewrap.cli.environment import Environment
from codewrap.errors import SessionNested, SessionWatchesItself, StoreError
from codewrap.store import files
from codewrap.store.sessions import SessionRecord, SessionStore

# Set by `run` for its command (host/session.py).
OUTER = "CODEWRAP_SESSION"


def outer_session(here: Environment) -> str:
    """The name of the session on whose terminal this process runs; "" where there is none.

    The environment alone says less: it outlives its session, and reaches other terminals (in tmux, of an editor, of a test).
    """
    name = here.original.get(OUTER, "")
    if name:
        with contextlib.suppress(StoreError):  # then nothing can be known of sessions, and none of ours is in the way
            record = SessionStore(files.runtime_directory(here.values)).find(name)
            if record is not None and _on_terminal_of(record):
                return name
    return ""


def refuse_within(outer: str) -> None:
    """A person is about to wrap a command inside ``outer``. Raises SessionNested where that is one."""
    if outer:
        raise SessionNested(outer)


def refuse_mirror(here: Environment, watched: str) -> None:
    """A terminal is about to show ``watched``. Raises SessionWatchesItself inside that very session, which would never end."""
    if here.original.get(OUTER) == watched:
        raise SessionWatchesItself(watched)


def _on_terminal_of(record: SessionRecord) -> bool:
    """Whether who leads the session of processes that we are in (setsid) was started by the host of ``record``."""
    try:
        fields = Path(f"/proc/{os.getsid(0)}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return not Path("/proc/self/stat").exists()  # where it cannot be known the environment decides
    return int(fields[1]) == record.pid
