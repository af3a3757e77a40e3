"""The hub on the network: ASGI applications for WebSockets and the HTTP API, and the hub's clock.

Owns the running hub (`HubRuntime`) and moves frames between sockets and it. What they mean is decided in `hub.py` and
`restapi.py`. Every handler is guarded: one socket's trouble stays its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from codewrap.broker.apps import App
from codewrap.broker.connections import Connection, Sink
from codewrap.broker.delivery import HookDelivery
from codewrap.broker.hub import Hub, refuse_connection
from codewrap.broker.limits import Limits
from codewrap.broker.origins import Door
from codewrap.broker.outgoing import SocketSink
from codewrap.broker.refusals import Refusal
from codewrap.broker.restapi import Answer, RestApi
from codewrap.broker.signatures import ApiRequest

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope, Send

TICK_S = 1.0
# A server that can drop a socket, hand messages over at once and write them at once offers it in the scope's extensions.
DIRECT_EXTENSION = "codewrap.direct"
_SOCKET_PATH = re.compile("/app/([^/]+)")

_log = logging.getLogger(__name__)


class HubRuntime:
    """A hub, its HTTP API, webhooks and clock, in one event loop.

    Enter ``running()`` in that loop (a lifespan does) before anything is served. Everything else is called from it too.
    """

    def __init__(
        self,
        app: App,
        *,
        limits: Limits | None = None,
        door: Door | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        tick_s: float = TICK_S,
    ) -> None:
        self.limits = limits if limits is not None else Limits.default()
        self.door = door if door is not None else Door()
        self._wall_clock = wall_clock
        self._tick_s = tick_s
        self._delivery = HookDelivery(app, wall_clock)
        self.hub = Hub(
            app,
            self.limits,
            clock=clock,
            random_bytes=secrets.token_bytes,
            emit=self._delivery.put,
        )
        self._api = RestApi(self.hub)
        self.loop: asyncio.AbstractEventLoop | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Webhooks and time-outs work inside; leaving closes all connections with 4200."""
        self.loop = asyncio.get_running_loop()
        self._delivery.start()
        ticking = asyncio.create_task(self._tick_for_ever(), name="codewrap-hub-clock")
        try:
            yield
        finally:
            self.shut_down()
            self.loop = None
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            await self._delivery.stop()

    def shut_down(self) -> None:
        """Ask all clients to reconnect. Servers that cut connections on exit should call this first."""
        self.hub.shut_down()

    def connect(self, sink: Sink, key: str, protocol: str | None) -> Connection | None:
        """As `Hub.connect`, guarded."""
        try:
            return self.hub.connect(sink, key, protocol)
        except Exception:  # noqa: BLE001 - see the head of this module
            _log.exception("the hub failed on a new connection")
            sink.close(4200, "Internal error")
            return None

    def receive(self, connection: Connection, text: str | None) -> None:
        """As `Hub.receive` (None: a binary frame), guarded: a failure of ours costs this connection only."""
        try:
            if text is None:
                self.hub.receive_binary(connection)
            else:
                self.hub.receive(connection, text)
        except Exception:  # noqa: BLE001 - see the head of this module
            _log.exception("the hub failed on a frame")
            self.hub.close(connection, 4200, "Internal error")

    def close_socket(self, socket_id: str) -> None:
        """End one connection, as if its user's connections were terminated."""
        self.hub.close_socket(socket_id)

    def census(self) -> tuple[int, dict[str, int]]:
        """Open sockets, and members of presence channels by their role."""
        return self.hub.connection_count, self.hub.count_members("role")

    def answer(self, request: ApiRequest) -> Answer:
        """The HTTP API's answer, guarded."""
        try:
            return self._api.answer(request, self._wall_clock())
        except Exception:  # noqa: BLE001 - see the head of this module
            _log.exception("the hub failed on a request")
            return Answer(500, b"Internal error", is_json=False)

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._tick_s)
            try:
                self.hub.tick()
            except Exception:  # noqa: BLE001 - see the head of this module
                _log.exception("the hub failed on its clock")


