"""Publishers that record, and fail on request. They implement `transport.base.Publisher`."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from codewrap.transport.base import Event


class RecordingPublisher:
    """Keeps what it was given, over all publishers made from it, and the names of the threads that gave it."""

    def __init__(self) -> None:
        self.published: list[list[Event]] = []
        self.threads: set[str] = set()
        self.made = 0
        self.closed = 0
        self.failure: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()

    def make(self) -> RecordingPublisher:
        """As the server's factory: one recorder for all lanes."""
        with self._lock:
            self.made += 1
        return self

    def publish(self, events: Sequence[Event]) -> None:
        """Wait for the gate, then record or fail."""
        assert self.gate.wait(30), "nobody opened the gate"
        with self._lock:
            self.threads.add(threading.current_thread().name)
            if self.failure is not None:
                raise self.failure
            self.published.append(list(events))

    def close(self) -> None:
        with self._lock:
            self.closed += 1

    @property
    def events(self) -> list[Event]:
        """All events in order."""
        return [event for events in self.published for event in events]
