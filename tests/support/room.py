"""A broker of one room, in memory: what `doctor` publishes goes straight to its two clients, or does not, as the test says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from codewrap.doctor.access import Broker, Spelling
from codewrap.errors import TransportError
from codewrap.protocol.grants import Grant, make_grant
from codewrap.protocol.sealing import unseal
from codewrap.transport.base import (
    ClientEventsRefused,
    ConnectionState,
    Deliver,
    Endpoint,
    Event,
    Member,
    MemberAdded,
    Received,
    StateChanged,
    Subscribed,
    SubscriptionFailed,
)

SESSION = "doctor-abc"
KEY = b"k" * 32
GRANT = make_grant(KEY, "user.http", 1_800_000_900)
SPELLING = Spelling("THE_ADDRESS", "THE_APP", "THE_KEY", "THE_SECRET", "THE_MASTER_KEY")
CONNECTED = StateChanged(ConnectionState.CONNECTED)


@dataclass(eq=False)
class Room:
    """A publisher, and the place where clients meet. ``silent`` are channels on which nothing is passed on."""

    greeting: StateChanged | None = CONNECTED
    relays_client_events: bool | None = True
    tells_of_members: bool = True
    refused: dict[str, SubscriptionFailed] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    keyless: bool = False
    largest: int = 102_400
    reverses_batches: bool = False
    failure: Exception | None = None
    published: list[Event] = field(default_factory=list)
    clients: list[RoomClient] = field(default_factory=list)
    closed: int = 0

    def open(self, deliver: Deliver) -> RoomClient:
        client = RoomClient(self, deliver, f"user-{len(self.clients)}")
        self.clients.append(client)
        return client

    def publish(self, events: Sequence[Event]) -> None:
        if self.failure is not None:
            raise self.failure
        if any(event.size_bytes > self.largest for event in events):
            raise TransportError("http://room", "too big", retry=False, status=413)
        self.published += events
        for event in reversed(events) if self.reverses_batches else events:
            for client in self.clients:
                client.hear(event)

    def close(self) -> None:
        self.closed += 1

    def broker(self, **changes: object) -> Broker:
        """What `doctor` is handed."""
        values: dict[str, object] = {
            "ws": Endpoint("127.0.0.1", 6001, False, "key"),
            "open_host": self.open,
            "open_viewer": self.open,
            "publisher": self,
            "event_bytes": 100_000,
        }
        return Broker(**(values | changes))  # type: ignore[arg-type]


class RoomClient:
    """A `Subscriber`."""

    def __init__(self, room: Room, deliver: Deliver, user_id: str) -> None:
        self._room = room
        self._deliver = deliver
        self._user_id = user_id
        self._channels: list[str] = []
        self.is_closed = False

    def start(self) -> None:
        if self._room.greeting is not None:
            self._deliver(self._room.greeting)

    def subscribe(self, channel: str, *, renew_s: float | None = None) -> None:
        if channel in self._channels:
            return
        if channel in self._room.refused:
            self._deliver(self._room.refused[channel])
            return
        self._channels.append(channel)
        self._deliver(Subscribed(channel, (), self._user_id))
        if channel.startswith("presence-") and self._room.tells_of_members:
            for other in self._room.clients:
                if other is not self:
                    other._deliver(MemberAdded(channel, Member(self._user_id, {})))

    def send(self, channel: str, name: str, data: str) -> bool:
        if self._room.relays_client_events is False:
            self._deliver(ClientEventsRefused(channel, 4301, "off"))
        elif self._room.relays_client_events:
            for other in self._room.clients:
                if other is not self:
                    other.hear(Event(channel, name, data))
        return channel in self._channels

    def shared_secret(self, channel: str) -> bytes | None:
        return None if self._room.keyless else KEY

    def renew(self, channel: str) -> None:
        """Nothing here changes."""

    def grant(self, channel: str) -> Grant | None:
        return None if self._room.keyless or not channel.startswith("private-input-") else GRANT

    def close(self) -> None:
        self.is_closed = True

    def hear(self, event: Event) -> None:
        """As the broker passes it on."""
        if event.channel in self._channels and event.channel not in self._room.silent:
            sealed = event.channel.startswith("private-encrypted-")
            self._deliver(Received(event.channel, event.name, unseal(event.data, KEY) if sealed else event.data))
