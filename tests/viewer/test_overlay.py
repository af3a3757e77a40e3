"""Cells drawn over others, and taken away."""

from __future__ import annotations

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Cell, Screen
from codewrap.viewer.mirror import Mirror
from codewrap.viewer.overlay import Laid, laid_over
from codewrap.viewer.prediction import Foreseen

SIZE = Size(rows=3, cols=12)


class Paper:
    """A terminal, and the mirror of what the session has written there."""

    def __init__(self, shown: bytes) -> None:
        self.terminal, self.mirror = Screen(SIZE), Mirror(SIZE)
        for screen in (self.terminal, self.mirror):
            screen.feed(shown)
        self.before = self.terminal.snapshot()

    def lays(self, changes: dict[int, Cell], col: int, row: int = 0) -> Laid | None:
        cells = self.mirror.cells(row)
        for at, cell in changes.items():
            cells[at] = cell
        laid = laid_over(self.mirror, Foreseen(row, tuple(cells), col))
        if laid is not None:
            self.terminal.feed(laid.drawn.encode())
        return laid

    def takes_away(self, laid: Laid) -> bool:
        self.terminal.feed(laid.undrawn.encode())
        return self.terminal.snapshot() == self.before


def test_cells_are_drawn_in_their_styles_and_nothing_of_them_is_left() -> None:
    paper = Paper(b"\x1b[1;31mab\x1b[44mcd\x1b[m\x1b[32m")
    laid = paper.lays({1: Cell("x", 1, ";1;4;31"), 4: Cell("y", 1, ";4"), 5: Cell("z", 1, "")}, 6)
    assert laid is not None
    assert paper.terminal.text()[0] == "axcdyz"
    assert paper.terminal.cells(0)[1] == Cell("x", 1, ";1;4;31")
    assert paper.terminal.cells(0)[2] == Cell("c", 1, ";1;31;44")
    assert paper.terminal.cursor.col == 6
    assert paper.takes_away(laid)


def test_wide_characters_are_not_cut() -> None:
    paper = Paper("a日b".encode())
    laid = paper.lays({1: Cell("x", 1, ";4"), 2: Cell("b", 1, ""), 3: Cell(" ", 1, "")}, 2)
    assert laid is not None
    assert paper.terminal.text()[0] == "axb"
    assert paper.takes_away(laid)
    paper = Paper(b"abc")
    laid = paper.lays({1: Cell("日", 2, ";4"), 2: Cell(" ", 0, "")}, 3)
    assert laid is not None
    assert paper.terminal.text()[0] == "a日"
    assert paper.takes_away(laid)


def test_the_cursor_alone_can_be_moved() -> None:
    paper = Paper(b"abc")
    laid = paper.lays({}, 1)
    assert laid is not None
    assert paper.terminal.cursor.col == 1
    assert paper.takes_away(laid)
    assert paper.lays({}, 3) is None


def test_nothing_is_drawn_into_the_last_column_nor_where_the_cursor_is_hidden() -> None:
    cell = Cell("x", 1, "")
    assert Paper(b"a").lays({11: cell}, 2) is None
    assert Paper(b"a\x1b[?25l").lays({1: cell}, 2) is None
    assert Paper(b"a\x1b[?6h").lays({1: cell}, 2) is None
