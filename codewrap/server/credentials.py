"""Session credentials: what a host in gateway mode signs requests to the HTTP API with, in place of the app's.

Nothing is kept: the key says session and expiry, and the secret follows from them and the app secret, so that every copy of
`serve-auth` can check what another one issued. Checks Pusher's request signature (`docs/protocol.md`, "HTTP API").
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from codewrap.errors import AuthError
from codewrap.protocol.channels import is_session_name

VERSION = "cw1"
LIFETIME_S = 24 * 3600
CLOCK_SKEW_S = 600  # Pusher's window, both ways
_KEY = re.compile(rf"{VERSION}\.([a-z0-9-]{{1,48}})\.([0-9]{{1,12}})")
_PARAMETERS = 32


@dataclass(frozen=True, slots=True)
class SessionCredentials:
    """As `AppCredentials`, for one session until ``expires_at`` (seconds since 1970)."""

    app_id: str
    key: str
    secret: str = field(repr=False)
    session: str
    expires_at: int


class Issuer:
    """Issues and knows again. ``app_secret`` is the broker's and never leaves."""

    def __init__(self, app_id: str, app_secret: str) -> None:
        self.app_id = app_id
        self._app_secret = app_secret

    def issue(self, session: str, now_s: float, lifetime_s: int = LIFETIME_S) -> SessionCredentials:
        """Credentials for ``session``, whose name is checked already."""
        expires_at = int(now_s) + lifetime_s
        key = f"{VERSION}.{session}.{expires_at}"
        return SessionCredentials(self.app_id, key, self._secret(session, expires_at), session, expires_at)

    def _secret(self, session: str, expires_at: int) -> str:
        text = f"codewrap session credentials {VERSION}\n{self.app_id}\n{session}\n{expires_at}"
        return hmac.digest(self._app_secret.encode(), text.encode(), hashlib.sha256).hex()

    def check(self, request: SignedRequest, now_s: float) -> str:
        """The session that ``request`` may publish to. Raises AuthError: status 401, reason for people."""
        parameters = request.parameters()
        match = _KEY.fullmatch(parameters.get("auth_key", ""))
        if match is None or not is_session_name(match[1]) or request.app_id != self.app_id:
            raise _refused("auth_key and app id are not those of a session")
        session, expires_at = match[1], int(match[2])
        _check_form(request, parameters, now_s)
        expected = hmac.digest(self._secret(session, expires_at).encode(), request.signed_text(parameters), hashlib.sha256)
        if not _same(parameters.get("auth_signature", ""), expected.hex()):
            raise WrongSignature
        if now_s >= expires_at:
            raise _refused("these credentials have expired: ask for new ones")
        return session


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
