"""The way to a broker, step by step: the server answers, its clock is ours, it knows us. By secret, or through `serve-auth`.

Each door tells its checks and gives what the next part speaks through. No secret gets into a finding.
"""

from __future__ import annotations

import email.utils
import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from codewrap.doctor.report import Check, Checking, all_skipped, failed, passed, skipped, warned, words
from codewrap.doctor.surroundings import default_credentials, is_proxied, plain_http
from codewrap.errors import AuthError, CodewrapError, TransportError
from codewrap.protocol.channels import presence_channel
from codewrap.transport.base import AppCredentials, Authorizer, Deliver, Endpoint, Publisher, RetryLater, Subscriber
from codewrap.transport.gateway import GatewayConfig, OpenedSession
from codewrap.transport.origin import Origin
from codewrap.transport.webclient import Answer, WebClient

SKEW_WARN_S, SKEW_FAIL_S = 60.0, 600.0  # beyond the second, brokers refuse signatures (Pusher: 600 s)
HOSTED_SUFFIX = ".pusher.com"
_ANY_SOCKET = "1.1"


@dataclass(frozen=True, slots=True)
class Spelling:
    """How the user spells what an advice is about."""

    address: str
    app_id: str
    key: str
    secret: str
    master_key: str


@dataclass(frozen=True, slots=True)
class Broker:
    """What the two clients are made of. ``publisher`` is None where credentials or token are refused."""

    ws: Endpoint
    open_host: Callable[[Deliver], Subscriber]
    open_viewer: Callable[[Deliver], Subscriber]
    publisher: Publisher | None
    event_bytes: int
    has_master_key: bool = True
    send_input: Callable[[str], None] | None = field(default=None, repr=False)

    @property
    def is_behind_gateway(self) -> bool:
        """Whether `serve-auth` stands before it: it has its own way for input, and relays sessions' channels only."""
        return self.send_input is not None

    @property
    def is_metered(self) -> bool:
        """Whether each message counts on somebody's bill."""
        return self.ws.host.endswith(HOSTED_SUFFIX)


class QueryingPublisher(Publisher, Protocol):
    """A publisher that can ask too."""

    def channels(self, prefix: str = "") -> dict[str, object]:
        """The occupied channels."""


class Gateway(Protocol):
    """`transport.gateway.GatewayClient`, as far as it is examined."""

    def config(self) -> GatewayConfig: ...

    def open_session(self, name: str) -> OpenedSession: ...

    def send_input(self, name: str, sealed: dict[str, object]) -> None: ...

    def close(self) -> None: ...


class Front:
    """One HTTP server: whether it answers to a plain request, and how late its clock is."""

    def __init__(self, origin: Origin, path: str, spelling: Spelling, timeout_s: float, now: Callable[[], float] = time.time):
        self._origin = origin
        self._path = path
        self._spelling = spelling
        self._timeout_s = timeout_s
        self._now = now

    def ask(self) -> Checking[Answer | None]:
        """Checks `server` and `clock`; the answer where there is one."""
        asked_at, started_s = self._now(), time.monotonic()
        try:
            answer = self._request()
        except TransportError as error:
            yield failed("server", f"{self._origin.label}, {error.reason}", self._advice(error))
            yield skipped("clock", "needs the server")
            return None
        ms = (time.monotonic() - started_s) * 1000
        if answer.status >= 500 or 300 <= answer.status < 400:
            advice = "its proxy finds nothing behind it" if answer.status >= 500 else "set the final address"
            yield failed("server", f"{self._origin.label} answers with status {answer.status}", advice, ms)
            yield skipped("clock", "needs the server")
            return None
        how = "TLS with a trusted certificate" if self._origin.tls else "TCP"
        yield passed("server", f"{self._origin.label} answers ({how})", ms)
        yield clock_check(answer.headers.get("date"), (asked_at + self._now()) / 2, is_ours=self._origin.is_loopback)
        return answer

    def _request(self) -> Answer:
        """In a thread: looking a name up knows no deadline."""
        web = WebClient(self._origin, timeout_s=self._timeout_s, connect_timeout_s=self._timeout_s, prepares=False)
        asking = _Asking(web, self._path)
        thread = threading.Thread(target=asking.run, name="doctor-front", daemon=True)
        thread.start()
        thread.join(self._timeout_s + 0.5)
        web.close()
        if asking.error is not None:
            raise asking.error
        if asking.answer is None:
            raise TransportError(self._origin.label, "no answer in time")
        return asking.answer

    def _advice(self, error: TransportError) -> str:
        address, cause = self._spelling.address, error.__cause__
        if is_proxied(self._origin) and not isinstance(cause, ssl.SSLError):
            return f"does the proxy work, and does it let {self._origin.host} through? Else correct {address}"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "give it a certificate that this machine trusts, or name its authority's file in SSL_CERT_FILE"
        if isinstance(cause, ssl.SSLError):
            return f"does it speak TLS on this port? Else correct {address}, or switch TLS off knowingly"
        if "found" in error.reason:
            return f"correct {address}"
        if isinstance(cause, TimeoutError) or "in time" in error.reason:
            cause_of_silence = "does it speak TLS on this port" if self._origin.tls else "is a firewall in between"
            return f"{cause_of_silence}? Else correct {address}"
        if "HTTP" in error.reason:
            return f"is it another kind of server, or does it want TLS? Else correct {address}"
        return f"start the server, or correct {address}"


