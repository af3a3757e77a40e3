"""One connection opened ahead of its use, on a thread of its own.

Soketi closes its connection after each answer: without this, every publish would wait for a TCP and a TLS handshake first.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable


class SpareConnection:
    """Asked to `prepare` after each use; `take` hands out what is ready, or nearly. Owned by one thread."""

    def __init__(self, open_stream: Callable[[], socket.socket]) -> None:
        self._open_stream = open_stream
        self._orders: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._opened: queue.SimpleQueue[socket.socket | None] = queue.SimpleQueue()
        self._is_ordered = False
        self._is_closed = threading.Event()
        self._thread: threading.Thread | None = None

    def prepare(self) -> None:
        """Open one in the background, unless one is on its way or waiting. Returns at once."""
        if self._is_ordered or self._is_closed.is_set():
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="spare-connection", daemon=True)
            self._thread.start()
        self._is_ordered = True
        self._orders.put(True)

    def take(self, timeout_s: float) -> socket.socket | None:
        """The prepared connection, waiting for one that is being opened; None if there is none, or it failed."""
        if not self._is_ordered:
            return None
        try:
            stream = self._opened.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._is_ordered = False
        return stream

    def close(self) -> None:
        """Drop what is there and end the thread soon. Never waits."""
        self._is_closed.set()
        self._orders.put(False)
        self._drop()

    def _run(self) -> None:
        while self._orders.get():
            try:
                stream: socket.socket | None = self._open_stream()
            except OSError:
                stream = None  # whoever needs a connection opens its own and gets to know the reason
            self._opened.put(stream)
            if self._is_closed.is_set():
                self._drop()

    def _drop(self) -> None:
        try:
            while True:
                stream = self._opened.get_nowait()
                if stream is not None:
                    stream.close()
        except queue.Empty:
            pass
