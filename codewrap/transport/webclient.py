"""A lean HTTP/1.1 client for one server: keep-alive where the server allows it, a deadline over each whole call.

It never follows a redirect (a token must not travel to another host), trusts the system's certificates, and uses the
environment's proxy except for this machine. Foreign errors are renamed here; no request content gets into them.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from codewrap.errors import AuthError, CodewrapError, ConfigError, LocalProtocolError, TransportError
from codewrap.protocol.channels import printable
from codewrap.transport.base import RetryLater
from codewrap.transport.origin import Origin, open_stream, remaining_s
from codewrap.transport.spare import SpareConnection

TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 4 * 1024 * 1024
_MAX_LINE_BYTES = 8 * 1024
_MAX_RETRY_AFTER_S = 3600.0
_MAX_REASON_CHARS = 200
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?")
_NEVER_IN_A_HEAD = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. Names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def check_token(token: str, setting: str = "CODEWRAP_TOKEN") -> str:
    """Return ``token`` if it can stand in a header. Raises ConfigError (which never holds it)."""
    if not token or _NEVER_IN_A_HEAD.search(token) or " " in token:
        raise ConfigError(setting, "is empty, or holds a character that no token has")
    return token


def refusal(server: str, status: int, words: str, retry_after: str | None = None) -> CodewrapError:
    """The exception that a status other than success stands for. ``words`` are the server's, cleaned by `explain`."""
    if status in (429, 503) or (status == 403 and "quota" in words.lower()):
        return RetryLater(server, words, status=status, retry_after_s=_seconds(retry_after))
    if status in (401, 403):
        return AuthError(server, words, status)
    if 300 <= status < 400:
        return TransportError(server, "answers with a redirect: set its final address", retry=False, status=status)
    return TransportError(server, words, retry=status >= 500 or status == 408, status=status)


def explain_body(body: bytes, secrets: Iterable[str] = ()) -> str:
    """The words of an error's body: ``{"error": "words"}``, ``{"error": {"message": "words"}}``, or text."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    error = said.get("error") if isinstance(said, dict) else None
    words = error.get("message") if isinstance(error, dict) else error
    return explain(words if isinstance(words, str) else body[:1000].decode(errors="replace"), secrets)


def explain(text: str, secrets: Iterable[str] = ()) -> str:
    """A server's words made fit for an error: one line, short, no control characters, none of ``secrets``."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return printable(" ".join(text.split()) or "no reason given", _MAX_REASON_CHARS)


def _seconds(retry_after: str | None) -> float | None:
    if retry_after is None or not retry_after.strip().isdigit():
        return None
    return min(float(retry_after), _MAX_RETRY_AFTER_S)


class _BadAnswer(Exception):
    """The server does not speak HTTP as it should."""


