"""A session shown on a terminal of another size: the part of its screen that fits, around the cursor, drawn row by row.

Passing its bytes on would put every wrapped line and every absolute position in the wrong place. What is drawn here comes out
of cells, so nothing of the session's own sequences reaches the terminal but the modes that shape the keyboard and the mouse.
A letterbox is also a canvas: predictions can be drawn over it (`overlay.py`).
"""

from __future__ import annotations

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Cell, Cursor, Screen

# Modes by which a program says what keys, mouse and pastes shall send. The rest of what modes do is drawn here.
_INPUT_MODES = (1, 9, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004)
_BEGIN, _END = "\x1b[?2026h\x1b[?25l", "\x1b[?2026l"


class Letterbox:
    """One session's screen of ``size`` on a terminal of ``shown`` cells. The caller makes a new one when either changes."""

    def __init__(self, size: Size, shown: Size) -> None:
        self._screen = Screen(size, scrollback_lines=0)
        self._size = self._screen.size
        self._shown = shown
        self._top = self._left = 0
        self._modes: dict[int, bool] = {}
        self._blank = True

    def feed(self, data: bytes) -> bytes:
        """What to write to the terminal for ``data`` of the session's output."""
        self._screen.feed(data)
        moved = self._pan()
        changed = set(self._screen.take_changed_rows())
        visible = range(self._top, min(self._top + self._shown.rows, self._size.rows))
        rows = [row for row in visible if moved or self._blank or row in changed]
        clear = "\x1b[r\x1b[0m\x1b[2J" if self._blank else ""
        self._blank = False
        return (self._input_modes() + _BEGIN + clear + "".join(map(self._row, rows)) + self._cursor() + _END).encode()

    # -- as a canvas ---------------------------------------------------------------------------------------------

    @property
    def cursor(self) -> Cursor:
        return self._screen.cursor

    def cells(self, row: int) -> list[Cell]:
        return self._screen.cells(row)

    def pen(self) -> str | None:
        return self._screen.pen()

    def reaches(self, row: int, col: int) -> bool:
        return 0 <= row - self._top < self._shown.rows and 0 <= col - self._left < self._shown.cols

    def covers(self, row: int, cells: tuple[int, int]) -> bool:
        first, end = cells
        # The cell behind the last is in view too: what comes to the edge wraps there, here or in the session.
        return self.reaches(row, first) and self.reaches(row, end) and first < end < self._size.cols

    def place(self, row: int, col: int) -> str:
        return f"\x1b[{row - self._top + 1};{col - self._left + 1}H"

    def restored(self, row: int, first: int, end: int) -> str:  # noqa: ARG002 - as a whole, as it was drawn
        return self._row(row)

    def settled(self) -> str:
        return "\x1b[m" + self._cursor()

    # -- drawing -------------------------------------------------------------------------------------------------

    def _pan(self) -> bool:
        """Keep the cursor in view; True when the view has moved."""
        cursor = self._screen.cursor
        was = (self._top, self._left)
        self._top = _kept_in_view(cursor.row, self._top, self._shown.rows, self._size.rows)
        self._left = _kept_in_view(min(cursor.col, self._size.cols - 1), self._left, self._shown.cols, self._size.cols)
        return (self._top, self._left) != was

    def _row(self, row: int) -> str:
        cols = min(self._shown.cols, self._size.cols - self._left)
        # Erased first: after a character in the last column "erase to the end" would take that character too.
        return f"\x1b[{row - self._top + 1};1H\x1b[2K{self._screen.drawn_row(row, self._left, cols)}"

    def _cursor(self) -> str:
        cursor = self._screen.cursor
        col = min(cursor.col, self._size.cols - 1) - self._left
        shown = "\x1b[?25h" if cursor.visible else ""
        return f"\x1b[{cursor.row - self._top + 1};{col + 1}H{shown}"

    def _input_modes(self) -> str:
        known = self._screen.modes.known_modes()
        wanted = {mode: known.get(mode, False) for mode in _INPUT_MODES}
        changes = [f"\x1b[?{mode}{'h' if on else 'l'}" for mode, on in wanted.items() if self._modes.get(mode, False) != on]
        self._modes = wanted
        return "".join(changes)


def _kept_in_view(position: int, first: int, shown: int, whole: int) -> int:
    """The first row (or column) to show so that ``position`` is in view: from the edge if it can be, else moving little."""
    if position < shown:
        first = 0
    elif position < first:
        first = position
    elif position >= first + shown:
        first = position - shown + 1
    return max(0, min(first, whole - shown))
