"""Predictive local echo of one attachment: whether it is wanted now, and what joins keyboard, predictor and screen.

On a link that is fast this is a clock and nothing else: the parts that predict are imported, and the screen's mirror is kept,
from when the link turns out to be slow.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from codewrap.errors import ConfigError
from codewrap.viewer.roundtrip import RoundTrip

if TYPE_CHECKING:
    from codewrap.viewer.prediction import Predictor
    from codewrap.viewer.screen import TerminalScreen


class Predict(enum.Enum):
    """When to show what is typed before the session has echoed it. AUTO: where its echo takes long."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def parse_predict(text: str, setting: str = "--predict") -> Predict:
    """The value of the option. Raises ConfigError naming ``setting``."""
    try:
        return Predict(text.lower())
    except ValueError:
        raise ConfigError(setting, "is none of auto, always and never") from None


class LocalEcho:
    """Call it from one thread. ``predict`` is NEVER where nothing can be typed, or there is no terminal."""

    def __init__(self, predict: Predict, screen: TerminalScreen) -> None:
        self._predict = predict
        self._screen = screen
        self._typed = 0
        self.round_trip = RoundTrip()
        self._predictor: Predictor | None = None
        if predict is Predict.ALWAYS:
            self._begin()

    @property
    def active(self) -> bool:
        """Predictions are made, and shown where they can be."""
        return self._predictor is not None

    @property
    def is_due(self) -> bool:
        """`mind` has something to do now: the link has become slow, or fast."""
        return self._predict is Predict.AUTO and self.round_trip.slow != self.active

    def typed(self, data: bytes, now_s: float) -> None:
        """``data`` was typed, and is on its way."""
        if self._predict is Predict.NEVER or not data:
            return
        self._typed += len(data)
        self.round_trip.typed(self._typed, now_s)
        canvas = self._screen.canvas
        if self._predictor is not None and canvas is not None:
            self._predictor.typed(data, self._typed, canvas)
            self._show()

    def confirmed(self, pending_bytes: int, now_s: float) -> None:
        """The host has acknowledged all but ``pending_bytes`` of what was typed. Call `look` when its output is shown."""
        self.round_trip.confirmed(self._typed - pending_bytes, now_s)
        if self._predictor is not None:
            self._predictor.acknowledged(self._typed - pending_bytes, now_s)

    def look(self) -> None:
        """Output of the session was shown."""
        canvas = self._screen.canvas
        if self._predictor is not None and canvas is not None:
            self._predictor.look(canvas)
            self._show()

    def forget(self) -> None:
        """What was typed is lost, or was for another run."""
        self.round_trip.forget()
        self.redrawn()

    def redrawn(self) -> None:
        """The screen was drawn anew: what was foreseen on the one before is not on this one."""
        if self._predictor is not None:
            self._predictor.forget()
            self._show()

    def mind(self, now_s: float) -> bool:
        """What time brings. True: a screen is to be asked for, predictions begin with it."""
        canvas = self._screen.canvas
        if self._predictor is not None and canvas is not None:
            self._predictor.mind(canvas, now_s, self.round_trip.smoothed_s or 0.0)
            self._show()
        if self.is_due and self.round_trip.slow:
            return self._begin()
        if self.is_due:
            self._end()
        return False

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until `mind` may have something."""
        if self._predictor is None or self._screen.canvas is None:
            return None
        return self._predictor.wait_s(now_s, self.round_trip.smoothed_s or 0.0)

    def _begin(self) -> bool:
        from codewrap.viewer.prediction import Predictor

        self._predictor = Predictor()
        return self._screen.mirror(True)

    def _end(self) -> None:
        # Not in the midst of a word: what is under way is still shown.
        if self._predictor is not None and self._predictor.idle:
            self._predictor = None
            self._screen.mirror(False)

    def _show(self) -> None:
        if self._predictor is not None:
            self._screen.lay(self._predictor.foreseen())
