"""What every viewer has to do with its session's host and the broker between them, whatever it shows and wherever keys come from.

Owned by one loop, which hands on what arrives, shows what follows, and brings the time. It writes nothing and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import channels
from codewrap.protocol.frames import HostFrame
from codewrap.transport.base import (
    ClientEventsRefused,
    ConnectionState,
    MemberAdded,
    MemberRemoved,
    Received,
    Renewed,
    Silence,
    StateChanged,
    Subscribed,
    Subscriber,
    SubscriberEvent,
    SubscriptionFailed,
)
from codewrap.viewer.attendance import Attendance, Departure
from codewrap.viewer.hearing import Hearing
from codewrap.viewer.httppath import SendOverHttp
from codewrap.viewer.linkstate import LinkState
from codewrap.viewer.receiver import Effect, Receiver
from codewrap.viewer.shortcut import Shortcut
from codewrap.viewer.upstream import InputRules, Upstream

# Of an authorization: the server knows who we are, and does not let us. Anything else may pass.
_NOT_LET = (401, 403)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a viewer is with a session."""

    session: str
    encrypted: bool
    read_only: bool
    endpoint: str
    challenge: str
    """Random, and told to the session's host by the subscriber (`roles.CHALLENGE`)."""
    input_interval_s: float = 0.0


class Conversation:
    """One attachment's. ``note`` is told, with the time, what a person should know."""

    def __init__(
        self,
        terms: Terms,
        subscriber: Subscriber,
        send_over_http: SendOverHttp,
        note: Callable[[str, float], None],
        now_s: float,
        *,
        wants_bytes: bool,
        shortcut: Shortcut | None = None,
    ) -> None:
        self._subscriber = subscriber
        self._note = note
        rules = InputRules(terms.read_only, terms.encrypted, terms.input_interval_s)
        self.upstream = Upstream(terms.session, rules, subscriber, send_over_http, shortcut)
        self.receiver = Receiver(terms.challenge, wants_bytes=wants_bytes)
        self.link = LinkState(now_s)
        self.attendance = Attendance(terms.session, terms.endpoint, self.link, encrypted=terms.encrypted)
        self.output_channel = channels.output_channel(terms.session, encrypted=terms.encrypted)
        self.presence_channel = channels.presence_channel(terms.session)
        self._hearing = Hearing(terms.session, subscriber.shared_secret, encrypted=terms.encrypted)
        self._ready_channels: set[str] = set()

    def start(self) -> None:
        """Begin connecting. Who is told of us on the presence channel can answer where we listen already: it comes last."""
        for channel in (self.output_channel, *self.upstream.channels, self.presence_channel):
            self._subscriber.subscribe(channel)
        self._subscriber.start()

    def leave(self) -> None:
        """Tell the host that nothing is lacking."""
        self.upstream.leave(self.receiver.epoch, self.receiver.offset)

    # -- what arrives --------------------------------------------------------------------------------------------

    def is_host(self, event: Received) -> bool:
        """Whether it is for `heard`; everything else is for `happened`."""
        return self._hearing.is_host(event)

    def heard(self, event: Received, now_s: float) -> Iterator[Effect]:
        """What follows from an event of the host. Take all of it."""
        try:
            frame = self._hearing.frame(event, self.receiver.key)
        except RemoteProtocolError:
            return
        if frame is None:
            self.receiver.doubt(now_s)
            return
        yield from self.said(frame, now_s)
        if self.receiver.epoch:
            self.attendance.answered = True
        else:
            self.attendance.recorded = True

    def said(self, frame: HostFrame, now_s: float) -> Iterator[Effect]:
        """What follows from a frame of the host, however it came. Take all of it."""
        yield from self.receiver.receive(frame, now_s)
        if frame.epoch == self.receiver.epoch:
            self.link.heard()

    def happened(self, event: SubscriberEvent, now_s: float) -> Departure | None:
        """Take what the subscriber tells beside that; how the attachment ends where it does."""
        match event:
            case StateChanged():
                return self._state_changed(event, now_s)
            case Subscribed():
                self._subscribed(event, now_s)
            case Renewed():
                self.upstream.granted(now_s)
            case SubscriptionFailed():
                return self._refused(event, now_s)
            case MemberAdded(member=member):
                self.attendance.added(member)
            case MemberRemoved(member=member):
                self.attendance.removed(member)
            case ClientEventsRefused():
                self.upstream.use_http()
            case Silence(for_s=for_s):
                self.link.silence(for_s, now_s)
            case _:
                pass
        return None

    # -- what time brings ----------------------------------------------------------------------------------------

    @property
    def is_listening(self) -> bool:
        """What the host says arrives."""
        return self.link.connected and self.output_channel in self._ready_channels

    def ask(self, now_s: float) -> None:
        """Request what is missing, where that is due."""
        request = self.receiver.ask(now_s) if self.is_listening else None
        if request is not None:
            # Who has no screen to go on from is a stranger: by offset alone the host would answer with bytes, or nothing.
            challenge = self.receiver.challenge if self.receiver.unsure else ""
            self.upstream.request(self.receiver.epoch if self.receiver.begun else "", *request, challenge)

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until something must be asked, sent or given up; None where all is well."""
        connected = self.link.connected
        waits = (
            self.upstream.wait_s(now_s, connected=connected),
            self.receiver.wait_s(now_s) if connected else None,
            self.link.wait_s(now_s),
            None if self.attendance.answered else 1.0,
        )
        return min((wait for wait in waits if wait is not None), default=None)

    # -- the broker ----------------------------------------------------------------------------------------------

    def _state_changed(self, event: StateChanged, now_s: float) -> Departure | None:
        if self.link.changed(event, now_s):
            self.upstream.unsent()
        if event.state is ConnectionState.CONNECTED:
            return None
        self._ready_channels.clear()
        self.attendance.disconnected()
        return self.attendance.failed(event.reason) if event.state is ConnectionState.FAILED else None

    def _subscribed(self, event: Subscribed, now_s: float) -> None:
        self._ready_channels.add(event.channel)
        if event.channel in self.upstream.channels:
            self.upstream.granted(now_s)
        if event.channel == self.output_channel:
            self.receiver.connected(now_s)
        if event.channel == self.presence_channel:
            self.attendance.ready(event.members, now_s)

    def _refused(self, event: SubscriptionFailed, now_s: float) -> Departure | None:
        if event.channel not in self.upstream.channels:
            return self.attendance.refused(event.reason, event.status)
        if event.status in _NOT_LET and self.upstream.refused():  # may watch, may not type
            self._note(f"you may not type here: {channels.printable(event.reason, 200)}", now_s)
        return None
