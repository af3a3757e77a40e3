"""The uplink's end of the socket to the host. Two threads write it: the session's and, with keystrokes, the subscriber's."""

from __future__ import annotations

import contextlib
import socket
import threading

from codewrap.protocol import hostlink
from codewrap.protocol.hostlink import Message

MAX_UNSENT_BYTES = 1024 * 1024
READ_BYTES = 65_536  # a larger buffer would be mapped and unmapped by the C library at every read


class HostSocket:
    """The socket to the host, written by two threads: never blocks, refuses when MAX_UNSENT_BYTES wait."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._lock = threading.Lock()
        self._unsent = bytearray()
        self._decoder = hostlink.Decoder()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def wants_to_write(self) -> bool:
        return bool(self._unsent)

    def send(self, message: Message) -> bool:
        """False when the host does not take it now: it is dropped."""
        data = hostlink.encode(message)
        with self._lock:
            if len(self._unsent) > MAX_UNSENT_BYTES:
                return False
            self._unsent += data
            self._flush()
        return True

    def flush(self) -> None:
        with self._lock:
            self._flush()

    def receive(self) -> list[Message] | None:
        """Messages that have come; None when the host is gone."""
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        return self._decoder.feed(data) if data else None

    def _flush(self) -> None:
        with contextlib.suppress(OSError):
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
