"""A real hub on loopback and plain WebSocket clients for it: frames as dictionaries, every wait with a deadline."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from websockets.sync.client import ClientConnection, connect

from codewrap.broker import signatures
from codewrap.broker.app import HubRuntime
from codewrap.broker.apps import App
from codewrap.broker.serving import HubServer

APP = App("7", "app-key", "app-secret")
WITHIN_S = 10.0


def sign(method: str, path: str, body: bytes = b"", app: App = APP, **query: str) -> str:
    """A signed request target of the HTTP API."""
    fields = {"auth_key": app.key, "auth_timestamp": str(int(time.time())), "auth_version": "1.0", **query}
    if body:
        fields["body_md5"] = hashlib.md5(body).hexdigest()
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields))
    signature = signatures.hex_digest(app, f"{method}\n{path}\n{text}")
    return f"{path}?{text}&auth_signature={signature}"


def eventually(condition: Callable[[], bool], what: str = "the condition") -> None:
    """Wait until ``condition()`` holds."""
    deadline = time.monotonic() + WITHIN_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true in time"
        pause.wait(0.005)


@contextlib.contextmanager
def running_hub(app: App = APP, **options: Any) -> Iterator[HubServer]:
    """A hub that serves until the block ends."""
    server = HubServer(HubRuntime(app, **options))
    server.start()
    try:
        yield server
    finally:
        server.stop()


class WireClient:
    """One WebSocket to a hub, greeted."""

    def __init__(self, socket: ClientConnection, app: App) -> None:
        self.socket = socket
        self._app = app
        greeting = self.hear()
        assert greeting["event"] == "pusher:connection_established"
        self.socket_id: str = json.loads(greeting["data"])["socket_id"]

    def hear(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(self.socket.recv(timeout=WITHIN_S))
        return frame

    def say(self, frame: object) -> None:
        self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    def subscribe(self, channel: str) -> dict[str, Any]:
        auth = signatures.channel_auth(self._app, self.socket_id, channel)
        self.say({"event": "pusher:subscribe", "data": {"channel": channel, "auth": auth}})
        return self.hear()

    def sign_in(self, user_id: str) -> dict[str, Any]:
        user_data = json.dumps({"id": user_id})
        auth = signatures.user_auth(self._app, self.socket_id, user_data)
        self.say({"event": "pusher:signin", "data": {"auth": auth, "user_data": user_data}})
        return self.hear()


def address(server: HubServer, path: str = "/app/app-key?protocol=7") -> str:
    return f"ws://127.0.0.1:{server.port}{path}"


@contextlib.contextmanager
def wire_client(server: HubServer, app: App = APP) -> Iterator[WireClient]:
    """A client that leaves when the block ends."""
    with connect(address(server), proxy=None, compression=None) as socket:
        yield WireClient(socket, app)
