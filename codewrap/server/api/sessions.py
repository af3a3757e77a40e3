"""`/api/sessions`: opened, renewed, listed and ended; and Pusher's HTTP API for the credentials that a session is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from codewrap.errors import AuthError
from codewrap.protocol.channels import is_session_name
from codewrap.protocol.roles import Act, Role
from codewrap.server import bodies
from codewrap.server.commands import session_name
from codewrap.server.credentials import SignedRequest, WrongSignature, is_session_key
from codewrap.server.identity import Identity
from codewrap.server.limits import OPENINGS
from codewrap.server.outlets import MAX_EVENTS
from codewrap.server.refusals import Refusal, bad_request, forbidden
from codewrap.server.registry import is_grant
from codewrap.server.service import FRAMING_BYTES, Service, object_of
from codewrap.server.state import HostedSession

Handler = Callable[[Request], Awaitable[Response]]
# JSON makes two bytes of each quote.
EVENT_ESCAPING = 2


class SessionApi:
    """Its endpoints. Requests to the HTTP API that no session signed go to ``hub``."""

    def __init__(self, service: Service, hub: Router | None) -> None:
        self._service = service
        self._hub = hub

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/sessions", self.open, methods=["POST"]),
            Route("/api/sessions", self.list, methods=["GET"]),
            Route("/api/sessions/{name}/end", self.end, methods=["POST"]),
            Route("/apps/{app_id}/events", _SignedApi(self.events, self._hub), methods=["POST"], name="events"),
            Route("/apps/{app_id}/batch_events", _SignedApi(self.batch_events, self._hub), methods=["POST"], name="batch_events"),
        ]

    async def open(self, request: Request) -> Response:
        identity = await self._service.identify(request)
        await self._service.count(OPENINGS, request, identity)
        fields = await object_of(request, "sessionId", "grant")
        name = session_name(fields)
        self._service.require(identity, Act.PUBLISH, name)
        session = await self._current(name, fields, identity) or await self._open(name, identity)
        issued = self._service.issuer.issue(name, session.grant, self._service.clock(), identity.expires_at)
        return JSONResponse(
            {
                "appId": issued.app_id,
                "key": issued.key,
                "secret": issued.secret,
                "expiresAt": issued.expires_at,
                "grant": session.grant,
                "owner": session.owner,
            }
        )

    async def list(self, request: Request) -> Response:
        identity = await self._service.identify(request, Act.LIST)
        sessions = [session for session in await self._service.registry.all() if identity.reaches(session.name)]
        shown = [
            {"sessionId": s.name, "owner": s.owner, "openedAt": round(s.opened_at), "seenAt": round(s.seen_at)} for s in sessions
        ]
        return JSONResponse({"sessions": shown})

    async def end(self, request: Request) -> Response:
        name = path_session(request)
        identity = await self._service.identify(request, Act.PUBLISH, name)
        fields = await object_of(request, "grant")
        grant = _grant(fields)
        if grant is None:
            raise bad_request("grant is missing")
        session = await self._service.registry.find(name, fresh=True)
        if session is not None and session.grant == grant:
            require_owner(identity, session)
            await self._service.registry.end(name, grant)
            self._service.audit.session_closed(identity.user, session=name, cause="ended by its host")
        return JSONResponse({"status": "ended"})

    async def events(self, request: Request) -> Response:
        session, fields = await self._signed(request)
        await self._service.publish(session, self._service.commands.published(session, fields))
        return JSONResponse({})  # as Pusher answers

    async def batch_events(self, request: Request) -> Response:
        session, fields = await self._signed(request)
        await self._service.publish(session, self._service.commands.published_batch(session, fields))
        return JSONResponse({})

    async def _open(self, name: str, identity: Identity) -> HostedSession:
        why = ""
        try:
            return await self._service.registry.open(name, identity)
        except Refusal as refusal:
            why = refusal.message
            if refusal.status == 429:
                self._service.metrics.limit_hit("sessions", "user")
            raise
        finally:
            self._service.audit.session_opened(identity.user, session=name, why=why)

    async def _current(self, name: str, fields: dict[str, object], identity: Identity) -> HostedSession | None:
        grant = _grant(fields)
        return None if grant is None else await self._service.registry.renew(name, grant, identity)

    async def _signed(self, request: Request) -> tuple[str, dict[str, object]]:
        """The session that signed the request, and its body's fields."""
        service = self._service
        limit = MAX_EVENTS * EVENT_ESCAPING * service.settings.event_bytes + FRAMING_BYTES
        # Nobody is known before the whole body is here; who has no session's key at all is not waited for.
        if not is_session_key(request.scope["query_string"].decode("latin-1")):
            raise Refusal(401, "unauthorized", "auth_key is not that of a session")
        body = await bodies.read(request, limit)
        try:
            credentials = service.issuer.check(_signed_request(request, body), service.clock())
            await service.registry.check(credentials)
        except WrongSignature as error:
            await service.gatekeeper.check_patience(request)
            raise await service.gatekeeper.failed(request, error.reason) from None
        except AuthError as error:
            service.metrics.authenticated("failed", "session_over")
            raise Refusal(401, "unauthorized", error.reason) from None
        service.metrics.authenticated("ok", "session")
        return credentials.session, bodies.parse_object(body)


class _SignedApi:
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


def path_session(request: Request) -> str:
    """The session named in the path. Raises Refusal (404)."""
    name: str = request.path_params["name"]
    if not is_session_name(name):
        raise Refusal(404, "no_such_session", "this is not a session's name")
    return name


def require_owner(identity: Identity, session: HostedSession) -> None:
    """Raises Refusal (403) but for the session's owner and admins."""
    if identity.role is not Role.ADMIN and identity.user != session.owner:
        raise forbidden("this session is somebody else's")


def _grant(fields: dict[str, object]) -> str | None:
    if "grant" not in fields:
        return None
    grant = bodies.text(fields, "grant")
    if not is_grant(grant):
        raise bad_request("grant is not what opening a session answers")
    return grant


def _signed_request(request: Request, body: bytes) -> SignedRequest:
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query = request.scope["query_string"].decode("latin-1")
    path = raw.partition(b"?")[0].decode("latin-1")
    return SignedRequest(request.method, path, query, body, request.path_params["app_id"])
