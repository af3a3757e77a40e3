"""The subscriber over a network: the one place that uses `pysher`, and `websocket-client` under it.

pysher supplies the URL and the connection's thread. What it does wrong is taken from it: reconnecting (never clean, or for
ever, or spinning), subscribing anew without signatures, timers per frame, logging of contents, one proxy setting for all hosts.
That is `keeper.py`'s and `channels_client.py`'s work. Each connection is a new pysher object.
"""

from __future__ import annotations

import logging
import random
import select
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

from codewrap.transport.base import Authorizer, Deliver, Endpoint, OnClose, OnText, Wire
from codewrap.transport.keeper import KeptSubscriber, Timing
from codewrap.transport.later import import_later
from codewrap.transport.origin import Origin, open_stream
from codewrap.transport.webclient import explain

import_later("requests")  # before pysher, which never comes to use it here

import pysher  # noqa: E402
import pysher.connection  # noqa: E402
import websocket  # noqa: E402
from websocket import ABNF  # noqa: E402

MAX_MESSAGE_BYTES = 1024 * 1024
MAX_UNSENT_BYTES = 256 * 1024
CLIENT_NAME = "codewrap"
_READ_BYTES = 64 * 1024  # a larger buffer would be mapped and unmapped by the C library at every read
_READ = select.POLLIN | select.POLLHUP | select.POLLERR
_NORMAL_CLOSE = 1000
_log = logging.getLogger(__name__)


class PysherSubscriber(KeptSubscriber):
    """A `Subscriber` on a broker reached by WebSocket. Blocking parts run on its own threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        authorizer: Authorizer,
        deliver: Deliver,
        *,
        sign_in: bool = False,
        timing: Timing | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        timing = timing or Timing()
        self._endpoint = endpoint
        self._connect_timeout_s = timing.connect_timeout_s
        super().__init__(self._connect, authorizer, deliver, sign_in=sign_in, timing=timing, random=random)

    def _connect(self, on_text: OnText, on_close: OnClose) -> Wire:
        pusher = _Pusher(self._endpoint)
        connection = pusher.connection = _Connection(pusher.url, self._endpoint, on_text, on_close, self._connect_timeout_s)
        pusher.connect()
        return connection


class _Pusher(pysher.Pusher):  # type: ignore[misc]
    """Its URL, with the endpoint's path prefix and an escaped key."""

    client_id = CLIENT_NAME
    protocol = 7

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        # ERROR by name: at its default it sets its logger to INFO by itself and writes every frame and signature there.
        super().__init__(
            endpoint.key,
            secure=endpoint.tls,
            port=endpoint.port,
            custom_host=endpoint.host,
            log_level=logging.ERROR,
        )

    def _build_url(self, secure: bool = True, port: int | None = None, custom_host: str = "") -> str:
        host = f"[{custom_host}]" if ":" in custom_host else custom_host
        key = urllib.parse.quote(self._endpoint.key, safe="")
        query = urllib.parse.urlencode({"protocol": self.protocol, "client": self.client_id, "version": pysher.pusher.VERSION})
        return f"{'wss' if secure else 'ws'}://{host}:{port}{self._endpoint.path}/app/{key}?{query}"


