"""`serve-auth` put together. Keeps nothing that another copy of the server would miss: that is in the state store.

Who asks: `identity.py`. What they may: `protocol/roles.py`. The endpoints: `api/`. The hub, if any, is handed in by `cli`.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, Router

from codewrap.server.api.about import AboutApi
from codewrap.server.api.answerpage import AnswerPageApi
from codewrap.server.api.answers import AnswerApi
from codewrap.server.api.channels import ChannelApi
from codewrap.server.api.hosting import HostingApi
from codewrap.server.api.looking import LookingApi
from codewrap.server.api.metrics import MetricsApi
from codewrap.server.api.pages import PageApi
from codewrap.server.api.recordings import RecordingApi
from codewrap.server.api.sessions import SessionApi
from codewrap.server.api.shares import ShareApi
from codewrap.server.api.tokens import TokenApi
from codewrap.server.api.typing import TypingApi
from codewrap.server.auditing import Auditor
from codewrap.server.authorize import Signer
from codewrap.server.commands import Commands
from codewrap.server.counting import SteadyStorage
from codewrap.server.credentials import Issuer
from codewrap.server.expiry import Expiry
from codewrap.server.guard import SECURITY_HEADERS, Guard
from codewrap.server.guessing import Guessing
from codewrap.server.health import Health, Probe, always
from codewrap.server.identity import Gatekeeper, Recognizer
from codewrap.server.limits import Limits
from codewrap.server.limitstorage import StateStorage
from codewrap.server.looking import Looking, Looks
from codewrap.server.measured import CountedBlocks, CountedRevocations, MeasuredPublisher, MeasuredRequests, MeasuredState
from codewrap.server.metrics import Census, Metrics
from codewrap.server.outlets import Outlets
from codewrap.server.recordingfiles import RecordingFiles
from codewrap.server.recordings import Recordings
from codewrap.server.refusals import REFUSAL_IN_SCOPE, Refusal
from codewrap.server.registry import Registry
from codewrap.server.revocations import Revocations
from codewrap.server.revoking import Revoker, TerminateUser
from codewrap.server.service import PublicBroker, ServerSettings, Service
from codewrap.server.sockets import AuthorizedSockets
from codewrap.server.state import StateStore, StateUnavailable
from codewrap.server.telling import HostTeller
from codewrap.server.tokens import TokenRecognizer, TokenSigner
from codewrap.transport.base import Publisher

__all__ = ["Backends", "MountedHub", "PublicBroker", "ServerSettings", "build_app"]
LOGGER = logging.getLogger("codewrap.server")


class Api(Protocol):
    """Endpoints that are about one thing."""

    def routes(self) -> list[BaseRoute]:
        """Theirs."""


Lifespan = Callable[[], contextlib.AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class MountedHub:
    """The broker in this process: its routes, served on our port, what runs while they are, and how a socket of it is closed."""

    routes: Sequence[BaseRoute]
    lifespan: Lifespan = contextlib.nullcontext
    close_socket: Callable[[str], None] | None = None
    is_open: Callable[[str], bool] | None = None
    census: Callable[[], Census] | None = None


@dataclass(frozen=True, slots=True)
class Backends:
    """What the server rests on. ``make_publisher`` is called once per publishing thread; ``terminate`` blocks, and may be None.

    With a hub ``make_publisher`` is called once, and its publisher is used in the event loop: it must hand over and never wait.
    ``several``: other copies of the server may share ``state``, and limits are counted in it.
    ``recordings`` None: none are stored. ``looks`` None: no screens are shown.
    """

    make_publisher: Callable[[], Publisher]
    state: StateStore
    audit: Auditor
    recognizers: Sequence[Recognizer] = ()
    terminate: TerminateUser | None = None
    probe: Probe = always
    several: bool = False
    recordings: RecordingFiles | None = None
    looks: Looks | None = None


def build_app(
    settings: ServerSettings,
    backends: Backends,
    hub: MountedHub | None = None,
    *,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """The server's application."""
    service = _service(settings, backends, hub, clock)
    own = Router(hub.routes, redirect_slashes=False) if hub is not None else None
    health = Health(backends.probe)
    apis: list[Api] = [
        ChannelApi(service),
        TypingApi(service),
        SessionApi(service, own),
        HostingApi(service),
        LookingApi(service),
        RecordingApi(service),
        TokenApi(service),
        ShareApi(service),
        AnswerApi(service),
        AnswerPageApi(),
        AboutApi(service, health),
        PageApi(),
        MetricsApi(service, hub.census if hub is not None else None),
    ]
    app = Starlette(
        routes=[*(route for api in apis for route in api.routes()), *(hub.routes if hub is not None else ())],
        middleware=[Middleware(MeasuredRequests, metrics=service.metrics), Middleware(Guard, reach=settings.reach)],
        exception_handlers={
            Refusal: _refused,
            HTTPException: _refused,
            StateUnavailable: _state_unavailable,
            Exception: _failed,
        },
        lifespan=_Lifespan(service, backends, hub.lifespan if hub is not None else contextlib.nullcontext),
    )
    app.router.redirect_slashes = False  # a redirected POST loses its token or its body
    return app


