"""A subscriber that a test plays the broker of. It implements `transport.base.Subscriber`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from codewrap.protocol.grants import Grant
from codewrap.transport.base import ConnectionState, Deliver, Member, StateChanged, Subscribed, SubscriberEvent

WAIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One client event."""

    channel: str
    name: str
    data: str


class ScriptedSubscriber:
    """Delivers what it is told to; remembers what was sent, which a test can wait for."""

    def __init__(self, deliver: Deliver | None = None) -> None:
        self.deliver = deliver
        self.channels: list[str] = []
        self.secrets: dict[str, bytes] = {}
        self.grants: dict[str, Grant] = {}
        self.renewals: list[str] = []
        self.started = False
        self.closed = False
        self.takes = True
        self._sent: list[Sent] = []
        self._next = 0
        self._changed = threading.Condition()

    # -- as a subscriber -------------------------------------------------------------------------------------------

    def start(self) -> None:
        with self._changed:
            self.started = True
            self._changed.notify_all()

    def subscribe(self, channel: str, *, renew_s: float | None = None) -> None:
        self.channels.append(channel)

    def renew(self, channel: str) -> None:
        self.renewals.append(channel)

    def send(self, channel: str, name: str, data: str) -> bool:
        with self._changed:
            if self.takes:
                self._sent.append(Sent(channel, name, data))
                self._changed.notify_all()
            return self.takes

    def shared_secret(self, channel: str) -> bytes | None:
        return self.secrets.get(channel)

    def grant(self, channel: str) -> Grant | None:
        return self.grants.get(channel)

    def close(self) -> None:
        self.closed = True

    # -- as a broker -----------------------------------------------------------------------------------------------

    @property
    def sent(self) -> list[Sent]:
        with self._changed:
            return list(self._sent)

    def wait_started(self) -> None:
        """Until the session has subscribed and started."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.started, WAIT_S), "never started"

    def wait_sent(self, where: Callable[[Sent], object] = lambda _: True) -> Sent:
        """The next client event that ``where`` accepts."""
        with self._changed:

            def found() -> bool:
                while self._next < len(self._sent):
                    self._next += 1
                    if where(self._sent[self._next - 1]):
                        return True
                return False

            assert self._changed.wait_for(found, WAIT_S), f"not sent; but: {self._sent}"
            return self._sent[self._next - 1]

    def tells(self, *events: SubscriberEvent) -> None:
        assert self.deliver is not None
        for event in events:
            self.deliver(event)

    def connects(self, presence: str, *members: Member) -> None:
        """The link stands and every channel is subscribed; ``members`` are on the channel ``presence``."""
        self.tells(StateChanged(ConnectionState.CONNECTED))
        for channel in self.channels:
            self.tells(Subscribed(channel, members if channel == presence else ()))
