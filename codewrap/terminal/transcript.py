"""The whole of what a session showed, as a terminal with endless scrollback would have it: logical lines, top to bottom.

What scrolled out of view stands as it was then; what is cleared or drawn over while it shows is gone, as on any terminal.
Nothing is kept of it here but the screen, and the line that is being put together.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Cell, Row, Screen

# These throw away what has scrolled off and not been taken yet: what comes before is fed apart.
_FORGETTING: Final = re.compile(rb"(?=\x1bc|\x1b\[3J)")
_LEAVE_ALTERNATE: Final = b"\x18\x1b[?1049l"
MAX_LINE_ROWS: Final = 1000
"""A logical line of more rows is cut: somebody wrote megabytes without a line's end."""


class Line:
    """A line as it was written, in as many rows as it took."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    @property
    def text(self) -> str:
        """Without blanks at its end."""
        return "".join(row.text for row in self._rows).rstrip()

    def cells(self) -> list[Cell]:
        """In colour; with the blanks."""
        return [cell for row in self._rows for cell in row.cells()]


class Transcript:
    """Feed it in order; take the lines that are complete whenever you like, and `end` at last."""

    def __init__(self, size: Size) -> None:
        self._screen = Screen(size, scrollback_lines=0, scrolled_off=self._gone)
        self._lines: deque[Line] = deque()
        self._rows: list[Row] = []

    @property
    def screen(self) -> Screen:
        """What shows now."""
        return self._screen

    def feed(self, data: bytes) -> None:
        """More of the output, cut anywhere."""
        for part in _FORGETTING.split(data):
            if part:
                self._screen.feed(part)

    def resize(self, size: Size) -> None:
        """The terminal has another size."""
        self._screen.resize(size)

    def take(self) -> list[Line]:
        """Lines that have scrolled out of view since the last call."""
        lines, self._lines = list(self._lines), deque()
        return lines

    def end(self) -> list[Line]:
        """What is left, with the screen. A program that ended on the alternate screen has left its picture: it stands last."""
        picture: list[Row] = []
        if self._screen.modes.alternate:
            picture = self._screen.rows()
            self._screen.feed(_LEAVE_ALTERNATE)
        for rows in (self._screen.rows(), picture):
            for row in _without_blank_end(rows):
                self._gone(row)
            self._finish()
        return self.take()

    def _gone(self, row: Row) -> None:
        self._rows.append(row)
        if not row.goes_on or len(self._rows) >= MAX_LINE_ROWS:
            self._finish()

    def _finish(self) -> None:
        if self._rows:
            self._lines.append(Line(self._rows))
            self._rows = []


def _without_blank_end(rows: list[Row]) -> list[Row]:
    last = max((at for at, row in enumerate(rows, 1) if row.text.strip()), default=0)
    return rows[:last]
