"""Which sockets were authorized for whom and until when, so that they can be closed then, or when it is revoked.

Bounded: the oldest are forgotten.

Brokers close the connections of a user only where that user signed in at the broker. Of our own hub every socket can be closed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

TRACKED = 20_000
USERS = 16  # of one socket: ours have one


class AuthorizedSockets:
    """Owned by the server's event loop.

    ``close`` ends a socket of our own hub by its id, ``is_open`` says whether it is there; None: the broker is another one.
    """

    def __init__(
        self,
        close: Callable[[str], None] | None = None,
        tracked: int = TRACKED,
        *,
        is_open: Callable[[str], bool] | None = None,
    ) -> None:
        self._close = close
        self._is_open = is_open
        self._tracked = tracked
        self._sockets: OrderedDict[str, set[str]] = OrderedDict()
        self._of_user: dict[str, dict[str, None]] = {}
        self._until: dict[str, float] = {}

    @property
    def exact(self) -> bool:
        """Whether it can be known which of them are open still."""
        return self._is_open is not None

    def knows(self, socket_id: str, user: str) -> bool:
        """Whether it was authorized for that user before."""
        return socket_id in self._of_user.get(user, ())

    def open_of(self, user: str, most: int) -> int:
        """How many of the user's are open; those that are closed are forgotten, where there seem to be ``most`` or more."""
        sockets = self._of_user.get(user, {})
        if self._is_open is not None and len(sockets) >= most:
            for socket_id in [socket_id for socket_id in sockets if not self._is_open(socket_id)]:
                self._forget(socket_id)
        return len(sockets)

    def note(self, socket_id: str, user: str, until: float | None = None) -> None:
        """``socket_id`` was authorized (for a channel, or to sign in) for that user, by what is good ``until`` then.

        None: for ever. What counts is the last word: who has a newer token asks again.
        """
        holders = self._sockets.setdefault(socket_id, set())
        if len(holders) < USERS:
            holders.add(user)
            self._of_user.setdefault(user, {})[socket_id] = None
        self._sockets.move_to_end(socket_id)
        self._until.pop(socket_id, None)
        if until is not None:
            self._until[socket_id] = until
        if len(self._sockets) > self._tracked:
            self._forget(next(iter(self._sockets)))

    def close_of(self, user: str) -> int:
        """Close all that were authorized for ``user``; returns how many. They may come back with another good token."""
        found = list(self._of_user.get(user, ()))
        for socket_id in found:
            self._forget(socket_id)
            if self._close is not None:
                self._close(socket_id)
        return len(found)

    def expire(self, now_s: float) -> set[str]:
        """Close all whose time is over; returns their users."""
        users = set()
        for socket_id in [socket_id for socket_id, until in self._until.items() if until <= now_s]:
            users |= self._sockets[socket_id]
            self._forget(socket_id)
            if self._close is not None:
                self._close(socket_id)
        return users

    def __len__(self) -> int:
        return len(self._sockets)

    def _forget(self, socket_id: str) -> None:
        self._until.pop(socket_id, None)
        for user in self._sockets.pop(socket_id):
            sockets = self._of_user[user]
            del sockets[socket_id]
            if not sockets:
                del self._of_user[user]
