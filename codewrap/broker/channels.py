"""Channels that have subscribers, and the events that cache channels keep.

Owns membership and fan-out; what may be subscribed to or published is decided by the callers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from codewrap.broker.connections import Connection
from codewrap.broker.names import ChannelName
from codewrap.broker.presence import Roster


@dataclass(slots=True, eq=False)
class Channel:
    """One occupied channel; ``roster`` only on presence channels."""

    name: ChannelName
    roster: Roster | None = None
    subscribers: dict[Connection, None] = field(default_factory=dict)

    def send(self, text: str, *, except_socket: str | None = None) -> None:
        """Hand one encoded frame to all subscribers but one."""
        for connection in self.subscribers:
            if connection.socket_id != except_socket:
                connection.sink.send(text)


class Channels:
    """All occupied channels by name."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._channels.values())

    def get(self, name: str) -> Channel | None:
        """The channel, if anybody is subscribed."""
        return self._channels.get(name)

    def open(self, name: ChannelName) -> Channel:
        """The channel, made if it is new. The caller adds a subscriber at once."""
        channel = self._channels.get(name.text)
        if channel is None:
            channel = Channel(name, Roster() if name.is_presence else None)
            self._channels[name.text] = channel
        return channel

    def drop(self, channel: Channel) -> None:
        """Forget a channel that its last subscriber has left."""
        del self._channels[channel.name.text]


@dataclass(frozen=True, slots=True)
class CachedEvent:
    """The last event of a cache channel."""

    name: str
    data: str
    expires_s: float


class EventCache:
    """Last events of cache channels, for ``ttl_s``; beyond ``max_events`` the one kept longest goes."""

    def __init__(self, ttl_s: float, max_events: int) -> None:
        self._ttl_s = ttl_s
        self._max_events = max_events
        self._events: OrderedDict[str, CachedEvent] = OrderedDict()

    def keep(self, channel: str, name: str, data: str, now_s: float) -> None:
        """Remember the event as the channel's last."""
        self._events.pop(channel, None)
        self._events[channel] = CachedEvent(name, data, now_s + self._ttl_s)
        if len(self._events) > self._max_events:
            self._events.popitem(last=False)

    def get(self, channel: str, now_s: float) -> CachedEvent | None:
        """The last event, unless it has expired."""
        event = self._events.get(channel)
        return event if event is not None and event.expires_s > now_s else None

    def forget_expired(self, now_s: float) -> None:
        """Free what is too old; events stand in the order in which they expire."""
        while self._events and next(iter(self._events.values())).expires_s <= now_s:
            self._events.popitem(last=False)
