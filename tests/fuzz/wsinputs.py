"""What a client may say on a hub's socket: right frames, each part of them changed; and bytes that are no frames."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any

from codewrap.broker import signatures
from codewrap.broker.apps import App
from tests.fuzz.httpinputs import CHANNELS
from tests.fuzz.mutations import dumps, mutated, scrambled, strange

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Talk:
    """Frames of one connection, which knows its socket's id."""

    def __init__(self, app: App, socket_id: str, rng: random.Random) -> None:
        self._app = app
        self._socket_id = socket_id
        self._rng = rng

    def text(self) -> bytes:
        """One message: right, or changed before or after it is signed, or no JSON any more."""
        rng = self._rng
        makes: list[Callable[[], Any]] = [
            self._subscribe,
            self._subscribe,
            self._subscribe,
            self._event,
            self._event,
            self._sign_in,
        ]
        makes += [
            self._unsubscribe,
            lambda: {"event": rng.choice(["pusher:ping", "pusher:pong", "pusher:error", ""]), "data": {}},
        ]
        frame = rng.choice(makes)()
        if rng.random() < 0.6:
            frame = mutated(frame, rng)
        text = dumps(frame).encode("utf-8", "surrogatepass")
        return scrambled(text, rng) if rng.random() < 0.1 else text

    def _subscribe(self) -> Any:
        rng = self._rng
        channel = rng.choice(CHANNELS) if rng.random() < 0.9 else dumps(strange(rng))[:400]
        data: dict[str, Any] = {"channel": channel}
        member = None
        if channel.startswith("presence-"):
            value: Any = {"user_id": rng.choice(["alice", "bob", 7]), "user_info": {"name": "A", "role": "writer"}}
            member = dumps(mutated(value, rng) if rng.random() < 0.5 else value)
            data["channel_data"] = member
        data["auth"] = signatures.channel_auth(self._app, self._socket_id, channel, member)
        return {"event": "pusher:subscribe", "data": data if rng.random() < 0.8 else json.dumps(data, default=str)}

    def _unsubscribe(self) -> Any:
        return {"event": "pusher:unsubscribe", "data": {"channel": self._rng.choice(CHANNELS)}}

    def _event(self) -> Any:
        rng = self._rng
        data: Any = json.dumps({"nonce": "A" * 32, "ciphertext": "B" * 40}) if rng.random() < 0.7 else strange(rng)
        name = rng.choice(["client-input", "client-sync", "client-output", "client-", "client-" + "x" * 300])
        return {"event": name, "channel": rng.choice(CHANNELS), "data": data}

    def _sign_in(self) -> Any:
        value: Any = {"id": self._rng.choice(["alice", "bob"]), "watchlist": ["bob"] * self._rng.randrange(3)}
        user = dumps(mutated(value, self._rng) if self._rng.random() < 0.3 else value)
        return {
            "event": "pusher:signin",
            "data": {"auth": signatures.user_auth(self._app, self._socket_id, user), "user_data": user},
        }


def framed(
    payload: bytes, opcode: int = TEXT, *, fin: bool = True, masked: bool = True, reserved: int = 0, length: int | None = None
) -> bytes:
    """One frame of a client (RFC 6455, 5.2); ``length`` is a lie about it."""
    size = len(payload) if length is None else length
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    mask = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    return head + (b"\x00" * 4 if masked else b"") + payload  # a mask of zeros masks nothing, which is allowed


def fragmented(payload: bytes, rng: random.Random) -> bytes:
    """The same message in pieces, with pings between."""
    made, at, opcode = b"", 0, TEXT
    while at < len(payload) or opcode == TEXT:
        size = rng.randrange(1, max(2, len(payload)))
        made += framed(payload[at : at + size], opcode, fin=at + size >= len(payload))
        if rng.random() < 0.3 and at + size < len(payload):
            made += framed(b"now", PING)
        at, opcode = at + size, 0
    return made


def broken(payload: bytes, rng: random.Random) -> bytes:
    """What no server may take: it closes, or waits for more."""
    return rng.choice(
        [
            lambda: framed(payload, reserved=rng.randrange(1, 8)),
            lambda: framed(payload, masked=False),
            lambda: framed(payload, rng.choice([3, 7, 11, 15])),
            lambda: framed(payload, 0),  # goes on with nothing
            lambda: framed(payload, TEXT, fin=False) + framed(payload, TEXT),
            lambda: framed(b"x" * 126, PING),
            lambda: framed(b"x", PING, fin=False),
            lambda: framed(struct.pack("!H", rng.choice([0, 999, 1005, 1006, 5000, 65_535])) + b"why", CLOSE),
            lambda: framed(b"\x03", CLOSE),
            lambda: framed(b"\x03\xe8\xff\xfe", CLOSE),
            lambda: framed(payload, length=rng.choice([2**40, 2**63 - 1, 2**20 + 1])),
            lambda: framed(b"\xff\xfe" + payload),
            lambda: framed(b"x" * (1024 * 1024 + 1)),
            lambda: framed(payload)[: rng.randrange(1, 6)],
            lambda: rng.randbytes(rng.randrange(1, 300)),
            lambda: b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        ]
    )()
