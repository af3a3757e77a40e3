"""Two clients of one broker talk on each kind of channel, each way timed: what sessions will do, with nobody's session.

Owns the clients and their inboxes. Every wait ends with the check's deadline, and all of them with the examination's.
"""

from __future__ import annotations

import functools
import json
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from codewrap.doctor.access import Broker, Spelling
from codewrap.doctor.report import Check, Checking, Status, all_skipped, failed, passed, skipped, warned, words
from codewrap.errors import CodewrapError, TransportError
from codewrap.protocol import channels, grants
from codewrap.protocol.sealing import NONCE_BYTES, seal
from codewrap.transport.base import (
    ClientEventsRefused,
    ConnectionState,
    Event,
    MemberAdded,
    Received,
    StateChanged,
    Subscribed,
    Subscriber,
    SubscriberEvent,
    SubscriptionFailed,
)
from codewrap.transport.webclient import explain

EVENT = "doctor"
LEAST_MASKED_CHARACTERS = 6  # a shorter one is in every other word
CLIENT_EVENT = "client-doctor"
MAX_INBOX_EVENTS = 1000
CHANNEL_CHECKS = (
    "public channel",
    "private channel",
    "encrypted channel",
    "presence channel",
    "client events",
    "input over HTTP",
)
CHECKS = ("WebSocket", *CHANNEL_CHECKS)
_NOT_HEARD = "published, and not heard by both clients in time"
_NOT_HEARD_ADVICE = "does a proxy hold WebSockets back, or is the server overloaded? See its log"
_SEE_LOG = "see the server's log, and run doctor again"
_SETTLED = (
    ConnectionState.CONNECTED,
    ConnectionState.UNAVAILABLE,
    ConnectionState.FAILED,
    ConnectionState.RECONNECTING,
)


@dataclass(slots=True)
class Patience:
    """How long one check may wait, and all of them together. Also counts the messages that were spent."""

    check_s: float
    total_s: float
    clock: Callable[[], float] = time.monotonic
    messages: int = 0
    _ends_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._ends_s = self.clock() + self.total_s

    def until_s(self) -> float:
        """The deadline of a check that begins now."""
        return min(self.clock() + self.check_s, self._ends_s)

    @property
    def is_over(self) -> bool:
        """Whether nothing more should be tried."""
        return self.clock() >= self._ends_s


@dataclass(frozen=True, slots=True)
class Arrival:
    """One thing that one client was told."""

    client: int
    at_s: float
    event: SubscriberEvent


