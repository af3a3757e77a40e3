"""Who asks: one function from a request to an Identity. AUTH_TOKEN makes an admin; other tokens are known by recognizers.

The token comes in `Authorization: Bearer` only: never in a query, a form or a cookie.
"""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request

from codewrap.protocol.roles import Act, Role, may
from codewrap.server.auditing import Auditor
from codewrap.server.limits import Failures
from codewrap.server.oidc import OidcVerifier
from codewrap.server.oidcerrors import NotOfIssuer, ProviderAway, TokenRefused
from codewrap.server.refusals import Refusal, forbidden, too_many

ADMIN_USER = "admin"
MAX_TOKEN_CHARACTERS = 8192
TOLD_EVERY_S = 600.0
TOLD_MOST = 4096


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

    async def close(self) -> None:
        """Give up what is under way."""


class OidcRecognizer:
    """Makes an Identity of a provider's token."""

    def __init__(self, verifier: OidcVerifier) -> None:
        self._verifier = verifier

    async def identify(self, token: str, now_s: float) -> Identity | None:
        """As `Recognizer`."""
        try:
            found = await self._verifier.identify(token, now_s)
        except NotOfIssuer:
            return None
        except TokenRefused as error:
            raise _unauthorized(f"the provider's token is refused: {error.reason}") from None
        except ProviderAway as error:
            raise Refusal(503, "provider_unavailable", error.reason, retry_after_s=5) from None
        return Identity(
            found.user, found.role, found.sessions, found.token_id, "oidc", found.issued_at, found.expires_at, found.name
        )

    async def close(self) -> None:
        """Give up what is under way."""
        await self._verifier.close()


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
        audit: Auditor | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        if not token:
            raise ValueError("a server without a token would let everybody in")
        self._token_hash = _hash(token)
        self._recognizers = tuple(recognizers)
        self._failures = failures if failures is not None else Failures()
        self._standing = standing
        self._audit = audit
        self._told: OrderedDict[tuple[str, str, str], float] = OrderedDict()
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
            identity = Identity(ADMIN_USER, Role.ADMIN)
        else:
            try:
                identity = await self._recognized(given)
            except Refusal as refusal:
                if refusal.status == 401:
                    raise await self.failed(request, refusal.message) from None
                raise
        self._tell(identity, address_of(request))
        return identity

    async def check_patience(self, request: Request) -> None:
        """Raises Refusal (429) where this address has guessed too often; even a right answer is not tried then."""
        wait_s = self._failures.wait_s(address_of(request), self._clock())
        if wait_s is not None:
            raise too_many("too many failed authentications from this address", wait_s)

    async def failed(self, request: Request, message: str) -> Refusal:
        """Count a failed authentication; returns the 401 to raise."""
        if self._audit is not None:
            self._audit.authentication_refused(message, address=address_of(request))
        self._failures.add(address_of(request), self._clock())
        return _unauthorized(message)

    def _tell(self, identity: Identity, address: str) -> None:
        """Each token and address once in a while: what is done with it is told every time, and by whom."""
        if self._audit is None:
            return
        key, now_s = (identity.user, identity.token_id, address), self._clock()
        told_s = self._told.get(key)
        if told_s is not None and now_s - told_s < TOLD_EVERY_S:
            return
        self._audit.authenticated(identity.user, identity.role, kind=identity.kind, token_id=identity.token_id, address=address)
        self._told[key] = now_s
        self._told.move_to_end(key)
        if len(self._told) > TOLD_MOST:
            self._told.popitem(last=False)

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


def _bearer(request: Request) -> str | None:
    values = request.headers.getlist("authorization")
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _unauthorized(message: str) -> Refusal:
    return Refusal(401, "unauthorized", message)


def address_of(request: Request) -> str:
    """Where a request comes from, as far as is known: a proxy that is trusted has said so."""
    return request.client.host if request.client is not None else "unknown"


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
