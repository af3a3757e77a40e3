"""What stands between the server and its backends, and before its routes, to measure them. Changes nothing of what passes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codewrap.errors import CodewrapError
from codewrap.server.auditing import Auditor
from codewrap.server.guessing import Block
from codewrap.server.metrics import NO_ROUTE, Metrics
from codewrap.server.refusals import REFUSAL_IN_SCOPE
from codewrap.server.revocations import OnRevoked
from codewrap.server.state import HostedSession, Revocation, StateStore, StateUnavailable, TokenRecord
from codewrap.transport.base import Event, Publisher

_T = TypeVar("_T")


class MeasuredPublisher:
    """A `Publisher` over ``publisher``. Of one thread, as that is."""

    def __init__(self, publisher: Publisher, metrics: Metrics) -> None:
        self._publisher = publisher
        self._metrics = metrics

    def publish(self, events: Sequence[Event]) -> None:
        began_s = time.perf_counter()
        try:
            self._publisher.publish(events)
        except CodewrapError as error:
            self._metrics.publish_failed(type(error).__name__, time.perf_counter() - began_s)
            raise
        self._metrics.published(events, time.perf_counter() - began_s)

    def close(self) -> None:
        self._publisher.close()


class MeasuredState:
    """A `StateStore` over ``state``."""

    def __init__(self, state: StateStore, metrics: Metrics) -> None:
        self._state = state
        self._metrics = metrics
        self.where = state.where

    async def version(self) -> int:
        return await self._asked("version", self._state.version())

    async def revoke(self, revocation: Revocation) -> None:
        await self._asked("revoke", self._state.revoke(revocation))

    async def revocations(self, now_s: float) -> list[Revocation]:
        return await self._asked("revocations", self._state.revocations(now_s))

    async def add_token(self, record: TokenRecord) -> None:
        await self._asked("add_token", self._state.add_token(record))

    async def tokens(self, now_s: float) -> list[TokenRecord]:
        return await self._asked("tokens", self._state.tokens(now_s))

    async def claim(self, key: str, now_s: float, until_s: float) -> bool:
        return await self._asked("claim", self._state.claim(key, now_s, until_s))

    async def open_session(self, session: HostedSession, *, stale_s: float, most: int) -> str:
        return await self._asked("open_session", self._state.open_session(session, stale_s=stale_s, most=most))

    async def seen(self, name: str, grant: str, now_s: float) -> bool:
        return await self._asked("seen", self._state.seen(name, grant, now_s))

    async def end_session(self, name: str, grant: str | None) -> bool:
        return await self._asked("end_session", self._state.end_session(name, grant))

    async def session(self, name: str, now_s: float, *, stale_s: float) -> HostedSession | None:
        return await self._asked("session", self._state.session(name, now_s, stale_s=stale_s))

    async def sessions(self, now_s: float, *, stale_s: float) -> list[HostedSession]:
        return await self._asked("sessions", self._state.sessions(now_s, stale_s=stale_s))

    async def count(self, key: str, window_s: int, amount: int, now_s: float) -> tuple[int, float]:
        return await self._asked("count", self._state.count(key, window_s, amount, now_s))

    async def counted(self, key: str, now_s: float) -> tuple[int, float]:
        return await self._asked("counted", self._state.counted(key, now_s))

    async def forget_count(self, key: str) -> None:
        await self._asked("forget_count", self._state.forget_count(key))

    async def close(self) -> None:
        await self._state.close()

    async def _asked(self, operation: str, answer: Awaitable[_T]) -> _T:
        began_s = time.perf_counter()
        try:
            value = await answer
        except StateUnavailable:
            self._metrics.state_asked(operation, time.perf_counter() - began_s, answered=False)
            raise
        self._metrics.state_asked(operation, time.perf_counter() - began_s, answered=True)
        return value


class CountedRevocations:
    """What is called for each revocation, counted."""

    def __init__(self, revoked: OnRevoked, metrics: Metrics) -> None:
        self._revoked = revoked
        self._metrics = metrics

    async def __call__(self, revocation: Revocation, user: str | None) -> None:
        self._metrics.revoked("user" if revocation.subject.startswith("user:") else "token")
        await self._revoked(revocation, user)


class CountedBlocks:
    """What is called for each block of somebody who guesses: counted, and in the audit log."""

    def __init__(self, metrics: Metrics, audit: Auditor) -> None:
        self._metrics = metrics
        self._audit = audit

    def __call__(self, block: Block) -> None:
        self._metrics.blocked()
        self._audit.limited("authentications", user="", address=block.subject)


class MeasuredRequests:
    """ASGI middleware, the outermost: every request by the template of its route, whatever path was asked."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._templates: dict[object, str] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.perf_counter()
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - began_s
            code = scope.get(REFUSAL_IN_SCOPE)
            self._metrics.answered(scope["method"], self._template(scope), answer.status, seconds, code)

    def _template(self, scope: Scope) -> str:
        if self._templates is None:
            application = scope.get("app")
            routes = application.routes if isinstance(application, Starlette) else []
            self._templates = {route.endpoint: route.path for route in routes if isinstance(route, Route)}
        return self._templates.get(scope.get("endpoint"), NO_ROUTE)


class _Answer:
    """A `send` that notes the status. 500 until there is one: whoever fails before it is answered so."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 500

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)
