"""Webhooks as values: which events there are, what is held back, how a request is signed, when to try again.

Pure: `delivery.py` posts. Departures wait for ``hold_back_s``, so that a quick reconnect makes no noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from codewrap.broker import messages, signatures
from codewrap.broker.apps import App

HookEvent = dict[str, str | int]
Emit = Callable[[HookEvent], None]

RETRY_FOR_S = 300.0
_FIRST_RETRY_S = 1.0
_LONGEST_RETRY_S = 60.0


class HookEvents:
    """Turns what happens in the hub into webhook events for ``emit``."""

    def __init__(self, emit: Emit, hold_back_s: float) -> None:
        self._emit = emit
        self._hold_back_s = hold_back_s
        self._held: dict[tuple[str, str], tuple[float, HookEvent]] = {}

    def channel_occupied(self, channel: str) -> None:
        """The first subscriber came."""
        if not self._take_back(channel, ""):
            self._emit({"name": "channel_occupied", "channel": channel})

    def channel_vacated(self, channel: str, now_s: float) -> None:
        """The last subscriber left."""
        self._hold(channel, "", now_s, {"name": "channel_vacated", "channel": channel})

    def member_added(self, channel: str, user_id: str) -> None:
        """A user's first socket joined a presence channel."""
        if not self._take_back(channel, user_id):
            self._emit({"name": "member_added", "channel": channel, "user_id": user_id})

    def member_removed(self, channel: str, user_id: str, now_s: float) -> None:
        """A user's last socket left a presence channel."""
        event: HookEvent = {"name": "member_removed", "channel": channel, "user_id": user_id}
        self._hold(channel, user_id, now_s, event)

    def client_event(self, channel: str, event: str, data: str, socket_id: str, user_id: str | None) -> None:
        """A client sent an event."""
        hook: HookEvent = {"name": "client_event", "channel": channel, "event": event, "data": data}
        hook["socket_id"] = socket_id
        if user_id is not None:
            hook["user_id"] = user_id
        self._emit(hook)

    def cache_miss(self, channel: str) -> None:
        """A new subscriber of a cache channel got nothing."""
        self._emit({"name": "cache_miss", "channel": channel})

    def subscription_count(self, channel: str, count: int) -> None:
        """The number of subscribers changed."""
        self._emit({"name": "subscription_count", "channel": channel, "subscription_count": count})

    def release(self, now_s: float) -> None:
        """Emit the departures that nobody took back in time."""
        due = [key for key, (due_s, _) in self._held.items() if due_s <= now_s]
        for key in due:
            self._emit(self._held.pop(key)[1])

    def _hold(self, channel: str, user_id: str, now_s: float, event: HookEvent) -> None:
        self._held[channel, user_id] = (now_s + self._hold_back_s, event)

    def _take_back(self, channel: str, user_id: str) -> bool:
        return self._held.pop((channel, user_id), None) is not None


def signed_request(app: App, events: Sequence[HookEvent], time_ms: int) -> tuple[bytes, dict[str, str]]:
    """Body and headers of one POST."""
    body = messages.encode_json({"time_ms": time_ms, "events": list(events)}).encode()
    headers = {
        "Content-Type": "application/json",
        "X-Pusher-Key": app.key,
        "X-Pusher-Signature": signatures.hex_digest(app, body),
    }
    return body, headers


def retry_delays_s() -> Iterator[float]:
    """Waits between attempts: doubling up to a minute, five minutes in all."""
    waited, delay = 0.0, _FIRST_RETRY_S
    while waited + delay <= RETRY_FOR_S:
        yield delay
        waited += delay
        delay = min(delay * 2, _LONGEST_RETRY_S)
