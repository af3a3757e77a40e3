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
from codewrap.server.guessing import Guessing, address_group
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

    @property
    def counted_as(self) -> str:
        """What its requests are counted by; "" for AUTH_TOKEN, which is everybody's who has no other."""
        if self.kind == "admin":
            return ""
        return f"token {self.token_id}" if self.token_id else f"user {self.user}"

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


# Raises Refusal where what an identity rests on was withdrawn.
Standing = Callable[[Identity], None]
# Told of each authentication: `ok`, `failed` or `blocked`, and the kind of the token or why not, in a word.
OnAuthenticated = Callable[[str, str], None]


class Gatekeeper:
    """Tells who a request comes from and slows down whoever guesses. Used by the server's one event loop."""

    def __init__(
        self,
        token: str,
        recognizers: Sequence[Recognizer] = (),
        *,
        guessing: Guessing | None = None,
        standing: Standing | None = None,
        audit: Auditor | None = None,
        on_authenticated: OnAuthenticated = lambda _result, _reason: None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        if not token:
            raise ValueError("a server without a token would let everybody in")
        self._token_hash = hash_secret(token)
        self._recognizers = tuple(recognizers)
        self._guessing = guessing if guessing is not None else Guessing(clock=wall_clock)
        self._standing = standing
        self._audit = audit
        self._told: OrderedDict[tuple[str, str, str], float] = OrderedDict()
        self._on_authenticated = on_authenticated
        self._wall_clock = wall_clock

    async def identify(self, request: Request) -> Identity:
        """Raises Refusal: 401 without a right token, 429 after too many wrong ones from this address, 503."""
        await self.check_patience(request)
        given = bearer_of(request)
        if given is None:
            self._on_authenticated("failed", "missing")
            raise _unauthorized("a token is required: Authorization: Bearer TOKEN")
        # Both sides are hashed first, so that not even the token's length shows in the time it takes.
        if same_secret(given, self._token_hash):
            identity = Identity(ADMIN_USER, Role.ADMIN)
        else:
            identity = await self._recognized(request, given)
            await self._check_standing(request, identity)
        self._on_authenticated("ok", identity.kind)
        self._tell(identity, address_of(request))
        return identity

    async def check_patience(self, request: Request) -> None:
        """Raises Refusal (429) where this address has guessed too often; even a right answer is not tried then."""
        self._wait_for(address_group(address_of(request)), "address")

    async def failed(self, request: Request, message: str, reason: str = "wrong") -> Refusal:
        """Count a failed authentication; returns the 401 to raise. ``reason`` is a word for the metrics."""
        self._on_authenticated("failed", reason)
        if self._audit is not None:
            self._audit.authentication_refused(message, address=address_of(request))
        await self._guessing.failed(address_group(address_of(request)))
        return _unauthorized(message)

    def _tell(self, identity: Identity, address: str) -> None:
        """Each token and address once in a while: what is done with it is told every time, and by whom."""
        if self._audit is None:
            return
        key, now_s = (identity.user, identity.token_id, address), self._wall_clock()
        told_s = self._told.get(key)
        if told_s is not None and abs(now_s - told_s) < TOLD_EVERY_S:
            return
        self._audit.authenticated(identity.user, identity.role, kind=identity.kind, token_id=identity.token_id, address=address)
        self._told[key] = now_s
        self._told.move_to_end(key)
        if len(self._told) > TOLD_MOST:
            self._told.popitem(last=False)

    async def _recognized(self, request: Request, token: str) -> Identity:
        now_s = self._wall_clock()
        try:
            if len(token) <= MAX_TOKEN_CHARACTERS:
                for recognizer in self._recognizers:
                    identity = await recognizer.identify(token, now_s)
                    if identity is not None:
                        return identity
        except Refusal as refusal:
            if refusal.status == 401:
                raise await self.failed(request, refusal.message, "not_good") from None
            raise
        raise await self.failed(request, "this token is not known here", "unknown")

    async def _check_standing(self, request: Request, identity: Identity) -> None:
        """Raises Refusal. Who comes with a token that was revoked guesses nothing: that token waits, not all of its address."""
        if self._standing is None:
            return
        try:
            self._standing(identity)
        except Refusal as refusal:
            if refusal.status == 401:
                self._wait_for(identity.counted_as, "token")
                self._on_authenticated("failed", "revoked")
                if self._audit is not None:
                    self._audit.authentication_refused(
                        refusal.message, address=address_of(request), user=identity.user, token_id=identity.token_id
                    )
                await self._guessing.failed(identity.counted_as)
            raise

    def _wait_for(self, subject: str, what: str) -> None:
        wait_s = self._guessing.wait_s(subject)
        if wait_s is not None:
            self._on_authenticated("blocked", what)
            raise too_many(f"too many failed authentications from this {what}", wait_s)


def same_secret(given: str, secret_hash: bytes) -> bool:
    """Whether ``given`` is the secret whose hash that is; in a time that tells nothing."""
    return hmac.compare_digest(hash_secret(given), secret_hash)


def bearer_of(request: Request) -> str | None:
    """The token that it shows; None where there is none, or more than one."""
    values = request.headers.getlist("authorization")
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _unauthorized(message: str) -> Refusal:
    return Refusal(401, "unauthorized", message)


def address_of(request: Request) -> str:
    """Where it comes from; behind a trusted proxy what that says."""
    return request.client.host if request.client is not None else "unknown"


def hash_secret(token: str) -> bytes:
    """What is kept of a secret to compare with."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
