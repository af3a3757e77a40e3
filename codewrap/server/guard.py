"""Stands before every route and socket: Host allow-list, Origin check, CORS, security headers.

Against pages of other sites, and names that were bound anew to this address (DNS rebinding). It is no authentication:
loopback and a right Origin prove nothing about who asks.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from codewrap.server.refusals import REFUSAL_IN_SCOPE, Refusal, bad_request

_DEFAULT_PORTS = {"http": 80, "https": 443}
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "600",
}
_EXPOSED = "Retry-After"


@dataclass(frozen=True, slots=True)
class Reach:
    """Under which names the server is asked, and by pages of which origins.

    ``hosts`` are lower-case names; addresses and `localhost` are always right, as nobody else can bind them anew.
    ``origins`` are `normal_origin` forms. ``https_outside``: a proxy before us speaks TLS, so that our own origin is https.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    https_outside: bool = False

    def allows_host(self, name: str) -> bool:
        """Whether ``name`` (a Host header without its port) may name this server."""
        return name == "localhost" or name in self.hosts or _is_address(name)

    def allows_origin(self, origin: str, scheme: str, host: str) -> bool:
        """Whether a page of ``origin`` may ask: one of the list, or our own page (``scheme``, and the checked ``host``)."""
        normal = normal_origin(origin)
        if normal is None:
            return False
        schemes = {scheme, "https"} if self.https_outside else {scheme}
        if normal in self.origins or normal in {normal_origin(f"{own}://{host}") for own in schemes}:
            return True
        parts = urlsplit(normal)
        return parts.scheme in schemes and (parts.hostname or "") in self.hosts


def normal_origin(text: str) -> str | None:
    """``scheme://host[:port]`` in one spelling; None where ``text`` is not an http(s) origin (as `null` is not)."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.path or parts.query or parts.fragment:
        return None
    if parts.username is not None or parts.password is not None or text != text.strip():
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname.rstrip(".")
    shown_port = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{shown_port}"


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, reach: Reach) -> None:
        self._app = app
        self._reach = reach

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request = _Request(scope, self._reach)
        try:
            request.check()
        except Refusal as refusal:
            await self._refuse(refusal, scope, receive, send)
            return
        if request.is_preflight:
            await Response(status_code=204, headers=request.headers() | _PREFLIGHT_HEADERS)(scope, receive, send)
        elif scope["type"] == "http":
            await self._app(scope, receive, _Dressed(send, request.headers()))
        else:
            await self._app(scope, receive, send)

    async def _refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        scope[REFUSAL_IN_SCOPE] = refusal.code
        if scope["type"] == "websocket":
            await WebSocketClose(1008, refusal.message)(scope, receive, send)  # before accept: the upgrade gets a 403
            return
        await refusal.response()(scope, receive, _Dressed(send, SECURITY_HEADERS))


class _Request:
    """What of a request the guard looks at."""

    def __init__(self, scope: Scope, reach: Reach) -> None:
        self._headers = Headers(scope=scope)
        self._reach = reach
        self._method = scope.get("method", "GET")
        self._is_socket = scope["type"] == "websocket"
        self._scheme = "https" if scope["scheme"] in ("https", "wss") else "http"
        self._host = ""
        self._own_or_listed = False

    @property
    def is_preflight(self) -> bool:
        """Whether a browser asks for leave (Fetch standard, "CORS-preflight request")."""
        return self._method == "OPTIONS" and "access-control-request-method" in self._headers

    def check(self) -> None:
        """Raises Refusal."""
        hosts, origins = self._headers.getlist("host"), self._headers.getlist("origin")
        if len(hosts) != 1 or len(origins) > 1:
            raise bad_request("a request has one Host and at most one Origin")
        self._host = hosts[0].lower()
        if not self._reach.allows_host(_host_name(self._host)):
            raise Refusal(403, "host_not_allowed", "this server is not known by that name: allow it with --allowed-host")
        if origins:
            self._own_or_listed = self._reach.allows_origin(origins[0], self._scheme, self._host)
            changes = self._is_socket or self.is_preflight or self._method not in ("GET", "HEAD", "OPTIONS")
            if changes and not self._own_or_listed:
                raise Refusal(403, "origin_not_allowed", "pages of this origin may not ask here: allow it with --allowed-origin")

    def headers(self) -> dict[str, str]:
        """What the answer is dressed in."""
        headers = SECURITY_HEADERS | {"Vary": "Origin"}
        if self._own_or_listed:
            headers |= {"Access-Control-Allow-Origin": self._headers["origin"], "Access-Control-Expose-Headers": _EXPOSED}
        return headers


class _Dressed:
    """A `send` that adds headers where the answer does not have them."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self._send = send
        self._headers = headers

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers.setdefault(name, value)
        await self._send(message)


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
