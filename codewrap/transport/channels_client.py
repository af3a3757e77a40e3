"""What a client says and understands on one connection of the Pusher Channels protocol 7. Pure: no socket, thread or clock.

Feed every text frame to `ChannelsClient.receive`; carry out the actions that come back, in order: write a `Send`, have an
`Authorize` or `SignIn` answered (by `authorized`, `refused`, `sign_in`), end the connection at a `Leave`, hand on
everything else, which are `SubscriberEvent`s. A new connection needs a new object: signatures hold for one socket only.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from codewrap.errors import LocalProtocolError, RemoteProtocolError
from codewrap.protocol.channels import printable
from codewrap.protocol.grants import Grant
from codewrap.protocol.sealing import KEY_BYTES, unseal
from codewrap.transport.base import (
    Authorization,
    ClientEventsRefused,
    ConnectionState,
    Member,
    MemberAdded,
    MemberRemoved,
    Received,
    Renewed,
    StateChanged,
    Subscribed,
    SubscriberEvent,
    SubscriptionFailed,
)

MAX_CHANNELS = 100
MAX_MEMBERS = 10_000
MAX_HELD_EVENTS = 64  # of one encrypted channel, while its key is asked for again
ACTIVITY_TIMEOUT_S = 120.0
_SERVER_TO_USER = "#server-to-user-"
_ENCRYPTED = "private-encrypted-"
_SOCKET_ID = re.compile(r"[0-9]+\.[0-9]+")
_MAX_SOCKET_ID_CHARS = 64
_MAX_REASON_CHARS = 200


@dataclass(frozen=True, slots=True)
class Send:
    """Write this frame."""

    text: str


@dataclass(frozen=True, slots=True)
class Authorize:
    """Have ``channel`` signed for this socket and tell by `ChannelsClient.authorized` or `refused`."""

    channel: str
    socket_id: str


@dataclass(frozen=True, slots=True)
class SignIn:
    """Have a sign-in signed for this socket and tell by `ChannelsClient.sign_in`."""

    socket_id: str


@dataclass(frozen=True, slots=True)
class Leave:
    """End this connection; ``code`` is the protocol's and decides what comes next (see `after_close`)."""

    code: int
    reason: str


Action = Send | Authorize | SignIn | Leave | SubscriberEvent


def is_final(code: int | None) -> bool:
    """4000 to 4099: do not come back unchanged."""
    return code is not None and 4000 <= code <= 4099


def is_at_once(code: int | None) -> bool:
    """4200 to 4299: come back at once. Everything else waits."""
    return code is not None and 4200 <= code <= 4299


def least_wait_s(code: int | None) -> float:
    """4100 to 4199: come back after a second or more."""
    return 1.0 if code is not None and 4100 <= code <= 4199 else 0.0


def encode_event(name: str, data: object, channel: str | None = None) -> str:
    """One frame's text. ``data`` of a client event is a string, which every broker relays as it is."""
    frame: dict[str, object] = {"event": name, "data": data}
    if channel is not None:
        frame["channel"] = channel
    return json.dumps(frame, separators=(",", ":"))


PING = encode_event("pusher:ping", {})
_PONG = encode_event("pusher:pong", {})


@dataclass(slots=True)
class _Channel:
    """One wanted channel. ``held`` are events waiting for a fresh key, None while the key is good."""

    authorization: Authorization | None = None
    me: str | None = None
    is_asked: bool = False
    is_renewing: bool = False
    members: dict[str, Member] = field(default_factory=dict)
    held: deque[tuple[str, str, str | None]] | None = None
    may_refetch: bool = True


