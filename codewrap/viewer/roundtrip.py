"""How long a keystroke takes to the session and back, smoothed, and whether that is slow enough to be felt. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

# A delay is felt from about here on; the distance between the two keeps the answer from swinging.
SLOW_S: Final = 0.060
FAST_S: Final = 0.040
# As TCP smooths it (RFC 6298): an eighth of each new sample.
_GAIN: Final = 0.125
# Keys under way that are timed; more at once come from a paste.
_MAX_TIMED: Final = 64


class RoundTrip:
    """Of one attachment. Offsets count what was typed, from any beginning."""

    def __init__(self) -> None:
        self.smoothed_s: float | None = None
        self.slow = False
        self._timed: deque[tuple[int, float]] = deque()

    def typed(self, end: int, now_s: float) -> None:
        """Something was typed that ends at offset ``end``."""
        if len(self._timed) < _MAX_TIMED:
            self._timed.append((end, now_s))

    def confirmed(self, offset: int, now_s: float) -> None:
        """The host has written everything up to ``offset`` to the command. What was sent again counts from the first time."""
        typed_s = None
        while self._timed and self._timed[0][0] <= offset:
            typed_s = self._timed.popleft()[1]
        if typed_s is None:
            return
        sample_s = now_s - typed_s
        self.smoothed_s = sample_s if self.smoothed_s is None else self.smoothed_s + _GAIN * (sample_s - self.smoothed_s)
        self.slow = self.smoothed_s > (FAST_S if self.slow else SLOW_S)

    def forget(self) -> None:
        """What is under way will not be confirmed."""
        self._timed.clear()
