"""The frames of Pusher protocol 7: text of what the hub says, and the reading of what a client says.

Pure. Each frame is encoded once and its text is handed to every recipient. The `data` of frames is JSON inside a JSON
string, except in `pusher:error` and `pusher:subscription_error`, which carry objects.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from codewrap.broker.limits import Limits
from codewrap.broker.refusals import Refusal

PROTOCOLS = range(4, 8)
CLIENT_PREFIX = "client-"
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

PING = '{"event":"pusher:ping","data":"{}"}'
PONG = '{"event":"pusher:pong","data":"{}"}'


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode


def encode_json(value: object) -> str:
    """Compact JSON; raises ValueError for what JSON cannot say, RecursionError for what is too deep."""
    return _encode(value)


def decode_json(text: str) -> object:
    """Strict JSON (no NaN). Raises ValueError, also for text nested too deep to be read."""
    try:
        return _decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def size_bytes(text: str) -> int | None:
    """Bytes of UTF-8 of ``text``; None where it has none (a lone surrogate)."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return None


def depth_within(value: object, limit: int) -> bool:
    """Whether parsed JSON nests no deeper than ``limit``."""
    level: list[object] = [value]
    for _ in range(limit + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return False


@dataclass(frozen=True, slots=True)
class ClientFrame:
    """A frame of a client: ``data`` as parsed, None where it was absent or null."""

    event: str
    channel: object
    data: object


def parse_frame(text: str, limits: Limits) -> ClientFrame:
    """Read one frame. Raises Refusal (no code): the connection stays."""
    size = size_bytes(text)
    if size is None or size > limits.frame_bytes:
        raise Refusal(None, f"The message exceeds the allowed maximum ({limits.frame_bytes} bytes)")
    try:
        frame = decode_json(text)
    except ValueError:
        raise Refusal(None, "The message is not valid JSON") from None
    if not isinstance(frame, dict):
        raise Refusal(None, "The message is not a JSON object")
    event = frame.get("event")
    if not isinstance(event, str):
        raise Refusal(None, "The message has no event name")
    return ClientFrame(event, frame.get("channel"), frame.get("data"))


def object_of(value: object) -> dict[str, object]:
    """``value`` as an object, whether it is one or is the JSON text of one. Raises Refusal (no code)."""
    if isinstance(value, str):
        try:
            value = decode_json(value)
        except ValueError:
            value = None
    if not isinstance(value, dict):
        raise Refusal(None, "The data of the message is not a JSON object")
    return value


def connection_established(socket_id: str, activity_timeout_s: int) -> str:
    """The first frame on every connection."""
    inner = {"socket_id": socket_id, "activity_timeout": activity_timeout_s}
    return _encode({"event": "pusher:connection_established", "data": _encode(inner)})


def error(code: int | None, message: str) -> str:
    """A connection-level error."""
    return _encode({"event": "pusher:error", "data": {"code": code, "message": _sendable(message)}})


def subscription_error(channel: str, status: int, message: str) -> str:
    """A refused subscription, for the channel's own handlers."""
    data = {"type": "AuthError", "error": _sendable(message), "status": status}
    return _encode({"event": "pusher:subscription_error", "channel": _sendable(channel), "data": data})


def subscription_succeeded(channel: str, presence: object = None) -> str:
    """The answer to a subscription; ``presence`` is the roster on presence channels."""
    data = "{}" if presence is None else _encode({"presence": presence})
    return internal("subscription_succeeded", channel, data)


def internal(event: str, channel: str, data: str) -> str:
    """A `pusher_internal:` frame on a channel; ``data`` is JSON text."""
    return _encode({"event": f"pusher_internal:{event}", "channel": channel, "data": data})


def cache_miss(channel: str) -> str:
    """A cache channel has nothing to give to a new subscriber."""
    return _encode({"event": "pusher:cache_miss", "channel": channel})


def event(channel: str, name: str, data: str | None, user_id: str | None = None) -> str:
    """An event on a channel. ``data`` is passed on exactly; ``user_id`` is the sender of a presence client event."""
    # Put together by hand: this is the hub's hottest line, and the encoder is five times slower with a dictionary.
    text = f'{{"event":{_encode(name)},"channel":{_encode(channel)}'
    if data is not None:
        text += f',"data":{_encode(data)}'
    if user_id is not None:
        text += f',"user_id":{_encode(user_id)}'
    return text + "}"


def signin_success(user_data: str) -> str:
    """The answer to a sign-in."""
    return _encode({"event": "pusher:signin_success", "data": _encode({"user_data": user_data})})


def watchlist(events: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Who of the watched came or went: pairs of `online`/`offline` and user ids."""
    inner = {"events": [{"name": name, "user_ids": list(user_ids)} for name, user_ids in events]}
    return _encode({"event": "pusher_internal:watchlist_events", "data": _encode(inner)})


def _sendable(text: str) -> str:
    """A peer's words in our answer: lone surrogates have no UTF-8."""
    return text.encode("utf-8", "replace").decode()
