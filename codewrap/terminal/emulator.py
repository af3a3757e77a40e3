"""The state of the wrapped terminal: what it shows, and how to show the same on another one.

The only module that imports an engine (avt, asciinema's). Its defects are met here or in ``redraw.py``; what it does not tell
is in ``modes.py``. An engine that fails costs the picture, never the session: nothing is raised out of ``feed``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from avt import Color, Line, Pen, Vt  # type: ignore[attr-defined]  # its stubs do not re-export
from avt.util import TextUnwrapper  # type: ignore[attr-defined]

from codewrap.protocol.geometry import Size
from codewrap.protocol.sequences import SequenceCutter
from codewrap.terminal import redraw
from codewrap.terminal.fastforward import WORTH_BYTES, shortened
from codewrap.terminal.modes import ModeTracker

SCROLLBACK_LINES: Final = 1000
"""Kept lines by default: about 2 MB at 80 columns. The session log has everything."""
# How the engine's dump ends: origin mode, margins, cursor, style, and what does not change where and how something is printed.
_PLAIN_END: Final = re.compile(
    r"(?P<origin>\x9b\?6h)?(?:\x9b\d+;\d+r)?\x9b\d+;\d+H(?:\x1b\[(?P<pen>[\d;:]*)m)?(?:\x9b\?25l|\x1b\)0|\x9b20h|\x9b\?1h)*\Z"
)
_MARGINS: Final = re.compile(r"\x9b\d+;\d+r")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Counted from 0. ``col`` equals the width while a wrap is pending."""

    row: int
    col: int
    visible: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """``width`` is 2 for a wide character and 0 for the cell behind it. ``style`` are SGR parameters, each after a semicolon."""

    char: str
    width: int
    style: str


class Row:
    """One row as it stood when it was asked for."""

    __slots__ = ("_line",)

    def __init__(self, line: Line) -> None:
        self._line = line

    @property
    def text(self) -> str:
        """Its characters, with all blanks."""
        return str(self._line.text)

    @property
    def goes_on(self) -> bool:
        """The next row is the rest of it: there was no room."""
        return _goes_on(self._line)

    def cells(self) -> list[Cell]:
        """One for each column."""
        return _cells(self._line)


class ScreenState(Protocol):
    """What the rest of codewrap wants of a terminal engine. Owned by one thread."""

    @property
    def size(self) -> Size:
        """What the terminal has now."""

    @property
    def cursor(self) -> Cursor:
        """Where it stands."""

    @property
    def title(self) -> str:
        """As the command set it last, without control characters."""

    def feed(self, data: bytes) -> None:
        """Take more of the command's output, cut anywhere. Never raises."""

    def resize(self, size: Size) -> None:
        """The terminal's size has changed. Viewers need a snapshot after it: terminals reflow differently."""

    def text(self) -> list[str]:
        """The rows shown, without trailing blanks."""

    def take_changed_rows(self) -> list[int]:
        """Rows changed since the last call, in order."""

    def snapshot(self, scrollback_lines: int = 0) -> bytes:
        """Sequences that redraw everything on a terminal of the same size in any state.

        Live output goes on right after it, from the byte that would be fed next. With ``scrollback_lines``, so many lines
        above the screen come first (none while the alternate screen shows).
        """


