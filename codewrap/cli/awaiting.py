"""What `codewrap wait` waits for besides the end: that a session is idle, that it awaits input, that a text comes.

Looks at the files beside the session's log, which the uplink writes: nothing is asked of the session.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from codewrap.cli import console
from codewrap.errors import EXIT_FAILED, EXIT_LOST, ConfigError
from codewrap.store.activity import Activity, read_activity
from codewrap.store.archive import Fate, Kept, State
from codewrap.store.sessionlog import LogReader
from codewrap.viewer.news import Printed

LOOK_S = 0.1
# What a screen shows counts as well: who waits may come a moment late.
SHOWN_BYTES = 32 * 1024
SHOWN_ROWS = 24
BLOCK_BYTES = 256 * 1024

Over = Callable[[Kept, float | None], State | None]
"""What became of a session, once it does not run any more; None at the deadline (monotonic), while it does."""


def activity_now(directory: Path) -> Activity | None:
    """What is said of all that the command has written; None while that is being looked at again."""
    found = read_activity(directory)
    with contextlib.suppress(OSError):
        if found is not None and found.offset >= (directory / "output").stat().st_size:
            return found
    return None


def wait_for_state(kept: Kept, deadline_s: float | None, *, state: str, over: Over) -> int | None:
    """0 once ``state`` is so; None at the deadline. Raises ConfigError where it cannot be known."""
    if kept.pty is False:
        raise ConfigError("--for", "cannot be known of a session without a terminal", "wait for exit, or for a match")

    def is_so() -> bool:
        found = activity_now(kept.directory)
        return found is not None and found.state == state

    return _wait(kept, is_so, deadline_s, over)


def wait_for_match(kept: Kept, deadline_s: float | None, *, pattern: str, over: Over) -> int | None:
    """0 once ``pattern`` is found in what the command prints, or in what it printed last. Raises ConfigError, StoreError."""
    try:
        wanted = re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise ConfigError("--for match", f"is no regular expression: {error}") from error
    log = LogReader(kept.directory)
    try:
        return _wait(kept, _Search(log, wanted).found, deadline_s, over)
    finally:
        log.close()


class _Search:
    """For a pattern, in the last rows that were printed at first, and in all that is printed from then on."""

    def __init__(self, log: LogReader, wanted: re.Pattern[str]) -> None:
        self._log = log
        self._wanted = wanted
        self._printed = Printed()
        end = log.end()
        self._read_to = max(log.start(end), end - SHOWN_BYTES)
        self._take()
        rows = self._printed.text.split("\n")[-SHOWN_ROWS:]
        self._printed.keep_from(len(self._printed.text) - len("\n".join(rows)))
        self._looked = False

    def found(self) -> bool:
        """Whether it is there by now."""
        while self._take() or not self._looked:
            self._looked = True
            if self._wanted.search(self._printed.text):
                return True
        return False

    def _take(self) -> bool:
        data = self._log.read(self._read_to, BLOCK_BYTES)
        self._read_to += len(data)
        self._printed.feed(data)
        return bool(data)


def _wait(kept: Kept, is_so: Callable[[], bool], deadline_s: float | None, over: Over) -> int | None:
    while True:
        if is_so():
            return os.EX_OK
        now_s = time.monotonic()
        if deadline_s is not None and now_s >= deadline_s:
            return None
        state = over(kept, now_s + LOOK_S if deadline_s is None else min(now_s + LOOK_S, deadline_s))
        if state is not None:
            return os.EX_OK if is_so() else _too_late(kept, state)


def _too_late(kept: Kept, state: State) -> int:
    lost = state.fate is Fate.LOST
    console.say(f"session {kept.name} {'is lost' if lost else 'has ended'}, and it did not come to that")
    return EXIT_LOST if lost else EXIT_FAILED
