"""The size of a terminal, and the sizes that every part of codewrap can work with."""

from __future__ import annotations

from typing import NamedTuple

MIN_COLS, MAX_COLS = 2, 1000
MIN_ROWS, MAX_ROWS = 1, 1000


class Size(NamedTuple):
    """A terminal's size in character cells."""

    rows: int
    cols: int

    def clamped(self) -> Size:
        """The nearest size within the limits."""
        return Size(
            rows=min(max(self.rows, MIN_ROWS), MAX_ROWS),
            cols=min(max(self.cols, MIN_COLS), MAX_COLS),
        )
