"""Signed-in users: reading a sign-in, who is online on which sockets, and who watches whom.

A user is online from its first signed-in socket to its last.
"""

from __future__ import annotations

from collections.abc import Iterable

from codewrap.broker import messages
from codewrap.broker.connections import Connection, User
from codewrap.broker.limits import Limits
from codewrap.broker.names import is_user_id
from codewrap.broker.presence import is_encodable
from codewrap.broker.refusals import Refusal


def read_user(user_data: str, limits: Limits) -> User:
    """The user a (rightly signed) ``user_data`` describes; its watchlist is not cut yet. Raises Refusal (4009)."""
    try:
        fields = messages.object_of(user_data)
    except Refusal:
        raise Refusal(4009, "user_data is not a JSON object") from None
    user_id, info, watchlist = fields.get("id"), fields.get("user_info"), fields.get("watchlist", [])
    if not isinstance(user_id, str) or not is_user_id(user_id, limits.user_id_chars):
        raise Refusal(4009, "user_data has no valid id")
    if not messages.depth_within(info, limits.json_depth) or not is_encodable(info):
        raise Refusal(4009, "user_info is not acceptable JSON")
    if not isinstance(watchlist, list) or not all(is_user_id(name, limits.user_id_chars) for name in watchlist):
        raise Refusal(4009, "watchlist is not a list of user ids")
    return User(user_id, user_data, info, tuple(dict.fromkeys(watchlist)))


class Users:
    """Who is signed in."""

    def __init__(self) -> None:
        self._online: dict[str, dict[Connection, None]] = {}
        self._watchers: dict[str, dict[Connection, None]] = {}

    def sockets(self, user_id: str) -> Iterable[Connection]:
        """The user's signed-in connections."""
        return self._online.get(user_id, {})

    def sign_in(self, connection: Connection, user: User) -> None:
        """Take in a connection that is not signed in yet; tells those who watch."""
        connection.user = user
        sockets = self._online.setdefault(user.user_id, {})
        sockets[connection] = None
        if len(sockets) == 1:
            self._tell_watchers("online", user.user_id)
        for watched in user.watchlist:
            self._watchers.setdefault(watched, {})[connection] = None

    def present_state(self, user: User) -> str | None:
        """The first watchlist frame; None for a user who watches nobody."""
        online = [watched for watched in user.watchlist if watched in self._online]
        offline = [watched for watched in user.watchlist if watched not in self._online]
        events = [(name, ids) for name, ids in (("online", online), ("offline", offline)) if ids]
        return messages.watchlist(events) if events else None

    def sign_out(self, connection: Connection) -> None:
        """Forget a connection, signed in or not."""
        user = connection.user
        if user is None:
            return
        connection.user = None
        for watched in user.watchlist:
            watchers = self._watchers[watched]
            del watchers[connection]
            if not watchers:
                del self._watchers[watched]
        sockets = self._online[user.user_id]
        del sockets[connection]
        if not sockets:
            del self._online[user.user_id]
            self._tell_watchers("offline", user.user_id)

    def _tell_watchers(self, name: str, user_id: str) -> None:
        watchers = self._watchers.get(user_id)
        if watchers:
            text = messages.watchlist([(name, [user_id])])
            for watcher in watchers:
                watcher.sink.send(text)