class ChannelsClient:
    """One connection's side of the protocol. ``channels`` are wanted from the start; `want` adds more."""

    def __init__(self, channels: Iterable[str] = (), *, sign_in: bool = False) -> None:
        self._wanted = {channel: _Channel() for channel in channels}
        self._signs_in = sign_in
        self._user_id: str | None = None
        self._is_signed_in = False
        self.socket_id: str | None = None
        self.activity_timeout_s = ACTIVITY_TIMEOUT_S
        self.subscribed: set[str] = set()
        self.unreadable_events = 0

    def want(self, channel: str) -> Sequence[Action]:
        """Subscribe to ``channel``, now or once the connection stands."""
        if channel in self._wanted:
            return ()
        if len(self._wanted) >= MAX_CHANNELS:
            raise LocalProtocolError(f"more than {MAX_CHANNELS} channels on one connection")
        self._wanted[channel] = _Channel()
        return () if self.socket_id is None else (self._ask(channel),)

    def members(self, channel: str) -> tuple[Member, ...]:
        """Who is on a presence channel now."""
        wanted = self._wanted.get(channel)
        return tuple(wanted.members.values()) if wanted else ()

    def shared_secret(self, channel: str) -> bytes | None:
        """The key of an encrypted channel, once authorized."""
        wanted = self._wanted.get(channel)
        return wanted.authorization.shared_secret if wanted and wanted.authorization else None

    def grant(self, channel: str) -> Grant | None:
        """The leave to type that came with a channel's authorization, if any."""
        wanted = self._wanted.get(channel)
        return wanted.authorization.grant if wanted and wanted.authorization else None

    def renew(self, channel: str) -> Sequence[Action]:
        """Have a channel authorized again that is subscribed, unless that is under way."""
        wanted = self._wanted.get(channel)
        if wanted is None or channel not in self.subscribed or wanted.is_renewing:
            return ()
        wanted.is_renewing = True
        return (Authorize(channel, self.socket_id or ""),)

    def unanswered(self) -> list[str]:
        """Channels that were asked for and neither granted nor refused."""
        return [name for name, wanted in self._wanted.items() if wanted.is_asked and name not in self.subscribed]

    def receive(self, text: str) -> Sequence[Action]:
        """Take one frame. What makes no sense is dropped: the other end may be newer, or hostile."""
        try:
            frame = json.loads(text)
        except (ValueError, RecursionError):
            return ()
        if type(frame) is not dict:
            return ()
        name, channel, data = frame.get("event"), frame.get("channel"), frame.get("data")
        if type(name) is not str:
            return ()
        if name.startswith(("pusher:", "pusher_internal:")):
            return self._on_protocol_event(name, channel if type(channel) is str else None, data)
        if type(channel) is not str or not self._hears(channel):
            return ()
        user_id = frame.get("user_id")
        return self._on_event(
            channel,
            name,
            data if type(data) is str else json.dumps(data),
            user_id if type(user_id) is str else None,
        )

    def authorized(self, channel: str, socket_id: str, authorization: Authorization) -> Sequence[Action]:
        """The answer to an `Authorize`: subscribe with it, or open what waited for the fresh key."""
        wanted = self._wanted.get(channel)
        if wanted is None or socket_id != self.socket_id:
            return ()
        secret = authorization.shared_secret
        if channel.startswith(_ENCRYPTED) and (secret is None or len(secret) != KEY_BYTES):
            return self.refused(channel, socket_id, None, "the authorization holds no key for this encrypted channel")
        wanted.authorization = authorization
        if channel in self.subscribed:
            renewed = [Renewed(channel)] if wanted.is_renewing else []
            wanted.is_renewing = False
            return [*renewed, *self._reopen(channel, wanted)]
        wanted.me = _own_id(authorization.channel_data) or self._user_id
        wanted.is_asked = True
        return (Send(encode_event("pusher:subscribe", _subscription(channel, authorization))),)

    def refused(self, channel: str, socket_id: str, status: int | None, reason: str) -> Sequence[Action]:
        """The other answer to an `Authorize`. The channel is tried again at the next connection."""
        wanted = self._wanted.get(channel)
        if wanted is None or socket_id != self.socket_id:
            return ()
        if wanted.held is not None:
            self.unreadable_events += len(wanted.held)
            wanted.held = None
        wanted.is_renewing = False
        return (SubscriptionFailed(channel, status, _clean(reason)),)

    def sign_in(self, socket_id: str, auth: str, user_data: str) -> Sequence[Action]:
        """The answer to a `SignIn`."""
        if socket_id != self.socket_id:
            return ()
        self._user_id = _text_id(_object(user_data).get("id"))
        return (Send(encode_event("pusher:signin", {"auth": auth, "user_data": user_data})),)

    def _hears(self, channel: str) -> bool:
        if channel in self.subscribed:
            return True
        return self._is_signed_in and channel == f"{_SERVER_TO_USER}{self._user_id}"

    def _ask(self, channel: str) -> Action:
        if channel.startswith(("private-", "presence-")):
            return Authorize(channel, self.socket_id or "")
        self._wanted[channel].is_asked = True
        return Send(encode_event("pusher:subscribe", {"channel": channel}))

    def _on_event(self, channel: str, name: str, data: str, user_id: str | None) -> Sequence[Action]:
        if not channel.startswith(_ENCRYPTED):
            return (Received(channel, name, data, user_id),)
        wanted = self._wanted[channel]
        if wanted.held is not None:
            self._hold(wanted, (name, data, user_id))
            return ()
        opened = self._open(channel, wanted, (name, data, user_id))
        if opened is not None:
            wanted.may_refetch = True
            return (opened,)
        if not wanted.may_refetch:
            self.unreadable_events += 1
            return ()
        wanted.may_refetch = False
        wanted.held = deque([(name, data, user_id)])
        return (Authorize(channel, self.socket_id or ""),)

    def _hold(self, wanted: _Channel, event: tuple[str, str, str | None]) -> None:
        if wanted.held is None or len(wanted.held) >= MAX_HELD_EVENTS:
            self.unreadable_events += 1
            return
        wanted.held.append(event)

    def _open(self, channel: str, wanted: _Channel, event: tuple[str, str, str | None]) -> Received | None:
        secret = wanted.authorization.shared_secret if wanted.authorization else None
        try:
            return Received(channel, event[0], unseal(event[1], secret or b""), event[2])
        except RemoteProtocolError:
            return None

    def _reopen(self, channel: str, wanted: _Channel) -> Sequence[Action]:
        held, wanted.held = wanted.held or deque(), None
        opened = [received for event in held if (received := self._open(channel, wanted, event))]
        self.unreadable_events += len(held) - len(opened)
        if opened:
            wanted.may_refetch = True
        return opened

    def _on_protocol_event(self, name: str, channel: str | None, data: object) -> Sequence[Action]:
        match name:
            case "pusher:connection_established":
                return self._on_established(_object(data))
            case "pusher:ping":
                return (Send(_PONG),)
            case "pusher:error":
                return self._on_error(_object(data), channel)
            case "pusher:signin_success":
                self._is_signed_in = self._user_id is not None
                return ()
        wanted = self._wanted.get(channel) if channel is not None else None
        if channel is None or wanted is None or self.socket_id is None:
            return ()
        return self._on_channel_event(name, channel, wanted, _object(data))

    def _on_channel_event(self, name: str, channel: str, wanted: _Channel, data: dict[str, object]) -> Sequence[Action]:
        match name:
            case "pusher_internal:subscription_succeeded":
                return self._on_succeeded(channel, wanted, data)
            case "pusher:subscription_error":
                return self._on_subscription_error(channel, wanted, data)
            case "pusher_internal:member_added" if channel in self.subscribed:
                return self._on_member_added(channel, wanted, data)
            case "pusher_internal:member_removed" if channel in self.subscribed:
                removed = wanted.members.pop(_text_id(data.get("user_id")) or "", None)
                return (MemberRemoved(channel, removed),) if removed else ()
        return ()

    def _on_established(self, data: dict[str, object]) -> Sequence[Action]:
        socket_id, timeout = data.get("socket_id"), data.get("activity_timeout")
        if self.socket_id is not None:
            return ()
        if not isinstance(socket_id, str) or len(socket_id) > _MAX_SOCKET_ID_CHARS or not _SOCKET_ID.fullmatch(socket_id):
            return (Leave(1002, "the broker gave no valid socket id"),)
        self.socket_id = socket_id
        if isinstance(timeout, int | float) and timeout >= 1:
            self.activity_timeout_s = float(timeout)
        actions: list[Action] = [StateChanged(ConnectionState.CONNECTED)]
        if self._signs_in:
            actions.append(SignIn(socket_id))
        actions += [self._ask(channel) for channel in self._wanted]
        return actions

    def _on_succeeded(self, channel: str, wanted: _Channel, data: dict[str, object]) -> Sequence[Action]:
        if not wanted.is_asked or channel in self.subscribed:
            return ()
        if channel.startswith("presence-"):
            wanted.members = _members(data)
        self.subscribed.add(channel)
        return (Subscribed(channel, tuple(wanted.members.values()), wanted.me),)

    def _on_subscription_error(self, channel: str, wanted: _Channel, data: dict[str, object]) -> Sequence[Action]:
        wanted.is_asked = False
        status = data.get("status")
        reason = data.get("error") or data.get("message") or data.get("type")
        return (SubscriptionFailed(channel, status if type(status) is int else None, _clean(reason)),)

    def _on_member_added(self, channel: str, wanted: _Channel, data: dict[str, object]) -> Sequence[Action]:
        user_id = _text_id(data.get("user_id"))
        if user_id is None or user_id in wanted.members or len(wanted.members) >= MAX_MEMBERS:
            return ()
        member = wanted.members[user_id] = Member(user_id, _info(data.get("user_info")))
        return (MemberAdded(channel, member),)

    def _on_error(self, data: dict[str, object], channel: str | None) -> Sequence[Action]:
        code = data.get("code")
        code = code if type(code) is int else None
        message = data.get("message")
        words = message if isinstance(message, str) else ""
        if code is not None and 4000 <= code <= 4299:
            return (Leave(code, _clean(words)),)
        pending = self._pending(channel, words)
        if pending is not None and code != 4301:
            self._wanted[pending].is_asked = False
            return (SubscriptionFailed(pending, code, _clean(words)),)
        if code == 4301 or channel in self.subscribed or "client event" in words.lower():
            return (ClientEventsRefused(channel, code, _clean(words)),)
        return ()

    def _pending(self, channel: str | None, words: str) -> str | None:
        """The asked-for channel that an error is about: named by the frame, in the words, or the only one."""
        if "existing subscription" in words.lower() or "client event" in words.lower():
            return None
        pending = self.unanswered()
        if channel is not None:
            return channel if channel in pending else None
        named = sorted((name for name in pending if name in words), key=len)
        if named:
            return named[-1]
        return pending[0] if len(pending) == 1 else None