class Screen:
    """``ScreenState`` by avt. ``scrolled_off`` is given each row that is kept no longer; nothing is left out then."""

    def __init__(
        self,
        size: Size,
        scrollback_lines: int = SCROLLBACK_LINES,
        scrolled_off: Callable[[Row], None] | None = None,
    ) -> None:
        self._size = size.clamped()
        self._scrollback_lines = scrollback_lines
        self._scrolled_off = scrolled_off
        self._cutter = SequenceCutter()
        self.modes = ModeTracker()
        self.failures = 0
        """How often the engine failed and began anew, empty: feed it the end of the session log then."""
        self._engine = self._new_engine()
        self._changed = set(range(self._size.rows))

    @property
    def size(self) -> Size:
        return self._size

    @property
    def cursor(self) -> Cursor:
        at = self._engine.cursor
        return Cursor(at.row, at.col, at.visible)

    @property
    def title(self) -> str:
        return self.modes.title

    @property
    def unfinished(self) -> bytes:
        """The character or sequence that what was fed ends in the midst of; b"" where the terminal is at rest."""
        return self._cutter.pending

    def feed(self, data: bytes) -> None:
        block = self._cutter.feed(data)
        if not block:
            return
        if self._scrolled_off is None and len(block) >= WORTH_BYTES and self._scrolls_whole():
            block = shortened(block, self._scrollback_lines + 2 * self._size.rows + 2)
        self.modes.feed(block)
        try:
            rows, gone = self._engine.feed_str(block.decode(errors="replace"))
        except BaseException as problem:  # noqa: BLE001 - Rust panics arrive as BaseException
            self._begin_anew(problem)
        else:
            self._changed.update(rows)
            self._pass_on(gone)

    def resize(self, size: Size) -> None:
        size = size.clamped()
        if size == self._size:
            return
        self._size = size
        try:
            _, gone = self._engine.resize(size.cols, size.rows)
        except BaseException as problem:  # noqa: BLE001
            self._begin_anew(problem)
        else:
            self._pass_on(gone)
        self._changed = set(range(size.rows))

    def text(self) -> list[str]:
        return [line.text.rstrip() for line in self._engine.view()]

    def take_changed_rows(self) -> list[int]:
        rows = sorted(row for row in self._changed if row < self._size.rows)
        self._changed.clear()
        return rows

    def drawn_row(self, row: int, first_col: int, cols: int) -> str:
        """The characters of ``row`` from ``first_col`` on, at most ``cols`` cells wide, in colour; ends in default style.

        A wide character cut by an edge is drawn as a space. Trailing default blanks are left out.
        """
        return _drawn_cells(self._engine.view()[row], first_col, cols)

    def cells(self, row: int) -> list[Cell]:
        """The cells of ``row``, one for each column."""
        return _cells(self._engine.view()[row])

    def rows(self) -> list[Row]:
        """The rows shown."""
        return [Row(line) for line in self._engine.view()]

    def pen(self) -> str | None:
        """The style of what would be printed next, as in `Cell`. None where its place or look depends on more than cursor and
        style: a pending wrap, origin or insert mode, no wrapping, another character set."""
        found = _PLAIN_END.search(self._engine.dump())
        if found is None or found["origin"]:
            return None
        return (found["pen"] or "").replace(":", ";").removeprefix("0")

    def snapshot(self, scrollback_lines: int = 0) -> bytes:
        above, dump = self._dumped(scrollback_lines)
        shown, parser = redraw.rewritten(dump, self.modes.alternate, self._size.cols)
        drawn = redraw.scrolled_off(above, self._size) + shown
        start = redraw.prologue(self._size).encode() + self.modes.retitle() + self.modes.keyboard(alternate=False)
        end = redraw.END_FRAME.encode() + self.modes.redraw()
        return start + drawn.encode(errors="replace") + end + parser.encode() + self._cutter.pending

    def _pass_on(self, gone: list[Line]) -> None:
        if self._scrolled_off is not None:
            for line in gone:
                self._scrolled_off(Row(line))

    def _scrolls_whole(self) -> bool:
        """Whether a line feed in the last row moves all rows: no margins are set."""
        try:
            return _MARGINS.search(self._engine.dump()) is None
        except BaseException as problem:  # noqa: BLE001
            self._begin_anew(problem)
            return False

    def _dumped(self, scrollback_lines: int) -> tuple[list[str], str]:
        """The lines above the screen that were asked for, and the engine's own dump."""
        try:
            lines = self._engine.lines() if scrollback_lines > 0 else []
            last = max(0, len(lines) - self._size.rows)
            above = [_drawn_line(line) for line in lines[max(0, last - scrollback_lines) : last]]
            return above, self._engine.dump()
        except BaseException as problem:  # noqa: BLE001
            self._begin_anew(problem)
            return [], ""

    def _new_engine(self) -> Vt:
        return Vt(self._size.cols, self._size.rows, scrollback_limit=self._scrollback_lines)

    def _begin_anew(self, problem: BaseException) -> None:
        if isinstance(problem, (KeyboardInterrupt, SystemExit)):
            raise problem
        self.failures += 1
        self._engine = self._new_engine()
        self._changed = set(range(self._size.rows))


def _goes_on(line: Line) -> bool:
    return TextUnwrapper().push(line) is None


def _cells(line: Line) -> list[Cell]:
    return [_cell(cell.char, cell.width, "" if cell.pen.is_default() else _style(cell.pen)) for cell in line.cells]


@functools.lru_cache(maxsize=4096)
def _cell(char: str, width: int, style: str) -> Cell:
    """Most are like many others, and made much faster so."""
    return Cell(char, width, style)


def _drawn_line(line: Line) -> str:
    """One line above the screen with its end: none if it goes on in the next one, which only printing does."""
    wrapped = _goes_on(line)
    parts: list[str] = []
    style = ""
    for cell in line.cells:
        if cell.width == 0:
            continue
        pen = cell.pen
        wanted = "" if pen.is_default() else _style(pen)
        if wanted != style:
            parts.append(f"\x1b[0{wanted}m")
            style = wanted
        parts.append(cell.char)
    text = "".join(parts)
    if wrapped:
        return text
    return (text + "\x1b[m" if style else text.rstrip(" ")) + "\r\n"


def _drawn_cells(line: Line, first_col: int, cols: int) -> str:
    parts: list[str] = []
    style = ""
    end_col = first_col + cols
    used = drawn = 0  # parts up to which something else than default blanks was drawn
    for col, cell in enumerate(line.cells):
        if not first_col <= col < end_col or (cell.width == 0 and col > first_col):
            continue
        wanted = "" if cell.pen.is_default() else _style(cell.pen)
        if wanted != style:
            parts.append(f"\x1b[0{wanted}m")
            style = wanted
        cut = cell.width == 0 or col + cell.width > end_col
        parts.append(" " if cut else cell.char)
        drawn = len(parts)
        if style or parts[-1] != " ":
            used = drawn
    return "".join(parts[:used]) + ("\x1b[m" if style or used < drawn or used else "")


def _style(pen: Pen) -> str:
    on = (pen.bold, pen.faint, pen.italic, pen.underline, pen.blink, pen.inverse, pen.strikethrough)
    codes = [code for code, is_on in zip((1, 2, 3, 4, 5, 7, 9), on, strict=True) if is_on]
    codes += _colour(pen.foreground, 30) + _colour(pen.background, 40)
    return "".join(f";{code}" for code in codes)


def _colour(colour: Color | None, base: int) -> list[int]:
    if colour is None:
        return []
    if isinstance(colour, Color.RGB):
        return [base + 8, 2, colour[0], colour[1], colour[2]]
    assert isinstance(colour, Color.Indexed)  # noqa: S101 - there are these two
    number = colour[0]
    if number < 8:
        return [base + number]
    return [base + 52 + number] if number < 16 else [base + 8, 5, number]
