"""Who asks: one function from a request to an Identity. Knows one admin token; users with tokens of their own come in here.

The token comes in `Authorization: Bearer` only: never in a query, a form or a cookie.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from codewrap.protocol.roles import Act, Role, may
from codewrap.server.limits import Failures
from codewrap.server.refusals import Refusal, forbidden, too_many

ADMIN_USER = "admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, and the most that their token allows. ``user`` fits `roles.is_user`."""

    user: str
    role: Role

    def require(self, act: Act) -> None:
        """Raises Refusal (403) where the role may not."""
        if not may(self.role, act):
            raise forbidden(f"this token may not {act.value}")


class Gatekeeper:
    """Tells who a request comes from and slows down whoever guesses. Used by the server's one event loop."""

    def __init__(self, token: str, failures: Failures | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        if not token:
            raise ValueError("a server without a token would let everybody in")
        self._token_hash = _hash(token)
        self._failures = failures if failures is not None else Failures()
        self._clock = clock

    def identify(self, request: Request) -> Identity:
        """Raises Refusal: 401 without a right token, 429 after too many wrong ones from this address."""
        self.check_patience(request)
        given = _bearer(request)
        if given is None:
            raise _unauthorized("a token is required: Authorization: Bearer TOKEN")
        # Both sides are hashed first, so that not even the token's length shows in the time it takes.
        if not hmac.compare_digest(_hash(given), self._token_hash):
            raise self.failed(request, "this token is not known here")
        return Identity(ADMIN_USER, Role.ADMIN)

    def check_patience(self, request: Request) -> None:
        """Raises Refusal (429) where this address has guessed too often; even a right answer is not tried then."""
        wait_s = self._failures.wait_s(_address(request), self._clock())
        if wait_s is not None:
            raise too_many("too many failed authentications from this address", wait_s)

    def failed(self, request: Request, message: str) -> Refusal:
        """Count a failed authentication; returns the 401 to raise."""
        self._failures.add(_address(request), self._clock())
        return _unauthorized(message)


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
