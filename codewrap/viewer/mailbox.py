"""From the subscriber's threads to the viewer's loop.

The queue is bounded: when it is full the newest output is dropped, which the receiver notices as a gap and mends.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable

from codewrap.transport.base import Received, SubscriberEvent

MAX_QUEUED = 2_000


class Mailbox:
    """Events from the subscriber's threads. Output is handled at once, in the thread that brought it, whenever the loop
    waits (a thread switch less for every echo); everything else, and all while the loop is busy, is enqueued for it.
    """

    def __init__(self) -> None:
        self.busy = threading.Lock()
        self.dropped = False
        self._events: deque[SubscriberEvent] = deque()
        self._read_fd, self._write_fd = os.pipe()
        self._woken = False
        self._at_once: Callable[[Received], bool] | None = None
        self._is_output: Callable[[Received], bool] = lambda _: False
        for fd in (self._read_fd, self._write_fd):
            os.set_blocking(fd, False)

    def fileno(self) -> int:
        return self._read_fd

    def handle_at_once(self, is_output: Callable[[Received], bool], handler: Callable[[Received], bool]) -> None:
        """``handler`` gets the events that ``is_output`` names, under ``busy``; it returns whether the loop must look."""
        self._is_output = is_output
        self._at_once = handler

    def deliver(self, event: SubscriberEvent) -> None:
        """The subscriber's callback: one call at a time."""
        if isinstance(event, Received) and self._at_once is not None and self._is_output(event):
            if not self._events and self.busy.acquire(blocking=False):
                try:
                    look = self._at_once(event)
                finally:
                    self.busy.release()
                if look:
                    self._wake()
                return
            if len(self._events) >= MAX_QUEUED:
                self.dropped = True
                return
        self._events.append(event)
        self._wake()

    def take(self) -> deque[SubscriberEvent]:
        """Everything that has come."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_fd, 4096)
        self._woken = False
        taken: deque[SubscriberEvent] = deque()
        while self._events:
            taken.append(self._events.popleft())
        return taken

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            with contextlib.suppress(OSError):
                os.write(self._write_fd, b".")
