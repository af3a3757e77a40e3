"""`CODEWRAP_OIDC_*`, read and checked: which provider's tokens `serve-auth` accepts, and what they make of their bearer.

Stands here and not in `config.py` because no other command reads them. Touches no network: what it refuses, it refuses at the
start.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass

from codewrap.errors import ConfigError
from codewrap.protocol.roles import Role
from codewrap.transport.origin import Origin

ISSUER = "CODEWRAP_OIDC_ISSUER"
AUDIENCE = "CODEWRAP_OIDC_AUDIENCE"
ROLES = "CODEWRAP_OIDC_ROLES"
ROLE_CLAIM = "CODEWRAP_OIDC_ROLE_CLAIM"
SESSIONS_CLAIM = "CODEWRAP_OIDC_SESSIONS_CLAIM"
USER_CLAIM = "CODEWRAP_OIDC_USER_CLAIM"
NAME_CLAIM = "CODEWRAP_OIDC_NAME_CLAIM"
TOKENS = "CODEWRAP_OIDC_TOKENS"
ANYBODY = "*"
MAX_LIST = 64
_ALL = (AUDIENCE, ROLES, ROLE_CLAIM, SESSIONS_CLAIM, USER_CLAIM, NAME_CLAIM, TOKENS)
_CLAIM = re.compile(r"[\x21-\x7e]{1,200}")


class TokenKind(enum.Enum):
    """What a provider issues: who signed in (an ID token), or what a program may do (an access token, RFC 9068)."""

    ID = "id"
    ACCESS = "access"


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """One provider. ``roles`` maps values of ``role_claim`` to roles; that of ANYBODY needs no claim.

    Claims are paths with dots. ``name_claim`` None takes the usual ones; ``sessions_claim`` None: every session.
    """

    issuer: str
    audiences: tuple[str, ...]
    roles: Mapping[str, Role]
    role_claim: str | None = None
    sessions_claim: str | None = None
    user_claim: str = "sub"
    name_claim: str | None = None
    kinds: frozenset[TokenKind] = frozenset({TokenKind.ID})


def read_oidc(values: Mapping[str, str]) -> OidcSettings | None:
    """The settings among ``values`` (environment over `.env`); None where no provider is set. Raises ConfigError."""
    issuer = values.get(ISSUER)
    if not issuer:
        if lonely := next((name for name in _ALL if values.get(name)), None):
            raise ConfigError(ISSUER, "is missing", f"{lonely} is set")
        return None
    settings = OidcSettings(
        issuer=_issuer(issuer),
        audiences=_audiences(values.get(AUDIENCE)),
        roles=_roles(values.get(ROLES)),
        role_claim=_claim(values, ROLE_CLAIM),
        sessions_claim=_claim(values, SESSIONS_CLAIM),
        user_claim=_claim(values, USER_CLAIM) or "sub",
        name_claim=_claim(values, NAME_CLAIM),
        kinds=_kinds(values.get(TOKENS)),
    )
    if settings.role_claim is None and set(settings.roles) != {ANYBODY}:
        raise ConfigError(ROLE_CLAIM, "is missing", f"{ROLES} maps values of that claim; only * needs none")
    return settings


def _issuer(text: str) -> str:
    """As it was given, to the letter: tokens must name it so (OpenID Connect Core, 3.1.3.7)."""
    if not re.fullmatch(r"[\x21-\x7e]{1,500}", text):
        raise ConfigError(ISSUER, "is not a URL", "it holds spaces or control characters, or is very long")
    origin = Origin.parse(text, ISSUER)
    if not origin.tls and not origin.is_loopback:
        raise ConfigError(ISSUER, "is http to another machine", "whoever is on the way could sign tokens: use https")
    return text


def _audiences(text: str | None) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(_split(text)))
    if not found:
        raise ConfigError(AUDIENCE, "is missing", "the client id (or the resource) that tokens are made out to")
    _check_number(AUDIENCE, len(found))
    return found


def _roles(text: str | None) -> dict[str, Role]:
    parts = _split(text)
    if not parts:
        raise ConfigError(ROLES, "is missing: nobody could come in", "for example ops=admin,dev=writer,*=viewer")
    _check_number(ROLES, len(parts))
    roles: dict[str, Role] = {}
    for part in parts:
        value, separator, name = (piece.strip() for piece in part.rpartition("="))
        if not separator or not value:
            raise ConfigError(ROLES, "is not a list of VALUE=ROLE", "for example ops=admin,dev=writer,*=viewer")
        if value in roles:
            raise ConfigError(ROLES, "maps one value twice")
        roles[value] = _role(name)
    return roles


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError:
        known = ", ".join(role.value for role in Role)
        raise ConfigError(ROLES, "names something that is no role", f"roles are {known}") from None


def _claim(values: Mapping[str, str], name: str) -> str | None:
    text = values.get(name)
    if not text:
        return None
    if not _CLAIM.fullmatch(text):
        raise ConfigError(name, "is not the path of a claim", "for example groups or realm_access.roles")
    return text


def _kinds(text: str | None) -> frozenset[TokenKind]:
    try:
        return frozenset(TokenKind(part.lower()) for part in _split(text)) or frozenset({TokenKind.ID})
    except ValueError:
        raise ConfigError(TOKENS, "is neither id nor access", "or both, with a comma between them") from None


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _check_number(name: str, number: int) -> None:
    if number > MAX_LIST:
        raise ConfigError(name, f"holds more than {MAX_LIST} entries")
