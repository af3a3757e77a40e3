"""Asks an ASGI application without a socket: requests, request bodies in pieces, WebSocket upgrades, lifespan."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error_code(self) -> str:
        """The code of our JSON error; fails the test where the answer is not one."""
        error = self.json()["error"]
        assert set(error) == {"code", "message"}
        return error["code"]


class AsgiClient:
    """One client address. ``headers`` go with every request; a Host is added where there is none."""

    def __init__(self, app: Any, *, address: str = "127.0.0.1", headers: dict[str, str] | None = None) -> None:
        self._app = app
        self._address = address
        self._headers = headers or {}

    async def request(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes] = b"",
        headers: dict[str, str] | None = None,
        *,
        scheme: str = "http",
    ) -> Reply:
        scope = self._scope("http", target, headers, scheme) | {"method": method}
        pieces = [body] if isinstance(body, bytes) else list(body)
        messages = [
            {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1} for index, piece in enumerate(pieces)
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        assert sent[0]["type"] == "http.response.start"
        found = {name.decode().lower(): value.decode("latin-1") for name, value in sent[0].get("headers", [])}
        return Reply(sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:]))

    async def get(self, target: str, headers: dict[str, str] | None = None) -> Reply:
        return await self.request("GET", target, headers=headers)

    async def post_form(self, target: str, headers: dict[str, str] | None = None, **fields: str) -> Reply:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return await self.request("POST", target, urlencode(fields).encode(), kind | (headers or {}))

    async def post_json(self, target: str, value: object, headers: dict[str, str] | None = None) -> Reply:
        kind = {"content-type": "application/json"}
        return await self.request("POST", target, json.dumps(value).encode(), kind | (headers or {}))

    async def upgrade(self, target: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """The application's first answer to a WebSocket's handshake: accept or close."""
        answered: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        handshake = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

        async def receive() -> dict[str, Any]:
            return handshake.pop(0) if handshake else {"type": "websocket.disconnect", "code": 1000}

        await self._app(self._scope("websocket", target, headers, "ws"), receive, answered.put)
        return answered.get_nowait()

    def _scope(self, kind: str, target: str, headers: dict[str, str] | None, scheme: str) -> dict[str, Any]:
        path, _, query = target.partition("?")
        given = {"host": "127.0.0.1:8080"} | self._headers | {name.lower(): value for name, value in (headers or {}).items()}
        return {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": scheme,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
            "client": (self._address, 50_000),
            "server": ("127.0.0.1", 8080),
            "subprotocols": [],
        }


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Runs the application's lifespan around a block."""
    incoming: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    outgoing: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    running = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, incoming.get, outgoing.put))
    await incoming.put({"type": "lifespan.startup"})
    started = await outgoing.get()
    assert started["type"] == "lifespan.startup.complete", started
    try:
        yield
    finally:
        await incoming.put({"type": "lifespan.shutdown"})
        ended = await outgoing.get()
        await running
        assert ended["type"] == "lifespan.shutdown.complete", ended
