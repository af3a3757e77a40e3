"""What the server says of itself to anybody, and of the asker to them: configuration, health, its document, `whoami`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from codewrap.protocol.roles import RIGHTS
from codewrap.server import openapi
from codewrap.server.health import Health
from codewrap.server.service import Service

CONFIG_VERSION = 1


class AboutApi:
    """Its endpoints."""

    def __init__(self, service: Service, health: Health) -> None:
        self._service = service
        self._health = health

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/config", self.config, methods=["GET"]),
            Route("/api/whoami", self.whoami, methods=["GET"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/openapi.json", self.document, methods=["GET"]),
        ]

    async def config(self, _request: Request) -> Response:
        settings = self._service.settings
        broker = settings.broker
        return JSONResponse(
            {
                "version": CONFIG_VERSION,
                "broker": {
                    "host": broker.host,
                    "port": broker.port,
                    "tls": broker.tls,
                    "key": settings.app.key,
                    "path": broker.path,
                },
                "limits": {"event_bytes": settings.event_bytes, "client_events_per_s": settings.client_events_per_s},
                "encrypted": settings.encrypted,
            }
        )

    async def whoami(self, request: Request) -> Response:
        identity = await self._service.identify(request)
        return JSONResponse(
            {
                "user": identity.user,
                "name": identity.name,
                "role": identity.role.value,
                "sessions": list(identity.sessions),
                "kind": identity.kind,
                "tokenId": identity.token_id or None,
                "expiresAt": identity.expires_at,
                "may": sorted(act.value for act in RIGHTS[identity.role].acts),
            }
        )

    async def healthz(self, _request: Request) -> Response:
        answers = await self._health.broker_answers()
        return JSONResponse({"status": "ok", "broker": "ok" if answers else "unreachable"})

    async def document(self, _request: Request) -> Response:
        return JSONResponse(openapi.document())
