"""The uplink's loop: follows the log, hears viewers, publishes. One thread owns everything here but the way of keystrokes.

Keystrokes do not queue behind publishing: the subscriber's own thread opens a frame and puts it on the socket to the host,
which never blocks. Everything else that comes from the network is enqueued for the loop (bounded; full: the oldest is
dropped, since each request is repeated by who made it and presence is told again at every reconnect).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from codewrap.errors import AuthError, CodewrapError, LocalProtocolError, RemoteProtocolError, TransportError
from codewrap.protocol import channels, frames, hostlink, sealing
from codewrap.protocol.frames import Input, Resize, Sync
from codewrap.protocol.hostlink import Kind, Message
from codewrap.protocol.pacing import MAX_BATCH
from codewrap.transport.base import (
    ConnectionState,
    Event,
    MemberAdded,
    MemberRemoved,
    Publisher,
    Received,
    StateChanged,
    Subscribed,
    Subscriber,
    SubscriberEvent,
    SubscriptionFailed,
)
from codewrap.uplink.composer import FEED_BYTES, Batch, Composer
from codewrap.uplink.follower import LogFollower

MAX_QUEUED = 10_000
MAX_UNSENT_BYTES = 1024 * 1024
RETRY_FIRST_S, RETRY_MOST_S = 0.2, 10.0
REFUSED_RETRY_S = 30.0
# Nobody watches: the terminal's state is kept up in big blocks this often, not at every line.
UNWATCHED_LOOK_S = 0.1
# After the child's end viewers are given so long to hear of it, also those whose connection is just being restored.
LINGER_S = 5.0
LINGER_WATCHED_S = 1.0

SecretOf = Callable[[str], bytes | None]


@dataclass(slots=True)
class UplinkPlan:
    """What the loop is told of the session."""

    session: str
    epoch: str
    encrypted: bool
    read_only: bool
    answers_queries: bool


@dataclass(slots=True)
class _Spent:
    events: int = 0
    bytes: int = 0
    peak_watchers: int = 0
    failures: int = 0


class HostSocket:
    """The socket to the host, written by two threads: never blocks, refuses when MAX_UNSENT_BYTES wait."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._lock = threading.Lock()
        self._unsent = bytearray()
        self._decoder = hostlink.Decoder()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def wants_to_write(self) -> bool:
        return bool(self._unsent)

    def send(self, message: Message) -> bool:
        """False when the host does not take it now: it is dropped."""
        data = hostlink.encode(message)
        with self._lock:
            if len(self._unsent) > MAX_UNSENT_BYTES:
                return False
            self._unsent += data
            self._flush()
        return True

    def flush(self) -> None:
        with self._lock:
            self._flush()

    def receive(self) -> list[Message] | None:
        """Messages that have come; None when the host is gone."""
        try:
            data = self._socket.recv(262_144)
        except BlockingIOError:
            return []
        except OSError:
            return None
        return self._decoder.feed(data) if data else None

    def _flush(self) -> None:
        with contextlib.suppress(OSError):
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]


class InputPath:
    """From a sealed input event to the host, in the subscriber's thread. What cannot be opened or is not for us is dropped."""

    def __init__(self, plan: UplinkPlan, host: HostSocket, secret_of: SecretOf) -> None:
        self._plan = plan
        self._host = host
        self._secret_of = secret_of
        self._input_channel = channels.input_channel(plan.session)
        self._sealed_channel = channels.sealed_input_channel(plan.session)

    def take(self, event: Received) -> bool:
        """True when ``event`` was on a channel of input (and is dealt with)."""
        if event.channel not in (self._input_channel, self._sealed_channel):
            return False
        if not self._plan.read_only:
            with contextlib.suppress(RemoteProtocolError):
                self._pass_on(frames.decode_viewer(self._opened(event)))
        return True

    def _opened(self, event: Received) -> str:
        if event.channel == self._sealed_channel:
            return event.data  # Pusher's own encryption: opened by the subscriber
        key = self._secret_of(self._sealed_channel)
        return event.data if key is None else sealing.unseal(event.data, key)

    def _pass_on(self, frame: frames.ViewerFrame) -> None:
        if frame.epoch != self._plan.epoch:
            return
        match frame:
            case Input():
                self._host.send(Message(Kind.INPUT, {"writer": frame.writer, "offset": frame.offset}, frame.data))
            case Resize():
                self._host.send(Message(Kind.RESIZE, {"rows": frame.size.rows, "cols": frame.size.cols}))


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


