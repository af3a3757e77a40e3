"""Signs what lets a socket subscribe to a session's channels, or sign in. Decides by the rights table before it signs.

The `pusher` package signs anything (public names, data on private channels): the channel is taken apart and the role is
checked here first, and data goes with presence channels only. It gives the shared secret as bytes: made text here.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

import pusher

from codewrap.errors import RemoteProtocolError
from codewrap.protocol.channels import ChannelRole, parse_channel
from codewrap.protocol.roles import TAKES_CLIENT_OUTPUT, Role, is_user, may_subscribe, played, shown_name
from codewrap.server.refusals import bad_request, forbidden
from codewrap.transport.base import AppCredentials

SOCKET_ID = re.compile(r"[0-9]{1,32}\.[0-9]{1,32}")
SOCKET_PART_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class ChannelRequest:
    """What a client asks at `/pusher/auth`: texts as they came. Those that may be missing are ours."""

    socket_id: str
    channel: str
    role: str | None = None
    name: str | None = None
    client_output: str | None = None


class Signer:
    """Signs with the app secret; ``master_key`` makes the keys of encrypted channels."""

    def __init__(self, app: AppCredentials, master_key: bytes) -> None:
        # Host and port are never used: this client only signs.
        self._pusher = pusher.Pusher(
            app.app_id,
            app.key,
            app.secret,
            host="localhost",
            encryption_master_key_base64=base64.b64encode(master_key).decode("ascii"),
            backend=_NoBackend,
        )

    def channel(self, user: str, held: Role, asked: ChannelRequest) -> dict[str, str]:
        """The answer of `/pusher/auth` to ``user`` whose token allows ``held``. Raises Refusal (400, 403)."""
        socket_id = _checked_socket_id(asked.socket_id)
        try:
            channel = parse_channel(asked.channel)
        except RemoteProtocolError:
            raise forbidden("this is not a channel of a session") from None
        try:
            role = played(asked.role, held)
        except RemoteProtocolError as error:
            raise bad_request(str(error)) from None
        if not may_subscribe(role, channel.role):
            raise forbidden(f"a {role.value} may not subscribe to this channel")
        data = None
        if channel.role is ChannelRole.PRESENCE:
            data = _member(user, role, socket_id, asked)
        answer = self._pusher.authenticate(asked.channel, socket_id, data)
        return {name: value if isinstance(value, str) else value.decode("ascii") for name, value in answer.items()}

    def user(self, user: str, socket_id: str) -> dict[str, str]:
        """The answer of `/pusher/user-auth`. Raises Refusal (400)."""
        answer: dict[str, str] = self._pusher.authenticate_user(_checked_socket_id(socket_id), {"id": user})
        return answer


class _NoBackend:
    """Takes the place of the package's HTTP client, of which each signer would otherwise hold one."""

    def __init__(self, _client: object, **_options: object) -> None:
        pass


def presence_id(user: str, socket_id: str) -> str:
    """A member's id: who it is, and which of their sockets. The host checks writers by it."""
    if not is_user(user):
        raise ValueError("not a user id")
    return f"{user}.{hashlib.sha256(socket_id.encode()).hexdigest()[:SOCKET_PART_CHARACTERS]}"


def _member(user: str, role: Role, socket_id: str, asked: ChannelRequest) -> dict[str, object]:
    info: dict[str, object] = {"name": shown_name(asked.name or "", user), "role": role.value}
    if asked.client_output == "1":
        info[TAKES_CLIENT_OUTPUT] = True
    return {"user_id": presence_id(user, socket_id), "user_info": info}


def _checked_socket_id(text: str) -> str:
    if not SOCKET_ID.fullmatch(text):
        raise bad_request("socket_id is not a socket's id")
    return text
