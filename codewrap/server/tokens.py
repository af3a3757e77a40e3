"""The server's own tokens: JSON Web Tokens (RFC 7519), signed with HMAC-SHA256, so that every copy of it can check them.

The first of the signing keys signs, all of them check: a new key is put before the old one, which goes when its tokens have
expired.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import jwt
from jwt.types import Options

from codewrap.protocol.roles import Role, is_user
from codewrap.server.identity import Identity
from codewrap.server.refusals import Refusal
from codewrap.server.userids import is_reserved

ISSUER = "codewrap"
KINDS = ("token", "share")
DAY_S = 86_400
DEFAULT_LIFETIME_S = 30 * DAY_S
MAX_LIFETIME_S = 366 * DAY_S
LEEWAY_S = 30  # between the clocks of copies
MAX_PATTERNS = 20
PATTERN = re.compile(r"[a-z0-9*?-]{1,48}")
_ALGORITHM = "HS256"
_REQUIRED = ["iss", "sub", "role", "sessions", "iat", "exp", "jti", "typ"]
_TOKEN_ID = re.compile(r"[0-9a-f]{32}")


class Signed(Protocol):
    """Claims of any form."""

    @property
    def issued_at(self) -> int: ...
    @property
    def expires_at(self) -> int: ...


_Signed = TypeVar("_Signed", bound=Signed)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. Times are seconds since 1970; ``token_id`` is 128 random bits in hex."""

    user: str
    role: Role
    sessions: tuple[str, ...]
    issued_at: int
    expires_at: int
    token_id: str
    kind: str = "token"
    once: bool = False
    """A share that has to be redeemed, which works once."""
    name: str = ""


def new_claims(
    user: str, role: Role, sessions: Sequence[str], now_s: float, lifetime_s: float, *, kind: str = "token", once: bool = False
) -> Claims:
    """Claims of a token issued now. Raises ValueError in words for people where something cannot be."""
    if not is_user(user):
        raise ValueError("a user's id is 1 to 64 of A-Z, a-z, 0-9 and _=@,;-")
    if is_reserved(user):
        raise ValueError("users whose ids begin like this one are those of the OpenID Connect provider")
    if not 0 < lifetime_s <= MAX_LIFETIME_S:
        raise ValueError(f"a token lives for more than nothing and at most {MAX_LIFETIME_S // DAY_S} days")
    if len(sessions) > MAX_PATTERNS or not all(PATTERN.fullmatch(pattern) for pattern in sessions):
        raise ValueError(f"sessions are at most {MAX_PATTERNS} names or patterns of a-z, 0-9, -, * and ?")
    issued_at = int(now_s)
    expires_at = issued_at + max(1, int(lifetime_s))
    return Claims(user, role, tuple(sessions), issued_at, expires_at, secrets.token_hex(16), kind, once)


class TokenSigner:
    """Issues tokens and knows them again. ``keys`` are 32 bytes each."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("a server without a signing key could check nothing")
        self._keys = {key_id(key): key for key in reversed(keys)}
        self._current = key_id(keys[0])

    def issue(self, claims: Claims) -> str:
        """The token."""
        fields: dict[str, object] = {
            "iss": ISSUER,
            "sub": claims.user,
            "role": claims.role.value,
            "sessions": list(claims.sessions),
            "iat": claims.issued_at,
            "exp": claims.expires_at,
            "jti": claims.token_id,
            "typ": claims.kind,
        }
        if claims.once:
            fields["once"] = True
        return self.sign(fields)

    def sign(self, fields: dict[str, object]) -> str:
        """``fields`` as a JSON Web Token."""
        return jwt.encode(fields, self._keys[self._current], _ALGORITHM, headers={"kid": self._current})

    def read(self, token: str, now_s: float) -> Claims | None:
        """What a token of ours says; None where it is not one of ours. Raises Refusal (401): ours, and not good any more."""
        return self.verified(token, _REQUIRED, _claims, now_s)

    def verified(
        self, token: str, required: list[str], claims_of: Callable[[dict[str, object]], _Signed], now_s: float
    ) -> _Signed | None:
        """As `read`, of another form: ``claims_of`` makes claims of what is signed, or raises ValueError, TypeError, KeyError."""
        if not token.isascii():
            return None
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            return None
        key = self._keys.get(header.get("kid", "")) if isinstance(header.get("kid"), str) else None
        if key is None or header.get("alg") != _ALGORITHM:
            return None
        try:
            # Expiry is compared below, with the clock that we are given.
            options: Options = {"require": required, "verify_exp": False, "verify_iat": False}
            fields = jwt.decode(token, key, algorithms=[_ALGORITHM], issuer=ISSUER, options=options)
            claims = claims_of(fields)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            raise Refusal(401, "unauthorized", "this token is damaged") from None
        if now_s >= claims.expires_at:
            raise Refusal(401, "unauthorized", "this token has expired")
        if claims.issued_at > now_s + LEEWAY_S:
            raise Refusal(401, "unauthorized", "this token is of the future: compare the clocks")
        return claims


class TokenRecognizer:
    """Makes an Identity of a token of ours."""

    def __init__(self, signer: TokenSigner) -> None:
        self._signer = signer

    async def identify(self, token: str, now_s: float) -> Identity | None:
        """As `identity.Recognizer`."""
        claims = self._signer.read(token, now_s)
        if claims is None:
            return None
        if claims.once:
            raise Refusal(401, "unauthorized", "this link works once: redeem it first")
        return identity_of(claims)

    async def close(self) -> None:
        """Nothing is under way."""


def identity_of(claims: Claims) -> Identity:
    """Who the bearer of a token is."""
    return Identity(
        claims.user, claims.role, claims.sessions, claims.token_id, claims.kind, claims.issued_at, claims.expires_at, claims.name
    )


def redeemed(claims: Claims, now_s: float) -> Claims:
    """The token that a share of one use is exchanged for: as good as that, and no longer."""
    return replace(claims, token_id=secrets.token_hex(16), issued_at=int(now_s), once=False)


def key_id(key: bytes) -> str:
    """A key's name in tokens: it tells nothing of the key."""
    return hashlib.sha256(b"codewrap signing key\n" + key).hexdigest()[:8]


def _claims(fields: dict[str, object]) -> Claims:
    user, token_id, kind, sessions = fields["sub"], fields["jti"], fields["typ"], fields["sessions"]
    issued_at, expires_at, once = fields["iat"], fields["exp"], fields.get("once", False)
    if not isinstance(user, str) or not is_user(user) or kind not in KINDS:
        raise ValueError
    if not isinstance(token_id, str) or not _TOKEN_ID.fullmatch(token_id) or not isinstance(once, bool):
        raise ValueError
    if not isinstance(sessions, list) or not all(isinstance(text, str) and PATTERN.fullmatch(text) for text in sessions):
        raise ValueError
    if type(issued_at) is not int or type(expires_at) is not int:
        raise ValueError
    return Claims(user, Role(fields["role"]), tuple(sessions), issued_at, expires_at, token_id, str(kind), once)