def _subscription(channel: str, authorization: Authorization) -> dict[str, str]:
    data = {"channel": channel, "auth": authorization.auth}
    if authorization.channel_data is not None:
        data["channel_data"] = authorization.channel_data
    return data


def _object(data: object) -> dict[str, object]:
    """Protocol events carry an object, or an object as JSON text; anything else counts as empty."""
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError):
            return {}
    return data if isinstance(data, dict) else {}


def _text_id(value: object) -> str | None:
    """User ids are text; some brokers pass integers on."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) or None


def _own_id(channel_data: str | None) -> str | None:
    return _text_id(_object(channel_data).get("user_id")) if channel_data else None


def _info(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _members(data: dict[str, object]) -> dict[str, Member]:
    """Every id counts; Soketi leaves members without info out of `hash`."""
    presence = data.get("presence")
    if not isinstance(presence, dict):
        return {}
    ids, infos = presence.get("ids"), _info(presence.get("hash"))
    listed = [*(ids if isinstance(ids, list) else []), *infos]
    known = dict.fromkeys(user_id for user_id in map(_text_id, listed) if user_id is not None)
    return {user_id: Member(user_id, _info(infos.get(user_id))) for user_id in list(known)[:MAX_MEMBERS]}


def _clean(words: object) -> str:
    """A broker's words for people. Cloud quotes signed text and signature in one of them: cut off."""
    if not isinstance(words, str) or not words.strip():
        return "no reason given"
    if words.startswith("Invalid signature"):
        return "invalid signature: it was not signed with this app's secret"
    return printable(" ".join(words.split()), _MAX_REASON_CHARS)
