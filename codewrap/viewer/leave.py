"""What the host says of our leave to type, and what the person is told of it. Pure.

The code that the person is to say is made here of our own key; what the host sends is not believed.
"""

from __future__ import annotations

import secrets
from collections import deque

from codewrap.protocol.admission import REQUEST_S

# Each time something was refused a new stream begins: the host may still speak of one of the last.
STREAMS_KEPT = 64
_APPROVED = "you may type now; what you typed before was not passed on"
KINDS = ("asked", "approved", "denied", "revoked")


class Leave:
    """One attachment's."""

    def __init__(self) -> None:
        self._streams: deque[str] = deque(maxlen=STREAMS_KEPT)
        self._line = ""
        self._until_s = 0.0

    def new_stream(self) -> str:
        """An id for the next stream of input."""
        self._streams.append(secrets.token_hex(8))
        return self._streams[-1]

    def is_ours(self, stream: str) -> bool:
        """Whether ``stream`` is, or was lately, a stream of ours."""
        return stream in self._streams

    def text(self, now_s: float) -> str:
        """What to keep showing; "" for nothing."""
        return self._line if now_s < self._until_s else ""

    def told(self, kind: str, text: str, code: str, now_s: float) -> str:
        """The host has said ``kind`` of a stream of ours whose code is ``code``; what to tell the person, "" where they know.

        A request stands at the host with the code of its first frame: so that code stays as long as the request may.
        """
        if kind == "asked":
            if self.text(now_s):
                return ""
            self._line = f"waiting for leave to type; say this code: {code}" if code else "waiting for leave to type"
            self._until_s = now_s + REQUEST_S
            return self._line
        self._line = ""
        return _APPROVED if kind == "approved" else text
