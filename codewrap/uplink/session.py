"""The uplink's session: follows the log, hears viewers, publishes. A driver calls it; it waits for nothing itself but a publish.

Keystrokes take their own way (`inputpath.py`). Everything else that comes from the network is enqueued (bounded; full: the
oldest is dropped, since each request is repeated by who made it and presence is told again at every reconnect).
"""

from __future__ import annotations

import functools
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codewrap.errors import AuthError, CodewrapError, LocalProtocolError, RemoteProtocolError, TransportError
from codewrap.protocol import channels, frames, sealing
from codewrap.protocol.frames import Sync
from codewrap.protocol.hostlink import Kind, Message
from codewrap.protocol.pacing import MAX_BATCH
from codewrap.protocol.roles import CHALLENGE
from codewrap.transport.base import (
    ClientEventsRefused,
    ConnectionState,
    Event,
    MemberAdded,
    MemberRemoved,
    Publisher,
    Received,
    RetryLater,
    StateChanged,
    Subscribed,
    Subscriber,
    SubscriberEvent,
    SubscriptionFailed,
)
from codewrap.uplink.attendant import Attendant
from codewrap.uplink.composer import FEED_BYTES, Batch, Composer
from codewrap.uplink.farewell import Farewell
from codewrap.uplink.follower import LogFollower
from codewrap.uplink.hostsocket import HostSocket
from codewrap.uplink.inputpath import KEY_KEEP_S, InputPath, SecretOf, UplinkPlan
from codewrap.uplink.portrait import Engine, portrait
from codewrap.uplink.quickpath import QuickPath
from codewrap.uplink.spending import CostPlan, Spending
from codewrap.uplink.visitors import Visitors
from codewrap.uplink.watchers import Watchers

MAX_QUEUED = 10_000
RETRY_FIRST_S, RETRY_MOST_S = 0.2, 10.0
REFUSED_RETRY_S = 30.0
# Nobody watches: the log is looked at this often, in big blocks, not at every line.
UNWATCHED_LOOK_S = 0.1
# The terminal's state is fed when output pauses, not while the child needs the processor; or when it lags so far behind
# that a screen would take too long (a quarter of a second and less; with a viewer, a tenth of that).
IDLE_FEED_S = 0.03
UNWATCHED_IDLE_FEED_S = 0.15
MAX_LAG_BYTES = 512 * 1024
UNWATCHED_MAX_LAG_BYTES = 8 * 1024 * 1024
# After the child's end viewers are given so long to hear of it, also those whose connection is just being restored.
LINGER_S = 5.0
# Who still lacks something asks within a second, and again; each answer begins this anew.
LINGER_WATCHED_S = 15.0
LINGER_MOST_S = 600.0
# Who asked so shortly before it left may not have had the answer.
JUST_ASKED_S = 3.0
# With nobody here the end of the waiting is looked for this often.
FAREWELL_LOOK_S = 1.0


@dataclass(slots=True)
class _Retry:
    """When a publish that failed is tried again."""

    wait_s: float = RETRY_FIRST_S
    due_s: float = 0.0

    def failed(self, now_s: float, *, refused: bool) -> None:
        wait = REFUSED_RETRY_S if refused else self.wait_s
        self.due_s = now_s + wait
        self.wait_s = min(self.wait_s * 2, RETRY_MOST_S)

    def succeeded(self) -> None:
        self.wait_s, self.due_s = RETRY_FIRST_S, 0.0