class _Asking:
    """One request, on a thread of its own."""

    def __init__(self, web: WebClient, path: str) -> None:
        self._web = web
        self._path = path
        self.answer: Answer | None = None
        self.error: TransportError | None = None

    def run(self) -> None:
        try:
            self.answer = self._web.request("GET", self._path)
        except TransportError as error:
            self.error = error


def clock_check(date: str | None, here: float, *, is_ours: bool) -> Check:
    """Compare a Date header with this machine's time ``here``, taken in the middle of the request."""
    try:
        there = email.utils.parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        there = None
    if there is None:
        return (
            passed("clock", "the server's is this machine's")
            if is_ours
            else skipped("clock", "the server does not tell its time")
        )
    skew_s = there + 0.5 - here  # the header is cut to whole seconds
    if abs(skew_s) <= SKEW_WARN_S:
        return passed("clock", "as the server's" if abs(skew_s) < 2 else f"{_apart(skew_s)} the server's")
    problem = f"{_apart(skew_s)} the server's"
    advice = f"set this machine's, or the server's; beyond {SKEW_FAIL_S:.0f} s signatures are refused"
    if abs(skew_s) <= SKEW_FAIL_S:
        return warned("clock", problem, advice)
    return failed("clock", problem, advice)


def _apart(skew_s: float) -> str:
    return f"{abs(skew_s):.0f} s {'behind' if skew_s > 0 else 'ahead of'}"


class DirectDoor:
    """To a broker whose secret is here. ``publisher`` and the clients are not connected yet."""

    NAMES = ("server", "clock", "credentials")

    def __init__(self, front: Front, broker: Broker, publisher: QueryingPublisher, spelling: Spelling) -> None:
        self._front = front
        self._broker = broker
        self._publisher = publisher
        self._spelling = spelling

    def open(self) -> Checking[Broker | None]:
        """The broker to speak through, None where there is no server."""
        answer = yield from self._front.ask()
        if answer is None:
            yield skipped("credentials", "needs the server")
            return None
        started_s = time.monotonic()
        try:
            self._publisher.channels("presence-command-")
        except CodewrapError as error:
            yield failed("credentials", words(error), self._advice(error))
            return replace(self._broker, publisher=None)
        yield passed("credentials", "a signed query was answered", (time.monotonic() - started_s) * 1000)
        return self._broker

    def close(self) -> None:
        """Release what was opened."""
        self._publisher.close()

    def _advice(self, error: CodewrapError) -> str:
        if isinstance(error, RetryLater):
            return "wait until the account's quota is renewed (00:00 UTC at Pusher), or raise it"
        if isinstance(error, AuthError):
            clock = " (and the clock)" if "imestamp" in error.reason else ""
            return f"correct {self._spelling.secret}, {self._spelling.key} and {self._spelling.app_id}{clock}"
        if isinstance(error, TransportError) and not error.retry:
            return f"correct {self._spelling.app_id}, or {self._spelling.address}"
        return f"look at the server, or correct {self._spelling.address}"


