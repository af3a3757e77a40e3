"""`/api/commands/*`: input and requests over HTTP, for programs and where a broker has no client events."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from codewrap.protocol.channels import printable
from codewrap.protocol.roles import Act
from codewrap.server import bodies
from codewrap.server.commands import session_name
from codewrap.server.identity import Identity
from codewrap.server.limits import INPUTS, SYNCS
from codewrap.server.refusals import Refusal
from codewrap.server.service import FORM_BYTES, FRAMING_BYTES, Service

# JSON makes six bytes of a control character.
INPUT_ESCAPING = 6


class TypingApi:
    """Its endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/commands/input", self.input, methods=["POST"]),
            Route("/api/commands/sync", self.sync, methods=["POST"]),
        ]

    async def input(self, request: Request) -> Response:
        try:
            response = await self._input(request)
        except Refusal as refusal:
            self._service.metrics.typed(refusal.code)
            raise
        self._service.metrics.typed("ok")
        return response

    async def _input(self, request: Request) -> Response:
        identity = await self._service.identify(request, Act.TYPE)
        limit = INPUT_ESCAPING * self._service.settings.event_bytes + FRAMING_BYTES
        fields = bodies.parse_object(await bodies.read(request, limit))
        why = ""
        try:
            return await self._typed(request, identity, fields)
        except Refusal as refusal:
            why = refusal.message
            raise
        finally:
            self._audit(identity, fields, why)

    async def _typed(self, request: Request, identity: Identity, fields: dict[str, object]) -> Response:
        session = session_name(fields)
        identity.require_session(session)
        await self._service.count(INPUTS, request, identity, session)
        event = self._service.commands.input(fields, self._service.clock(), identity.user)
        return await self._service.accept(session, event)

    def _audit(self, identity: Identity, fields: dict[str, object], why: str) -> None:
        """Never what was typed: who, where to, how much."""
        sealed, typed, name = fields.get("sealed"), fields.get("input"), fields.get("sessionId")
        envelope = sealed if isinstance(sealed, dict) else {}
        size = len(typed.encode(errors="replace")) if isinstance(typed, str) else len(str(envelope.get("ciphertext", "")))
        self._service.audit.input(
            identity.user,
            identity.role,
            session=printable(name, 48) if isinstance(name, str) else "",
            writer=printable(str(envelope.get("writer", "")), 80),
            size=size,
            sealed=sealed is not None,
            why=why,
        )

    async def sync(self, request: Request) -> Response:
        identity = await self._service.identify(request)
        fields = bodies.parse_object(await bodies.read(request, FORM_BYTES))
        session = session_name(fields)
        self._service.require(identity, Act.SYNC, session)
        await self._service.count(SYNCS, request, identity, session)
        return await self._service.accept(session, self._service.commands.sync(fields))
