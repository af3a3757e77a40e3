"""Brings what is to be told to its targets: a thread for each, so that none waits for another, and nothing for any of them.

What fails is tried again with growing pauses, for a bounded time; then it is given up, and that is said once for each target.
"""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from codewrap.errors import CodewrapError, TransportError
from codewrap.uplink.occurrence import Occurrence

RETRY_FIRST_S, RETRY_MOST_S = 1.0, 30.0
# News that old is none.
GIVE_UP_S = 120.0
# What waits for a target that does not answer; the oldest is dropped.
MAX_WAITING = 16


class Target(Protocol):
    """Where it goes."""

    def deliver(self, occurrence: Occurrence) -> None:
        """Bring it there, within a bounded time. Raises CodewrapError, whose text names the target and holds nothing secret."""


class Courier:
    """``failed`` is told, in a target's thread, what could not be brought and why."""

    def __init__(
        self,
        targets: Sequence[Target],
        failed: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
        retry_first_s: float = RETRY_FIRST_S,
    ) -> None:
        self._routes = [_Route(target, failed, clock, retry_first_s) for target in targets]

    def tell(self, occurrence: Occurrence) -> None:
        """Bring it to every target. Returns at once."""
        for route in self._routes:
            route.put(occurrence)

    def close(self) -> None:
        """Wait until all has been brought or given up: at most GIVE_UP_S and one delivery."""
        for route in self._routes:
            route.end()
        for route in self._routes:
            route.join()


class _Route:
    """One target's queue and thread, which is there once there is something to bring."""

    def __init__(self, target: Target, failed: Callable[[str], object], clock: Callable[[], float], retry_first_s: float) -> None:
        self._target = target
        self._failed = failed
        self._clock = clock
        self._retry_first_s = retry_first_s
        self._waiting: collections.deque[tuple[Occurrence, float]] = collections.deque(maxlen=MAX_WAITING)
        self._changed = threading.Condition()
        self._ending = False
        self._said: str | None = None
        self._thread: threading.Thread | None = None

    def put(self, occurrence: Occurrence) -> None:
        with self._changed:
            self._waiting.append((occurrence, self._clock() + GIVE_UP_S))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ending)
                if not self._waiting:
                    return
                occurrence, until_s = self._waiting.popleft()
            self._bring(occurrence, until_s)

    def _bring(self, occurrence: Occurrence, until_s: float) -> None:
        pause_s = self._retry_first_s
        while True:
            try:
                self._target.deliver(occurrence)
            except CodewrapError as error:
                passing = isinstance(error, TransportError) and error.retry
                if not passing or self._clock() + pause_s >= until_s:
                    self._give_up(str(error))
                    return
            else:
                return
            self._sleep(pause_s)
            pause_s = min(pause_s * 2, RETRY_MOST_S)

    def _sleep(self, pause_s: float) -> None:
        threading.Event().wait(pause_s)

    def _give_up(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            self._failed(reason)
