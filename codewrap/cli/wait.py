"""`codewrap wait`: until something is so of a session on this machine. What can be waited for stands in `CONDITIONS`."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import time
from collections.abc import Callable
from typing import Annotated

import typer

from codewrap import config
from codewrap.cli import console, environment
from codewrap.cli.kept import SESSION_HELP, complete, find
from codewrap.errors import EXIT_FAILED, EXIT_LOST, ConfigError
from codewrap.store.archive import Fate, Kept, State
from codewrap.store.sessionfile import machine

EXIT_TIMED_OUT = 124  # as of timeout(1)
# Where the end of a process cannot be waited for: another machine's, or a kernel without pidfd_open(2).
LOOK_S = 0.25
WATCHED_LOOK_S = 60.0

Condition = Callable[[Kept, float | None], int | None]
"""Waits until it is so, or the clock (monotonic) is at a deadline. The exit status to leave with; None: out of time."""


def wait(
    session: Annotated[str, typer.Argument(metavar="NAME", help=SESSION_HELP, autocompletion=complete)],
    pattern: Annotated[
        str | None, typer.Argument(metavar="[REGEX]", help="With --for match: what must be printed.", show_default=False)
    ] = None,
    awaited: Annotated[str, typer.Option("--for", metavar="WHAT", help="exit, idle, input (it waits for some), match.")] = "exit",
    timeout: Annotated[str | None, typer.Option(metavar="DURATION", help="Wait no longer than 30s, 5min, 8h.")] = None,
) -> None:
    """Wait for a session to end, and leave with its exit status; or until it is idle, awaits input, or prints something.

    Exit status: the session's (0 with --for idle, input and match; 125 where it ends before); 124 out of time; 254 the session
    was lost; 255 there is none of that name.
    """
    condition = _condition(awaited, pattern)
    limit_s = None if timeout is None else config.parse_duration("--timeout", timeout)
    kept = find(environment.current().values, session)
    status = condition(kept, None if limit_s is None else time.monotonic() + limit_s)
    if status is None:
        console.say(f"session {kept.name}: after {timeout} still no {awaited}")
        status = EXIT_TIMED_OUT
    console.leave(status)


def _condition(awaited: str, pattern: str | None) -> Condition:
    if awaited not in CONDITIONS:
        raise ConfigError("--for", f"is none of {', '.join(CONDITIONS)}")
    if (pattern is not None) != (awaited == "match"):
        raise ConfigError("--for match", "and a regular expression belong together")
    if awaited == "exit":
        return _for_exit
    from codewrap.cli import awaiting

    if pattern is not None:
        return functools.partial(awaiting.wait_for_match, pattern=pattern, over=over)
    state = {"idle": "idle", "input": "awaiting input"}[awaited]
    return functools.partial(awaiting.wait_for_state, state=state, over=over)


def _for_exit(kept: Kept, deadline_s: float | None) -> int | None:
    state = over(kept, deadline_s)
    if state is None:
        return None
    if state.fate is Fate.LOST:
        seen = f", seen last {console.moment(state.at)}" if state.at else ""
        console.say(f"session {kept.name} is lost: its host is gone{seen}")
        return EXIT_LOST
    if state.status is None:
        console.say(f"session {kept.name} has ended, and it is not known how")
        return EXIT_FAILED
    return state.status


def over(kept: Kept, deadline_s: float | None) -> State | None:
    """What became of the session once it does not run any more; None: at the deadline it still does."""
    with contextlib.ExitStack() as stack:
        poll, look_s = select.poll(), LOOK_S
        if kept.machine == machine():
            with contextlib.suppress(OSError, AttributeError):
                fd = os.pidfd_open(kept.pid)  # before the first look: a session that runs then is this very process
                stack.callback(os.close, fd)
                poll.register(fd, select.POLLIN)
                look_s = WATCHED_LOOK_S
        while (state := kept.state).fate is Fate.RUNNING:
            left_s = look_s if deadline_s is None else min(look_s, deadline_s - time.monotonic())
            if left_s <= 0:
                return None
            poll.poll(left_s * 1000)
    return state


CONDITIONS = ("exit", "idle", "input", "match")
