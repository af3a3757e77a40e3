"""The short way between a host and viewers of the same user on the same machine: packets over a Unix socket.

It carries keystrokes there and small output back, beside the broker, which carries everything. Both ends go by offsets, so that
what comes twice counts once and what is dropped here comes by the broker. Whoever is at the other end is another process of this
user: the kernel says so (unix(7), SO_PEERCRED), and the name is random and stands in the session's private record.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct

from codewrap.errors import LocalProtocolError
from codewrap.protocol import hostlink
from codewrap.protocol.hostlink import Message

BACKLOG = 16
PACKET_BYTES = 64 * 1024
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


def listen(name: str) -> socket.socket | None:
    """A listening socket named ``name``; None where this system has no such sockets, or the name is taken."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(_address(name))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        return None
    listener.setblocking(False)
    return listener


def accept(listener: socket.socket) -> Lane | None:
    """The next one at the door, if it is this user's."""
    try:
        accepted, _ = listener.accept()
    except OSError:
        return None
    return _lane(accepted)


def connect(name: str) -> Lane | None:
    """The lane of the host that listens by ``name``; None where there is none."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.setblocking(False)
    try:
        made.connect(_address(name))
    except OSError:
        made.close()
        return None
    return _lane(made)


class Lane:
    """One end. Never blocks; a packet that does not fit now is dropped."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Message) -> bool:
        """False when it was not taken, whatever the reason."""
        try:
            self._socket.send(hostlink.encode(message))
        except OSError:
            return False
        return True

    def receive(self) -> list[Message] | None:
        """What has come; None when the other end is gone or talks nonsense."""
        try:
            packet = self._socket.recv(PACKET_BYTES)
            return hostlink.Decoder().feed(packet) if packet else None
        except BlockingIOError:
            return []
        except (OSError, LocalProtocolError):
            return None

    def close(self) -> None:
        """Leave. Never raises."""
        with contextlib.suppress(OSError):
            self._socket.close()


def _lane(connected: socket.socket) -> Lane | None:
    try:
        _, uid, _ = _CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    except OSError:
        uid = -1
    if uid != os.getuid():
        connected.close()
        return None
    return Lane(connected)


def _address(name: str) -> str:
    """In Linux's abstract namespace: no file to clean up, no directory whose path is too long."""
    return f"\0codewrap-{name}"
