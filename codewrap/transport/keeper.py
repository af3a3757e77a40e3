"""Keeps one subscription connection: reconnects, authorizes afresh each time, notices a dead link. Knows no socket.

Threads: the keeper (connects, waits, pings), the authorizer (asks for signatures, which may take seconds), and the wire's own,
which brings every frame straight to ``deliver``. One lock guards the protocol object and the order of deliveries; the
wire is never called under it.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import logging
import math
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from codewrap.errors import AuthError, CodewrapError, LocalProtocolError, TransportError
from codewrap.protocol.grants import Grant
from codewrap.transport.backoff import FIRST_S, LIMIT_S, STABLE_AFTER_S, Backoff
from codewrap.transport.base import (
    Authorizer,
    ConnectionState,
    Deliver,
    Member,
    OpenWire,
    Silence,
    StateChanged,
    SubscriberEvent,
    SubscriptionFailed,
    Wire,
)
from codewrap.transport.channels_client import (
    MAX_CHANNELS,
    PING,
    Action,
    Authorize,
    ChannelsClient,
    Leave,
    Send,
    SignIn,
    encode_event,
    is_at_once,
    is_final,
    least_wait_s,
)

CLOSE_WITHIN_S = 0.9
MAX_JOBS = 4 * MAX_CHANNELS
MAX_CLIENT_EVENT_BYTES = 100 * 1024
UNAUTHORIZED = 4009
SENT_AWAY_S = 1.0  # by then a revocation is known to every copy of the server
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient the keeper is. A quiet link is pinged after ``ping_after_s``, called silent ``silent_after_s`` later, and given
    up ``dead_after_s`` after the ping."""

    ping_after_s: float = 20.0
    silent_after_s: float = 3.0
    dead_after_s: float = 15.0
    connect_timeout_s: float = 15.0
    first_retry_s: float = FIRST_S
    longest_retry_s: float = LIMIT_S
    stable_after_s: float = STABLE_AFTER_S


@dataclass(slots=True, eq=False)
class _Link:
    """One connection, from its opening to its end."""

    client: ChannelsClient
    wire: Wire | None = None
    unsent: list[str] = field(default_factory=list)
    established_at_s: float | None = None
    pinged_at_s: float | None = None
    called_silent: bool = False
    waiting_since_s: dict[str, float] = field(default_factory=dict)
    renewed_at_s: dict[str, float] = field(default_factory=dict)
    end: tuple[int | None, str] | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    """One question to the authorizer."""

    link: _Link
    ask: Authorize | SignIn
    backoff: Backoff


