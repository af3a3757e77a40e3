"""The slow way of input and requests: over HTTP, where the broker relays no client events."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from queue import Full, Queue

from codewrap.errors import CodewrapError
from codewrap.transport.base import Event

MAX_HTTP_QUEUED = 64
SendOverHttp = Callable[[Event], None]


class HttpPath:
    """The slow way for input and requests, in a thread of its own so that the loop never waits for it."""

    def __init__(self, send: SendOverHttp) -> None:
        self._send = send
        self._queue: Queue[Event | None] = Queue(MAX_HTTP_QUEUED)
        self._thread: threading.Thread | None = None
        self.refusal = ""

    def send(self, event: Event) -> bool:
        """False when too much waits already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="viewer-http", daemon=True)
            self._thread.start()
        with contextlib.suppress(Full):
            self._queue.put_nowait(event)
            return True
        return False

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            try:
                self._send(event)
                self.refusal = ""
            except CodewrapError as error:
                self.refusal = str(error)  # nothing is lost: what is not confirmed is sent again
