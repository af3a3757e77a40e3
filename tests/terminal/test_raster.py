"""A screen as a picture, looked at dot by dot."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen
from codewrap.terminal.painting import BACKGROUND, FOREGROUND, indexed
from codewrap.terminal.raster import MARGIN_PX, MOST_CELLS, png
from codewrap.terminal.shown import Shown

SIZE = Size(rows=2, cols=10)


class Picture:
    def __init__(self, data: bytes, size: Size = SIZE) -> None:
        screen = Screen(size)
        screen.feed(data)
        self.image = Image.open(io.BytesIO(png(Shown.of(screen))))
        self._width = (self.image.width - 2 * MARGIN_PX) // size.cols
        self._height = (self.image.height - 2 * MARGIN_PX) // size.rows

    def cell(self, row: int, col: int) -> set[str]:
        """The colours that a cell has."""
        left, top = MARGIN_PX + col * self._width, MARGIN_PX + row * self._height
        found = self.image.crop((left, top, left + self._width, top + self._height)).getcolors(10_000)
        assert found is not None
        return {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in found}  # type: ignore[str-bytes-safe,misc]


def test_a_blank_cell_is_ground_and_a_letter_is_ink_on_it() -> None:
    picture = Picture(b"x\x1b[?25l")
    assert picture.cell(1, 5) == {BACKGROUND}
    assert {BACKGROUND, FOREGROUND} < picture.cell(0, 0)
    assert picture.image.format == "PNG"


def test_colours_are_those_of_the_style() -> None:
    picture = Picture(b"\x1b[44m  \x1b[m\x1b[7m \x1b[m\x1b[48;2;1;2;3m \x1b[m\x1b[38;5;200mM\x1b[?25l")
    assert picture.cell(0, 0) == {indexed(4)}
    assert picture.cell(0, 2) == {FOREGROUND}
    assert picture.cell(0, 3) == {"#010203"}
    assert indexed(200) in picture.cell(0, 4)


@pytest.mark.parametrize("style", [b"1", b"2", b"3", b"4", b"9"])
def test_every_style_can_be_told_from_none(style: bytes) -> None:
    assert Picture(b"\x1b[%smabc\x1b[?25l" % style).image.tobytes() != Picture(b"abc\x1b[?25l").image.tobytes()


def test_the_cursor_is_drawn_where_it_is_and_not_where_it_is_hidden() -> None:
    shown, hidden = Picture(b"ab"), Picture(b"ab\x1b[?25l")
    assert shown.cell(0, 2) != hidden.cell(0, 2) == {BACKGROUND}
    assert len(shown.cell(0, 2)) == 1
    assert Picture(b"0123456789").cell(0, 9) != Picture(b"0123456789\x1b[?25l").cell(0, 9)


def test_a_wide_character_has_two_cells_and_a_ground_for_both() -> None:
    picture = Picture("\x1b[44m\u4e2d\x1b[m\x1b[?25l".encode())
    assert indexed(4) in picture.cell(0, 0)
    assert indexed(4) in picture.cell(0, 1)
    assert picture.cell(0, 2) == {BACKGROUND}


def test_lines_of_a_box_meet() -> None:
    picture = Picture("\u2500\u2500\x1b[?25l".encode())
    middle = MARGIN_PX + picture._width
    rows = range(MARGIN_PX, MARGIN_PX + picture._height)
    assert any(
        all(picture.image.getpixel((x, row)) != picture.image.getpixel((0, 0)) for x in range(middle - 2, middle + 2))
        for row in rows
    )


def test_a_screen_beyond_reason_loses_its_lower_rows() -> None:
    size = Size(rows=1000, cols=1000)
    screen = Screen(size)
    screen.feed(b"x")
    image = Image.open(io.BytesIO(png(Shown.of(screen))))
    small = Image.open(io.BytesIO(png(Shown.of(Screen(Size(rows=1, cols=1000))))))
    assert (image.height - 2 * MARGIN_PX) // (small.height - 2 * MARGIN_PX) == MOST_CELLS // 1000
