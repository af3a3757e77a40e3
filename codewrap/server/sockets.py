"""Which sockets were authorized for whom, so that they can be closed when that is revoked. Bounded: the oldest are forgotten.

Brokers close the connections of a user only where that user signed in at the broker. Of our own hub every socket can be closed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

TRACKED = 20_000
USERS = 16  # of one socket: ours have one


class AuthorizedSockets:
    """Owned by the server's event loop. ``close`` ends a socket of our own hub by its id; None: the broker is another one."""

    def __init__(self, close: Callable[[str], None] | None = None, tracked: int = TRACKED) -> None:
        self._close = close
        self._tracked = tracked
        self._sockets: OrderedDict[str, set[str]] = OrderedDict()

    def note(self, socket_id: str, user: str) -> None:
        """``socket_id`` was authorized (for a channel, or to sign in) for that user."""
        holders = self._sockets.setdefault(socket_id, set())
        if len(holders) < USERS:
            holders.add(user)
        self._sockets.move_to_end(socket_id)
        if len(self._sockets) > self._tracked:
            self._sockets.popitem(last=False)

    def close_of(self, user: str) -> int:
        """Close all that were authorized for ``user``; returns how many. They may come back with another good token."""
        found = [socket_id for socket_id, holders in self._sockets.items() if user in holders]
        for socket_id in found:
            del self._sockets[socket_id]
            if self._close is not None:
                self._close(socket_id)
        return len(found)

    def __len__(self) -> int:
        return len(self._sockets)
