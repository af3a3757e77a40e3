"""One client's connection as the hub sees it, and the sink its frames go to.

Values and small rules only: who is subscribed to what is decided in `hub.py`, bytes move in `app.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from codewrap.broker.channels import Channel


class Sink(Protocol):
    """Where a connection's frames go. Neither method may block, raise or call back into the hub."""

    def send(self, text: str) -> None:
        """Queue one text frame."""

    def close(self, code: int, reason: str) -> None:
        """Send what is queued, then end with this close code."""


@dataclass(frozen=True, slots=True)
class User:
    """A signed-in user. ``user_data`` is the signed text; ``info`` is None where nothing was given."""

    user_id: str
    user_data: str
    info: object = None
    watchlist: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Connection:
    """One socket. ``heard_s`` is when it last said anything; ``pinged_s`` is set while a ping is unanswered."""

    socket_id: str
    sink: Sink
    protocol: int
    opened_s: float
    heard_s: float
    pinged_s: float | None = None
    closed: bool = False
    authorized: bool = False
    user: User | None = None
    channels: dict[str, Channel] = field(default_factory=dict)
    _window_s: float = 0.0
    _events_in_window: int = 0

    def heard(self, now_s: float) -> None:
        """Anything the client says answers a ping."""
        self.heard_s = now_s
        self.pinged_s = None

    def may_send_event(self, now_s: float, per_second: int | None) -> bool:
        """Count one client event; False when this second has had its share."""
        if per_second is None:
            return True
        if now_s - self._window_s >= 1.0:
            self._window_s = now_s
            self._events_in_window = 0
        self._events_in_window += 1
        return self._events_in_window <= per_second
