"""What became of a session that cannot be attached to, as far as it is known here or at its server: for whoever looked for it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from codewrap.cli import console, kept
from codewrap.config import Gateway
from codewrap.errors import CodewrapError, NotAttached, SessionEnded, SessionError, SessionLost
from codewrap.store.archive import Fate, State

if TYPE_CHECKING:
    from codewrap.cli.destination import Destination


def explained(to: Destination, error: SessionError) -> SessionError:
    """``error``, that nobody runs it, or what says more: that it has ended, with its status, or was lost; and when."""
    # What is kept here under that name is another session than the one behind a link.
    state = None if isinstance(to.way, Gateway) else _state_here(to)
    if state is not None and state.fate is Fate.RUNNING:
        return error
    return _of_state(to.name, state) if state is not None else _at_server(to) or error


def _state_here(to: Destination) -> State | None:
    with contextlib.suppress(CodewrapError):
        found = kept.archive(to.here.values).find(to.name)
        return None if found is None else found.state
    return None


def _of_state(name: str, state: State) -> SessionError:
    when = "" if state.at is None else f" {console.moment(state.at)}"
    logs = f"(codewrap logs {name} shows what it wrote)"
    if state.fate is Fate.LOST:
        return SessionLost(name, f"it was lost: its host is gone; last heard of{when} {logs}")
    if state.status is None:
        return NotAttached(name, f"it has ended{when} {logs}")
    return SessionEnded(name, state.status, f"{when.strip()} {logs}".strip())


def _at_server(to: Destination) -> SessionError | None:
    """How it ended is sealed there: that is for `codewrap logs` to open."""
    from codewrap.cli import stored

    server = to.way if isinstance(to.way, Gateway) else to.way.gateway
    if server is None:
        return None
    with contextlib.suppress(CodewrapError):
        newest = next(iter(stored.listed(server, to.name)), None)
        if newest is not None and newest.ended:
            when = console.moment(newest.updated_at)
            return NotAttached(to.name, f"it has ended {when} (codewrap logs {to.name} shows what it wrote)")
    return None
