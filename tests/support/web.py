"""A web server on a real socket whose every byte the test decides."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came. Header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


Answering = Callable[[Asked], bytes | Iterable[bytes]]


def answer(body: bytes | str = b"{}", status: int = 200, **headers: str) -> bytes:
    """A whole answer. ``retry_after="3"`` becomes a Retry-After header."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


class WebServer:
    """Answers each request with what ``answering`` gives: bytes, or pieces. An empty answer closes the connection.

    A connection is kept unless the answer says ``connection: close``.
    """

    def __init__(self, answering: Answering, tls: ssl.SSLContext | None = None) -> None:
        self.answering = answering
        self._tls = tls
        self.asked: list[Asked] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self.stopped = threading.Event()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> WebServer:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join(10)

    def wait_for_connections(self, count: int, timeout_s: float = 10.0) -> bool:
        """Whether so many connections came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.connections >= count, timeout_s)

    def drop_connections(self) -> None:
        """Close every open connection from this side."""
        with self._lock:
            for stream in self._open:
                try:
                    stream.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopped.is_set():
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self.connections += 1
                self._open.add(stream)
                self._changed.notify_all()
            self._start(self._serve, stream, self.connections)

    def _serve(self, stream: socket.socket, number: int) -> None:
        try:
            served = self._tls.wrap_socket(stream, server_side=True) if self._tls else stream
            with served, served.makefile("rb") as incoming:
                while (asked := _read(incoming, number)) is not None:
                    self.asked.append(asked)
                    if not self._say(served, self.answering(asked)):
                        return
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(stream)
            stream.close()

    def _say(self, stream: socket.socket, said: bytes | Iterable[bytes]) -> bool:
        whole = b""
        for piece in [said] if isinstance(said, bytes) else said:
            stream.sendall(piece)
            whole += piece
        return bool(whole) and b"connection: close" not in whole.lower()


def _read(incoming: object, number: int) -> Asked | None:
    lines: list[str] = []
    while line := incoming.readline().decode("latin-1").strip():  # type: ignore[attr-defined]
        lines.append(line)
    if not lines:
        return None
    method, target, _ = lines[0].split(" ")
    pairs = (line.split(":", 1) for line in lines[1:])
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    body = incoming.read(int(headers.get("content-length", "0")))  # type: ignore[attr-defined]
    return Asked(method, target, headers, body, number)
