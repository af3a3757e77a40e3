"""Turns requests into events of one session: input and sync over HTTP, and what a host publishes in gateway mode.

Decides nothing about who; checks all of what. Every text that leaves here fits the broker's event.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import frames, sealing
from codewrap.protocol.channels import (
    EVENT_INPUT,
    EVENT_SYNC,
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

    def input(self, fields: dict[str, object], now_s: float) -> Event:
        """`POST /api/commands/input`: ``input`` (text, sealed here) or ``sealed`` (passed on as it is). Raises Refusal."""
        bodies.only(fields, "sessionId", "input", "sealed")
        session = session_name(fields)
        if ("input" in fields) == ("sealed" in fields):
            raise bad_request("exactly one of input and sealed is needed")
        sealed = _sealed(fields["sealed"]) if "sealed" in fields else self._seal(session, bodies.text(fields, "input"), now_s)
        return self._event(sealed_input_channel(session), EVENT_INPUT, sealed)

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

    def _seal(self, session: str, text: str, now_s: float) -> str:
        if not text:
            raise bad_request("input is empty")
        if len(text) > self.event_bytes:
            raise too_large("input", self.event_bytes)
        writer = f"http-{int(now_s)}-{self.token(16).hex()}"
        frame = frames.encode(frames.Input(frames.ANY_EPOCH, writer, 0, text.encode()))
        key = sealing.shared_secret(sealed_input_channel(session), self.master_key)
        return sealing.seal(frame, key, self.token(sealing.NONCE_BYTES))

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


def _sealed(value: object) -> str:
    if not isinstance(value, dict):
        raise bad_request("sealed is not an object")
    bodies.only(value, "nonce", "ciphertext")
    nonce, ciphertext = bodies.text(value, "nonce"), bodies.text(value, "ciphertext")
    try:
        sizes = [len(base64.b64decode(part, validate=True)) for part in (nonce, ciphertext)]
    except (binascii.Error, ValueError):
        raise bad_request("sealed: nonce and ciphertext must be base64") from None
    if sizes[0] != sealing.NONCE_BYTES or sizes[1] <= sealing.MAC_BYTES:
        raise bad_request("sealed: nonce or ciphertext has a wrong length")
    return json.dumps({"nonce": nonce, "ciphertext": ciphertext}, separators=(",", ":"))
