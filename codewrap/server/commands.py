"""Turns requests into events of one session: input and sync over HTTP, and what a host publishes in gateway mode.

Decides nothing about who; checks all of what. Every text that leaves here fits the broker's event.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import frames, grants, sealing
from codewrap.protocol.channels import (
    EVENT_INPUT,
    EVENT_SYNC,
    input_channel,
    is_session_name,
    parse_channel,
    presence_channel,
    sealed_input_channel,
)
from codewrap.server import bodies
from codewrap.server.outlets import MAX_EVENTS
from codewrap.server.refusals import bad_request, forbidden, too_large
from codewrap.transport.base import Event

MAX_EVENT_NAME_CHARACTERS = 200
_BROKERS_OWN = ("pusher:", "pusher_internal:", "client-")


def session_name(fields: dict[str, object]) -> str:
    """The field ``sessionId``. Raises Refusal."""
    name = bodies.text(fields, "sessionId")
    if not is_session_name(name):
        raise bad_request("sessionId is not a session's name")
    return name


@dataclass(frozen=True, slots=True)
class Commands:
    """Builds events under the broker's limit; ``master_key`` seals what comes in the clear."""

    master_key: bytes = field(repr=False)
    event_bytes: int
    token: Callable[[int], bytes] = secrets.token_bytes

    def input(self, fields: dict[str, object], now_s: float, user: str) -> Event:
        """`POST /api/commands/input` of ``user``: ``input`` (text, sealed here) or ``sealed`` (passed on as it is).

        Raises Refusal; 403 for what is sealed in the name of somebody else.
        """
        bodies.only(fields, "sessionId", "input", "sealed")
        session = session_name(fields)
        if ("input" in fields) == ("sealed" in fields):
            raise bad_request("exactly one of input and sealed is needed")
        if "sealed" in fields:
            sealed = _sealed(fields["sealed"], now_s, user)
        else:
            sealed = self._seal(session, bodies.text(fields, "input"), now_s, user)
        return self._event(input_channel(session), EVENT_INPUT, sealed)

    def sync(self, fields: dict[str, object]) -> Event:
        """`POST /api/commands/sync`: ``frame`` is a Sync frame. Raises Refusal."""
        bodies.only(fields, "sessionId", "frame")
        session = session_name(fields)
        frame = fields.get("frame")
        if not isinstance(frame, dict):
            raise bad_request("frame is missing or not an object")
        try:
            decoded = frames.decode_viewer(json.dumps(frame))
        except RemoteProtocolError as error:
            raise bad_request(f"frame: {error}") from None
        if not isinstance(decoded, frames.Sync):
            raise bad_request("frame: not of type sync")
        return self._event(presence_channel(session), EVENT_SYNC, frames.encode(decoded))

    def published(self, session: str, fields: dict[str, object]) -> list[Event]:
        """`POST /apps/{id}/events` of ``session``'s host. Raises Refusal (403 for another session's channels)."""
        bodies.only(fields, "name", "data", "channel", "channels", "socket_id", "info")
        _nothing_optional(fields)
        if ("channel" in fields) == ("channels" in fields):
            raise bad_request("exactly one of channel and channels is needed")
        names = fields.get("channels", [fields.get("channel")])
        if not isinstance(names, list) or not 1 <= len(names) <= MAX_EVENTS or not all(isinstance(n, str) for n in names):
            raise bad_request(f"channels must be 1 to {MAX_EVENTS} names")
        if len(set(names)) != len(names):
            raise bad_request("a channel is named twice")
        return [self._published(session, fields, name) for name in names]

    def published_batch(self, session: str, fields: dict[str, object]) -> list[Event]:
        """`POST /apps/{id}/batch_events` of ``session``'s host: its events in their order. Raises Refusal."""
        bodies.only(fields, "batch")
        batch = fields.get("batch")
        if not isinstance(batch, list) or not 1 <= len(batch) <= MAX_EVENTS:
            raise bad_request(f"batch must be a list of 1 to {MAX_EVENTS} events")
        events = []
        for item in batch:
            if not isinstance(item, dict):
                raise bad_request("an event is not an object")
            bodies.only(item, "name", "data", "channel", "socket_id", "info")
            _nothing_optional(item)
            events.append(self._published(session, item, bodies.text(item, "channel")))
        return events

    def _published(self, session: str, fields: dict[str, object], channel: str) -> Event:
        try:
            owner = parse_channel(channel).session
        except RemoteProtocolError:
            raise forbidden("this is not a channel of a session") from None
        if owner != session:
            raise forbidden("these credentials are for another session's channels")
        name = bodies.text(fields, "name")
        if not 1 <= len(name) <= MAX_EVENT_NAME_CHARACTERS or not name.isprintable() or name.startswith(_BROKERS_OWN):
            raise bad_request("name is not an event's name")
        return self._event(channel, name, bodies.text(fields, "data"))

    def _seal(self, session: str, text: str, now_s: float, user: str) -> str:
        if not text:
            raise bad_request("input is empty")
        if len(text) > self.event_bytes:
            raise too_large("input", self.event_bytes)
        writer = f"http-{int(now_s * 1000)}-{self.token(16).hex()}"
        frame = frames.encode(frames.Input(frames.ANY_EPOCH, writer, 0, text.encode()))
        base_key = sealing.shared_secret(sealed_input_channel(session), self.master_key)
        grant = grants.make_grant(base_key, f"{user}.{grants.POSTED}", int(now_s) + grants.LIFE_S)
        return grants.seal(frame, grant, self.token(sealing.NONCE_BYTES))

    def _event(self, channel: str, name: str, data: str) -> Event:
        if not data:
            raise bad_request("an event without data is refused by brokers")
        event = Event(channel, name, data)
        if event.size_bytes > self.event_bytes:
            raise too_large("the event", self.event_bytes)
        return event


def _nothing_optional(fields: dict[str, object]) -> None:
    # Passing on without a socket's exclusion would be wrong, and silently so.
    if fields.get("socket_id") is not None or fields.get("info") is not None:
        raise bad_request("socket_id and info are not taken here")


def _sealed(value: object, now_s: float, user: str) -> str:
    """What a writer sealed, in its normal form. Its key is not asked for: the host opens it, and no other."""
    if not isinstance(value, dict):
        raise bad_request("sealed is not an object")
    bodies.only(value, "nonce", "ciphertext", "writer", "until")
    text = json.dumps(value, separators=(",", ":"))
    try:
        envelope = grants.decode(text)
    except RemoteProtocolError as error:
        raise bad_request(f"sealed: {error}") from None
    if envelope.user != user:
        raise forbidden("sealed: this is another user's writer")
    if grants.is_over(envelope.until, now_s) or envelope.until > now_s + grants.LIFE_S + grants.LEEWAY_S:
        raise bad_request("sealed: until is over, or further ahead than anything is granted")
    return text
