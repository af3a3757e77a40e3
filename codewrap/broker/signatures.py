"""Signatures: of subscriptions, of sign-ins, of HTTP requests and of webhooks.

Pure. Everything is compared in constant time; a wrong one raises Refusal and says what was to be signed, never the secret.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from codewrap.broker.apps import App
from codewrap.broker.refusals import Refusal

_SHOWN_CHARS = 200
_PARAMETERS = 64  # of one query; the libraries send about six


def hex_digest(app: App, text: str | bytes) -> str:
    """HMAC-SHA256 of ``text`` under the app's secret, in hexadecimal."""
    message = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return hmac.digest(app.secret.encode(), message, "sha256").hex()


def same(given: str, expected: str) -> bool:
    """Constant-time comparison that takes any text."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def channel_auth(app: App, socket_id: str, channel: str, channel_data: str | None = None) -> str:
    """What lets ``socket_id`` subscribe to ``channel``. Whoever sends ``channel_data`` has it signed too."""
    return f"{app.key}:{hex_digest(app, _channel_text(socket_id, channel, channel_data))}"


def user_auth(app: App, socket_id: str, user_data: str) -> str:
    """What lets ``socket_id`` sign in as the user described by ``user_data``."""
    return f"{app.key}:{hex_digest(app, f'{socket_id}::user::{user_data}')}"


def check_channel_auth(app: App, auth: object, socket_id: str, channel: str, channel_data: str | None) -> None:
    """Raises Refusal (401) unless ``auth`` signs exactly this subscription."""
    if isinstance(auth, str) and same(auth, channel_auth(app, socket_id, channel, channel_data)):
        return
    text = _channel_text(socket_id, channel, channel_data)[:_SHOWN_CHARS]
    raise Refusal(401, f"Invalid signature: Expected HMAC SHA256 hex digest of {text}")


def check_user_auth(app: App, auth: object, socket_id: str, user_data: str) -> None:
    """Raises Refusal (4009) unless ``auth`` signs exactly this sign-in."""
    if not isinstance(auth, str) or not same(auth, user_auth(app, socket_id, user_data)):
        raise Refusal(4009, "Connection not authorized: invalid signature of the sign-in")


def _channel_text(socket_id: str, channel: str, channel_data: str | None) -> str:
    text = f"{socket_id}:{channel}"
    return text if channel_data is None else f"{text}:{channel_data}"


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request to the HTTP API as it stands on the wire: ``path`` and ``query`` still escaped."""

    method: str
    path: str
    query: str
    body: bytes

    @classmethod
    def of(cls, method: str, path_with_query: str, body: bytes) -> ApiRequest:
        """From a request target."""
        path, _, query = path_with_query.partition("?")
        return cls(method.upper(), path, query, body)


def check_request(app: App, request: ApiRequest, now_s: float, max_age_s: int) -> dict[str, str]:
    """The query's parameters, with lower-case names, of a request rightly signed. Raises Refusal (401, or 400)."""
    parameters = _parameters(request.query)
    if not same(parameters.get("auth_key", ""), app.key):
        raise Refusal(401, "Invalid auth_key")
    if parameters.get("auth_version") != "1.0":
        raise Refusal(401, "Invalid auth_version: expected 1.0")
    _check_age(parameters.get("auth_timestamp", ""), now_s, max_age_s)
    _check_body(parameters.get("body_md5"), request.body)
    given = parameters.get("auth_signature", "")
    if not any(same(given, hex_digest(app, text)) for text in _signed_texts(request, parameters)):
        raise Refusal(401, f"Invalid signature: expected HMAC SHA256 hex digest of {request.method} {request.path}")
    return parameters


def _parameters(query: str) -> dict[str, str]:
    if query.count("&") >= _PARAMETERS:
        raise Refusal(400, "Too many query parameters")
    if "%" in query or "+" in query:
        pairs = parse_qsl(query, keep_blank_values=True)
    else:  # as nearly always: nothing to unescape
        parts = [part.partition("=") for part in query.split("&") if part]
        pairs = [(name, value) for name, _, value in parts]
    parameters = {name.lower(): value for name, value in pairs}
    if len(parameters) != len(pairs):
        raise Refusal(400, "A query parameter is given twice")
    return parameters


def _check_age(timestamp: str, now_s: float, max_age_s: int) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 20):
        raise Refusal(401, "Invalid auth_timestamp: expected seconds since 1970")
    if abs(int(timestamp) - now_s) > max_age_s:
        raise Refusal(
            401,
            f"Timestamp expired: Given timestamp ({timestamp}) not within {max_age_s}s of server time ({now_s:.0f})",
        )


def _check_body(given: str | None, body: bytes) -> None:
    # The Python server library sends the MD5 of the empty body with its GETs: right, so accepted.
    if given is None and not body:
        return
    if not same(given or "", hashlib.md5(body, usedforsecurity=False).hexdigest()):
        raise Refusal(401, "Invalid body_md5")


def _signed_texts(request: ApiRequest, parameters: dict[str, str]) -> list[str]:
    """What may have been signed: values unescaped as the protocol says, or as they were sent by sloppier libraries."""
    rest = sorted(item for item in parameters.items() if item[0] != "auth_signature")
    decoded = "&".join(f"{name}={value}" for name, value in rest)
    if "%" not in request.path and "%" not in request.query and "+" not in request.query:
        return [f"{request.method}\n{request.path}\n{decoded}"]
    pairs = (part.partition("=") for part in request.query.split("&"))
    sent = sorted((name.lower(), value) for name, _, value in pairs if name.lower() != "auth_signature")
    raw = "&".join(f"{name}={value}" for name, value in sent)
    paths = (request.path, unquote(request.path))
    return [f"{request.method}\n{path}\n{query}" for path in paths for query in (decoded, raw)]
