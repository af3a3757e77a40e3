"""What `GET /metrics` tells: numbers of this process in the form of Prometheus, in a registry of its own.

Labels are words of ours (routes, reasons, kinds): never a session, a user, a token, an address or a path as it was asked. What
several copies share (sessions, revocations) each of them tells as the store has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from codewrap import __version__
from codewrap.errors import RemoteProtocolError
from codewrap.protocol.channels import ChannelRole, parse_channel
from codewrap.protocol.roles import Role
from codewrap.transport.base import Event

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})
NO_ROUTE = "none"
OTHER = "other"
ROLES = frozenset(role.value for role in Role)
CHANNELS = {
    ChannelRole.SEALED_OUTPUT: "output",
    ChannelRole.OUTPUT: "output",
    ChannelRole.SEALED_INPUT: "input",
    ChannelRole.INPUT: "input",
    ChannelRole.PRESENCE: "presence",
}


@dataclass(frozen=True, slots=True)
class Census:
    """Who is at the hub of this process: open sockets, and members of presence channels by role."""

    sockets: int
    present: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Now:
    """What is looked up when somebody asks. None: not known (no hub here, the store is away)."""

    sessions: int | None
    revocations: int
    publishes_waiting: int
    audit_waiting: int | None
    audit_refused: int | None
    census: Census | None


class Metrics:
    """Counts. Its methods may be called by any thread and never raise. ``process``: also of memory, CPU and Python itself."""

    def __init__(self, *, process: bool = True) -> None:
        self._registry = CollectorRegistry()
        self._of_requests()
        self._of_decisions()
        self._of_backends()
        self._of_now()
        info = self._gauge("build_info", "Always 1; the label says what runs.", "version")
        info.labels(__version__).set(1)
        if process:
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
            GCCollector(registry=self._registry)

    def _of_requests(self) -> None:
        labels = ("method", "route")
        self._seconds = self._histogram("http_request_seconds", "Time from a request's head to the end of its answer.", *labels)
        self._responses = self._counter("http_responses", "Answers by route and status.", "route", "status")
        self._refusals = self._counter("http_refusals", "Refused requests by status and the code of the error.", "status", "code")

    def _of_decisions(self) -> None:
        self._authentications = self._counter("authentications", "Tokens and signatures checked.", "result", "reason")
        self._authorizations = self._counter("authorizations", "Channels and sign-ins asked for.", "channel", "result")
        self._inputs = self._counter("input_frames", "Input that came over HTTP.", "result")
        self._limits = self._counter("limits_hit", "Requests refused by a limit, and what it counts by.", "limit", "by")
        self._blocks = self._counter("blocks", "Addresses and tokens blocked for guessing.")
        self._revoked = self._counter("revocations_carried_out", "Revocations that this copy acted on.", "kind")

    def _of_backends(self) -> None:
        self._events = self._counter("events_published", "Events that the broker took.", "channel")
        self._bytes = self._counter("event_bytes_published", "Bytes of their data.", "channel")
        self._publish_seconds = self._histogram("publish_seconds", "Time of one publish to the broker.")
        self._publish_failures = self._counter("publish_failures", "Publishes that the broker did not take.", "reason")
        self._state_seconds = self._histogram("state_seconds", "Time of one question to the state store.", "operation")
        self._state_failures = self._counter("state_failures", "Questions that it did not answer.", "operation")

    def _of_now(self) -> None:
        self._sessions = self._gauge("sessions", "Sessions that are hosted, at all copies; NaN while the store is away.")
        self._revocations = self._gauge("revocations", "Revocations that still count.")
        self._waiting = self._gauge("publishes_waiting", "Publishes under way or waiting for their turn.")
        self._audit_waiting = self._gauge("audit_lines_waiting", "Lines of the audit log that are not written yet.")
        self._audit_refused = self._gauge("audit_lines_refused", "Lines of the audit log that could not be written.")
        self._sockets = self._gauge("hub_sockets", "Open sockets of the hub in this process.")
        self._present = self._gauge("hub_present", "Members of its presence channels.", "role")

    # What happens

    def answered(self, method: str, route: str, status: int, seconds: float, refusal: str | None) -> None:
        """A request; ``refusal`` is the code of the error that it was answered with."""
        self._seconds.labels(method if method in METHODS else OTHER, route).observe(seconds)
        self._responses.labels(route, str(status)).inc()
        if status >= 400:
            self._refusals.labels(str(status), refusal or OTHER).inc()

    def authenticated(self, result: str, reason: str) -> None:
        """``result``: `ok`, `failed` or `blocked`; ``reason``: a kind of token, or a word for why not."""
        self._authentications.labels(result, reason).inc()

    def authorized(self, channel: str, result: str) -> None:
        """``channel``: one of CHANNELS' words, `user` for a sign-in; ``result``: `ok`, or the code of the refusal."""
        self._authorizations.labels(channel, result).inc()

    def typed(self, result: str) -> None:
        """An input; ``result``: `ok`, or the code of the refusal."""
        self._inputs.labels(result).inc()

    def limit_hit(self, limit: str, by: str) -> None:
        """As `Limits` reports it."""
        self._limits.labels(limit, by).inc()

    def blocked(self) -> None:
        """Somebody guessed too often."""
        self._blocks.inc()

    def revoked(self, kind: str) -> None:
        """``kind``: `token` or `user`."""
        self._revoked.labels(kind).inc()

    def published(self, events: Sequence[Event], seconds: float) -> None:
        """The broker took them."""
        self._publish_seconds.observe(seconds)
        for event in events:
            kind = channel_kind(event.channel)
            self._events.labels(kind).inc()
            self._bytes.labels(kind).inc(event.size_bytes)

    def publish_failed(self, reason: str, seconds: float) -> None:
        """The broker did not; ``reason`` is the class of the error."""
        self._publish_seconds.observe(seconds)
        self._publish_failures.labels(reason).inc()

    def state_asked(self, operation: str, seconds: float, *, answered: bool) -> None:
        """The state store was asked."""
        self._state_seconds.labels(operation).observe(seconds)
        if not answered:
            self._state_failures.labels(operation).inc()

    # What is told

    def text(self, now: Now) -> bytes:
        """All of it, of CONTENT_TYPE."""
        self._sessions.set(_number(now.sessions))
        self._revocations.set(now.revocations)
        self._waiting.set(now.publishes_waiting)
        self._audit_waiting.set(_number(now.audit_waiting))
        self._audit_refused.set(_number(now.audit_refused))
        self._sockets.set(_number(now.census.sockets if now.census is not None else None))
        self._present.clear()
        for role, count in (now.census.present if now.census is not None else {}).items():
            self._present.labels(role if role in ROLES else OTHER).inc(count)
        return generate_latest(self._registry)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"codewrap_{name}", words, labels, registry=self._registry)

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"codewrap_{name}", words, labels, registry=self._registry)

    def _histogram(self, name: str, words: str, *labels: str) -> Histogram:
        return Histogram(f"codewrap_{name}", words, labels, registry=self._registry, buckets=SECONDS)


def channel_kind(name: str) -> str:
    """A channel's kind as a label: `output`, `input`, `presence` or `other`."""
    try:
        return CHANNELS[parse_channel(name).role]
    except RemoteProtocolError:
        return OTHER


def _number(value: int | None) -> float:
    return float("nan") if value is None else value
