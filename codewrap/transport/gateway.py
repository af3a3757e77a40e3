"""`serve-auth`'s HTTP API as a client: its configuration, a session's credentials, input without a broker's client events,
tokens and links.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from codewrap.errors import TransportError
from codewrap.transport.base import AppCredentials, Endpoint
from codewrap.transport.origin import Origin
from codewrap.transport.webclient import Answer, WebClient, check_token, explain_body, refusal

API_VERSION = 1
GATEWAY_TIMEOUT_S = 8.0
_TAKEN = 409
_Field = TypeVar("_Field", str, int, bool)
# What the server tells of a token or a link, by its own names (`docs/protocol.md`). Never the token itself.
Facts = dict[str, object]


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """What a client has to know: where the broker is, the largest event it takes, whether output is encrypted.

    ``client_events_per_s`` is what the broker takes from one connection, None where that is not limited.
    """

    broker: Endpoint
    event_bytes: int
    encrypted: bool
    client_events_per_s: int | None = None


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session's own credentials for the HTTP API that stands at ``endpoint``; good until ``expires_at`` (Unix time)."""

    credentials: AppCredentials
    endpoint: Endpoint
    expires_at: float | None
    grant: str = ""
    """Which opening of the session this is; renewed and ended by it."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token, which is said this once, and what is known of it."""

    token: str = field(repr=False)
    facts: Facts


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What a link was exchanged for: a token for ``session``, good until ``expires_at`` (Unix time)."""

    token: str = field(repr=False)
    session: str
    role: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Hosted:
    """A session that has a host at the server. Times: Unix."""

    name: str
    owner: str
    opened_at: int
    seen_at: int


class GatewayClient:
    """Calls `serve-auth` with a bearer token, which never gets into a repr, log or error. Owned by one thread at a time."""

    def __init__(self, url: str, token: str, *, timeout_s: float = GATEWAY_TIMEOUT_S, prepares: bool | None = None) -> None:
        """``prepares``: as for `WebClient`; False has it start no thread."""
        self._token = check_token(token)
        self._origin = Origin.parse(url)
        self._web = WebClient(self._origin, timeout_s=timeout_s, prepares=prepares)

    def __repr__(self) -> str:
        return f"GatewayClient({self._origin.label!r})"

    def config(self) -> GatewayConfig:
        """Where the broker is. Raises AuthError or TransportError, like every call here."""
        said = self._call("GET", "/api/config")
        version = self._get(said, "version", int)
        if version != API_VERSION:
            raise TransportError(self._web.server, f"speaks version {version} of this interface, not {API_VERSION}", retry=False)
        broker, limits = self._object(said, "broker"), self._object(said, "limits")
        per_second = None if limits.get("client_events_per_s") is None else self._get(limits, "client_events_per_s", int)
        if per_second is not None and per_second < 1:
            raise self._nonsense()
        event_bytes, encrypted = self._get(limits, "event_bytes", int), self._get(said, "encrypted", bool)
        return GatewayConfig(self._endpoint(broker), event_bytes, encrypted, per_second)

    @property
    def server(self) -> str:
        """For errors."""
        return self._web.server

    def open_session(self, name: str, grant: str = "") -> OpenedSession:
        """Credentials to publish as session ``name``, through the gateway's own HTTP API.

        ``grant`` renews the opening that had it, or opens anew where that is over.
        """
        body: Facts = {"sessionId": name}
        if grant:
            body["grant"] = grant
        try:
            said = self._call("POST", "/api/sessions", body)
        except TransportError as error:
            if error.status != _TAKEN:
                raise
            words = f"somebody else hosts a session {name!r} there: choose another --name"
            raise TransportError(error.server, words, retry=False, status=_TAKEN) from None
        key = self._get(said, "key", str)
        expires_at, granted = said.get("expiresAt"), said.get("grant")
        return OpenedSession(
            AppCredentials(self._get(said, "appId", str), key, self._get(said, "secret", str)),
            self._own_endpoint(key),
            float(expires_at) if isinstance(expires_at, int | float) else None,
            granted if isinstance(granted, str) else "",
        )

    def end_session(self, name: str, grant: str) -> None:
        """The opening of session ``name`` that had ``grant`` is over, and its credentials void."""
        self._call("POST", f"/api/sessions/{name}/end", {"grant": grant})

    def send_input(self, name: str, sealed: dict[str, object]) -> None:
        """One sealed `input` frame (``{nonce, ciphertext}``) for session ``name``."""
        self._call("POST", "/api/commands/input", {"sessionId": name, "sealed": sealed})

    def send_text(self, name: str, text: str) -> None:
        """Type ``text`` into session ``name``: the simple form."""
        self._call("POST", "/api/commands/input", {"sessionId": name, "input": text})

    def approve(self, name: str, user: str, *, allow: bool) -> None:
        """Let ``user`` type into session ``name``, or not."""
        self._call("POST", f"/api/sessions/{name}/approvals", {"user": user, "allow": allow})

    def kill(self, name: str, signal: int) -> None:
        """Have the host of session ``name`` send its command a signal."""
        self._call("POST", f"/api/sessions/{name}/kill", {"signal": signal})

    def sessions(self) -> list[Hosted]:
        """Those that have a host now, as far as our token reaches."""
        said = self._call("GET", "/api/sessions").get("sessions")
        if not isinstance(said, list) or not all(isinstance(facts, dict) for facts in said):
            raise self._nonsense()
        return [
            Hosted(
                self._get(facts, "sessionId", str),
                self._get(facts, "owner", str),
                self._get(facts, "openedAt", int),
                self._get(facts, "seenAt", int),
            )
            for facts in said
        ]

    def sync(self, name: str, frame: dict[str, object]) -> None:
        """Ask the host of session ``name`` for what is missing."""
        self._call("POST", "/api/commands/sync", {"sessionId": name, "frame": frame})

    def create_token(self, user: str, role: str, sessions: Sequence[str], lifetime_s: int) -> Issued:
        """A token of ``user``, for sessions that fit one of these patterns (none: all)."""
        body: Facts = {"user": user, "role": role, "sessions": list(sessions), "lifetimeS": lifetime_s}
        return self._issued(self._call("POST", "/api/tokens", body))

    def tokens(self) -> list[Facts]:
        """All that have not expired, oldest first."""
        said = self._call("GET", "/api/tokens").get("tokens")
        if not isinstance(said, list) or not all(isinstance(facts, dict) for facts in said):
            raise self._nonsense()
        return said

    def revoke_token(self, token_id: str) -> None:
        """End one token, and what it was exchanged for."""
        self._call("DELETE", f"/api/tokens/{urllib.parse.quote(token_id, safe='')}")

    def revoke_user(self, user: str) -> None:
        """End all tokens of ``user`` that were issued up to now."""
        self._call("POST", "/api/revocations", {"user": user})

    def whoami(self) -> Facts:
        """Whose the bearer's token is, and what it allows."""
        return self._call("GET", "/api/whoami")

    def share(self, name: str, lifetime_s: int, *, write: bool, once: bool) -> Issued:
        """The token of a link to session ``name``."""
        body: Facts = {"sessionId": name, "write": write, "once": once, "lifetimeS": lifetime_s}
        return self._issued(self._call("POST", "/api/shares", body))

    def answer_link(self, name: str, epoch: str, prompt: str, place: Facts) -> Issued:
        """The token of a link for one answer to ``prompt``, which is at ``place`` (`offset`, `typed`, `reads`) of that run."""
        return self._issued(self._call("POST", f"/api/sessions/{name}/answer-links", {"epoch": epoch, "prompt": prompt} | place))

    def report_answer(self, name: str, link: str, outcome: str) -> None:
        """What became of the answer that came by that link: `typed`, `gone` or `refused`."""
        self._call("POST", f"/api/sessions/{name}/answers/{link}", {"outcome": outcome})

    def answer(self, name: str, text: str, *, enter: bool = True) -> None:
        """Answer the prompt that our token, a link's, was made for. Raises TransportError too where it has gone."""
        self._call("POST", f"/api/sessions/{name}/answer", {"text": text, "enter": enter})

    def redeem(self) -> Redeemed:
        """What our token, which is a link's, is good for; one of a link for one use is void from then on."""
        said = self._call("POST", "/api/shares/redeem", {"token": self._token}, bearer=False)
        return Redeemed(
            check_token(self._get(said, "token", str)),
            self._get(said, "sessionId", str),
            self._get(said, "role", str),
            self._get(said, "expiresAt", int),
        )

    def health(self) -> dict[str, object]:
        """What the server says of itself."""
        return self._call("GET", "/healthz")

    def close(self) -> None:
        """Release the connection. Never raises."""
        self._web.close()

    def _issued(self, said: Facts) -> Issued:
        return Issued(check_token(self._get(said, "token", str)), {name: said[name] for name in said if name != "token"})

    def _call(self, method: str, path: str, body: Facts | None = None, *, bearer: bool = True) -> Facts:
        headers = {"Authorization": f"Bearer {self._token}"} if bearer else {}
        headers["Accept"] = "application/json"
        if body is not None:
            headers["Content-Type"] = "application/json"
        answer = self._web.request(method, path, json.dumps(body).encode() if body is not None else b"", headers)
        if not 200 <= answer.status < 300:
            words = explain_body(answer.body, (self._token,))
            raise refusal(self._web.server, answer.status, words, answer.headers.get("retry-after"))
        said = _parse(answer)
        if said is None:
            raise self._nonsense()
        return said

    def _endpoint(self, broker: dict[str, object]) -> Endpoint:
        key = self._get(broker, "key", str)
        if broker.get("host") is None:
            return self._own_endpoint(key)
        path = self._get(broker, "path", str).rstrip("/") if "path" in broker else ""
        return Endpoint(
            self._get(broker, "host", str),
            self._get(broker, "port", int),
            self._get(broker, "tls", bool),
            key,
            path,
        )

    def _own_endpoint(self, key: str) -> Endpoint:
        return Endpoint(self._origin.host, self._origin.port, self._origin.tls, key, self._origin.path)

    def _object(self, said: dict[str, object], name: str) -> dict[str, object]:
        value = said.get(name)
        if not isinstance(value, dict):
            raise self._nonsense()
        return value

    def _get(self, said: dict[str, object], name: str, kind: type[_Field]) -> _Field:
        value = said.get(name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self._nonsense()
        return value

    def _nonsense(self) -> TransportError:
        return TransportError(self._web.server, "does not answer like codewrap serve-auth", retry=False)


def _parse(answer: Answer) -> dict[str, object] | None:
    """The JSON object of an answer; an empty body counts as an empty one, anything else as None."""
    if not answer.body.strip():
        return {}
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None
