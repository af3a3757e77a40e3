"""How long to wait before the next attempt: exponential, with full jitter, forgotten after a stable connection.

Pure: the random number is handed in, and time is told by the caller.
"""

from __future__ import annotations

from collections.abc import Callable

FIRST_S = 0.5
LIMIT_S = 30.0
STABLE_AFTER_S = 10.0
# "At once" (42xx) still spreads the clients of one server over a moment.
AT_ONCE_S = 0.1
_MOST_DOUBLINGS = 30


class Backoff:
    """Waits of a retry loop. ``random`` gives numbers in [0, 1)."""

    def __init__(
        self,
        random: Callable[[], float],
        *,
        first_s: float = FIRST_S,
        limit_s: float = LIMIT_S,
        stable_after_s: float = STABLE_AFTER_S,
    ) -> None:
        self._random = random
        self._first_s = first_s
        self._limit_s = limit_s
        self._stable_after_s = stable_after_s
        self._failures = 0

    def next_s(self, *, connected_for_s: float = 0.0, at_once: bool = False, at_least_s: float = 0.0) -> float:
        """The wait after a connection that stood ``connected_for_s``.

        A server may ask to be called again ``at_once``: granted once, then only after a stable connection, so that a
        server that always says so does not make the loop spin.
        """
        if connected_for_s >= self._stable_after_s:
            self._failures = 0
        self._failures += 1
        if at_once and self._failures == 1:
            return self._random() * AT_ONCE_S
        ceiling_s = min(self._limit_s, self._first_s * 2.0 ** min(self._failures - 1, _MOST_DOUBLINGS))
        return max(at_least_s, self._random() * ceiling_s)
