"""How the link to the session is, and for how long: to the broker, and from the broker to the host. Pure."""

from __future__ import annotations

from codewrap.transport.base import ConnectionState, StateChanged

# A link that is back within this was never worth a word.
STATUS_AFTER_S = 1.0


class LinkState:
    """What the status line speaks of. The caller passes the time."""

    def __init__(self, now_s: float) -> None:
        self._state = StateChanged(ConnectionState.CONNECTING)
        self._since_s = now_s
        self._retry_at_s = 0.0
        self._host_gone_s: float | None = None

    @property
    def connected(self) -> bool:
        """The broker is there."""
        return self._state.state is ConnectionState.CONNECTED

    def changed(self, event: StateChanged, now_s: float) -> bool:
        """Take what the subscriber tells; True when a connection that stood is lost by it."""
        was_connected = self.connected
        if was_connected or event.state is ConnectionState.CONNECTED:
            self._since_s = now_s
        self._state = event
        self._retry_at_s = now_s + (event.retry_in_s or 0.0)
        if not self.connected:
            self._host_gone_s = None
        return was_connected and not self.connected

    def host_is(self, here: bool, now_s: float) -> None:
        """Whether the host is on the presence channel."""
        if here:
            self._host_gone_s = None
        elif self._host_gone_s is None:
            self._host_gone_s = now_s

    def away_s(self, now_s: float) -> float:
        """For how long there has been no connection."""
        return 0.0 if self.connected else now_s - self._since_s

    def host_away_s(self, now_s: float) -> float:
        """For how long the host has been gone while we were connected."""
        return 0.0 if self._host_gone_s is None else now_s - self._host_gone_s

    def text(self, now_s: float) -> str:
        """What to tell a person; "" while all is well, or has not been bad for long."""
        away_s, host_away_s = self.away_s(now_s), self.host_away_s(now_s)
        if away_s >= STATUS_AFTER_S:
            state = self._state.state.value
            if self._state.retry_in_s is not None:
                state = f"reconnecting in {max(0.0, self._retry_at_s - now_s):.0f} s"
            return f"{state}, link lost {away_s:.0f} s ago"
        return f"the host is away for {host_away_s:.0f} s" if host_away_s > STATUS_AFTER_S else ""
