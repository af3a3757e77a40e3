"""Signs what lets a socket subscribe to a session's channels, or sign in. Decides by the rights table before it signs.

The `pusher` package signs anything (public names, data on private channels): the channel is taken apart and the role is
checked here first, and data goes with presence channels only. It gives the shared secret as bytes: made text here.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import pusher

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import grants, sealing
from codewrap.protocol.channels import ChannelRole, parse_channel, sealed_input_channel
from codewrap.protocol.frames import ID
from codewrap.protocol.roles import CHALLENGE, TAKES_CLIENT_OUTPUT, Role, is_user, may_subscribe, played, shown_name
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
    challenge: str | None = None


class Signer:
    """Signs with the app secret; ``master_key`` makes the keys of encrypted channels, and those of writers."""

    def __init__(self, app: AppCredentials, master_key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._master_key = master_key
        self._clock = clock
        # Host and port are never used: this client only signs.
        self._pusher = pusher.Pusher(
            app.app_id,
            app.key,
            app.secret,
            host="localhost",
            encryption_master_key_base64=base64.b64encode(master_key).decode("ascii"),
            backend=_NoBackend,
        )

    def channel(self, user: str, held: Role, asked: ChannelRequest, expires_at: float | None = None) -> dict[str, str | int]:
        """The answer of `/pusher/auth` to ``user``, whose token allows ``held`` until ``expires_at``.

        Raises Refusal (400, 403).
        """
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
        signed = self._pusher.authenticate(asked.channel, socket_id, data)
        answer = {name: value if isinstance(value, str) else value.decode("ascii") for name, value in signed.items()}
        if channel.role is ChannelRole.INPUT and role is Role.WRITER:
            return answer | self._grant(user, socket_id, channel.session, expires_at)
        return answer

    def _grant(self, user: str, socket_id: str, session: str, expires_at: float | None) -> dict[str, str | int]:
        """A key of this writer's own, until the token ends or soon: whoever is revoked is not given another."""
        base_key = sealing.shared_secret(sealed_input_channel(session), self._master_key)
        until_s = self._clock() + grants.LIFE_S
        until = int(until_s if expires_at is None else min(until_s, expires_at))
        grant = grants.make_grant(base_key, presence_id(user, socket_id), until)
        key = base64.b64encode(grant.key).decode("ascii")
        return {"input_key": key, "writer": grant.writer, "input_until": grant.until}

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
    if asked.challenge is not None and ID.fullmatch(asked.challenge):
        info[CHALLENGE] = asked.challenge
    return {"user_id": presence_id(user, socket_id), "user_info": info}


def _checked_socket_id(text: str) -> str:
    if not SOCKET_ID.fullmatch(text):
        raise bad_request("socket_id is not a socket's id")
    return text
