"""`GET /metrics`, for Prometheus: with an admin's token, or one that is for this alone."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from codewrap.protocol.roles import Act
from codewrap.server.identity import bearer_of, hash_secret, same_secret
from codewrap.server.metrics import CONTENT_TYPE, Census, Now
from codewrap.server.service import Service
from codewrap.server.state import StateUnavailable


class MetricsApi:
    """Its endpoint. ``census`` tells who is at the hub of this process, if there is one."""

    def __init__(self, service: Service, census: Callable[[], Census] | None) -> None:
        self._service = service
        self._census = census
        token = service.settings.metrics_token
        self._token_hash = hash_secret(token) if token else None

    def routes(self) -> list[BaseRoute]:
        return [Route("/metrics", self.metrics, methods=["GET"])]

    async def metrics(self, request: Request) -> Response:
        await self._check(request)
        return Response(self._service.metrics.text(await self._now()), media_type=CONTENT_TYPE)

    async def _check(self, request: Request) -> None:
        await self._service.gatekeeper.check_patience(request)
        given = bearer_of(request)
        if self._token_hash is not None and given is not None and same_secret(given, self._token_hash):
            return
        await self._service.identify(request, Act.METRICS)

    async def _now(self) -> Now:
        service = self._service
        try:
            sessions: int | None = len(await service.registry.all())
        except StateUnavailable:  # it is then that somebody looks here
            sessions = None
        return Now(
            sessions=sessions,
            revocations=len(service.revocations),
            publishes_waiting=service.outlets.waiting,
            audit_waiting=service.audit.queued,
            audit_refused=service.audit.refused_writes,
            census=self._census() if self._census is not None else None,
        )
