"""A hub without a network: recorded sockets, a clock turned by hand, random bytes that count up."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

from codewrap.broker import signatures
from codewrap.broker.apps import App
from codewrap.broker.connections import Connection
from codewrap.broker.hub import Hub
from codewrap.broker.limits import Limits
from codewrap.broker.webhooks import HookEvent

APP = App("7", "app-key", "app-secret", subscription_counts=False)


@dataclass(eq=False)
class Recorder:
    """A sink that remembers."""

    frames: list[dict[str, Any]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    closed: tuple[int, str] | None = None

    def send(self, text: str) -> None:
        text.encode()  # what is sent must have a form on the wire
        self.texts.append(text)
        self.frames.append(json.loads(text))

    def close(self, code: int, reason: str) -> None:
        assert self.closed is None, "closed twice"
        self.closed = (code, reason)


class Client:
    """One connection and what it was told; ``take`` empties the record."""

    def __init__(self, bench: Bench, protocol: str | None = "7", key: str = APP.key) -> None:
        self.bench = bench
        self.sink = Recorder()
        self.maybe_connection = bench.hub.connect(self.sink, key, protocol)

    @property
    def connection(self) -> Connection:
        assert self.maybe_connection is not None
        return self.maybe_connection

    @property
    def socket_id(self) -> str:
        return self.connection.socket_id

    def take(self) -> list[dict[str, Any]]:
        frames = list(self.sink.frames)
        self.sink.frames.clear()
        return frames

    def events(self) -> list[str]:
        return [frame["event"] for frame in self.take()]

    def error(self) -> dict[str, Any]:
        (frame,) = self.take()
        assert frame["event"] == "pusher:error"
        data: dict[str, Any] = frame["data"]
        return data

    def says(self, frame: object) -> None:
        self.bench.hub.receive(self.connection, frame if isinstance(frame, str) else json.dumps(frame))

    def subscribe(self, channel: str, channel_data: str | None = None, **data: object) -> None:
        fields: dict[str, object] = {"channel": channel}
        if channel.startswith(("private-", "presence-")):
            fields["auth"] = signatures.channel_auth(self.bench.hub.app, self.socket_id, channel, channel_data)
        if channel_data is not None:
            fields["channel_data"] = channel_data
        self.says({"event": "pusher:subscribe", "data": {**fields, **data}})

    def join(self, channel: str, user_id: object, info: object = None) -> None:
        self.subscribe(channel, json.dumps({"user_id": user_id, "user_info": info}))

    def sign_in(self, **user: object) -> None:
        user_data = json.dumps(user)
        auth = signatures.user_auth(self.bench.hub.app, self.socket_id, user_data)
        self.says({"event": "pusher:signin", "data": {"auth": auth, "user_data": user_data}})

    def leave(self) -> None:
        self.bench.hub.disconnect(self.connection)


class Bench:
    """The hub under test."""

    def __init__(self, app: App = APP, limits: Limits | None = None) -> None:
        self.now = 1000.0
        self.hooks: list[HookEvent] = []
        seed = itertools.count(1)
        self.hub = Hub(
            app,
            limits or Limits.default(),
            clock=lambda: self.now,
            random_bytes=lambda size: next(seed).to_bytes(size),
            emit=self.hooks.append,
        )

    def client(self, **options: Any) -> Client:
        client = Client(self, **options)
        client.take()
        return client

    def hook_names(self) -> list[object]:
        names = [hook["name"] for hook in self.hooks]
        self.hooks.clear()
        return names

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.hub.tick()
