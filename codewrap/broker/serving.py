"""The hub as a server in a thread of its own, and its two ways in without a socket.

Owns the thread, the listening socket and uvicorn's settings. Who may reach the address is decided by who starts it.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from codewrap.broker.app import DIRECT_EXTENSION, HubApp, HubRuntime
from codewrap.broker.connections import Connection
from codewrap.broker.restapi import Answer
from codewrap.broker.signatures import ApiRequest
from codewrap.errors import LocalProtocolError, TransportError
from codewrap.transport.later import import_later

import_later("importlib.metadata")  # websockets imports it for versions in development only; it would be a MiB

import uvicorn  # noqa: E402
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol  # noqa: E402

START_WITHIN_S = 10.0
ANSWER_WITHIN_S = 5.0
STOP_WITHIN_S = 1.0
_BACKLOG = 128

_log = logging.getLogger(__name__)


class DirectSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket with a shorter way: messages are handed to the application as they are cut from the stream, and
    written as it sends them, without the queue, the pauses and the task switches of the ASGI interface in between.

    What it offers stands in the scope's extensions; an application that does not take it up is served as by uvicorn.
    """

    _deliver: Callable[[str | None], None] | None = None

    async def run_asgi(self) -> None:
        """Serve, with the extension in scope."""
        extensions: dict[str, Any] = dict(self.scope.get("extensions") or {})
        extensions[DIRECT_EXTENSION] = {
            "abort": self.transport.abort,
            "deliver_to": self.deliver_to,
            "write": self.write_text,
        }
        self.scope["extensions"] = extensions
        await super().run_asgi()

    def deliver_to(self, deliver: Callable[[str | None], None]) -> None:
        """From now on whole messages go to ``deliver``: text, or None for a binary one."""
        self._deliver = deliver

    def write_text(self, text: str) -> bool:
        """Write a text message now; False when it must go the long way: the socket's buffer is full, or it is closing."""
        if not self.writable.is_set() or self.close_sent or self.disconnected or not self.handshake_complete:
            return False
        self.conn.send_text(text.encode())
        self.transport.write(b"".join(self.conn.data_to_send()))
        return True

    def send_receive_event_to_app(self) -> None:
        """A whole message has come."""
        if self.close_sent:
            super().send_receive_event_to_app()
            return
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        text = None
        if self.curr_msg_data_type == "text":
            try:
                text = data.decode()
            except UnicodeDecodeError:
                # uvicorn would do the same with a traceback in the log: anybody could fill a disk with those.
                self.frames = []
                self.conn.send_close(1007)
                self.handle_parser_exception()
                return
        if self._deliver is None:
            super().send_receive_event_to_app()
            return
        self.frames = []
        self._deliver(text)


def uvicorn_settings(frame_bytes: int) -> dict[str, Any]:
    """What `uvicorn.Config` is given for any application that carries the hub's routes.

    No compression: frames are encrypted or small, and on loopback it only costs time. Pings are the hub's own.
    """
    return {
        "ws": DirectSocket,
        "ws_max_size": frame_bytes,
        "ws_ping_interval": None,
        "ws_per_message_deflate": False,
        "http": "httptools",
        "loop": "asyncio",
        "access_log": False,
        "server_header": False,
        "date_header": False,
        "log_config": None,
        "proxy_headers": False,
        "timeout_graceful_shutdown": 1,
    }


class LocalConnection:
    """A client of the hub in the same process. Any thread may call it; made by `HubServer.open_local`."""

    def __init__(self, runtime: HubRuntime, on_text: Callable[[str], None], on_close: Callable[[int, str], None]) -> None:
        self._runtime = runtime
        self._loop = runtime.loop
        self._on_text = on_text
        self._on_close = on_close
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._closed = False
        self._told = False
        if not self._schedule(self._connect):
            raise TransportError("the embedded hub", "it is not running")

    def send(self, text: str) -> bool:
        """Hand a frame over, in order; False when it was not: closed, or more waits than a socket may hold back."""
        size = len(text)
        with self._lock:
            if self._closed or self._waiting_bytes + size > self._runtime.limits.outgoing_bytes:
                return False
            self._waiting_bytes += size
            return self._schedule(self._receive, text)

    def close(self) -> None:
        """Leave. ``on_close`` is called, with 1000, unless the hub was first."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._schedule(self._leave)

    def _schedule(self, call: Callable[..., None], *arguments: object) -> bool:
        if self._loop is None:
            return False
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:  # the loop is closed
            return False
        return True

    # In the hub's thread

    def _connect(self) -> None:
        self._connection = self._runtime.connect(_LocalSink(self), self._runtime.hub.app.key, "7")

    def _receive(self, text: str) -> None:
        with self._lock:
            self._waiting_bytes -= len(text)
        if self._connection is not None:
            self._runtime.receive(self._connection, text)

    def _leave(self) -> None:
        if self._connection is not None:
            self._runtime.hub.disconnect(self._connection)
        self.ended(1000, "")

    def arrived(self, text: str) -> None:
        """A frame for this client."""
        try:
            self._on_text(text)
        except Exception:  # noqa: BLE001 - a callback is not ours
            _log.exception("a local client of the hub failed on a frame: it is disconnected")
            self.close()

    def ended(self, code: int, reason: str) -> None:
        """The hub has let this client go."""
        self._closed = True
        if self._told:
            return
        self._told = True
        try:
            self._on_close(code, reason)
        except Exception:  # noqa: BLE001 - a callback is not ours
            _log.exception("a local client of the hub failed on its end")


class _LocalSink:
    """The hub's end of a `LocalConnection`."""

    def __init__(self, client: LocalConnection) -> None:
        self._client = client

    def send(self, text: str) -> None:
        self._client.arrived(text)

    def close(self, code: int, reason: str) -> None:
        self._client.ended(code, reason)


