"""A screen as a picture in PNG. The only module that imports Pillow and a font, which come with `codewrap[png]`."""

from __future__ import annotations

import functools
import io
from importlib import import_module
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from codewrap.terminal.emulator import Cell
from codewrap.terminal.painting import BACKGROUND, FOREGROUND, Look, look
from codewrap.terminal.shown import Shown

FONT_PX: Final = 16
MARGIN_PX: Final = 10
_WEIGHT, _BOLD = 400, 700
_FAMILY: Final = "fontpkg_jetbrains_mono"
# So large a picture is refused rather than made: 1000 rows and columns of cells would be 200 million dots.
MOST_CELLS: Final = 200_000


def png(shown: Shown) -> bytes:
    """The file. A screen of more than MOST_CELLS cells loses its lower rows."""
    width, height = _cell_size()
    rows = min(shown.size.rows, max(1, MOST_CELLS // shown.size.cols))
    image = Image.new("RGB", (shown.size.cols * width + 2 * MARGIN_PX, rows * height + 2 * MARGIN_PX), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for row, cells in enumerate(shown.cells[:rows]):
        _draw_row(draw, MARGIN_PX + row * height, cells)
    if shown.cursor.visible and shown.cursor.row < rows:
        _draw_cursor(image, shown)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _draw_row(draw: ImageDraw.ImageDraw, top: int, cells: tuple[Cell, ...]) -> None:
    """Grounds first: a letter may reach into the next cell."""
    width, height = _cell_size()
    for col, cell in enumerate(cells):
        if cell.width and (ground := look(cell.style).background):
            left = MARGIN_PX + col * width
            draw.rectangle((left, top, left + cell.width * width - 1, top + height - 1), fill=ground)
    for col, cell in enumerate(cells):
        if cell.width:
            _draw_cell(draw, (MARGIN_PX + col * width, top), cell)


def _draw_cell(draw: ImageDraw.ImageDraw, place: tuple[int, int], cell: Cell) -> None:
    drawn = look(cell.style)
    colour = _mixed(drawn) if drawn.faint else drawn.foreground or FOREGROUND
    left, top = place
    width, height = _cell_size()
    if cell.char != " ":
        draw.text(place, cell.char, fill=colour, font=_font(_BOLD if drawn.bold else _WEIGHT, drawn.italic))
    right = left + cell.width * width - 1
    if drawn.underline:
        draw.line((left, top + height - 3, right, top + height - 3), fill=colour)
    if drawn.strikethrough:
        draw.line((left, top + height // 2, right, top + height // 2), fill=colour)


def _draw_cursor(image: Image.Image, shown: Shown) -> None:
    width, height = _cell_size()
    left = MARGIN_PX + min(shown.cursor.col, shown.size.cols - 1) * width
    top = MARGIN_PX + shown.cursor.row * height
    box = (left, top, left + width, top + height)
    tinted = Image.blend(image.crop(box), Image.new("RGB", (width, height), FOREGROUND), 0.55)
    image.paste(tinted, box)


def _mixed(drawn: Look) -> str:
    """Faint: halfway to what lies behind."""
    ink, ground = drawn.foreground or FOREGROUND, drawn.background or BACKGROUND
    parts = ((int(ink[at : at + 2], 16) + int(ground[at : at + 2], 16)) // 2 for at in (1, 3, 5))
    return "#" + "".join(f"{part:02x}" for part in parts)


@functools.cache
def _cell_size() -> tuple[int, int]:
    font = _font(_WEIGHT, False)
    ascent, descent = font.getmetrics()
    return round(font.getlength("M")), ascent + descent


@functools.cache
def _font(weight: int, italic: bool) -> ImageFont.FreeTypeFont:
    root = Path(import_module(_FAMILY).__file__ or "").parent / "files"
    font = ImageFont.truetype(root / f"JetBrainsMono{'-Italic' if italic else ''}[wght].ttf", FONT_PX)
    font.set_variation_by_axes([weight])
    return font
