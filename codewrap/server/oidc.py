"""Tokens of an OpenID Connect provider: whether one is to be believed, and whom it shows.

A token's own words decide nothing before its signature is checked, except whose it claims to be. Its header's keys and addresses
(`jwk`, `jku`, `x5u`, `x5c`) are never looked at. No token, nor anything out of one, gets into an error.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from jwt import PyJWK, PyJWS

from codewrap.protocol.roles import Role, shown_name
from codewrap.server.oidcerrors import NotOfIssuer, TokenRefused
from codewrap.server.oidckeys import ALGORITHMS, ProviderKeys
from codewrap.server.oidcsettings import ANYBODY, OidcSettings, TokenKind
from codewrap.server.userids import of_subject

MAX_TOKEN_CHARACTERS = 8192  # proxies take no longer header lines
LEEWAY_S = 30  # that the provider's clock may differ from ours
# Revocations are kept for as long as a token can live: one that lives longer would outlive its own.
MAX_LIFETIME_S = 366 * 86_400
USUAL_NAMES = ("name", "preferred_username", "email")
SCOPES = frozenset({"scope", "scp"})  # RFC 8693, 4.2: one text of words; every other claim's text is one value
_JWS = PyJWS()
# As tokens of codewrap's own may name sessions (`tokens.py`, which stands above this module).
MAX_PATTERNS = 20
PATTERN = re.compile(r"[a-z0-9*?-]{1,48}")
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class OidcIdentity:
    """Whom a token shows. ``sessions`` are patterns; none: every session. Times are unix seconds, with LEEWAY_S on the safe side.

    ``issued_at`` is the earliest moment that it may have been issued at, so that a provider whose clock is ahead issues none that
    escapes a revocation; ``expires_at`` is when it is refused here. ``token_id`` is that of this token alone.
    """

    user: str
    role: Role
    name: str
    issued_at: float
    expires_at: float
    token_id: str
    sessions: tuple[str, ...] = ()


class OidcVerifier:
    """Accepts the tokens of one provider. Owned by one event loop."""

    def __init__(self, settings: OidcSettings, keys: ProviderKeys) -> None:
        self._settings = settings
        self._keys = keys

    @classmethod
    def from_settings(cls, settings: OidcSettings) -> OidcVerifier:
        """With the provider's keys as they are had over the network; asks for nothing yet."""
        return cls(settings, ProviderKeys(settings.issuer))

    async def identify(self, token: str, now_s: float) -> OidcIdentity:
        """Whom ``token`` shows at the unix time ``now_s``.

        Raises NotOfIssuer (another recognizer may know it), TokenRefused, or ProviderAway.
        """
        header = self._claimed(token)
        algorithm, kid = _checked_header(header)
        key = await self._keys.find(kid, algorithm)
        if key is None:
            raise TokenRefused("it is signed with a key that the provider does not show")
        claims = _verified(token, key, algorithm)
        self._check_kind(header, claims)
        self._check_parties(claims)
        issued_at, expires_at = _times(claims, now_s)
        user = self._user(claims)
        return OidcIdentity(
            user=user,
            role=self._role(claims),
            name=self._name(claims, user),
            issued_at=issued_at,
            expires_at=expires_at,
            token_id=_token_id(token),
            sessions=self._sessions(claims),
        )

    async def close(self) -> None:
        """Give up what is under way."""
        await self._keys.close()

    def _claimed(self, token: str) -> Mapping[str, Any]:
        """The header of a token that says it is this issuer's."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise TokenRefused(f"it is longer than {MAX_TOKEN_CHARACTERS} characters")
        if not _COMPACT.fullmatch(token):
            raise NotOfIssuer("it is no signed JWT")
        header, claims = (_object(_decoded(part)) for part in token.split(".")[:2])
        if header is None or claims is None:
            raise NotOfIssuer("it is no signed JWT")
        if claims.get("iss") != self._settings.issuer:
            raise NotOfIssuer("it is another issuer's")
        return header

    def _check_kind(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
        kind = _kind(header, claims)
        if kind not in self._settings.kinds:
            raise TokenRefused(f"{kind.value} tokens are not accepted here")
        if kind is TokenKind.ID:
            _check_authorized_party(claims, self._settings.audiences)

    def _check_parties(self, claims: Mapping[str, Any]) -> None:
        if claims.get("iss") != self._settings.issuer:
            raise TokenRefused("it is another issuer's")
        if not set(_texts(claims.get("aud"))) & set(self._settings.audiences):
            raise TokenRefused("it is made out to somebody else (aud)")

    def _user(self, claims: Mapping[str, Any]) -> str:
        claim = self._settings.user_claim
        subject = _at(claims, claim)
        if not isinstance(subject, str):
            raise TokenRefused(f"it has no text as {claim}")
        if claim == "email" and claims.get("email_verified") is not True:
            raise TokenRefused("its email is not verified")  # else whoever may choose their address chooses who they are
        try:
            return of_subject(subject)
        except ValueError as error:
            raise TokenRefused(f"its {claim} makes no user id: {error}") from None

    def _role(self, claims: Mapping[str, Any]) -> Role:
        path, roles = self._settings.role_claim, self._settings.roles
        held = _texts(_at(claims, path)) if path is not None else []
        if path in SCOPES and len(held) == 1:
            held = held[0].split()
        matching = [roles[value] for value in (*held, ANYBODY) if value in roles]
        if not matching:
            raise TokenRefused("it has no role here")
        return max(matching, key=list(Role).index)  # each later one may all that the earlier ones may

    def _name(self, claims: Mapping[str, Any], user: str) -> str:
        wanted = self._settings.name_claim
        found = (_at(claims, path) for path in ((wanted,) if wanted is not None else USUAL_NAMES))
        return shown_name(next((name for name in found if isinstance(name, str) and name.strip()), ""), user)

    def _sessions(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        """Where the claim is to be and is not, nothing is allowed: no patterns would mean every session."""
        if self._settings.sessions_claim is None:
            return ()
        value = _at(claims, self._settings.sessions_claim)
        patterns = tuple(re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else _texts(value))
        if not patterns or len(patterns) > MAX_PATTERNS or not all(PATTERN.fullmatch(pattern) for pattern in patterns):
            raise TokenRefused("it names no sessions, or not by their names")
        return patterns


def _checked_header(header: Mapping[str, Any]) -> tuple[str, str | None]:
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenRefused("it is not signed in a way that is accepted")
    if kid is not None and not isinstance(kid, str):
        raise TokenRefused("its key's id is none")
    if "crit" in header or "b64" in header:  # RFC 7515, 4.1.11: what we do not know must not be ignored
        raise TokenRefused("it wants something understood that is not")
    return algorithm, kid


def _verified(token: str, key: PyJWK, algorithm: str) -> Mapping[str, Any]:
    try:
        payload = _JWS.decode_complete(token, key, algorithms=[algorithm])["payload"]
    except (jwt.PyJWTError, ValueError, TypeError):
        raise TokenRefused("its signature is wrong") from None
    claims = _object(payload)
    if claims is None:
        raise TokenRefused("it holds no claims")
    return claims


def _kind(header: Mapping[str, Any], claims: Mapping[str, Any]) -> TokenKind:
    """An ID token says JWT or nothing, an access token `at+jwt` (RFC 9068, 2.1) or, by Keycloak, `Bearer` among the claims.

    Other kinds (logout and refresh tokens, security events) are signed with the same keys for other ends.
    """
    kind, said = header.get("typ", "JWT"), claims.get("typ", "ID")
    lower = kind.lower().removeprefix("application/") if isinstance(kind, str) else ""
    if lower == "at+jwt" or (lower == "jwt" and said == "Bearer"):
        return TokenKind.ACCESS
    # "events": a logout token may say JWT (OpenID Connect Back-Channel Logout, 2.4).
    if lower == "jwt" and said == "ID" and "events" not in claims:
        return TokenKind.ID
    raise TokenRefused("it is neither an ID token nor an access token")


def _check_authorized_party(claims: Mapping[str, Any], audiences: tuple[str, ...]) -> None:
    """OpenID Connect Core, 3.1.3.7, 4 and 5: made out to several, it must say which of them asked for it."""
    if len(_texts(claims.get("aud"))) > 1 and claims.get("azp") not in audiences:
        raise TokenRefused("it was issued to somebody else (azp)")


def _times(claims: Mapping[str, Any], now_s: float) -> tuple[float, float]:
    issued_at, expires_at = _time(claims, "iat"), _time(claims, "exp")
    if issued_at is None or expires_at is None:
        raise TokenRefused("it does not say when it was issued and when it expires")
    not_before = _time(claims, "nbf")
    if now_s >= expires_at + LEEWAY_S:
        raise TokenRefused("it has expired")
    if max(issued_at, issued_at if not_before is None else not_before) > now_s + LEEWAY_S:
        raise TokenRefused("it is not valid yet: one of the clocks is wrong")
    if expires_at - issued_at > MAX_LIFETIME_S:
        raise TokenRefused("it lives longer than a year")
    return issued_at - LEEWAY_S, expires_at + LEEWAY_S


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # NaN is a number to Python's JSON, and within no bounds.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise TokenRefused(f"its {name} is no time")
    return float(value)


def _at(claims: Mapping[str, Any], path: str) -> object:
    """What stands at ``path``: a claim of that very name (some are URLs), else one within another, by dots."""
    if path in claims:
        return claims[path]
    value: object = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _texts(value: object) -> list[str]:
    """A claim that is a text or a list of them."""
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _token_id(token: str) -> str:
    """Of what is signed, without the signature: that of ES256 can be changed by anybody into another valid one.

    `jti` is not taken: ID tokens seldom have one, and a provider could name one of codewrap's own. In the form of those, so that
    it can be revoked like them.
    """
    return hashlib.sha256(token.rpartition(".")[0].encode("ascii")).hexdigest()[:32]


def _decoded(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        return b""


def _object(text: bytes) -> Mapping[str, Any] | None:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None
