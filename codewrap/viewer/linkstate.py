"""How the link to the session is, and for how long: to the broker, and from the broker to the host. Pure."""

from __future__ import annotations

from codewrap.transport.base import ConnectionState, StateChanged

# A link that is back within this was never worth a word.
STATUS_AFTER_S = 1.0
# The session answers everything that is typed. No word of it for so long, or for two round trips: something is wrong.
LATE_S = 3.0


class LinkState:
    """What the status line speaks of. The caller passes the time."""

    def __init__(self, now_s: float) -> None:
        self._state = StateChanged(ConnectionState.CONNECTING)
        self._since_s = now_s
        self._retry_at_s = 0.0
        self._host_gone_s: float | None = None
        self._asked_s: float | None = None
        self._late_at_s = 0.0
        self._silent_since_s: float | None = None

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
        self._asked_s = self._silent_since_s = None
        return was_connected and not self.connected

    def host_is(self, here: bool, now_s: float) -> None:
        """Whether the host is on the presence channel."""
        if here:
            self._host_gone_s = None
        elif self._host_gone_s is None:
            self._host_gone_s = now_s

    def asked(self, now_s: float, round_trip_s: float = 0.0) -> None:
        """Something was sent that the session answers."""
        if self._asked_s is None:
            self._asked_s = now_s
            self._late_at_s = now_s + max(LATE_S, 2 * round_trip_s)

    def heard(self) -> None:
        """The session has said something."""
        self._asked_s = None

    def silence(self, for_s: float | None, now_s: float) -> None:
        """The broker does not answer, and was last heard ``for_s`` ago; None: it does again."""
        self._silent_since_s = None if for_s is None else now_s - for_s

    def unheard_s(self, now_s: float) -> float:
        """For how long nothing has been heard that should have been."""
        late = self._asked_s is not None and now_s >= self._late_at_s
        since_s = [at_s for at_s in (self._asked_s if late else None, self._silent_since_s) if at_s is not None]
        return now_s - min(since_s) if since_s and self.connected else 0.0

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until there is something new to tell; None while all is well."""
        if not self.connected or self._host_gone_s is not None or self.unheard_s(now_s) > 0:
            return 1.0
        return None if self._asked_s is None else max(0.0, self._late_at_s - now_s)

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
        if host_away_s > STATUS_AFTER_S:
            return f"the host is away for {host_away_s:.0f} s"
        unheard_s = self.unheard_s(now_s)
        return f"last heard {unheard_s:.0f} s ago" if unheard_s > 0 else ""