def _service(settings: ServerSettings, backends: Backends, hub: MountedHub | None, clock: Callable[[], float]) -> Service:
    metrics = Metrics()
    state = MeasuredState(backends.state, metrics)
    outlets = Outlets(lambda: MeasuredPublisher(backends.make_publisher(), metrics), in_loop=hub is not None)
    sockets = AuthorizedSockets(hub.close_socket, is_open=hub.is_open) if hub is not None else AuthorizedSockets()
    counting = SteadyStorage(StateStorage(state, clock), clock) if backends.several else None
    commands = Commands(settings.master_key, settings.event_bytes)
    revoker = Revoker(sockets, backends.terminate)
    revocations = Revocations(state, CountedRevocations(revoker.revoked, metrics), clock)
    registry = Registry(state, revocations, clock, most=settings.bounds.sessions_per_user)
    hosts = HostTeller(settings.master_key, registry, outlets.publish, clock)
    revoker.tell_hosts = hosts.revoke
    signer = TokenSigner(settings.signing_keys)
    recognizers = (TokenRecognizer(signer), *backends.recognizers)
    return Service(
        settings=settings,
        state=state,
        outlets=outlets,
        gatekeeper=Gatekeeper(
            settings.token,
            recognizers,
            guessing=Guessing(counting, CountedBlocks(metrics, backends.audit), clock),
            standing=revocations.check,
            audit=backends.audit,
            on_authenticated=metrics.authenticated,
            wall_clock=clock,
        ),
        revocations=revocations,
        registry=registry,
        tokens=signer,
        signer=Signer(settings.app, settings.master_key),
        commands=commands,
        issuer=Issuer(settings.app.app_id, settings.app.secret),
        sockets=sockets,
        hosts=hosts,
        audit=backends.audit,
        limits=Limits(counting, metrics.limit_hit, clock),
        metrics=metrics,
        recordings=Recordings(backends.recordings, registry, clock),
        looking=Looking(backends.looks),
        clock=clock,
    )


class _Lifespan:
    """Runs the hub's own around ours: publishers are closed before the hub that they publish to."""

    def __init__(self, service: Service, backends: Backends, hub: Lifespan) -> None:
        self._service = service
        self._recognizers = backends.recognizers
        self._expiry = Expiry(service.sockets, backends.terminate, service.clock)
        self._hub = hub

    @contextlib.asynccontextmanager
    async def __call__(self, _app: Starlette) -> AsyncIterator[None]:
        service = self._service
        async with self._hub():
            await service.revocations.start()
            self._expiry.start()
            service.recordings.start()
            try:
                yield
            finally:
                await service.looking.close()
                await service.recordings.close()
                await self._expiry.close()
                await service.revocations.close()
                await service.outlets.close()
                for recognizer in self._recognizers:
                    await recognizer.close()
                await service.state.close()
                await service.audit.close()


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):  # the router's own: no such route, or method
        codes = {404: "not_found", 405: "method_not_allowed"}
        refusal = Refusal(error.status_code, codes.get(error.status_code, "refused"), error.detail)
        response = _answered(request, refusal)
        response.headers.update(error.headers or {})
        if error.status_code == 405:
            response.headers["Allow"] = _allowed(request)
        return response
    if isinstance(error, Refusal):
        return _answered(request, error)
    raise error


def _allowed(request: Request) -> str:
    """Every method of the path: the router names those of one route, and a path may have several."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    methods = [route.methods or () for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted(set().union(*methods)))


def _answered(request: Request, refusal: Refusal) -> Response:
    request.scope[REFUSAL_IN_SCOPE] = refusal.code
    return refusal.response()


async def _state_unavailable(request: Request, error: Exception) -> Response:
    LOGGER.error("%s", error)
    refusal = Refusal(503, "state_unavailable", "what this server keeps cannot be read now", retry_after_s=2)
    return _answered(request, refusal)


async def _failed(request: Request, _error: Exception) -> Response:
    response = _answered(request, Refusal(500, "internal_error", "this is a fault of the server; its log says more"))
    response.headers.update(SECURITY_HEADERS)
    return response
