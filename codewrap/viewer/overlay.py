"""Draws predicted cells over a session's screen, and takes them away again so that nothing of them is left. Pure.

Everything is written at absolute places, never into the last column, and leaves cursor and style as the session's own next
byte expects them, once it is taken away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from codewrap.terminal.emulator import Cell
from codewrap.viewer.prediction import Foreseen, Picture


class Canvas(Picture, Protocol):
    """A picture on a terminal, in whose places it can be drawn. It does not change while something lies over it."""

    def covers(self, row: int, cells: tuple[int, int]) -> bool:
        """Whether these cells (first, and behind the last) can be drawn over, and restored exactly."""

    def reaches(self, row: int, col: int) -> bool:
        """Whether this cell is in view."""

    def place(self, row: int, col: int) -> str:
        """Moves the cursor to a cell that is in view."""

    def restored(self, row: int, first: int, end: int) -> str:
        """Draws the real cells from ``first`` to before ``end``, wherever cursor and style are."""

    def settled(self) -> str:
        """Cursor and style as the session has them."""


@dataclass(frozen=True, slots=True)
class Laid:
    """What lies over a canvas: ``drawn`` shows it, ``undrawn`` takes it away."""

    drawn: str
    undrawn: str


def laid_over(canvas: Canvas, foreseen: Foreseen) -> Laid | None:
    """How to show ``foreseen``; None where that cannot be undone exactly, or there is nothing to be shown."""
    row, cursor = foreseen.row, canvas.cursor
    real = canvas.cells(row)
    runs = list(_changes(real, foreseen.cells))
    if not cursor.visible or not canvas.reaches(row, foreseen.col) or canvas.pen() is None:
        return None
    if not all(canvas.covers(row, run) for run in runs) or (not runs and (row, foreseen.col) == (cursor.row, cursor.col)):
        return None
    drawn = "".join(canvas.place(row, first) + _text(foreseen.cells[first:end]) for first, end in runs)
    undrawn = "".join(canvas.restored(row, first, end) for first, end in runs)
    return Laid(drawn + canvas.settled() + canvas.place(row, foreseen.col), undrawn + canvas.settled())


def _changes(real: Sequence[Cell], wanted: Sequence[Cell]) -> Iterator[tuple[int, int]]:
    """Runs of cells that differ, without cutting a wide character of either."""
    first = None
    for col, (old, new) in enumerate(zip(real, wanted, strict=True)):
        cuts_no_character = bool(old.width and new.width)
        if first is not None and old == new and cuts_no_character:
            yield first, col
            first = None
        elif first is None and old != new:
            first = col
            while first > 0 and not (real[first].width and wanted[first].width):
                first -= 1
    if first is not None:
        yield first, len(real)


def _text(cells: Sequence[Cell]) -> str:
    parts: list[str] = []
    style: str | None = None
    for cell in cells:
        if cell.width:
            parts.append(f"\x1b[0{cell.style}m{cell.char}" if cell.style != style else cell.char)
            style = cell.style
    return "".join(parts)
