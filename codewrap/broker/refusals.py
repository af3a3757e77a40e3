"""What the hub says no with.

One exception for sockets and HTTP alike: the peer broke a rule. It is always answered, never logged as a failure.
"""

from __future__ import annotations

from codewrap.errors import RemoteProtocolError


class Refusal(RemoteProtocolError):
    """The peer asked for something it may not have.

    ``code`` is what the peer is told as a number: a Pusher error code or None on a socket, a status over HTTP.
    ``reason`` is the sentence it is told.
    """

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return self.reason