class _Exchange:
    """Reads one answer from a stream, with a deadline over the whole of it."""

    def __init__(self, stream: socket.socket, deadline_s: float) -> None:
        self._stream = stream
        self._deadline_s = deadline_s
        self._held = bytearray()
        self.has_heard = False

    def read_head(self) -> tuple[int, dict[str, str], bool]:
        """Status, headers, and whether the connection may be kept (as far as the head tells)."""
        while True:
            lines = self._read_until(b"\r\n\r\n", MAX_HEAD_BYTES).split(b"\r\n")
            matched = _STATUS_LINE.fullmatch(lines[0])
            if matched is None:
                raise _BadAnswer("does not answer in HTTP")
            status = int(matched[2])
            if status >= 200 or status == 101:
                break
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if colon:
                headers[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")
        wish = headers.get("connection", "").lower()
        kept = "close" not in wish if matched[1] == b"1" else "keep-alive" in wish
        return status, headers, kept

    def read_answer(self, method: str) -> tuple[Answer, bool]:
        """The whole answer, and whether the connection may be used again."""
        status, headers, kept = self.read_head()
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            body = self._read_chunks()
        elif "content-length" in headers:
            body = self._read_exactly(_length(headers["content-length"]))
        else:
            body, kept = self._read_to_end(), False
        return Answer(status, headers, body), kept and not self._held

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while True:
            matched = _CHUNK_SIZE.fullmatch(self._read_until(b"\r\n", _MAX_LINE_BYTES))
            if matched is None:
                raise _BadAnswer("sends a damaged chunk")
            size = int(matched[1], 16)
            if size == 0:
                break
            if len(body) + size > MAX_BODY_BYTES:
                raise _BadAnswer("sends too much")
            body += self._read_exactly(size)
            if self._read_exactly(2) != b"\r\n":
                raise _BadAnswer("sends a damaged chunk")
        while self._read_until(b"\r\n", _MAX_LINE_BYTES):
            pass
        return bytes(body)

    def _read_until(self, end: bytes, limit: int) -> bytes:
        while (at := self._held.find(end)) < 0:
            if len(self._held) > limit:
                raise _BadAnswer("sends too long a line")
            if not self._fill():
                raise ConnectionError("the connection was closed in the middle of an answer")
        found = bytes(self._held[:at])
        del self._held[: at + len(end)]
        return found

    def _read_exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            if not self._fill():
                raise ConnectionError("the connection was closed in the middle of an answer")
        found = bytes(self._held[:size])
        del self._held[:size]
        return found

    def _read_to_end(self) -> bytes:
        while self._fill():
            if len(self._held) > MAX_BODY_BYTES:
                raise _BadAnswer("sends too much")
        found = bytes(self._held)
        self._held.clear()
        return found

    def _fill(self) -> bool:
        self._stream.settimeout(remaining_s(self._deadline_s))
        chunk = self._stream.recv(65536)
        self._held += chunk
        self.has_heard = self.has_heard or bool(chunk)
        return bool(chunk)


def _length(text: str) -> int:
    if not text.isdigit() or int(text) > MAX_BODY_BYTES:
        raise _BadAnswer("sends too much, or does not say how much")
    return int(text)


class WebClient:
    """One server, one connection at a time, kept between calls where the server keeps it. Calls are serialized.

    ``prepares``: where the server closes it after each answer, the next one is opened ahead. By default for servers elsewhere:
    on this machine it would save nothing.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        timeout_s: float = TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        prepares: bool | None = None,
    ) -> None:
        self._origin = origin
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._spare: SpareConnection | None = None
        if not origin.is_loopback if prepares is None else prepares:
            self._spare = SpareConnection(self._open_ahead)
        self._lock = threading.Lock()
        self._stream: socket.socket | None = None
        self._is_closed = False

    @property
    def server(self) -> str:
        """The origin's label, for errors."""
        return self._origin.label

    def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Answer:
        """Send one request for ``target`` (path and query below the origin's prefix) and return the whole answer.

        A kept connection that turns out to be closed is replaced once. Raises TransportError, at the latest when
        ``timeout_s`` is over; a status is never an exception here.
        """
        deadline_s = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        message = self._message(method, target, body, headers or {})
        if not self._lock.acquire(timeout=max(0.0, deadline_s - time.monotonic())):
            raise TransportError(self.server, "another request is still under way")
        try:
            return self._request(method, message, deadline_s)
        except _BadAnswer as error:
            self._fail(str(error), error)
        except ssl.SSLCertVerificationError as error:
            raise TransportError(self.server, f"its certificate is not trusted: {error.verify_message}", retry=False) from error
        except OSError as error:
            self._fail(_words(error), error)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Release the connection, and end a request that is under way on another thread. Never raises."""
        self._is_closed = True
        if self._spare is not None:
            self._spare.close()
        stream = self._stream
        if stream is not None:
            try:
                # The plain socket's: the one of an SSLSocket takes the TLS object from under the reading thread.
                socket.socket.shutdown(stream, socket.SHUT_RDWR)
            except OSError:
                pass
        if self._lock.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._lock.release()

    def _fail(self, words: str, error: Exception) -> NoReturn:
        raise TransportError(self.server, words) from error

    def _request(self, method: str, message: bytes, deadline_s: float) -> Answer:
        kept = self._kept(deadline_s)
        if kept is not None:
            try:
                return self._exchange(kept, method, message, deadline_s, reused=True)
            except _Stale:
                pass
        if self._is_closed:
            raise OSError("this client is closed")
        connect_by_s = min(deadline_s, time.monotonic() + self._connect_timeout_s)
        stream = self._stream = open_stream(self._origin, connect_by_s)
        return self._exchange(stream, method, message, deadline_s, reused=False)

    def _kept(self, deadline_s: float) -> socket.socket | None:
        """A connection that is open already: the last one, or one opened ahead."""
        if self._stream is None and self._spare is not None:
            self._stream = self._spare.take(remaining_s(deadline_s))
        if self._stream is not None and not _is_idle(self._stream):
            self._drop()
        return self._stream

    def _open_ahead(self) -> socket.socket:
        return open_stream(self._origin, time.monotonic() + self._connect_timeout_s)

    def _exchange(self, stream: socket.socket, method: str, message: bytes, deadline_s: float, *, reused: bool) -> Answer:
        exchange = _Exchange(stream, deadline_s)
        kept = False
        try:
            try:
                stream.settimeout(remaining_s(deadline_s))
                stream.sendall(message)
            except (BrokenPipeError, ConnectionResetError):
                # A server may refuse a long body before its end: what it said is still to be read.
                pass
            answer, kept = exchange.read_answer(method)
        except TimeoutError:
            raise
        except OSError as error:
            if reused and not exchange.has_heard:
                raise _Stale from error
            raise
        finally:
            if not kept or self._is_closed:
                self._drop()
        if not kept and self._spare is not None:
            self._spare.prepare()
        return answer

    def _message(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        lines = [f"{method} {self._origin.path}{target} HTTP/1.1", f"Host: {self._origin.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        if any(_NEVER_IN_A_HEAD.search(line) for line in lines) or " " in target:
            raise LocalProtocolError("a request's head holds a character that it must not")
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


class _Stale(Exception):
    """A kept connection was closed by the server before it answered."""


def _is_idle(stream: socket.socket) -> bool:
    """Whether a kept connection is still open with nothing unasked in it. (TLS reads its session tickets on the way.)"""
    try:
        stream.settimeout(0)
        stream.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        pass
    return False


def _words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "its name cannot be found"
    return f"cannot be reached: {error.strerror or error}"