def hub_routes(runtime: HubRuntime) -> list[BaseRoute]:
    """Routes to mount at the root of another application, which enters ``runtime.running()`` in its lifespan."""
    from starlette.routing import Route, WebSocketRoute

    return [
        WebSocketRoute("/app/{key}", _SocketEndpoint(runtime)),
        Route("/apps/{rest:path}", _ApiEndpoint(runtime)),
    ]


class HubApp:
    """The hub as an application of its own.

    In plain ASGI: it is part of each session's uplink, which without Starlette is 2 MiB smaller and sooner at work.
    """

    def __init__(self, runtime: HubRuntime) -> None:
        self._runtime = runtime
        self._socket = _SocketEndpoint(runtime)
        self._api = _ApiEndpoint(runtime)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            path = _SOCKET_PATH.fullmatch(scope["path"])
            scope["path_params"] = {"key": path[1]} if path else {}
            await self._socket(scope, receive, send)
        else:
            await self._api(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()  # the start
        async with self._runtime.running():
            await send({"type": "lifespan.startup.complete"})
            await receive()  # the end
        await send({"type": "lifespan.shutdown.complete"})


class _SocketEndpoint:
    """ASGI application of one WebSocket."""

    def __init__(self, runtime: HubRuntime) -> None:
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # the handshake
        if not self._runtime.door.admits(scope["headers"]):
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: status 403
            return
        await send({"type": "websocket.accept"})
        await _Socket(self._runtime, scope, receive, send).serve()


class _Socket:
    """One accepted WebSocket from its first frame to its last."""

    def __init__(self, runtime: HubRuntime, scope: Scope, receive: Receive, send: Send) -> None:
        self._runtime = runtime
        self._scope = scope
        self._receive = receive
        self._task = asyncio.current_task()
        self._aborted = False
        self._direct = scope.get("extensions", {}).get(DIRECT_EXTENSION, {})
        write = self._direct.get("write")
        self._sink = SocketSink(send, runtime.limits.outgoing_bytes, self._abort, self._leave, write)
        self._connection: Connection | None = None

    async def serve(self) -> None:
        """Returns when the socket has ended."""
        self._connection = self._connect()
        if "deliver_to" in self._direct:
            self._direct["deliver_to"](self._take)
        try:
            while True:
                message = await self._receive()
                if message["type"] == "websocket.disconnect":
                    return
                self._take(message.get("text"))
        except asyncio.CancelledError:
            if not self._aborted:
                raise
        finally:
            self._leave()
            self._sink.release()

    def _connect(self) -> Connection | None:
        query = parse_qs(self._scope["query_string"].decode("latin-1"))
        protocol = query.get("protocol", [None])[0]
        key = self._scope["path_params"].get("key")
        if not isinstance(key, str):
            refuse_connection(self._sink, Refusal(4005, "Path not found"), protocol)
            return None
        return self._runtime.connect(self._sink, key, protocol)

    def _take(self, text: str | None) -> None:
        if self._connection is not None:
            self._runtime.receive(self._connection, text)

    def _leave(self) -> None:
        if self._connection is not None:
            self._runtime.hub.disconnect(self._connection)

    def _abort(self) -> None:
        """The reader does not even take its close frame: drop the socket, or at least stop serving it."""
        if "abort" in self._direct:
            self._direct["abort"]()
        elif self._task is not None:
            self._aborted = True
            self._task.cancel()


class _ApiEndpoint:
    """ASGI application of the HTTP API; it answers 404 for whatever is not of it."""

    def __init__(self, runtime: HubRuntime) -> None:
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(scope, receive)
        if answer is None:
            return
        kind = b"application/json" if answer.is_json else b"text/plain; charset=utf-8"
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(answer.body))]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        if not self._runtime.door.admits(scope["headers"]):
            return Answer(403, b"This host or origin is not allowed", is_json=False)
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self._runtime.limits.request_bytes:
                return Answer(413, b"The request is too large", is_json=False)
            if not message.get("more_body", False):
                break
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        return self._runtime.answer(ApiRequest(scope["method"], path, query, bytes(body)))
