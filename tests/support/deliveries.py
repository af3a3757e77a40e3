"""Collects what a subscriber delivers, and waits for one of it with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from codewrap.transport.base import ConnectionState, StateChanged, SubscriberEvent

_Kind = TypeVar("_Kind")
WAIT_S = 15.0


class Deliveries:
    """A ``deliver`` callable. ``wait_for`` goes forward: what it has passed is not found again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._events: list[SubscriberEvent] = []
        self._threads: list[str] = []
        self._next = 0

    def __call__(self, event: SubscriberEvent) -> None:
        with self._changed:
            self._events.append(event)
            self._threads.append(threading.current_thread().name)
            self._changed.notify_all()

    @property
    def all(self) -> list[SubscriberEvent]:
        with self._changed:
            return list(self._events)

    def thread_of(self, event: SubscriberEvent) -> str:
        """The name of the thread that brought ``event``."""
        return self._threads[self._events.index(event)]

    def wait_for(self, kind: type[_Kind], where: Callable[[_Kind], bool] = lambda _: True, timeout_s: float = WAIT_S) -> _Kind:
        """The next event of ``kind`` that ``where`` accepts. Fails with all that came instead."""
        until_s = time.monotonic() + timeout_s
        with self._changed:
            while True:
                while self._next < len(self._events):
                    event = self._events[self._next]
                    self._next += 1
                    if isinstance(event, kind) and where(event):
                        return event
                left_s = until_s - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    raise AssertionError(f"no {kind.__name__} within {timeout_s} s; came: {self._events}")

    def wait_for_state(self, state: ConnectionState) -> StateChanged:
        """The next change to ``state``."""
        return self.wait_for(StateChanged, lambda event: event.state is state)
