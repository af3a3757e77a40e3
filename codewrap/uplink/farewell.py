"""How long an uplink stays after its session's end: until those who watched have heard it, or had time to come back. Pure."""

from __future__ import annotations

from collections import deque

# A viewer without a connection has tried five times by then.
ABSENT_S = 20.0


class Farewell:
    """Counts viewers that went away without having heard the end. The caller passes the time.

    ``viewers`` were here when an uplink before this one died, and are away since.
    """

    def __init__(self, viewers: int = 0, now_s: float = 0.0) -> None:
        self._ever = viewers > 0
        self._known = False
        self._said_goodbye = 0
        self._away_since = deque([now_s] * viewers)

    def came(self, viewers: int) -> None:
        """So many viewers are new here. Whether one of them was away before is not told, so those are waited for all the same."""
        self._ever = self._ever or viewers > 0

    def goodbye(self) -> None:
        """A viewer says that it lacks nothing and leaves."""
        self._said_goodbye += 1

    def left(self, now_s: float, *, heard: bool) -> None:
        """A viewer has left. Of one that said no goodbye it is not known whether it meant to: ``heard`` if it knows the end."""
        if self._said_goodbye:
            self._said_goodbye -= 1
        elif not heard:
            self._away_since.append(now_s)

    def connected(self) -> None:
        """Who is here is known (again)."""
        self._known = True

    def disconnected(self, viewers: int, now_s: float) -> None:
        """Our own link is gone, with so many viewers at its other end."""
        self._known = False
        self._said_goodbye = 0
        self._away_since.extend([now_s] * viewers)

    def is_over(self, ended_s: float, now_s: float) -> bool:
        """Whether nobody is left to hear of an end at ``ended_s``, when no viewer is here."""
        if not self._ever or now_s - ended_s >= ABSENT_S:
            return True
        return self._known and all(now_s - since_s >= ABSENT_S for since_s in self._away_since)
