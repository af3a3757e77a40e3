"""`/api/sessions/NAME/approvals` and `/kill`: what a session's owner tells its host from elsewhere."""

from __future__ import annotations

import signal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from codewrap.protocol.roles import Act, is_user
from codewrap.server import bodies
from codewrap.server.api.sessions import path_session, require_owner
from codewrap.server.identity import Identity
from codewrap.server.refusals import bad_request
from codewrap.server.service import Service, object_of

SIGNALS = frozenset(range(1, signal.NSIG))


class HostingApi:
    """Its endpoints. They answer when the broker has it; what becomes of it the host decides."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/sessions/{name}/approvals", self.approve, methods=["POST"]),
            Route("/api/sessions/{name}/kill", self.kill, methods=["POST"]),
        ]

    async def approve(self, request: Request) -> Response:
        name, identity = await self._owned(request, Act.APPROVE)
        fields = await object_of(request, "user", "allow")
        user, allow = bodies.text(fields, "user"), fields.get("allow", True)
        if not is_user(user) or not isinstance(allow, bool):
            raise bad_request("user is a user's id, allow true or false")
        self._service.audit.administered(identity.user, "approve" if allow else "deny", session=name, user=user)
        await self._service.telling(self._service.hosts.decide(name, user, allow=allow))
        return JSONResponse({"status": "accepted"}, 202)

    async def kill(self, request: Request) -> Response:
        name, identity = await self._owned(request, Act.KILL)
        number = (await object_of(request, "signal")).get("signal")
        if number is not None and (type(number) is not int or number not in SIGNALS):
            raise bad_request("signal is not a signal's number")
        self._service.audit.administered(identity.user, "kill", session=name)
        await self._service.telling(self._service.hosts.kill(name, number))
        return JSONResponse({"status": "accepted"}, 202)

    async def _owned(self, request: Request, act: Act) -> tuple[str, Identity]:
        """The session named in the path, and the asker, who owns it. Raises Refusal."""
        name = path_session(request)
        identity = await self._service.identify(request, act, name)
        require_owner(identity, await self._service.registry.require(name))
        return name, identity
