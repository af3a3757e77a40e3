"""Sessions within sessions: which one this process runs in, and what is not done there without being asked for.

A person at a terminal who wraps a command inside a session most often did not mean to: it is seen there already, and a start-up
file of the shell that wraps the shell would never end. Programs that do so mean it; theirs go on.
"""

from __future__ import annotations

import contextlib

from codewrap.cli.environment import Environment
from codewrap.errors import SessionNested, SessionWatchesItself, StoreError
from codewrap.store import files
from codewrap.store.sessions import SessionStore

# Set by `run` for its command (host/session.py).
OUTER = "CODEWRAP_SESSION"


def outer_session(here: Environment) -> str:
    """The name of the session that this process was started in; "" where there is none, or where it is over."""
    name = here.original.get(OUTER, "")
    if name:
        with contextlib.suppress(StoreError):  # then nothing can be known of sessions, and none of ours is in the way
            if SessionStore(files.runtime_directory(here.values)).find(name) is not None:
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