class GatewayDoor:
    """To a broker behind `serve-auth`. ``make_broker`` makes clients and publisher of what the server tells."""

    NAMES = ("server", "clock", "configuration", "auth endpoint", "user sign-in", "publishing")

    def __init__(
        self,
        front: Front,
        gateway: Gateway,
        authorizer: Authorizer,
        make_broker: Callable[[GatewayConfig, OpenedSession | None], Broker],
        session: str,
    ) -> None:
        self._front = front
        self._gateway = gateway
        self._authorizer = authorizer
        self._make_broker = make_broker
        self._session = session
        self._made: Broker | None = None

    def open(self) -> Checking[Broker | None]:
        """The broker to speak through, None where there is no `serve-auth`."""
        answer = yield from self._front.ask()
        health = None if answer is None else _health(answer)
        if answer is None or health is None:
            if answer is not None:
                yield failed("configuration", "this is no codewrap serve-auth", "correct CODEWRAP_URL, its path too")
            yield from all_skipped(self.NAMES[2 if answer is None else 3 : 6], "needs the server")
            return None
        try:
            found = self._gateway.config()
        except CodewrapError as error:
            yield failed(
                "configuration", f"/api/config: {words(error)}", "is it another version of codewrap? Upgrade one of them"
            )
            yield from all_skipped(self.NAMES[3:6], "needs the configuration")
            return None
        yield self._configured(found, health)
        yield plain_http([found.broker], "TLS to broker")
        yield default_credentials(AppCredentials("", found.broker.key, ""))
        opened = yield from self._admitted()
        self._made = self._make_broker(found, opened)
        return self._made

    def close(self) -> None:
        """Release what was opened."""
        self._gateway.close()
        if self._made is not None and self._made.publisher is not None:
            self._made.publisher.close()

    def _configured(self, found: GatewayConfig, health: dict[str, object]) -> Check:
        if health.get("broker") != "ok":
            return failed(
                "configuration", "serve-auth does not reach its broker", "start the broker, or tell who runs the server"
            )
        return passed("configuration", f"broker at {found.broker.url}, events up to {found.event_bytes} bytes")

    def _admitted(self) -> Checking[OpenedSession | None]:
        try:
            started_s = time.monotonic()
            self._authorizer.authorize(presence_channel(self._session), _ANY_SOCKET)
            yield passed("auth endpoint", "/pusher/auth signs with this token", (time.monotonic() - started_s) * 1000)
        except CodewrapError as error:
            yield self._refused("auth endpoint", "/pusher/auth", error)
            yield from all_skipped(self.NAMES[4:6], "needs the auth endpoint")
            return None
        try:
            started_s = time.monotonic()
            self._authorizer.sign_in(_ANY_SOCKET)
            yield passed("user sign-in", "/pusher/user-auth signs with this token", (time.monotonic() - started_s) * 1000)
        except CodewrapError as error:
            yield self._refused("user sign-in", "/pusher/user-auth", error)
        try:
            started_s = time.monotonic()
            opened = self._gateway.open_session(self._session)
        except CodewrapError as error:
            yield self._refused("publishing", "/api/sessions", error)
            return None
        yield passed("publishing", "credentials for one session were issued", (time.monotonic() - started_s) * 1000)
        return opened

    def _refused(self, name: str, path: str, error: CodewrapError) -> Check:
        if isinstance(error, AuthError) and error.status == 401:
            return failed(name, f"the token is {words(error)}", "set CODEWRAP_TOKEN to the server's AUTH_TOKEN")
        if isinstance(error, AuthError):
            return failed(name, f"{path}: {words(error)}", "ask who runs the server for a token that may")
        if isinstance(error, RetryLater):
            return failed(name, f"{path}: {words(error)}", f"try again in {error.retry_after_s or 60:.0f} s")
        return failed(name, f"{path}: {words(error)}", "look at the server's log")


def _health(answer: Answer) -> dict[str, object] | None:
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return said if answer.status == 200 and isinstance(said, dict) and said.get("status") == "ok" else None
