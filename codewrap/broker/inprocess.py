"""A publisher in the hub's own thread: events go to the hub as values, without HTTP, signatures and JSON in between."""

from __future__ import annotations

from collections.abc import Sequence

from codewrap.broker.app import HubRuntime
from codewrap.broker.names import parse_channel
from codewrap.transport.base import Event


class HubPublisher:
    """A `Publisher` on ``runtime``. To be called in its event loop's thread only; the caller keeps to the limits."""

    def __init__(self, runtime: HubRuntime) -> None:
        self._runtime = runtime

    def publish(self, events: Sequence[Event]) -> None:
        """Hand the events to all who subscribe, in this order."""
        for event in events:
            name = parse_channel(event.channel, self._runtime.limits.channel_name_chars)
            self._runtime.hub.publish(name, event.name, event.data)

    def close(self) -> None:
        """Nothing to release."""