class Inbox:
    """What both clients were told, in order. Written by the subscribers' threads; full, it drops what comes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._arrivals: list[Arrival] = []

    def put(self, client: int, event: SubscriberEvent) -> None:
        """As `Deliver`, for one of the clients."""
        with self._changed:
            if len(self._arrivals) < MAX_INBOX_EVENTS:
                self._arrivals.append(Arrival(client, time.monotonic(), event))
                self._changed.notify_all()

    def find(self, where: Callable[[Arrival], bool], until_s: float) -> Arrival | None:
        """The first such arrival since the beginning, waited for until ``until_s``; None where there is none."""
        at = 0
        with self._changed:
            while True:
                for arrival in self._arrivals[at:]:
                    if where(arrival):
                        return arrival
                at = len(self._arrivals)
                left_s = until_s - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    return None


class _Broken(Exception):
    """A check cannot go on."""

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(problem, advice)
        self.problem = problem
        self.advice = advice


class Conversation:
    """One after the other: connect, then each kind of channel."""

    def __init__(self, broker: Broker, session: str, spelling: Spelling, patience: Patience) -> None:
        self._broker = broker
        self._session = session
        self._spelling = spelling
        self._patience = patience
        self._lost = ""
        self._inbox = Inbox()
        self._clients: tuple[Subscriber, ...] = ()
        self._relays_client_events = False

    def run(self) -> Checking[bool]:
        """Whether publishing to both clients works."""
        problem = yield from self._connect()
        if self._broker.publisher is None:
            problem = problem or "needs credentials"
        if problem is not None:
            yield from all_skipped(CHANNEL_CHECKS, problem)
            return False
        checks = (self._public, self._private, self._encrypted, self._presence, self._client_events, self._input)
        works = False
        for name, check in zip(CHANNEL_CHECKS, checks, strict=True):
            if self._lost or self._patience.is_over:
                yield skipped(name, self._lost or "no time left")
                continue
            finding = self._guarded(name, check)
            works = works or (check == self._private and finding.status is Status.OK)
            yield finding
        return works and not self._lost

    def close(self) -> None:
        """The clients leave. Never raises."""
        for client in self._clients:
            client.close()

    def publish(self, events: Sequence[Event]) -> None:
        """Publish, and count. Raises as `Publisher.publish`."""
        assert self._broker.publisher is not None  # noqa: S101  (looked at before any channel is)
        self._patience.messages += len(events) * (1 + len(self._clients))
        self._broker.publisher.publish(events)

    def heard_by_both(self, channel: str, data: str, until_s: float) -> float | None:
        """When the last of the clients had ``data``; None where one has not had it in time."""
        found = [self._inbox.find(_is_received(client, channel, data), until_s) for client in range(len(self._clients))]
        return None if None in found else max(arrival.at_s for arrival in found if arrival is not None)

    def _connect(self) -> Checking[str | None]:
        openers = (self._broker.open_host, self._broker.open_viewer)
        self._clients = tuple(opener(functools.partial(self._inbox.put, at)) for at, opener in enumerate(openers))
        url = self._broker.ws.url.replace("http", "ws", 1)
        started_s, until_s = time.monotonic(), self._patience.until_s()
        for client in self._clients:
            client.start()
        ended_s = started_s
        for at in range(len(self._clients)):
            found = self._inbox.find(_is_settled(at), until_s)
            state = found.event if found is not None else None
            if found is None or not isinstance(state, StateChanged) or state.state is not ConnectionState.CONNECTED:
                reason = self._masked(state.reason) if isinstance(state, StateChanged) else "no answer in time"
                yield failed("WebSocket", f"{url}, {reason}", self._socket_advice(reason))
                return "needs the WebSocket"
            ended_s = max(ended_s, found.at_s)
        yield passed("WebSocket", f"{url} took two clients", (ended_s - started_s) * 1000)
        return None

    def _masked(self, reason: str) -> str:
        """Brokers quote the key; who put the secret in its place must not have that shown."""
        key = self._broker.ws.key
        return explain(reason, (key,) if len(key) >= LEAST_MASKED_CHARACTERS else ())

    def _socket_advice(self, reason: str) -> str:
        if "certificate" in reason:
            return "give it a certificate that this machine trusts, or name its authority's file in SSL_CERT_FILE"
        if any(f"({code})" in reason for code in (4001, 4003)):
            return f"correct {self._spelling.key}"
        if "(4004)" in reason:
            return "the account's connections are used up; close some, or raise the plan"
        if self._broker.is_behind_gateway:
            return "this is where serve-auth says its broker is; start that, or correct --public-host of serve-auth"
        return f"let WebSockets through to it, or correct {self._spelling.address}"

    def _guarded(self, name: str, check: Callable[[str], Check]) -> Check:
        """Run one check; a server that is gone is not asked again and again."""
        try:
            return check(name)
        except _Broken as error:
            return failed(name, error.problem, error.advice)
        except CodewrapError as error:
            if isinstance(error, TransportError) and error.retry:
                self._lost = "the server has just failed"
            return failed(name, words(error), _SEE_LOG)

    # the checks

    def _public(self, name: str) -> Check:
        if self._broker.is_behind_gateway:
            return skipped(name, "serve-auth relays sessions' channels only")
        return self._round_trip(name, self._session)

    def _private(self, name: str) -> Check:
        return self._round_trip(name, channels.output_channel(self._session, encrypted=False))

    def _encrypted(self, name: str) -> Check:
        if not self._broker.has_master_key:
            return failed(name, "no key to encrypt with", self._master_key_advice())
        return self._round_trip(name, channels.output_channel(self._session, encrypted=True))

    def _presence(self, name: str) -> Check:
        channel = channels.presence_channel(self._session)
        until_s = self._patience.until_s()
        self._join(0, channel, until_s)
        me = self._join(1, channel, until_s).me
        told = self._inbox.find(_is_told_of(0, channel, me), until_s)
        if told is None:
            raise _Broken("the first client was not told of the second", f"viewers would not be noticed; {_SEE_LOG}")
        self._patience.messages += 1
        return self._round_trip(name, channel, ", who see each other")

    def _client_events(self, name: str) -> Check:
        channel = channels.input_channel(self._session)
        until_s = self._patience.until_s()
        for at in range(len(self._clients)):
            self._join(at, channel, until_s)
        started_s = ended_s = time.monotonic()
        for sender, receiver in ((1, 0), (0, 1)):
            data = _token()
            self._patience.messages += 2
            if not self._clients[sender].send(channel, CLIENT_EVENT, data):
                raise _Broken("the connection was lost", _SEE_LOG)
            found = self._inbox.find(_either(_is_received(receiver, channel, data), _is_refused(sender)), until_s)
            if found is None or not isinstance(found.event, Received):
                return warned(name, "off at the server, so typing falls back to HTTP", self._client_event_advice())
            ended_s = found.at_s
        self._relays_client_events = True
        return passed(name, "there and back", (ended_s - started_s) * 1000)

    def _input(self, name: str) -> Check:
        if not self._broker.has_master_key:
            return skipped(name, "needs a key to encrypt with")
        channel, key_channel = channels.input_channel(self._session), channels.sealed_input_channel(self._session)
        until_s = self._patience.until_s()
        self._join(0, key_channel, until_s)
        for at in range(len(self._clients)):
            self._join(at, channel, until_s)
        grant, base_key = self._clients[1].grant(channel), self._key(key_channel)
        if grant is None:
            raise _Broken("no key to type with came with the subscription", self._master_key_advice())
        if grants.writer_key(base_key, grant.writer, grant.until) != grant.key:
            raise _Broken("host and viewer are given keys that do not fit", self._master_key_advice())
        sealed = grants.seal(_token(), grant, secrets.token_bytes(NONCE_BYTES))
        started_s = time.monotonic()
        if self._broker.send_input is None:
            self.publish([Event(channel, channels.EVENT_INPUT, sealed)])
        else:
            self._patience.messages += 1 + len(self._clients)
            self._broker.send_input(sealed)
        heard_s = self.heard_by_both(channel, sealed, until_s)
        if heard_s is None:
            raise _Broken(_NOT_HEARD, _NOT_HEARD_ADVICE)
        use = "in reserve" if self._relays_client_events else "typing uses it"
        return passed(name, f"works; {use}", (heard_s - started_s) * 1000)

    # their parts

    def _round_trip(self, name: str, channel: str, more: str = "") -> Check:
        """Subscribe both, publish once, wait for both."""
        until_s = self._patience.until_s()
        for at in range(len(self._clients)):
            self._join(at, channel, until_s)
        text = data = _token()
        if channel.startswith("private-encrypted-"):
            text = seal(data, self._key(channel), secrets.token_bytes(NONCE_BYTES))
            more = ", and decrypted"
        started_s = time.monotonic()
        self.publish([Event(channel, EVENT, text)])
        heard_s = self.heard_by_both(channel, data, until_s)
        if heard_s is None:
            raise _Broken(_NOT_HEARD, _NOT_HEARD_ADVICE)
        return passed(name, f"published, heard by both clients{more}", (heard_s - started_s) * 1000)

    def _join(self, client: int, channel: str, until_s: float) -> Subscribed:
        self._clients[client].subscribe(channel)
        found = self._inbox.find(_is_answer(client, channel), until_s)
        if found is None:
            raise _Broken("no answer to the subscription", _SEE_LOG)
        if isinstance(found.event, SubscriptionFailed):
            code = f" ({found.event.status})" if found.event.status is not None else ""
            raise _Broken(f"subscription refused{code}, {found.event.reason}", f"correct {self._spelling.secret}")
        assert isinstance(found.event, Subscribed)  # noqa: S101  (the only other answer)
        return found.event

    def _key(self, channel: str) -> bytes:
        key = self._clients[0].shared_secret(channel)
        if key is None:
            raise _Broken("no key came with the subscription", self._master_key_advice())
        return key

    def _master_key_advice(self) -> str:
        return f"set {self._spelling.master_key} (openssl rand -base64 32), or use run --no-encrypt"

    def _client_event_advice(self) -> str:
        if self._broker.is_metered:
            return "to make it faster, enable client events in the app's settings at Pusher"
        return "to make it faster, set SOKETI_DEFAULT_APP_ENABLE_CLIENT_MESSAGES=1 for the server"


def _token() -> str:
    return json.dumps({"doctor": secrets.token_hex(8)})


def _is_settled(client: int) -> Callable[[Arrival], bool]:
    """Whether the connection stands, or will not."""
    return lambda a: a.client == client and isinstance(a.event, StateChanged) and a.event.state in _SETTLED


def _is_answer(client: int, channel: str) -> Callable[[Arrival], bool]:
    return lambda a: a.client == client and isinstance(a.event, Subscribed | SubscriptionFailed) and a.event.channel == channel


def _is_received(client: int, channel: str, data: str) -> Callable[[Arrival], bool]:
    return lambda a: a.client == client and isinstance(a.event, Received) and (a.event.channel, a.event.data) == (channel, data)


def _is_told_of(client: int, channel: str, user_id: str | None) -> Callable[[Arrival], bool]:
    return lambda a: (
        a.client == client
        and isinstance(a.event, MemberAdded)
        and (a.event.channel, a.event.member.user_id) == (channel, user_id)
    )


def _is_refused(client: int) -> Callable[[Arrival], bool]:
    return lambda a: a.client == client and isinstance(a.event, ClientEventsRefused)


def _either(one: Callable[[Arrival], bool], other: Callable[[Arrival], bool]) -> Callable[[Arrival], bool]:
    return lambda a: one(a) or other(a)
