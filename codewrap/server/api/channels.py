"""`/pusher/auth` and `/pusher/user-auth`: what lets a socket subscribe and sign in."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from codewrap.errors import RemoteProtocolError
from codewrap.protocol.channels import parse_channel, printable
from codewrap.protocol.roles import Act, Role
from codewrap.server.authorize import ChannelRequest
from codewrap.server.identity import Identity
from codewrap.server.metrics import channel_kind
from codewrap.server.refusals import Refusal, forbidden
from codewrap.server.service import Service, field_of, fields_of


class ChannelApi:
    """Its endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/pusher/auth", self.authorize, methods=["POST"]),
            Route("/pusher/user-auth", self.sign_in, methods=["POST"]),
        ]

    async def authorize(self, request: Request) -> Response:
        identity = await self._service.identify(request)
        await self._service.count_authorization(request, identity)
        fields = await fields_of(request)
        asked = ChannelRequest(
            field_of(fields, "socket_id"),
            field_of(fields, "channel_name"),
            fields.get("role"),
            fields.get("name"),
            fields.get("client_output"),
            fields.get("challenge"),
        )
        with self._counted(channel_kind(asked.channel)):
            return JSONResponse(await self._authorized(identity, asked))

    async def _authorized(self, identity: Identity, asked: ChannelRequest) -> dict[str, str | int]:
        why, session = "", ""
        try:
            session = _session_of(asked.channel)
            identity.require_session(session)
            held = await self._held(identity, session)
            answer = self._service.signer.channel(identity.user, held, asked, identity.expires_at)
            await self._service.admit_socket(asked.socket_id, identity)
        except Refusal as refusal:
            why = refusal.message
            raise
        finally:
            shown = printable(asked.channel, 64)
            self._service.audit.channel(
                identity.user, identity.role, session=session, channel=shown, socket_id=printable(asked.socket_id, 40), why=why
            )
        return answer

    async def _held(self, identity: Identity, session: str) -> Role:
        """The most that somebody may be to ``session``: while one hosts it, others who may host are writers to it."""
        if identity.role is not Role.HOST:
            return identity.role
        hosted = await self._service.registry.find(session)
        return Role.HOST if hosted is None or hosted.owner == identity.user else Role.WRITER

    async def sign_in(self, request: Request) -> Response:
        identity = await self._service.identify(request, Act.SIGN_IN)
        await self._service.count_authorization(request, identity)
        socket_id = field_of(await fields_of(request), "socket_id")
        with self._counted("user"):
            answer = self._service.signer.user(identity.user, socket_id)
            await self._service.admit_socket(socket_id, identity)
            return JSONResponse(answer)

    @contextlib.contextmanager
    def _counted(self, channel: str) -> Generator[None]:
        try:
            yield
        except Refusal as refusal:
            self._service.metrics.authorized(channel, refusal.code)
            raise
        self._service.metrics.authorized(channel, "ok")


def _session_of(channel: str) -> str:
    try:
        return parse_channel(channel).session
    except RemoteProtocolError:
        raise forbidden("this is not a channel of a session") from None