class _Connection(pysher.connection.Connection):  # type: ignore[misc]
    """One connection on pysher's thread: no reconnecting, no timers, frames go straight to ``on_text``. A `Wire`."""

    def __init__(self, url: str, endpoint: Endpoint, on_text: OnText, on_close: OnClose, connect_timeout_s: float) -> None:
        super().__init__(_ignore, url)
        # The base names its logger after the class's module: this one, whose level it must not touch.
        self.logger = logging.getLogger(pysher.connection.__name__)
        self.name = "subscriber-socket"
        self._origin = Origin(endpoint.host, endpoint.port, endpoint.tls, endpoint.path)
        self._on_text = on_text
        self._tell_closed = on_close
        self._connect_timeout_s = connect_timeout_s
        self._closing = threading.Event()
        self._stream: socket.socket | None = None
        self.socket: _Socket | None = None

    @property
    def heard_at_s(self) -> float:
        """When bytes last came."""
        return self.socket.heard_at_s if self.socket else 0.0

    def send(self, text: str) -> bool:
        """Write one text frame, or keep it if the kernel's buffer is full and ours is not."""
        return self.socket is not None and self.socket.write(ABNF.create_frame(text, ABNF.OPCODE_TEXT))

    def close(self) -> None:
        """Say goodbye if that is possible at once, and let the thread end."""
        self._closing.set()
        stream = self._stream
        if self.socket is not None:
            self.socket.leave()
        elif stream is not None:
            _shut(stream)

    def send_event(self, event_name: str, data: Any, channel_name: str | None = None) -> None:
        """Unused: frames are made by `channels_client`. The base's would log what it sends."""
        raise NotImplementedError

    send_ping = send_pong = disconnect = reconnect = send_event

    def _connect(self) -> None:
        code: int | None = None
        try:
            code, reason = self._run()
        except ssl.SSLCertVerificationError as error:
            reason = f"its certificate is not trusted: {error.verify_message}"
        except (OSError, websocket.WebSocketException) as error:
            reason = _words(error)
        except Exception:  # noqa: BLE001  (the top of this thread)
            _log.exception("the subscriber's connection failed")
            reason = "an error inside codewrap"
        finally:
            self._release()
        self._tell_closed(code, reason)

    def _run(self) -> tuple[int | None, str]:
        stream = self._stream = open_stream(self._origin, time.monotonic() + self._connect_timeout_s)
        if self._closing.is_set():
            return None, "closed"
        stream.settimeout(self._connect_timeout_s)
        opened = _Socket(stream)
        try:
            opened.connect(self.url, socket=stream, suppress_origin=True, redirect_limit=0)  # type: ignore[no-untyped-call]
            opened.begin()
        except BaseException:
            opened.end()
            raise
        self.socket = opened
        if self._closing.is_set():
            return None, "closed"
        return self._read(opened)

    def _read(self, opened: _Socket) -> tuple[int | None, str]:
        on_text = self._on_text
        while True:
            kind, frame = opened.recv_data_frame(True)
            if kind == ABNF.OPCODE_TEXT:
                try:
                    text = frame.data.decode()
                except UnicodeDecodeError:
                    continue
                on_text(text)
            elif kind == ABNF.OPCODE_CLOSE:
                return _close_reason(frame.data)

    def _release(self) -> None:
        if self.socket is not None:
            self.socket.end()
        if self._stream is not None:
            self._stream.close()