class UplinkSession:
    """Runs until the child has ended and that is delivered, or the host is gone."""

    def __init__(
        self,
        plan: UplinkPlan,
        host: HostSocket,
        follower: LogFollower,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        spending: Spending | None = None,
        attendant: Attendant | None = None,
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._host = host
        self._follower = follower
        self._output_channel = channels.output_channel(plan.session, encrypted=plan.encrypted)
        self._presence_channel = channels.presence_channel(plan.session)
        self._control_channel = channels.sealed_input_channel(plan.session)
        self._queue: deque[SubscriberEvent] = deque(maxlen=MAX_QUEUED)
        self._wake = wake
        self._watchers = Watchers()
        self._visitors = Visitors(host.send, clock)
        self._attendant = attendant
        self._spending = spending or Spending(CostPlan(), None, clock())
        self._peak_watchers = 0
        self._retry = _Retry()
        self._batch: Batch | None = None
        self._batch_said = 0  # so many of its texts have left
        self._composer: Composer
        self._publisher: Publisher | None = None
        self._output_secret: SecretOf = lambda _: None
        self._input_path: InputPath | None = None
        self._quick: QuickPath | None = None
        self._engine: Engine | None = None
        self._farewell = Farewell(plan.watched, clock())
        self._asked_s = float("-inf")
        self._finishing = False
        self._said_done = False
        self._leave_at_s: float | None = None
        self._finished_s: float | None = None
        self._news = self._news_at_look = 0  # batches that said something new
        self._last_refusal = ""
        self._host_gone = False
        self._armed = False
        self._arm_at_s = 0.0
        self._feed_at_s = 0.0

    # -- called from other threads -----------------------------------------------------------------------------

    def deliver(self, event: SubscriberEvent) -> None:
        """The subscriber's callback."""
        if isinstance(event, Received) and self._input_path is not None and self._input_path.take(event):
            self._spending.typed(as_client_event=event.name == channels.EVENT_CLIENT_INPUT)
            return
        self._queue.append(event)
        self._wake()

    # -- called by a driver, in one thread ----------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """The child has ended, or the host is gone: nobody will need the log."""
        return self._finishing

    @property
    def host(self) -> HostSocket | None:
        """What to wait for; None once the host is gone."""
        return None if self._host_gone else self._host

    def begin(
        self,
        composer: Composer,
        publisher: Publisher,
        subscriber: Subscriber,
        output_secret: SecretOf,
        quick: QuickPath | None = None,
        engine: Engine | None = None,
    ) -> None:
        """``output_secret`` gives the key of the output channel; it may block and raise CodewrapError.

        ``engine`` is the terminal's state that ``composer`` feeds; None on pipes.
        """
        self._composer = composer
        self._engine = engine
        self._quick = quick
        composer.key = quick.key if quick is not None else None
        self._publisher = publisher
        self._output_secret = output_secret
        doubt = functools.partial(subscriber.renew, self._control_channel)
        self._input_path = InputPath(self._plan, self._host, subscriber.shared_secret, doubt=doubt)
        for channel in self._channels():
            subscriber.subscribe(channel, renew_s=KEY_KEEP_S if channel == self._control_channel else None)
        subscriber.start()
        self._arm()

    def step(self) -> bool:
        """Do what there is to do. Call it when the host's socket had something, after ``wake``, and when `timeout_s` is over.

        False when the session is over and told.
        """
        self._hear()
        self._follower.refresh()
        now_s = self._clock()
        self._speak(now_s)
        self._spending.turn(now_s)
        self._visitors.turn(now_s)
        self._feed(now_s)
        if self._attendant is not None:
            self._attendant.turn(self._follower.end)
        self._arm()
        return not self._may_leave(now_s)

    def timeout_s(self) -> float | None:
        """Seconds until `step` is due by itself; None when it is not."""
        now_s = self._clock()
        waits = []
        say = 0.0 if self._batch is not None else self._composer.wait_s(now_s)
        if say is not None:
            waits.append(max(say, self._retry.due_s - now_s, self._spending.wait_s(now_s)))
        keep = self._spending.due_s(now_s)
        if keep is not None:
            waits.append(keep)
        if (return_s := self._visitors.wait_s(now_s)) is not None:
            waits.append(return_s)
        if self._composer.lag_bytes:
            waits.append(0.0 if self._composer.lag_bytes > self._max_lag_bytes else self._feed_at_s - now_s)
        if self._leave_at_s is not None:
            waits.append(self._leave_at_s - now_s if self._composer.watchers else FAREWELL_LOOK_S)
        if not self._armed and not self._host_gone:
            waits.append(self._arm_at_s - now_s)
        if self._attendant is not None and (attend_s := self._attendant.wait_s()) is not None:
            waits.append(attend_s)
        return max(0.0, min(waits)) if waits else None

    @property
    def _max_lag_bytes(self) -> int:
        return MAX_LAG_BYTES if self._composer.watchers else UNWATCHED_MAX_LAG_BYTES

    def _channels(self) -> Sequence[str]:
        session = self._plan.session
        sealed = () if self._plan.keyless else (self._control_channel,)
        return (*sealed, channels.input_channel(session), self._presence_channel)

    def _feed(self, now_s: float) -> None:
        """Keep the terminal's state up, a block at a time; at once where questions must be answered."""
        lag_bytes = self._composer.lag_bytes
        if lag_bytes and (now_s >= self._feed_at_s or lag_bytes > self._max_lag_bytes):
            self._composer.catch_up(FEED_BYTES)

    def _arm(self) -> None:
        """Ask the host to say when the log grows: at once when somebody watches, else by and by."""
        if not self._armed and not self._host_gone and self._clock() >= self._arm_at_s:
            self._armed = self._host.send(_ARM)

    # -- the host ----------------------------------------------------------------------------------------------

    def hear_host(self) -> None:
        """Its socket is readable."""
        try:
            messages = self._host.receive()
        except LocalProtocolError:
            messages = None
        if messages is None:
            self._host_left()
            return
        for message in messages:
            if self._attendant is not None:
                self._attendant.hear(message)
            match message.kind:
                case Kind.GROWN:
                    self._armed = False
                    self._log_has_grown(self._clock())
                case Kind.WRITTEN:
                    self._composer.acknowledge(message.header["acks"], self._clock())
                    self._spending.hurry(self._clock())
                case Kind.LOG_ENDED:
                    reason = message.header["reason"]
                    self._composer.notify("log", f"what follows cannot be shown, the host's disk refuses it: {reason}")
                case Kind.NOTIFY:
                    self._composer.notify(message.header["kind"], message.header["text"], message.header["writer"])
                    self._spending.hurry(self._clock())
                case Kind.REDRAW if self._engine is not None:
                    self._follower.refresh()
                    self._host.send(portrait(self._composer, self._engine))
                case Kind.FINISH:
                    self._follower.refresh()
                    self._follower.ended(message.header.get("code"), message.header.get("signal"))
                    self._finishing = True
                    self._spending.ending()
                    self._armed = True
                case _:
                    pass

    def _log_has_grown(self, now_s: float) -> None:
        eager = self._plan.answers_queries
        self._arm_at_s = 0.0 if self._composer.watchers or eager else now_s + UNWATCHED_LOOK_S
        pause_s = IDLE_FEED_S if self._composer.watchers else UNWATCHED_IDLE_FEED_S
        self._feed_at_s = 0.0 if eager else now_s + pause_s

    def _host_left(self) -> None:
        self._host_gone = self._finishing = True
        self._spending.ending()
        self._follower.refresh()
        if self._attendant is not None:
            self._attendant.host_left()
        if self._follower.ending is None:
            self._composer.notify("lost", "the host process is gone")

    def _may_leave(self, now_s: float) -> bool:
        if not self._finishing:
            return False
        watched = bool(self._composer.watchers)
        delivered = not watched or (self._batch is None and self._composer.settled(now_s))
        if self._finished_s is None:
            self._finished_s = now_s
        if self._leave_at_s is None or self._news > self._news_at_look:
            self._news_at_look = self._news
            self._leave_at_s = now_s + (LINGER_WATCHED_S if delivered and watched else LINGER_S)
        if delivered and not self._said_done:
            self._said_done = True
            self._spending.keep(now_s)
            self._host.send(Message(Kind.DONE, {**self._spending.report(now_s), "peak_watchers": self._peak_watchers}))
            self._leave_at_s = min(self._leave_at_s, now_s + LINGER_WATCHED_S) if watched else self._leave_at_s
        if not watched:
            return self._farewell.is_over(self._finished_s, now_s)
        if not delivered and (paced_s := self._spending.wait_s(now_s)):
            self._leave_at_s = max(self._leave_at_s, now_s + paced_s + LINGER_S)
        return now_s >= min(self._leave_at_s, self._finished_s + LINGER_MOST_S)

    # -- the network -------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        while self._queue:
            event = self._queue.popleft()
            match event:
                case Subscribed(channel=channel, members=members, me=me) if channel == self._presence_channel:
                    if me:
                        self._host.send(Message(Kind.OWN_USER, {"user": me.rpartition(".")[0]}))
                    self._watchers.clear()
                    for member in members:
                        self._watchers.add(member.user_id, member.info)
                        self._composer.challenges.add(member.info.get(CHALLENGE))
                    self._farewell.connected()
                    self._follower.refresh()
                    self._visitors.here(self._watchers.viewers, self._follower.present)
                    self._farewell.came(len(self._watchers.viewers))
                    self._counted(new=bool(self._watchers.viewers))
                    self._spending.somebody_moved(self._clock(), came=True)  # we did
                    self._mind_hosts()
                case MemberAdded(member=member):
                    new = self._watchers.add(member.user_id, member.info)
                    self._composer.challenges.add(member.info.get(CHALLENGE))
                    if new:
                        self._visitors.came(member.user_id)
                    self._farewell.came(int(new))
                    self._counted(new=new)
                    self._spending.somebody_moved(self._clock(), came=True)
                    self._mind_hosts()
                case MemberRemoved(member=member):
                    if self._watchers.remove(member.user_id):
                        self._visitors.went(member.user_id)
                        now_s = self._clock()
                        self._farewell.left(now_s, heard=self._composer.end_said and now_s - self._asked_s > JUST_ASKED_S)
                    self._counted(new=False)
                    self._spending.somebody_moved(self._clock(), came=False)
                case Received(channel=channel) if channel == self._presence_channel:
                    self._request(event)
                case ClientEventsRefused() if self._quick is not None:
                    self._quick.refused(self._clock())
                    self._composer.want_beat()
                case SubscriptionFailed(reason=reason):
                    self._refused(reason)
                case StateChanged():
                    self._state_changed(event)
                case _:
                    pass

    def _mind_hosts(self) -> None:
        if len(self._watchers.hosts) > 1:
            self._notice(f"another host runs a session {self._plan.session!r} on this server: choose another --name")

    def _state_changed(self, event: StateChanged) -> None:
        connected = event.state is ConnectionState.CONNECTED
        if event.state is ConnectionState.FAILED:
            self._refused(event.reason)
        if not connected:
            self._farewell.disconnected(len(self._watchers.viewers), self._clock())
            self._watchers.clear()
            self._counted(new=False)

    def _counted(self, *, new: bool) -> None:
        count = len(self._watchers.viewers)
        self._peak_watchers = max(self._peak_watchers, count)
        self._spending.watched_by(count, len(self._watchers.writers), len(self._watchers.hosts))
        if count != self._composer.watchers:
            self._host.send(Message(Kind.WATCHERS, {"count": count}))
        self._composer.watched_by(count)
        if self._attendant is not None:
            self._attendant.watched_by(count)
        if new:
            self._composer.want_screen(joined=True)
            self._spending.hurry(self._clock())

    def _request(self, event: Received) -> None:
        if event.name not in (channels.EVENT_CLIENT_SYNC, channels.EVENT_SYNC):
            return
        self._spending.asked(self._clock(), as_client_event=event.name == channels.EVENT_CLIENT_SYNC)
        try:
            frame = frames.decode_viewer(event.data)
        except RemoteProtocolError:
            return
        if not isinstance(frame, Sync) or not self._watchers.viewers:
            return
        if frame.want == "nothing":
            self._farewell.goodbye()
            return
        self._asked_s = self._clock()
        self._composer.challenges.add(frame.challenge)
        if frame.want == "screen":  # who is not answered asks again, which costs more than the answer
            self._spending.hurry(self._clock())
        ours = frame.epoch == self._plan.epoch
        if frame.want == "bytes":
            self._composer.want_bytes(frame.offset if ours else 0)
        elif ours and self._composer.can_repeat(frame.offset):
            self._composer.want_bytes(frame.offset)
        else:
            self._composer.want_screen()

    def _speak(self, now_s: float) -> None:
        """Publish what there is to say; a publish that failed is said again, the same, before anything else."""
        if self._batch is not None and not self._composer.watchers:
            self._leave_unsaid(self._batch)
        if now_s < self._retry.due_s:
            return
        if self._batch is None:
            wait_s = self._composer.wait_s(now_s)
            if wait_s is None or wait_s > 0:
                if not self._composer.watchers:
                    self._composer.published(self._composer.compose(now_s))
                return
            self._tell_of_the_budget(now_s)
            events = self._spending.affords(now_s)
            if not events:
                return
            self._composer.thrifty = self._spending.thrifty(now_s)
            self._batch = self._composer.compose(now_s, events if events < MAX_BATCH else None)
            self._batch_said = 0
        batch = self._batch
        try:
            if self._publisher is not None and not self._publish(self._publisher, batch, now_s):
                return
        except CodewrapError as error:
            self._spending.refused(error.retry_after_s if isinstance(error, RetryLater) else None, now_s)
            refused = isinstance(error, AuthError)
            self._retry.failed(now_s, refused=refused)
            if refused or (isinstance(error, TransportError) and not error.retry):  # an app that is not known there, say
                self._refused(str(error))
            return
        self._retry.succeeded()
        self._news += not batch.again
        self._composer.published(batch)
        self._batch = None

    def _publish(self, publisher: Publisher, batch: Batch, now_s: float) -> bool:
        """True when all of it has left; the rest of it waits where the pace has no more room."""
        seal = self._sealer() if batch.texts and self._plan.encrypted else str
        while self._batch_said < len(batch.texts):
            most = self._spending.affords(now_s)
            if not most:
                return False
            texts = batch.texts[self._batch_said : self._batch_said + most]
            if self._quick is not None and batch.live and self._watchers.all_quick and len(batch.texts) == 1:
                sent_bytes = self._quick.take(texts[0], seal, now_s)
                if sent_bytes:
                    self._spending.published(1, sent_bytes, now_s)
            events = [Event(self._output_channel, name, seal(text)) for name, text in texts]
            publisher.publish(events)
            self._batch_said += len(events)
            self._spending.published(len(events), sum(len(event.data) for event in events), now_s)
        return True

    def _leave_unsaid(self, batch: Batch) -> None:
        """Nobody is left who could hear the rest of it; who comes next gets a screen."""
        batch.notices, batch.ended = 0, False
        self._composer.published(batch)
        self._batch = None

    def _tell_of_the_budget(self, now_s: float) -> None:
        text = self._spending.news(now_s)
        if text is not None:
            self._composer.notify("budget", text)
            self._notice(text)

    def _sealer(self) -> Callable[[str], str]:
        key = self._output_secret(self._output_channel)
        if key is None:  # never in clear because a key is missing
            raise TransportError("the server", "has given no key for this session yet")
        return lambda text: sealing.seal(text, key, os.urandom(sealing.NONCE_BYTES))

    def _refused(self, reason: str) -> None:
        if reason != self._last_refusal:
            self._last_refusal = reason
            self._notice(f"the session cannot be watched: {reason}")

    def _notice(self, text: str) -> None:
        self._host.send(Message(Kind.NOTICE, {"text": text}))


_ARM = Message(Kind.ARM)
