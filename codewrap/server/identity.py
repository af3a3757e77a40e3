"""Who asks: one function from a request to an Identity. AUTH_TOKEN makes an admin; other tokens are known by recognizers.

The token comes in `Authorization: Bearer` only: never in a query, a form or a cookie.
"""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request

from codewrap.protocol.roles import Act, Role, may
from codewrap.server.limits import Failures
from codewrap.server.refusals import Refusal, forbidden, too_many

ADMIN_USER = "admin"
MAX_TOKEN_CHARACTERS = 8192


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, and the most that their token allows. ``user`` fits `roles.is_user`."""

    user: str
    role: Role
    sessions: tuple[str, ...] = ()
    """Patterns of the sessions that it is for (`build-*`); none: every session."""
    token_id: str = ""
    kind: str = "admin"
    """`admin` (AUTH_TOKEN), `token`, `share` or `oidc`."""
    issued_at: float = 0.0
    expires_at: float | None = None
    name: str = ""

    def require(self, act: Act, session: str | None = None) -> None:
        """Raises Refusal (403) where the role may not, or not with ``session``."""
        if not may(self.role, act):
            raise forbidden(f"this token may not {act.value}")
        if session is not None:
            self.require_session(session)

    def reaches(self, session: str) -> bool:
        """Whether the token is for that session."""
        return not self.sessions or any(fnmatch.fnmatchcase(session, pattern) for pattern in self.sessions)

    def require_session(self, session: str) -> None:
        """Raises Refusal (403)."""
        if not self.reaches(session):
            raise forbidden("this token is not for this session")


class Recognizer(Protocol):
    """Knows one kind of token."""

    async def identify(self, token: str, now_s: float) -> Identity | None:
        """None: not of this kind. Raises Refusal: of this kind, and not good (401), or not to be checked now (503)."""


# Raises Refusal where what an identity rests on was withdrawn.
Standing = Callable[[Identity], None]


class Gatekeeper:
    """Tells who a request comes from and slows down whoever guesses. Used by the server's one event loop."""

    def __init__(
        self,
        token: str,
        recognizers: Sequence[Recognizer] = (),
        *,
        failures: Failures | None = None,
        standing: Standing | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        if not token:
            raise ValueError("a server without a token would let everybody in")
        self._token_hash = _hash(token)
        self._recognizers = tuple(recognizers)
        self._failures = failures if failures is not None else Failures()
        self._standing = standing
        self._clock = clock
        self._wall_clock = wall_clock

    async def identify(self, request: Request) -> Identity:
        """Raises Refusal: 401 without a right token, 429 after too many wrong ones from this address, 503."""
        await self.check_patience(request)
        given = _bearer(request)
        if given is None:
            raise _unauthorized("a token is required: Authorization: Bearer TOKEN")
        # Both sides are hashed first, so that not even the token's length shows in the time it takes.
        if hmac.compare_digest(_hash(given), self._token_hash):
            return Identity(ADMIN_USER, Role.ADMIN)
        try:
            return await self._recognized(given)
        except Refusal as refusal:
            if refusal.status == 401:
                raise await self.failed(request, refusal.message) from None
            raise

    async def check_patience(self, request: Request) -> None:
        """Raises Refusal (429) where this address has guessed too often; even a right answer is not tried then."""
        wait_s = self._failures.wait_s(_address(request), self._clock())
        if wait_s is not None:
            raise too_many("too many failed authentications from this address", wait_s)

    async def failed(self, request: Request, message: str) -> Refusal:
        """Count a failed authentication; returns the 401 to raise."""
        self._failures.add(_address(request), self._clock())
        return _unauthorized(message)

    async def _recognized(self, token: str) -> Identity:
        now_s = self._wall_clock()
        if len(token) <= MAX_TOKEN_CHARACTERS:
            for recognizer in self._recognizers:
                identity = await recognizer.identify(token, now_s)
                if identity is not None:
                    if self._standing is not None:
                        self._standing(identity)
                    return identity
        raise _unauthorized("this token is not known here")


Identify = Callable[[Request], Awaitable[Identity]]


def _bearer(request: Request) -> str | None:
    values = request.headers.getlist("authorization")
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _unauthorized(message: str) -> Refusal:
    return Refusal(401, "unauthorized", message)


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
