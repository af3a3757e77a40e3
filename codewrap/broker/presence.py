"""Presence: reading `channel_data`, and the roster of one channel.

A member is a user: it joins with the first of its sockets and leaves with the last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from codewrap.broker import messages
from codewrap.broker.connections import Connection, User
from codewrap.broker.limits import Limits
from codewrap.broker.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Member:
    """One user on one channel; ``info`` is None where none was given."""

    user_id: str
    info: object = None

    @property
    def added_data(self) -> str:
        """JSON text of `member_added`."""
        return messages.encode_json({"user_id": self.user_id, "user_info": self.info})

    @property
    def removed_data(self) -> str:
        """JSON text of `member_removed`."""
        return messages.encode_json({"user_id": self.user_id})


def read_member(channel_data: str | None, user: User | None, limits: Limits) -> Member:
    """Who joins: by the signed ``channel_data``, else the signed-in ``user``. Raises Refusal with a status."""
    if channel_data is None:
        if user is None:
            raise Refusal(401, "channel_data is required to subscribe to a presence channel")
        return Member(user.user_id, user.info)
    size = messages.size_bytes(channel_data)
    if size is None or size > limits.presence_member_bytes:
        raise Refusal(4301, f"The member exceeds the allowed maximum ({limits.presence_member_bytes} bytes)")
    try:
        fields = messages.object_of(channel_data)
    except Refusal:
        raise Refusal(401, "channel_data is not a JSON object") from None
    info = fields.get("user_info")
    if not messages.depth_within(info, limits.json_depth) or not is_encodable(info):
        raise Refusal(401, "user_info is not acceptable JSON")
    return Member(_user_id(fields.get("user_id"), limits), info)


def is_encodable(value: object) -> bool:
    """Whether parsed JSON can be sent on: infinities and lone surrogates cannot."""
    try:
        return messages.size_bytes(messages.encode_json(value)) is not None
    except ValueError:
        return False


def _user_id(value: object, limits: Limits) -> str:
    if isinstance(value, int) and not isinstance(value, bool):  # some auth servers send numbers
        value = str(value)
    if not isinstance(value, str) or not value:
        raise Refusal(401, "channel_data has no user_id")
    if len(value) > limits.user_id_chars or messages.size_bytes(value) is None:
        raise Refusal(401, f"user_id exceeds the allowed maximum ({limits.user_id_chars} characters)")
    return value


class Roster:
    """Members of one presence channel, in the order they came."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._sockets: dict[str, int] = {}
        self._users: dict[Connection, str] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, user_id: str) -> bool:
        return user_id in self._members

    @property
    def user_ids(self) -> list[str]:
        """Ids of all members."""
        return list(self._members)

    @property
    def members(self) -> Iterable[Member]:
        """All of them."""
        return self._members.values()

    def user_id_of(self, connection: Connection) -> str | None:
        """As whom ``connection`` is here."""
        return self._users.get(connection)

    def join(self, connection: Connection, member: Member) -> bool:
        """Take ``connection`` in; True when it is the member's first socket."""
        self._users[connection] = member.user_id
        self._sockets[member.user_id] = self._sockets.get(member.user_id, 0) + 1
        if member.user_id in self._members:
            return False
        self._members[member.user_id] = member
        return True

    def leave(self, connection: Connection) -> Member | None:
        """Let ``connection`` go; the member when that was its last socket."""
        user_id = self._users.pop(connection)
        self._sockets[user_id] -= 1
        if self._sockets[user_id]:
            return None
        del self._sockets[user_id]
        return self._members.pop(user_id)

    def snapshot(self) -> dict[str, object]:
        """What a new subscriber is told."""
        return {
            "ids": self.user_ids,
            "hash": {user_id: member.info for user_id, member in self._members.items()},
            "count": len(self),
        }
