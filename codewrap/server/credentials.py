"""Session credentials: what a host in gateway mode signs requests to the HTTP API with, in place of the app's.

No secret is kept: the key says session, expiry and opening, and the secret follows from them and the app secret, so that every
copy of `serve-auth` can check what another one issued; whether that opening is still the session's, `registry.py` knows. Checks
Pusher's request signature (`docs/protocol.md`, "HTTP API").
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from codewrap.errors import AuthError
from codewrap.protocol.channels import is_session_name

VERSION = "cw2"
LIFETIME_S = 3600
CLOCK_SKEW_S = 600  # Pusher's window, both ways
_KEY = re.compile(rf"{VERSION}\.([a-z0-9-]{{1,48}})\.([0-9]{{1,12}})\.([0-9a-f-]{{1,64}})")
_PARAMETERS = 32


@dataclass(frozen=True, slots=True)
class SessionCredentials:
    """As `AppCredentials`, for one session until ``expires_at`` (seconds since 1970)."""

    app_id: str
    key: str
    secret: str = field(repr=False)
    session: str
    expires_at: int
    grant: str
    """Which opening of the session they are for."""


class Issuer:
    """Issues and knows again. ``app_secret`` is the broker's and never leaves."""

    def __init__(self, app_id: str, app_secret: str) -> None:
        self.app_id = app_id
        self._app_secret = app_secret

    def issue(self, session: str, grant: str, now_s: float, until_s: float | None = None) -> SessionCredentials:
        """Credentials for the opening ``grant`` of ``session``, whose name is checked already; at most until ``until_s``."""
        expires_at = int(now_s) + LIFETIME_S
        if until_s is not None:
            expires_at = min(expires_at, int(until_s))
        return self._credentials(session, expires_at, grant)

    def check(self, request: SignedRequest, now_s: float) -> SessionCredentials:
        """Those that ``request`` is signed with. Raises AuthError: status 401, reason for people."""
        parameters = request.parameters()
        match = _KEY.fullmatch(parameters.get("auth_key", ""))
        if match is None or not is_session_name(match[1]) or request.app_id != self.app_id:
            raise _refused("auth_key and app id are not those of a session")
        credentials = self._credentials(match[1], int(match[2]), match[3])
        _check_form(request, parameters, now_s)
        expected = hmac.digest(credentials.secret.encode(), request.signed_text(parameters), hashlib.sha256)
        if not _same(parameters.get("auth_signature", ""), expected.hex()):
            raise WrongSignature
        if now_s >= credentials.expires_at:
            raise _refused("these credentials have expired: ask for new ones")
        return credentials

    def _credentials(self, session: str, expires_at: int, grant: str) -> SessionCredentials:
        text = f"codewrap session credentials {VERSION}\n{self.app_id}\n{session}\n{expires_at}\n{grant}"
        secret = hmac.digest(self._app_secret.encode(), text.encode(), hashlib.sha256).hex()
        return SessionCredentials(self.app_id, f"{VERSION}.{session}.{expires_at}.{grant}", secret, session, expires_at, grant)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request to the HTTP API: ``path`` and ``query`` as they stand on the wire."""

    method: str
    path: str
    query: str
    body: bytes
    app_id: str

    def parameters(self) -> dict[str, str]:
        """The query's parameters. Raises AuthError where one is given twice: which one was signed would be open."""
        try:
            pairs = parse_qsl(self.query, keep_blank_values=True, max_num_fields=_PARAMETERS)
        except ValueError:
            raise _refused("there are too many query parameters") from None
        found = {name.lower(): value for name, value in pairs}
        if len(found) != len(pairs):
            raise _refused("a query parameter is given twice")
        return found

    def signed_text(self, parameters: dict[str, str]) -> bytes:
        """What the signature covers: method, path and all other parameters, sorted and not escaped."""
        rest = sorted((name, value) for name, value in parameters.items() if name != "auth_signature")
        query = "&".join(f"{name}={value}" for name, value in rest)
        return f"{self.method}\n{self.path}\n{query}".encode("utf-8", "surrogatepass")


class WrongSignature(AuthError):
    """The signature is not what the session's secret makes of the request: to be counted as a guess."""

    def __init__(self) -> None:
        super().__init__("serve-auth", "the signature is wrong", 401)


def is_session_key(query: str) -> bool:
    """Whether a request with this query string is signed by session credentials of this or another version."""
    try:
        names = dict(parse_qsl(query, max_num_fields=_PARAMETERS))
    except ValueError:
        return False
    return re.match(r"cw[0-9]+\.", names.get("auth_key", "")) is not None


def _check_form(request: SignedRequest, parameters: dict[str, str], now_s: float) -> None:
    if parameters.get("auth_version") != "1.0":
        raise _refused("auth_version is not 1.0")
    timestamp = parameters.get("auth_timestamp", "")
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise _refused("auth_timestamp is not seconds since 1970")
    if abs(int(timestamp) - now_s) > CLOCK_SKEW_S:
        raise _refused(
            f"Timestamp expired: Given timestamp ({timestamp}) not within {CLOCK_SKEW_S}s of server time ({now_s:.0f})"
        )
    md5 = hashlib.md5(request.body, usedforsecurity=False).hexdigest()
    if not _same(parameters.get("body_md5", ""), md5):
        raise _refused("body_md5 is not the MD5 of the body")


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def _refused(reason: str) -> AuthError:
    return AuthError("serve-auth", reason, 401)