@dataclass(slots=True)
class _Watchers:
    """Who is on the presence channel, hosts apart from viewers."""

    viewers: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)

    def add(self, user_id: str, info: dict[str, object]) -> bool:
        """True when it is a viewer we did not know."""
        known = self.hosts if info.get("role") == "host" else self.viewers
        new = user_id not in known
        known.add(user_id)
        return new and known is self.viewers

    def remove(self, user_id: str) -> None:
        self.viewers.discard(user_id)
        self.hosts.discard(user_id)

    def clear(self) -> None:
        self.viewers.clear()
        self.hosts.clear()


class UplinkSession:
    """Runs until the child has ended and that is delivered, or the host is gone."""

    def __init__(self, plan: UplinkPlan, host: HostSocket, follower: LogFollower) -> None:
        self._plan = plan
        self._host = host
        self._follower = follower
        self._output_channel = channels.output_channel(plan.session, encrypted=plan.encrypted)
        self._presence_channel = channels.presence_channel(plan.session)
        self._queue: deque[SubscriberEvent] = deque(maxlen=MAX_QUEUED)
        self._wake_read, self._wake_write = os.pipe()
        self._woken = False
        self._watchers = _Watchers()
        self._spent = _Spent()
        self._retry = _Retry()
        self._batch: Batch | None = None
        self._composer: Composer
        self._publisher: Publisher | None = None
        self._output_secret: SecretOf = lambda _: None
        self._input_path: InputPath | None = None
        self._finishing = False
        self._said_done = False
        self._leave_at_s: float | None = None
        self._last_refusal = ""
        self._host_gone = False
        self._armed = False
        self._arm_at_s = 0.0
        self._connected = False
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)

    # -- called from other threads -----------------------------------------------------------------------------

    def deliver(self, event: SubscriberEvent) -> None:
        """The subscriber's callback."""
        if isinstance(event, Received) and self._input_path is not None and self._input_path.take(event):
            return
        self._queue.append(event)
        if not self._woken:
            self._woken = True
            with contextlib.suppress(OSError):
                os.write(self._wake_write, b".")

    # -- the loop ----------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """The child has ended, or the host is gone: nobody will need the log."""
        return self._finishing

    def run(self, composer: Composer, publisher: Publisher, subscriber: Subscriber, output_secret: SecretOf) -> None:
        """``output_secret`` gives the key of the output channel; it may block and raise CodewrapError."""
        self._composer = composer
        self._publisher = publisher
        self._output_secret = output_secret
        self._input_path = InputPath(self._plan, self._host, subscriber.shared_secret)
        for channel in self._channels():
            subscriber.subscribe(channel)
        subscriber.start()
        self._arm()
        try:
            while self._turn():
                pass
        finally:
            subscriber.close()
            publisher.close()

    def _channels(self) -> Sequence[str]:
        session = self._plan.session
        return (channels.sealed_input_channel(session), channels.input_channel(session), self._presence_channel)

    def _turn(self) -> bool:
        self._wait()
        self._hear()
        self._follower.refresh()
        now_s = time.monotonic()
        behind = self._composer.catch_up(16 * FEED_BYTES) if not self._composer.watchers else False
        self._speak(now_s)
        if not behind:
            self._arm()
        return not self._may_leave(now_s)

    def _wait(self) -> None:
        with selectors.PollSelector() as poller:
            poller.register(self._wake_read, selectors.EVENT_READ)
            if self._host.fileno() >= 0 and not self._host_gone:
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._host.wants_to_write else 0)
                poller.register(self._host.fileno(), events)
            for key, events in poller.select(self._timeout_s()):
                if key.fd == self._wake_read:
                    self._drain_wake()
                    continue
                if events & selectors.EVENT_WRITE:
                    self._host.flush()
                if events & selectors.EVENT_READ:
                    self._from_host()

    def _timeout_s(self) -> float | None:
        now_s = time.monotonic()
        waits = []
        if self._batch is not None:
            waits.append(max(0.0, self._retry.due_s - now_s))
        else:
            say = self._composer.wait_s(now_s)
            if say is not None:
                waits.append(max(say, self._retry.due_s - now_s))
        if self._leave_at_s is not None:
            waits.append(max(0.0, self._leave_at_s - now_s))
        if not self._armed and not self._host_gone:
            waits.append(max(0.0, self._arm_at_s - now_s))
        return min(waits, default=None)

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        self._woken = False

    def _arm(self) -> None:
        """Ask the host to say when the log grows: at once when somebody watches, else by and by."""
        if not self._armed and not self._host_gone and time.monotonic() >= self._arm_at_s:
            self._armed = self._host.send(_ARM)

    # -- the host ----------------------------------------------------------------------------------------------

    def _from_host(self) -> None:
        try:
            messages = self._host.receive()
        except LocalProtocolError:
            messages = None
        if messages is None:
            self._host_left()
            return
        for message in messages:
            match message.kind:
                case Kind.GROWN:
                    self._armed = False
                    self._arm_at_s = 0.0 if self._composer.watchers else time.monotonic() + UNWATCHED_LOOK_S
                case Kind.WRITTEN:
                    self._composer.acknowledge(message.header["acks"], time.monotonic())
                case Kind.FINISH:
                    self._finishing = True
                    self._armed = True
                case _:
                    pass

    def _host_left(self) -> None:
        self._host_gone = self._finishing = True
        self._follower.refresh()
        if self._follower.ending is None:
            self._composer.notify("lost", "the host process is gone")

    def _may_leave(self, now_s: float) -> bool:
        if not self._finishing:
            return False
        delivered = self._batch is None and self._composer.wait_s(now_s) is None
        if self._leave_at_s is None:
            self._leave_at_s = now_s + LINGER_S
        watched = bool(self._composer.watchers)
        if (delivered or not watched) and not self._said_done:
            self._said_done = True
            self._host.send(Message(Kind.DONE, self._report()))
            if watched or self._connected or not self._spent.peak_watchers:
                self._leave_at_s = min(self._leave_at_s, now_s + (LINGER_WATCHED_S if watched else 0.0))
        return now_s >= self._leave_at_s

    def _report(self) -> dict[str, Any]:
        return {"events": self._spent.events, "bytes": self._spent.bytes, "peak_watchers": self._spent.peak_watchers}

    # -- the network -------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        while self._queue:
            event = self._queue.popleft()
            match event:
                case Subscribed(channel=channel, members=members) if channel == self._presence_channel:
                    self._watchers.clear()
                    for member in members:
                        self._watchers.add(member.user_id, member.info)
                    self._counted(new=bool(self._watchers.viewers))
                    if len(self._watchers.hosts) > 1:
                        self._notice(f"another host runs a session {self._plan.session!r} on this server: choose another --name")
                case MemberAdded(member=member):
                    self._counted(new=self._watchers.add(member.user_id, member.info))
                case MemberRemoved(member=member):
                    self._watchers.remove(member.user_id)
                    self._counted(new=False)
                case Received(channel=channel) if channel == self._presence_channel:
                    self._request(event)
                case SubscriptionFailed(channel=channel, reason=reason):
                    self._refused(f"{channel}: {reason}")
                case StateChanged():
                    self._state_changed(event)
                case _:
                    pass

    def _state_changed(self, event: StateChanged) -> None:
        self._connected = event.state is ConnectionState.CONNECTED
        if event.state is ConnectionState.FAILED:
            self._refused(event.reason)
        if not self._connected:
            self._watchers.clear()
            self._counted(new=False)

    def _counted(self, *, new: bool) -> None:
        count = len(self._watchers.viewers)
        self._spent.peak_watchers = max(self._spent.peak_watchers, count)
        if count != self._composer.watchers:
            self._host.send(Message(Kind.WATCHERS, {"count": count}))
        self._composer.watched_by(count)
        if new:
            self._composer.want_screen()

    def _request(self, event: Received) -> None:
        if event.name not in (channels.EVENT_CLIENT_SYNC, channels.EVENT_SYNC):
            return
        try:
            frame = frames.decode_viewer(event.data)
        except RemoteProtocolError:
            return
        if not isinstance(frame, Sync) or not self._watchers.viewers:
            return
        ours = frame.epoch == self._plan.epoch
        if frame.want == "bytes":
            self._composer.want_bytes(frame.offset if ours else 0)
        elif ours and self._composer.can_repeat(frame.offset):
            self._composer.want_bytes(frame.offset)
        else:
            self._composer.want_screen()

    def _speak(self, now_s: float) -> None:
        """Publish what there is to say; a publish that failed is said again, the same, before anything else."""
        if now_s < self._retry.due_s:
            return
        if self._batch is None:
            wait_s = self._composer.wait_s(now_s)
            if wait_s is None or wait_s > 0:
                if not self._composer.watchers:
                    self._composer.published(self._composer.compose(now_s))
                return
            self._batch = self._composer.compose(now_s)
        batch = self._batch
        try:
            if batch.texts and self._publisher is not None:
                self._publish(self._publisher, batch)
        except CodewrapError as error:
            self._spent.failures += 1
            refused = isinstance(error, AuthError)
            self._retry.failed(now_s, refused=refused)
            if refused:
                self._refused(str(error))
            return
        self._retry.succeeded()
        self._composer.published(batch)
        self._batch = None

    def _publish(self, publisher: Publisher, batch: Batch) -> None:
        seal = self._sealer() if self._plan.encrypted else str
        events = [Event(self._output_channel, name, seal(text)) for name, text in batch.texts]
        for at in range(0, len(events), MAX_BATCH):
            some = events[at : at + MAX_BATCH]
            publisher.publish(some)
            self._spent.events += len(some)
            self._spent.bytes += sum(len(event.data) for event in some)

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
