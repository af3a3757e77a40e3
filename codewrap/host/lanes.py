"""Local viewers and commands at the host itself (`transport/lane.py`): keystrokes and orders in, small output and replies back.

Never waits for one and never owes one anything: what a lane does not take now comes to its viewer by the broker.
"""

from __future__ import annotations

import socket

from codewrap.protocol.hostlink import Kind, Message
from codewrap.transport import lane
from codewrap.transport.lane import Lane

MAX_LANES = 64


class Lanes:
    """The lanes of one session. ``listener`` is None where there are none."""

    def __init__(self, listener: socket.socket | None, epoch: str) -> None:
        self._listener = listener
        self._greeting = Message(Kind.GREETING, {"epoch": epoch})
        self._lanes: dict[int, Lane] = {}
        self._acks: dict[str, int] = {}

    def descriptors(self) -> list[int]:
        """What to wait for."""
        if self._listener is None:
            return []
        return [self._listener.fileno(), *self._lanes]

    def ready(self, fd: int) -> list[Message]:
        """A descriptor of ours is readable: somebody has come, or says something."""
        if self._listener is not None and fd == self._listener.fileno():
            self._welcome(self._listener)
            return []
        said = self._lanes[fd].receive() if fd in self._lanes else []
        if said is None:
            self._lanes.pop(fd).close()
        return said or []

    def answer(self, fd: int, message: Message) -> None:
        """To whoever said something there just now."""
        if fd in self._lanes:
            self._lanes[fd].send(message)

    def written(self, acks: dict[str, int]) -> None:
        """Input up to these offsets is written: told with the output that follows; alone it comes by the broker."""
        if self._lanes:
            self._acks.update(acks)

    def output(self, offset: int, data: bytes, stream: str) -> None:
        """Pass on what the command wrote at ``offset``."""
        if not self._lanes:
            return
        message = Message(Kind.OUTPUT, {"offset": offset, "stream": stream, "acks": self._acks}, data)
        for known in self._lanes.values():
            known.send(message)
        self._acks = {}

    def close(self) -> None:
        """Nobody comes any more."""
        for known in self._lanes.values():
            known.close()
        self._lanes.clear()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _welcome(self, listener: socket.socket) -> None:
        accepted = lane.accept(listener)
        if accepted is None:
            return
        if len(self._lanes) >= MAX_LANES or not accepted.send(self._greeting):
            accepted.close()
            return
        self._lanes[accepted.fileno()] = accepted
