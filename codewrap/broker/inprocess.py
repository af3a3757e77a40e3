"""The hub for whoever is in its own thread: events go to it as values, and requests to its HTTP API without a socket."""

from __future__ import annotations

from collections.abc import Sequence

from codewrap.broker.app import HubRuntime
from codewrap.broker.names import parse_channel
from codewrap.broker.signatures import ApiRequest
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


class HubApi:
    """The hub's HTTP API without a socket, for whoever is in its event loop already."""

    def __init__(self, runtime: HubRuntime) -> None:
        self._runtime = runtime

    def request(self, method: str, path_with_query: str, body: bytes) -> tuple[int, bytes]:
        """Status and body."""
        answer = self._runtime.answer(ApiRequest.of(method, path_with_query, body))
        return answer.status, answer.body
