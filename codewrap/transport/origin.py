"""A server by its address, and the way to it: TCP with TCP_NODELAY, a proxy where the environment names one, TLS.

Shared by the HTTP client and the WebSocket. This machine is never reached through a proxy.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
import re
import socket
import ssl
import time
import urllib.parse
from dataclasses import dataclass

from codewrap.errors import ConfigError

_MAX_PROXY_HEAD_BYTES = 8 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})")


@dataclass(frozen=True, slots=True)
class Origin:
    """A server as this machine reaches it, and the path prefix that it lives under."""

    host: str
    port: int
    tls: bool
    path: str = ""

    @classmethod
    def parse(cls, url: str, setting: str = "CODEWRAP_URL") -> Origin:
        """Read an http or https URL. Raises ConfigError about ``setting``."""
        try:
            parts = urllib.parse.urlsplit(url.strip())
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(setting, "is not a valid address", "like https://codewrap.example") from error
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigError(setting, "is not an http or https address", "like https://codewrap.example")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigError(setting, "must hold no user name, query or fragment")
        tls = parts.scheme == "https"
        return cls(host, port or (443 if tls else 80), tls, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """Host and, where it is not the scheme's own, port: for a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def label(self) -> str:
        """For people."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.path}"

    @property
    def is_loopback(self) -> bool:
        """Whether this is the same machine: no proxy can reach it."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The system's certificates (and SSL_CERT_FILE), read once."""
    return ssl.create_default_context()


def open_stream(origin: Origin, deadline_s: float) -> socket.socket:
    """Connect (through the environment's proxy where there is one), with TLS if the origin has it.

    ``deadline_s`` is a `time.monotonic`; looking the name up is not bounded by it. Raises OSError.
    """
    proxy = None if origin.is_loopback else _proxy(origin)
    where = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
    stream = _dial(where[0], where[1], deadline_s)
    try:
        if proxy is not None:
            _tunnel(stream, origin, proxy, deadline_s)
        if origin.tls:
            stream.settimeout(remaining_s(deadline_s))
            stream = tls_context().wrap_socket(stream, server_hostname=origin.host)
    except BaseException:
        stream.close()
        raise
    return stream


def _dial(host: str, port: int, deadline_s: float) -> socket.socket:
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError = OSError("no address")
    for left, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        stream = socket.socket(family, kind, protocol)
        try:
            stream.settimeout(remaining_s(deadline_s) / left)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream.connect(address)
        except OSError as error:
            stream.close()
            failure = error
            continue
        return stream
    raise failure


@dataclass(frozen=True, slots=True)
class _Proxy:
    host: str
    port: int
    authorization: str | None


def _proxy(origin: Origin) -> _Proxy | None:
    import urllib.request  # with it come http.client and email: half a MiB that a viewer of this machine's hub can do without

    scheme = "https" if origin.tls else "http"
    url = urllib.request.getproxies_environment().get(scheme)
    if not url or urllib.request.proxy_bypass(origin.authority):
        return None
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise OSError("the proxy of the environment is not an http:// one")
    authorization = None
    if parts.username:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return _Proxy(parts.hostname, parts.port or 80, authorization)


def _tunnel(stream: socket.socket, origin: Origin, proxy: _Proxy, deadline_s: float) -> None:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"Host: {host}:{origin.port}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    stream.settimeout(remaining_s(deadline_s))
    stream.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    status = _tunnel_status(stream, deadline_s)
    if not 200 <= status < 300:
        raise OSError(f"the proxy refuses to connect (status {status})")


def _tunnel_status(stream: socket.socket, deadline_s: float) -> int:
    """Read the proxy's head byte by byte: what follows it belongs to the tunnel."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        stream.settimeout(remaining_s(deadline_s))
        byte = stream.recv(1)
        if not byte or len(head) > _MAX_PROXY_HEAD_BYTES:
            raise OSError("the proxy does not answer in HTTP")
        head += byte
    matched = _STATUS.match(head)
    if matched is None:
        raise OSError("the proxy does not answer in HTTP")
    return int(matched[1])


def remaining_s(deadline_s: float) -> float:
    """What is left until ``deadline_s``. Raises TimeoutError when nothing is."""
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("no answer in time")
    return left_s