class _Reply:
    """An answer that one thread waits for and the hub's thread gives, once."""

    __slots__ = ("_done", "answer")

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def give(self, runtime: HubRuntime, request: ApiRequest) -> None:
        self.answer = runtime.answer(request)
        self._done.release()

    def wait(self, timeout_s: float) -> Answer | None:
        self._done.acquire(timeout=timeout_s)
        return self.answer


class HubServer:
    """Serves a hub on ``host`` and ``port`` (0: any), or on ``listener``, which must be bound and becomes its own."""

    def __init__(
        self,
        runtime: HubRuntime,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        listener: socket.socket | None = None,
    ) -> None:
        self.runtime = runtime
        self._host = host
        self._wanted_port = port
        self._listener = listener
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()

    @property
    def port(self) -> int:
        """The port it listens on. Raises LocalProtocolError before ``start``."""
        if self._listener is None:
            raise LocalProtocolError("the hub has no port before it is started")
        port: int = self._listener.getsockname()[1]
        return port

    def start(self) -> None:
        """Returns when connections are accepted. Raises TransportError when that cannot be."""
        self._listener = self._listener or self._bind()
        try:
            if self._listener.family in (socket.AF_INET, socket.AF_INET6):
                # Accepted sockets inherit it; without, an answer of two writes waits 40 ms for the peer's ACK.
                self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._listener.listen(_BACKLOG)
        except OSError as problem:
            raise TransportError("the embedded hub", f"cannot listen: {problem.strerror}") from problem
        settings = uvicorn_settings(self.runtime.limits.frame_bytes)
        config = uvicorn.Config(HubApp(self.runtime), lifespan="on", **settings)
        self._server = _ReadyServer(config, self._ready)
        self._thread = threading.Thread(target=self._run, args=(self._server, self._listener), name="codewrap-hub", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_WITHIN_S) or not self._server.started:
            self.stop()
            raise TransportError("the embedded hub", "it did not start")

    def stop(self) -> None:
        """Ask clients to reconnect elsewhere (4200) and end, within a second. Harmless when repeated."""
        if self._server is not None and self._thread is not None:
            loop = self.runtime.loop
            if loop is not None:
                try:
                    loop.call_soon_threadsafe(self.runtime.shut_down)
                except RuntimeError:
                    pass  # the loop has just ended by itself
            self._server.should_exit = True
            self._thread.join(STOP_WITHIN_S)
        if self._listener is not None:
            self._listener.close()

    def request(self, method: str, path_with_query: str, body: bytes) -> tuple[int, bytes]:
        """A signed request to the HTTP API without a socket; status and body. From any thread but the hub's own.

        Raises TransportError when the hub is not running or does not answer in time.
        """
        loop = self.runtime.loop
        if threading.current_thread() is self._thread:
            raise LocalProtocolError("a callback of the hub must not ask the hub: it would wait for itself")
        if loop is None:
            raise TransportError("the embedded hub", "it is not running")
        reply = _Reply()
        try:
            loop.call_soon_threadsafe(reply.give, self.runtime, ApiRequest.of(method, path_with_query, body))
        except RuntimeError as problem:
            raise TransportError("the embedded hub", "it is not running") from problem
        answer = reply.wait(ANSWER_WITHIN_S)
        if answer is None:
            raise TransportError("the embedded hub", "it did not answer in time")
        return answer.status, answer.body

    def open_local(self, on_text: Callable[[str], None], on_close: Callable[[int, str], None]) -> LocalConnection:
        """A connection without a socket. Both callbacks run in the hub's thread and must only enqueue.

        ``on_close(code, reason)`` is called exactly once. Raises TransportError when the hub is not running.
        """
        return LocalConnection(self.runtime, on_text, on_close)

    def _bind(self) -> socket.socket:
        try:
            info = socket.getaddrinfo(self._host, self._wanted_port, type=socket.SOCK_STREAM)[0]
            listener = socket.socket(info[0], info[1], info[2])
        except OSError as problem:
            raise TransportError("the embedded hub", f"cannot use {self._host}: {problem.strerror}") from problem
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(info[4])
        except OSError as problem:
            listener.close()
            where = f"{self._host}:{self._wanted_port}"
            raise TransportError("the embedded hub", f"cannot listen on {where}: {problem.strerror}") from problem
        return listener

    def _run(self, server: uvicorn.Server, listener: socket.socket) -> None:
        try:
            server.run(sockets=[listener])
        except BaseException:  # noqa: BLE001 - the top of this thread; uvicorn leaves with SystemExit when its start fails
            _log.exception("the embedded hub has ended")
        finally:
            self._ready.set()


class _ReadyServer(uvicorn.Server):
    """Says when it accepts connections."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()