class KeptSubscriber:
    """A `Subscriber` over any wire. ``open_wire`` must return at once and tell of its failure by closing.

    ``deliver`` is called from several threads, one at a time, in the order of arrival; it must only enqueue.
    """

    def __init__(
        self,
        open_wire: OpenWire,
        authorizer: Authorizer,
        deliver: Deliver,
        *,
        sign_in: bool = False,
        timing: Timing | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._open_wire = open_wire
        self._authorizer = authorizer
        self._deliver = deliver
        self._sign_in = sign_in
        self._timing = timing or Timing()
        self._random = random
        self._wanted: list[str] = []
        self._renewals: dict[str, float] = {}
        self._lock = threading.RLock()
        self._nudge = threading.Event()
        self._closing = threading.Event()
        self._link: _Link | None = None
        self._jobs: queue.Queue[_Job | None] = queue.Queue(MAX_JOBS)
        self._threads = (
            threading.Thread(target=self._keep, name="subscriber-keeper", daemon=True),
            threading.Thread(target=self._authorize, name="subscriber-authorizer", daemon=True),
        )
        self._is_started = False
        self._delivering = 0  # the thread that is in ``deliver``

    def start(self) -> None:
        """Begin connecting; returns at once."""
        if self._is_started or self._closing.is_set():
            return
        self._is_started = True
        for thread in self._threads:
            thread.start()

    def subscribe(self, channel: str, *, renew_s: float | None = None) -> None:
        """Want ``channel`` from now on, over every reconnect; ``renew_s``: have it authorized again so often."""
        with self._lock:
            if channel in self._wanted:
                return
            if renew_s is not None:
                self._renewals[channel] = renew_s
            if len(self._wanted) >= MAX_CHANNELS:
                raise LocalProtocolError(f"more than {MAX_CHANNELS} channels on one connection")
            self._wanted.append(channel)
            link = self._link
            sends = self._act(link, link.client.want(channel)) if link else []
        self._write(link, sends)

    def renew(self, channel: str) -> None:
        """Have ``channel`` authorized again, by the authorizer's thread; `Renewed` or `SubscriptionFailed` follows."""
        with self._lock:
            link = self._link
            sends = self._act(link, link.client.renew(channel)) if link else []
        self._write(link, sends)

    def send(self, channel: str, name: str, data: str) -> bool:
        """Send a client event; False when not connected and subscribed (nothing was sent). Never blocks."""
        if not name.startswith("client-") or not channel.startswith(("private-", "presence-")):
            raise LocalProtocolError("a client event needs a name with client- and a private or presence channel")
        if channel.startswith("private-encrypted-"):
            raise LocalProtocolError("client events do not exist on encrypted channels")
        if len(data.encode()) > MAX_CLIENT_EVENT_BYTES:
            raise LocalProtocolError("a client event is too large")
        link = self._link
        if link is None or link.wire is None or channel not in link.client.subscribed:
            return False
        return link.wire.send(encode_event(name, data, channel))

    def shared_secret(self, channel: str) -> bytes | None:
        """The key of an encrypted channel, once authorized."""
        with self._lock:
            return self._link.client.shared_secret(channel) if self._link else None

    def grant(self, channel: str) -> Grant | None:
        """The leave to type that came with ``channel``, once authorized."""
        with self._lock:
            return self._link.client.grant(channel) if self._link else None

    def members(self, channel: str) -> tuple[Member, ...]:
        """Who is on a presence channel now; empty while not subscribed."""
        with self._lock:
            return self._link.client.members(channel) if self._link else ()

    def close(self) -> None:
        """Leave. Returns within a second, from any thread; never raises. Nothing but CLOSED is delivered after."""
        self._closing.set()
        self._nudge.set()
        link = self._link
        if link is not None and link.wire is not None:
            link.wire.close()
        try:
            self._jobs.put_nowait(None)
        except queue.Full:
            pass
        if self._delivering == threading.get_ident():
            return  # called by ``deliver``: the others wait for this thread
        until_s = time.monotonic() + CLOSE_WITHIN_S
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, until_s - time.monotonic()))

    # the keeper's thread

    def _keep(self) -> None:
        try:
            self._keep_connected()
        except Exception:  # noqa: BLE001  (the top of this thread)
            _log.exception("the subscriber's keeper failed")
            self._tell(StateChanged(ConnectionState.FAILED, "an error inside codewrap"))
            self._closing.wait()
        self._tell(StateChanged(ConnectionState.CLOSED), even_closing=True)

    def _keep_connected(self) -> None:
        backoff = self._backoff()
        while not self._closing.is_set():
            self._tell(StateChanged(ConnectionState.CONNECTING))
            link = self._open()
            code, reason = self._watch(link)
            self._leave(link)
            # It let us in, and does not any more. Why, a fresh authorization tells: or it lets us in again.
            is_sent_away = code == UNAUTHORIZED and bool(link.client.subscribed)
            if is_final(code) and not is_sent_away:
                self._tell(StateChanged(ConnectionState.FAILED, f"{reason} ({code})"))
                self._closing.wait()
                return
            stood_s = 0.0
            if link.established_at_s is None:
                self._tell(StateChanged(ConnectionState.UNAVAILABLE, reason))
            else:
                stood_s = time.monotonic() - link.established_at_s
            at_least_s = SENT_AWAY_S if is_sent_away else least_wait_s(code)
            wait_s = backoff.next_s(connected_for_s=stood_s, at_once=is_at_once(code), at_least_s=at_least_s)
            self._tell(StateChanged(ConnectionState.RECONNECTING, reason, wait_s))
            self._closing.wait(wait_s)

    def _backoff(self) -> Backoff:
        timing = self._timing
        return Backoff(
            self._random,
            first_s=timing.first_retry_s,
            limit_s=timing.longest_retry_s,
            stable_after_s=timing.stable_after_s,
        )

    def _open(self) -> _Link:
        with self._lock:
            link = self._link = _Link(ChannelsClient(self._wanted, sign_in=self._sign_in))
        wire = self._open_wire(lambda text: self._on_text(link, text), lambda code, reason: self._on_close(link, code, reason))
        with self._lock:
            link.wire = wire
            sends, link.unsent = link.unsent, []
        self._write(link, sends)
        return link

    def _watch(self, link: _Link) -> tuple[int | None, str]:
        """Wait for the connection's end, and make it end when it is dead."""
        give_up_s = time.monotonic() + self._timing.connect_timeout_s
        while link.end is None and not self._closing.is_set():
            now_s = time.monotonic()
            if link.established_at_s is None:
                wait_s = give_up_s - now_s
                if wait_s <= 0:
                    return None, "no answer in time"
            else:
                wait_s = self._mind_silence(link, now_s)
                if wait_s <= 0:
                    return None, "the connection went dead"
                wait_s = min(wait_s, self._mind_unanswered(link, now_s), self._mind_renewals(link, now_s))
            self._nudge.wait(wait_s)
            self._nudge.clear()
        return link.end or (None, "closed")

    def _mind_silence(self, link: _Link, now_s: float) -> float:
        """Ping a quiet link. Returns how long to wait for the next look; 0 for a dead one."""
        assert link.wire is not None  # noqa: S101  (set before the watch begins)
        heard_at_s = link.wire.heard_at_s
        ping_after_s = min(self._timing.ping_after_s, link.client.activity_timeout_s)
        if link.pinged_at_s is not None and heard_at_s > link.pinged_at_s:
            link.pinged_at_s = None
            self._call_silent(link, None)
        if now_s - heard_at_s < ping_after_s:
            return ping_after_s - (now_s - heard_at_s)
        if link.pinged_at_s is None:
            link.pinged_at_s = now_s
            link.wire.send(PING)
        silent_in_s = link.pinged_at_s + self._timing.silent_after_s - now_s
        if silent_in_s <= 0:
            self._call_silent(link, now_s - heard_at_s)
        dead_in_s = max(0.0, min(ping_after_s, link.pinged_at_s + self._timing.dead_after_s - now_s))
        return min(dead_in_s, silent_in_s) if silent_in_s > 0 else dead_in_s

    def _call_silent(self, link: _Link, for_s: float | None) -> None:
        """Tell of it once, and once that it is over."""
        if link.called_silent != (for_s is not None):
            link.called_silent = for_s is not None
            self._tell(Silence(for_s))

    def _mind_unanswered(self, link: _Link, now_s: float) -> float:
        """Tell of subscriptions that the broker leaves without any answer. Returns when to look again."""
        patience_s = self._timing.connect_timeout_s
        with self._lock:
            waiting = link.client.unanswered()
            for channel in waiting:
                since_s = link.waiting_since_s.setdefault(channel, now_s)
                if now_s - since_s >= patience_s:
                    link.waiting_since_s[channel] = math.inf  # told once; should it come yet, it counts
                    self._tell(SubscriptionFailed(channel, None, "the broker does not answer"))
        return patience_s

    def _mind_renewals(self, link: _Link, now_s: float) -> float:
        """Have authorized again what is due. Returns when to look again."""
        wait_s = math.inf
        for channel, every_s in self._renewals.copy().items():
            due_s = link.renewed_at_s.setdefault(channel, now_s) + every_s
            if now_s >= due_s:
                link.renewed_at_s[channel] = now_s
                due_s = now_s + every_s
                self.renew(channel)
            wait_s = min(wait_s, due_s - now_s)
        return wait_s

    def _leave(self, link: _Link) -> None:
        with self._lock:
            if self._link is link:
                self._link = None
        if link.wire is not None:
            link.wire.close()

    # from the wire's threads

    def _on_text(self, link: _Link, text: str) -> None:
        with self._lock:
            if link is not self._link or self._closing.is_set():
                return
            sends = self._act(link, link.client.receive(text))
        if link.called_silent:
            self._nudge.set()
        if sends:
            self._write(link, sends)

    def _on_close(self, link: _Link, code: int | None, reason: str) -> None:
        if link.end is None:
            link.end = (code, reason)
        self._nudge.set()

    # actions

    def _act(self, link: _Link | None, actions: Iterable[Action]) -> list[str]:
        """Carry out what can be under the lock; returns the frames to write without it."""
        sends: list[str] = []
        for action in actions:
            if isinstance(action, Send):
                sends.append(action.text)
            elif isinstance(action, Authorize | SignIn):
                if link is not None:
                    sends += self._enqueue(link, action)
            elif isinstance(action, Leave):
                if link is not None:
                    self._on_close(link, action.code, action.reason)
            else:
                if isinstance(action, StateChanged) and link is not None:
                    link.established_at_s = time.monotonic()
                    self._nudge.set()
                self._hand_on(action)
        return sends

    def _enqueue(self, link: _Link, ask: Authorize | SignIn) -> list[str]:
        try:
            self._jobs.put_nowait(_Job(link, ask, self._backoff()))
        except queue.Full:
            if isinstance(ask, Authorize):
                return self._act(link, link.client.refused(ask.channel, ask.socket_id, None, "too many questions at once"))
        return []

    def _write(self, link: _Link | None, sends: Sequence[str]) -> None:
        """Write protocol frames. One that cannot be written ends the connection: the next one starts clean."""
        if link is None:
            return
        for text in sends:
            with self._lock:
                wire = link.wire
                if wire is None:  # it spoke before `open_wire` returned
                    link.unsent.append(text)
                    continue
            if not wire.send(text):
                self._on_close(link, None, "the connection cannot be written to")
                return

    def _tell(self, event: SubscriberEvent, *, even_closing: bool = False) -> None:
        with self._lock:
            if even_closing or not self._closing.is_set():
                self._hand_on(event)

    def _hand_on(self, event: SubscriberEvent) -> None:
        """Deliver, under the lock: one at a time, in order."""
        self._delivering = threading.get_ident()
        try:
            self._deliver(event)
        finally:
            self._delivering = 0

    # the authorizer's thread

    def _authorize(self) -> None:
        later: list[tuple[float, int, _Job]] = []
        turns = itertools.count()
        while not self._closing.is_set():
            job = self._next_job(later)
            if job is None or job.link is not self._link:
                continue
            again_s = self._answer_safely(job)
            if again_s is not None and len(later) < MAX_JOBS:
                heapq.heappush(later, (time.monotonic() + again_s, next(turns), job))

    def _next_job(self, later: list[tuple[float, int, _Job]]) -> _Job | None:
        wait_s = max(0.0, later[0][0] - time.monotonic()) if later else None
        try:
            return self._jobs.get(timeout=wait_s)
        except queue.Empty:
            return heapq.heappop(later)[2]

    def _answer_safely(self, job: _Job) -> float | None:
        try:
            self._answer(job)
        except TransportError as error:
            if error.retry:
                return job.backoff.next_s(at_least_s=getattr(error, "retry_after_s", None) or 0.0)
            self._refuse(job, error.status, str(error))
        except CodewrapError as error:
            self._refuse(job, error.status if isinstance(error, AuthError) else None, str(error))
        except Exception:  # noqa: BLE001  (the top of this thread: it must outlive a bug in one answer)
            _log.exception("the authorizer failed")
            self._refuse(job, None, "an error inside codewrap")
        return None

    def _answer(self, job: _Job) -> None:
        """Ask the authorizer and pass its answer on."""
        client, ask = job.link.client, job.ask
        if isinstance(ask, Authorize):
            authorization = self._authorizer.authorize(ask.channel, ask.socket_id)
            self._apply(job.link, functools.partial(client.authorized, ask.channel, ask.socket_id, authorization))
            return
        signed = self._authorizer.sign_in(ask.socket_id)
        if signed is not None:
            self._apply(job.link, functools.partial(client.sign_in, ask.socket_id, *signed))

    def _refuse(self, job: _Job, status: int | None, reason: str) -> None:
        ask, client = job.ask, job.link.client
        if isinstance(ask, Authorize):
            self._apply(job.link, functools.partial(client.refused, ask.channel, ask.socket_id, status, reason))

    def _apply(self, link: _Link, actions: Callable[[], Iterable[Action]]) -> None:
        with self._lock:
            if link is not self._link or self._closing.is_set():
                return
            sends = self._act(link, actions())
        self._write(link, sends)