class _Socket(websocket.WebSocket):
    """websocket-client's socket, read in large pieces and written without blocking, from several threads.

    The stream is non-blocking after `begin`, and each call on it stands under one lock: OpenSSL allows no two threads on
    one connection. The reading thread waits in poll, for the stream, for room to write, and for `leave`.
    """

    def __init__(self, stream: socket.socket) -> None:
        super().__init__(enable_multithread=False, skip_utf8_validation=True)
        self._stream = stream
        self._io = threading.Lock()
        self._held = bytearray()
        self._at = 0
        self._message_bytes = 0
        self._unsent = bytearray()
        self._is_open = False
        self._is_leaving = False
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._poll = select.poll()
        self._polled = _READ
        self.heard_at_s = time.monotonic()

    def begin(self) -> None:
        """The handshake is done: from now on nothing blocks."""
        self._stream.setblocking(False)
        self._poll.register(self._stream, self._polled)
        self._poll.register(self._woken, _READ)
        self._is_open = True

    def leave(self) -> None:
        """Say goodbye if there is room for it, and make the reading thread stop."""
        self.write(ABNF.create_frame(_NORMAL_CLOSE.to_bytes(2, "big"), ABNF.OPCODE_CLOSE))
        self._is_leaving = True
        self._wake()

    def end(self) -> None:
        """The reading thread is done with it."""
        with self._io:
            self._is_open = False
        self._waker.close()
        self._woken.close()

    def write(self, frame: ABNF) -> bool:
        """Send a frame now, or keep it until there is room; False when there is too much of that, or no connection."""
        data = frame.format()
        with self._io:
            if not self._is_open or len(self._unsent) + len(data) > MAX_UNSENT_BYTES:
                return False
            if not self._unsent:
                try:
                    data = data[self._stream.send(data) :]
                except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
                except OSError:
                    return False
                if not data:
                    return True
            self._unsent += data
        self._wake()
        return True

    def send_frame(self, frame: ABNF) -> int:
        """What the base uses to answer pings and closes."""
        self.write(frame)
        return len(frame.data)

    def recv_frame(self) -> ABNF:
        """The next frame, cut from what was read. Raises when it is too large, masked or malformed."""
        first, second = self._peek(2)
        start, length = 2, second & 0x7F
        if length == 126:
            start, length = 4, int.from_bytes(self._peek(4)[2:], "big")
        elif length == 127:
            start, length = 10, int.from_bytes(self._peek(10)[2:], "big")
        if second & 0x80:
            raise websocket.WebSocketProtocolException("the server masks its frames")
        opcode, fin = first & 0x0F, first >> 7
        self._check_size(opcode, fin, length)
        payload = bytes(self._peek(start + length)[start:])
        self._at += start + length
        frame = ABNF(fin, first >> 6 & 1, first >> 5 & 1, first >> 4 & 1, opcode, 0, payload)
        frame.validate(True)
        return frame

    def _check_size(self, opcode: int, fin: int, length: int) -> None:
        """A message may come in many frames: their sum is what is bounded."""
        if opcode >= ABNF.OPCODE_CLOSE:
            return
        self._message_bytes += length
        if self._message_bytes > MAX_MESSAGE_BYTES:
            raise websocket.WebSocketProtocolException("the server sends too large a message")
        if fin:
            self._message_bytes = 0

    def _peek(self, size: int) -> bytearray:
        while len(self._held) - self._at < size:
            del self._held[: self._at]
            self._at = 0
            self._held += self._read_some()
        return self._held[self._at : self._at + size]

    def _read_some(self) -> bytes:
        while True:
            self._wait()
            with self._io:
                try:
                    data: bytes = self._stream.recv(_READ_BYTES)
                except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    continue
            if not data:
                raise websocket.WebSocketConnectionClosedException("the connection was lost")
            self.heard_at_s = time.monotonic()
            return data

    def _wait(self) -> None:
        """Until there may be something to read. Writes what is unsent meanwhile."""
        while True:
            if self._is_leaving:
                raise websocket.WebSocketConnectionClosedException("closed")
            wanted = _READ | select.POLLOUT if self._flush() else _READ
            if wanted != self._polled:
                self._poll.modify(self._stream, wanted)
                self._polled = wanted
            if isinstance(self._stream, ssl.SSLSocket) and self._stream.pending():
                return
            ready = dict(self._poll.poll())
            if self._woken.fileno() in ready:
                self._woken.recv(4096)
            if ready.get(self._stream.fileno(), 0) & _READ:
                return

    def _flush(self) -> bool:
        """Whether something is still unsent."""
        with self._io:
            if not self._unsent:
                return False
            try:
                del self._unsent[: self._stream.send(self._unsent)]
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            return bool(self._unsent)

    def _wake(self) -> None:
        try:
            self._waker.send(b"!")
        except OSError:
            pass


def _ignore(*_: object) -> None:
    """pysher's handler of channel events: they do not go its way."""


def _shut(stream: socket.socket) -> None:
    """End a handshake that is under way on another thread. An SSLSocket's own would take the TLS object from under it."""
    try:
        socket.socket.shutdown(stream, socket.SHUT_RDWR)
    except OSError:
        pass


def _close_reason(data: bytes) -> tuple[int | None, str]:
    code = int.from_bytes(data[:2], "big") if len(data) >= 2 else None
    return code, explain(data[2:].decode(errors="replace")) if data[2:] else "closed by the broker"


def _words(error: Exception) -> str:
    if isinstance(error, websocket.WebSocketBadStatusException):
        return f"answers the handshake with status {error.status_code}"
    if isinstance(error, TimeoutError | websocket.WebSocketTimeoutException):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "its name cannot be found"
    if isinstance(error, websocket.WebSocketConnectionClosedException):
        return "the connection was lost"
    if isinstance(error, websocket.WebSocketException):
        return f"does not keep to the WebSocket protocol: {explain(str(error))}"
    return f"cannot be reached: {error.strerror or error}" if isinstance(error, OSError) else str(error)
