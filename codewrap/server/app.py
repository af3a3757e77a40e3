"""The routes of `serve-auth`, put together. Keeps nothing that another copy of the server would miss.

Who asks: `identity.py`. What they may: `authorize.py`, `commands.py`, `credentials.py`. The hub, if any, is handed in by `cli`.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from codewrap.errors import AuthError, TransportError
from codewrap.protocol.roles import Act
from codewrap.server import bodies, openapi
from codewrap.server.authorize import ChannelRequest, Signer
from codewrap.server.commands import Commands, session_name
from codewrap.server.credentials import Issuer, SignedRequest, WrongSignature, is_session_key
from codewrap.server.guard import SECURITY_HEADERS, Guard, Reach
from codewrap.server.health import Health, Probe, always
from codewrap.server.identity import Gatekeeper, Identity
from codewrap.server.limits import Rate
from codewrap.server.outlets import MAX_EVENTS, Outlets
from codewrap.server.refusals import Refusal, bad_request, too_large, too_many
from codewrap.transport.base import AppCredentials, Event, Publisher, RetryLater

CONFIG_VERSION = 1
FORM_BYTES = 8 * 1024
FRAMING_BYTES = 16 * 1024
# JSON makes six bytes of a control character, and of each quote two.
INPUT_ESCAPING = 6
EVENT_ESCAPING = 2
INPUTS_PER_S, INPUT_BURST = 60.0, 120
SYNCS_PER_S, SYNC_BURST = 10.0, 30
LOGGER = logging.getLogger("codewrap.server")

Handler = Callable[[Request], Awaitable[Response]]
Lifespan = Callable[[], contextlib.AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class PublicBroker:
    """Where clients find the broker. All None: at the URL under which they ask us."""

    host: str | None = None
    port: int | None = None
    tls: bool | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Plain values, checked by `cli`."""

    app: AppCredentials
    master_key: bytes = field(repr=False)
    token: str = field(repr=False)
    event_bytes: int
    broker: PublicBroker = field(default_factory=PublicBroker)
    reach: Reach = field(default_factory=Reach)
    encrypted: bool = True
    client_events_per_s: int | None = None


@dataclass(frozen=True, slots=True)
class MountedHub:
    """The broker in this process: its routes, served on our port, and what runs while they are."""

    routes: Sequence[BaseRoute]
    lifespan: Lifespan = contextlib.nullcontext


