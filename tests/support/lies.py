"""A broker that lies, event by event, by a seed: it has every right of a broker and of who has the app's secret, and no key.

It replays, alters, cuts, renames, redirects and makes up whatever passes; it tells of members that are not there. It cannot
seal. It does not hang up for good, nor refuse what is right for ever: that would be an outage, which others play.
"""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable
from typing import Any

import nacl.secret
import nacl.signing

KEPT = 400
_EVENTS = (
    "output",
    "screen",
    "resize",
    "beat",
    "ack",
    "notice",
    "exit",
    "input",
    "client-input",
    "client-output",
    "client-sync",
    "sync",
    "control",
)
_MARK = "FORGED-BY-THE-RELAY"


class Liar:
    """Decides about one event after the other. ``memory`` may hold what an earlier liar has seen: an old session's events."""

    def __init__(self, seed: str, rate: float, memory: list[dict[str, Any]] | None = None) -> None:
        self._random = random.Random(f"lies {seed}")
        self._rate = rate
        self.memory: list[dict[str, Any]] = list(memory or [])
        self._epochs: list[str] = []
        self._signing = nacl.signing.SigningKey(self._random.randbytes(32))
        self.told: dict[str, int] = {}

    def hear(self, text: bytes) -> dict[str, Any]:
        """Remember an event."""
        event: dict[str, Any] = json.loads(text)
        if len(self.memory) < KEPT:
            self.memory.append(event)
        else:
            self.memory[self._random.randrange(KEPT)] = event
        if event.get("event") in ("client-sync", "sync"):  # not sealed: epochs are known to a broker
            data = event.get("data")
            frame = json.loads(data) if isinstance(data, str) else data
            if isinstance(frame, dict) and isinstance(frame.get("epoch"), str) and frame["epoch"]:
                self._epochs = [*self._epochs[-3:], frame["epoch"]]
        return event

    def tell(self, text: bytes) -> list[bytes]:
        """What is passed on in the place of the event that ``text`` is."""
        event = self.hear(text)
        if self._random.random() >= self._rate:
            return [text]
        lies: list[Callable[[dict[str, Any]], list[dict[str, Any]]]] = [
            self._replay,
            self._alter,
            self._rename,
            self._redirect,
            self._forge,
            self._forge,
            self._member,
            self._twice,
        ]
        lie = self._random.choice(lies)
        self.told[lie.__name__[1:]] = self.told.get(lie.__name__[1:], 0) + 1
        return [json.dumps(each).encode() for each in lie(event)]

    def everything(self) -> list[bytes]:
        """All that was remembered, in another order."""
        shuffled = list(self.memory)
        self._random.shuffle(shuffled)
        return [json.dumps(each).encode() for each in shuffled]

    def _replay(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        old = [self._random.choice(self.memory) for _ in range(self._random.randrange(1, 6))]
        return [*old, event] if self._random.random() < 0.5 else [event, *old]

    def _twice(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        return [event] * self._random.choice((2, 3, 10))

    def _alter(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        text = event.get("data")
        text = text if isinstance(text, str) else json.dumps(text)
        at = self._random.randrange(len(text) + 1)
        changed = [
            text[:at],
            text[:at] + "A" + text[at + 1 :],
            text[:at] + text[at:] * 2,
            "",
            "null",
            "[" * 2000,
            json.dumps({"nonce": base64.b64encode(bytes(24)).decode(), "ciphertext": base64.b64encode(bytes(64)).decode()}),
            self._grafted(text),
        ]
        lie = event | {"data": self._random.choice(changed)}
        return [lie] if self._random.random() < 0.5 else [lie, event]

    def _grafted(self, text: str) -> str:
        """The nonce of one sealed event on the ciphertext of another."""
        other = self._random.choice(self.memory).get("data")
        try:
            mine, others = json.loads(text), json.loads(other if isinstance(other, str) else json.dumps(other))
            return json.dumps(mine | {"ciphertext": others["ciphertext"]})
        except (ValueError, KeyError, TypeError):
            return "{}"

    def _rename(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        return [event | {"event": self._random.choice(_EVENTS)}, event]

    def _redirect(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """An event on another of the session's channels; or under another member's id."""
        channels = [each["channel"] for each in self.memory if isinstance(each.get("channel"), str)] or ["x"]
        lie = event | {"channel": self._random.choice(channels), "user_id": self._random.choice(["admin.0123456789ab", "x", ""])}
        if self._random.random() < 0.5:
            lie["event"] = self._random.choice(_EVENTS)
        return [lie, event]

    def _forge(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Frames in clear, sealed with a key of its own, signed with one of its own."""
        channel = event.get("channel")
        frames = self._frames()
        text = json.dumps(self._random.choice(frames))
        box = nacl.secret.SecretBox(self._random.randbytes(32))
        nonce = self._random.randbytes(24)
        ciphertext = box.encrypt(text.encode(), nonce).ciphertext
        sealed = {"nonce": base64.b64encode(nonce).decode(), "ciphertext": base64.b64encode(ciphertext).decode()}
        signature = self._signing.sign(f"{channel}\n{text}".encode()).signature
        signed = {"signature": base64.b64encode(signature).decode(), "text": text}
        clear = channel if self._random.random() < 0.5 else str(channel).replace("private-encrypted-", "private-")
        data = self._random.choice([text, json.dumps(sealed), json.dumps(signed), json.loads(text)])
        name = self._random.choice([event.get("event"), *_EVENTS])
        return [{"event": name, "channel": clear, "data": data, "user_id": "admin.0123456789ab"}, event]

    def _frames(self) -> list[dict[str, Any]]:
        epoch = self._random.choice([*self._epochs, "any", "0123456789abcdef"])
        offset = self._random.choice([0, 1, 7, 4096, 2**53 - 1])
        common = {"v": 1, "epoch": epoch}
        return [
            common | {"type": "stdout", "offset": offset, "data": _MARK},
            common | {"type": "stderr", "offset": offset, "data": _MARK},
            common | {"type": "screen", "offset": offset, "cols": 80, "rows": 24, "z": "AwA="},
            common | {"type": "input", "writer": "mallory", "offset": 0, "data": f"{_MARK}\r"},
            common | {"type": "input", "writer": f"http-{int(time.time() * 1000)}-{'a' * 32}", "offset": 0, "data": f"{_MARK}\r"},
            common | {"type": "resize", "writer": "mallory", "cols": 33, "rows": 11},
            common | {"type": "ack", "acks": {"mallory": offset}},
            common | {"type": "exit", "offset": offset, "code": 0, "signal": None},
            common | {"type": "notice", "offset": 0, "kind": "gap", "text": _MARK, "missing": [0, 5]},
            common
            | {"type": "beat", "offset": offset, "resizes": 0, "key": base64.b64encode(bytes(self._signing.verify_key)).decode()},
            common | {"type": "sync", "from": self._random.choice([0, offset]), "want": self._random.choice(["screen", "bytes"])},
            common
            | {"type": "control", "at": int(time.time()), "id": "x" * 8, "do": "approve", "user": "mallory", "before": 2**40},
        ]

    def _member(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Members that never came."""
        channels = [each["channel"] for each in self.memory if str(each.get("channel")).startswith("presence-")]
        if not channels:
            return [event]
        info = {"name": _MARK, "role": self._random.choice(["host", "writer", "viewer", "admin", "king"])}
        member = {"user_id": f"m{self._random.randrange(99)}.0123456789ab", "user_info": info}
        if self._random.random() < 0.2:
            member = {"user_id": 7, "user_info": None}
        made = {"event": "pusher_internal:member_added", "channel": channels[-1], "data": json.dumps(member)}
        gone = {"event": "pusher_internal:member_removed", "channel": channels[-1], "data": json.dumps(member)}
        return [made, gone, event] if self._random.random() < 0.7 else [made, event]


def mark() -> str:
    """What only the liar says."""
    return _MARK