def build_app(
    settings: ServerSettings,
    make_publisher: Callable[[], Publisher],
    hub: MountedHub | None = None,
    *,
    probe: Probe = always,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """The server. ``probe`` says whether the broker answers. ``make_publisher`` is called once per publishing thread.

    With a ``hub`` it is called once, and its publisher is used in the event loop: it must hand over to the hub and never wait.
    """
    server = _Server(settings, Outlets(make_publisher, in_loop=hub is not None), Health(probe), clock)
    own = Router(hub.routes, redirect_slashes=False) if hub is not None else None
    app = Starlette(
        routes=[*server.routes(own), *(hub.routes if hub is not None else ())],
        middleware=[Middleware(Guard, reach=settings.reach)],
        exception_handlers={Refusal: _refused, HTTPException: _refused, Exception: _failed},
        lifespan=_Lifespan(server, hub.lifespan if hub is not None else contextlib.nullcontext),
    )
    app.router.redirect_slashes = False  # a redirected POST loses its token or its body
    return app


class _Lifespan:
    """Runs the hub's own around ours: publishers are closed before the hub that they publish to."""

    def __init__(self, server: _Server, hub: Lifespan) -> None:
        self._server = server
        self._hub = hub

    @contextlib.asynccontextmanager
    async def __call__(self, _app: Starlette) -> AsyncIterator[None]:
        async with self._hub():
            try:
                yield
            finally:
                await self._server.close()


class _Server:
    """One handler per endpoint: read, ask who, check what, do, answer."""

    def __init__(self, settings: ServerSettings, outlets: Outlets, health: Health, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._outlets = outlets
        self._health = health
        self._clock = clock
        self._gatekeeper = Gatekeeper(settings.token)
        self._signer = Signer(settings.app, settings.master_key)
        self._commands = Commands(settings.master_key, settings.event_bytes)
        self._issuer = Issuer(settings.app.app_id, settings.app.secret)
        self._inputs = Rate(INPUTS_PER_S, INPUT_BURST)
        self._syncs = Rate(SYNCS_PER_S, SYNC_BURST)

    def routes(self, hub: Router | None) -> list[BaseRoute]:
        """Every route of ours. Requests to the HTTP API that no session signed go to ``hub``."""
        return [
            Route("/pusher/auth", self.authorize, methods=["POST"]),
            Route("/pusher/user-auth", self.sign_in, methods=["POST"]),
            Route("/api/commands/input", self.input, methods=["POST"]),
            Route("/api/commands/sync", self.sync, methods=["POST"]),
            Route("/api/sessions", self.open_session, methods=["POST"]),
            Route("/api/config", self.config, methods=["GET"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/openapi.json", self.document, methods=["GET"]),
            Route("/apps/{app_id}/events", _SessionApi(self.events, hub), methods=["POST"], name="events"),
            Route("/apps/{app_id}/batch_events", _SessionApi(self.batch_events, hub), methods=["POST"], name="batch_events"),
        ]

    async def close(self) -> None:
        """Finish what is being published."""
        await self._outlets.close()

    async def authorize(self, request: Request) -> Response:
        identity = self._gatekeeper.identify(request)
        fields = await self._fields(request)
        asked = ChannelRequest(
            _field(fields, "socket_id"),
            _field(fields, "channel_name"),
            fields.get("role"),
            fields.get("name"),
            fields.get("client_output"),
        )
        return JSONResponse(self._signer.channel(identity.user, identity.role, asked))

    async def sign_in(self, request: Request) -> Response:
        identity = self._identify(request, Act.SIGN_IN)
        fields = await self._fields(request)
        return JSONResponse(self._signer.user(identity.user, _field(fields, "socket_id")))

    async def input(self, request: Request) -> Response:
        self._identify(request, Act.TYPE)
        body = await bodies.read(request, INPUT_ESCAPING * self._settings.event_bytes + FRAMING_BYTES)
        fields = bodies.parse_object(body)
        _within(self._inputs, session_name(fields), "inputs to this session")
        return await self._accept(session_name(fields), self._commands.input(fields, self._clock()))

    async def sync(self, request: Request) -> Response:
        self._identify(request, Act.SYNC)
        fields = bodies.parse_object(await bodies.read(request, FORM_BYTES))
        _within(self._syncs, session_name(fields), "requests to this session")
        return await self._accept(session_name(fields), self._commands.sync(fields))

    async def open_session(self, request: Request) -> Response:
        self._identify(request, Act.PUBLISH)
        fields = bodies.parse_object(await bodies.read(request, FORM_BYTES))
        bodies.only(fields, "sessionId")
        issued = self._issuer.issue(session_name(fields), self._clock())
        return JSONResponse({"appId": issued.app_id, "key": issued.key, "secret": issued.secret, "expiresAt": issued.expires_at})

    async def events(self, request: Request) -> Response:
        session, fields = await self._signed(request)
        return await self._publish(session, self._commands.published(session, fields))

    async def batch_events(self, request: Request) -> Response:
        session, fields = await self._signed(request)
        return await self._publish(session, self._commands.published_batch(session, fields))

    async def config(self, _request: Request) -> Response:
        broker = self._settings.broker
        return JSONResponse(
            {
                "version": CONFIG_VERSION,
                "broker": {
                    "host": broker.host,
                    "port": broker.port,
                    "tls": broker.tls,
                    "key": self._settings.app.key,
                    "path": broker.path,
                },
                "limits": {
                    "event_bytes": self._settings.event_bytes,
                    "client_events_per_s": self._settings.client_events_per_s,
                },
                "encrypted": self._settings.encrypted,
            }
        )

    async def healthz(self, _request: Request) -> Response:
        answers = await self._health.broker_answers()
        return JSONResponse({"status": "ok", "broker": "ok" if answers else "unreachable"})

    async def document(self, _request: Request) -> Response:
        return JSONResponse(openapi.document())

    def _identify(self, request: Request, act: Act) -> Identity:
        identity = self._gatekeeper.identify(request)
        identity.require(act)
        return identity

    async def _fields(self, request: Request) -> dict[str, str]:
        return bodies.parse_fields(request.headers.get("content-type"), await bodies.read(request, FORM_BYTES))

    async def _signed(self, request: Request) -> tuple[str, dict[str, object]]:
        """The session that signed the request, and its body's fields."""
        limit = MAX_EVENTS * EVENT_ESCAPING * self._settings.event_bytes + FRAMING_BYTES
        # Nobody is known before the whole body is here; who has no session's key at all is not waited for.
        if not is_session_key(request.scope["query_string"].decode("latin-1")):
            raise Refusal(401, "unauthorized", "auth_key is not that of a session")
        body = await bodies.read(request, limit)
        try:
            session = self._issuer.check(_signed_request(request, body), self._clock())
        except WrongSignature as error:
            self._gatekeeper.check_patience(request)
            raise self._gatekeeper.failed(request, error.reason) from None
        except AuthError as error:
            raise Refusal(401, "unauthorized", error.reason) from None
        return session, bodies.parse_object(body)

    async def _accept(self, session: str, event: Event) -> Response:
        await self._hand_over(session, [event])
        return JSONResponse({"status": "accepted"}, 202)

    async def _publish(self, session: str, events: list[Event]) -> Response:
        await self._hand_over(session, events)
        return JSONResponse({})  # as Pusher answers

    async def _hand_over(self, session: str, events: list[Event]) -> None:
        try:
            await self._outlets.publish(session, events)
        except RetryLater as error:
            raise too_many("the broker asks for patience", max(1, round(error.retry_after_s or 1))) from error
        except TransportError as error:
            if error.status == 413:
                raise too_large("the event", self._settings.event_bytes) from error
            LOGGER.warning("publishing failed: %s", error)
            raise Refusal(503, "broker_unavailable", "the broker did not take it", retry_after_s=1) from error
        except AuthError as error:
            LOGGER.error("the broker refuses this server's credentials: %s", error)
            raise Refusal(502, "broker_refused", "the broker refuses this server's credentials") from error


class _SessionApi:
    """Pusher's HTTP API on our own port: requests signed by a session's credentials are ours, all others the hub's."""

    def __init__(self, handle: Handler, hub: Router | None) -> None:
        self._handle = handle
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._hub is not None and not is_session_key(scope["query_string"].decode("latin-1")):
            await self._hub(scope, receive, send)
            return
        response = await self._handle(Request(scope, receive))
        await response(scope, receive, send)


def _signed_request(request: Request, body: bytes) -> SignedRequest:
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query = request.scope["query_string"].decode("latin-1")
    path = raw.partition(b"?")[0].decode("latin-1")
    return SignedRequest(request.method, path, query, body, request.path_params["app_id"])


def _field(fields: dict[str, str], name: str) -> str:
    if name not in fields:
        raise bad_request(f"{name} is missing")
    return fields[name]


def _within(rate: Rate, name: str, what: str) -> None:
    wait_s = rate.take(name, time.monotonic())
    if wait_s is not None:
        raise too_many(f"too many {what}", wait_s)


async def _refused(_request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):  # the router's own: no such route, or method
        codes = {404: "not_found", 405: "method_not_allowed"}
        response = Refusal(error.status_code, codes.get(error.status_code, "refused"), error.detail).response()
        response.headers.update(error.headers or {})
        return response
    if isinstance(error, Refusal):
        return error.response()
    raise error


async def _failed(_request: Request, _error: Exception) -> Response:
    response = Refusal(500, "internal_error", "this is a fault of the server; its log says more").response()
    response.headers.update(SECURITY_HEADERS)
    return response
