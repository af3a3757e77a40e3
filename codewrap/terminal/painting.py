"""Cells as a page and as a picture: HTML and SVG that stand alone, without scripts, and in which all text is only text.

What a program wrote may be anything: characters that mark-up knows are escaped, those that it may not hold or that turn
text round are replaced, and of styles nothing is passed on but what is known here.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Cell, Cursor

FOREGROUND, BACKGROUND = "#d8dbe2", "#15181e"
_SIXTEEN: Final = (
    "#3a4150 #e06c75 #8fc379 #e0b96a #6aa9f0 #c583e0 #56b8c2 #c8ccd4 "
    "#6b7382 #ff8a93 #a9dd93 #f5d08a #8fc2ff #dda3f5 #7fd6df #ffffff"
).split()
# XML 1.0, production 2, leaves these out; C1 controls act in terminals; the rest is not seen or turns text round.
_UNFIT: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff\ufffe\uffff\ufff9-\ufffb]"
)
_FONT: Final = "ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"
# Browsers drop other blanks at the ends of a text and in a row, and stretch the rest to its length.
_NO_BREAK: Final = "\u00a0"
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
CELL_WIDTH, CELL_HEIGHT, FONT_SIZE, BASELINE = 9.0, 20.0, 15, 15.0
MARGIN = 12.0


@dataclass(frozen=True, slots=True)
class Look:
    """How a cell is drawn; colours as CSS has them, inverse taken into account. "" is the default."""

    foreground: str = ""
    background: str = ""
    bold: bool = False
    faint: bool = False
    italic: bool = False
    underline: bool = False
    strikethrough: bool = False

    def style(self) -> str:
        """As CSS, without the background."""
        lines = [name for name, is_on in (("underline", self.underline), ("line-through", self.strikethrough)) if is_on]
        parts = [f"color:{self.foreground}"] if self.foreground else []
        parts += ["font-weight:bold"] if self.bold else []
        parts += ["opacity:.6"] if self.faint else []
        parts += ["font-style:italic"] if self.italic else []
        parts += [f"text-decoration:{' '.join(lines)}"] if lines else []
        return ";".join(parts)


@functools.lru_cache(maxsize=4096)
def look(style: str) -> Look:
    """That of a `Cell.style`."""
    codes = [int(code) for code in style.split(";") if code]
    on = set()
    colours = {30: "", 40: ""}
    while codes:
        code = codes.pop(0)
        if code in (38, 48) and codes:
            kind = codes.pop(0)
            taken, codes = (codes[:1], codes[1:]) if kind == 5 else (codes[:3], codes[3:])
            colours[code - 8] = indexed(taken[0]) if kind == 5 else "#{:02x}{:02x}{:02x}".format(*taken)
        elif 30 <= code <= 37 or 40 <= code <= 47:
            colours[code // 10 * 10] = _SIXTEEN[code % 10]
        elif 90 <= code <= 97 or 100 <= code <= 107:
            colours[(code - 60) // 10 * 10] = _SIXTEEN[8 + code % 10]
        else:
            on.add(code)
    foreground, background = colours[30], colours[40]
    if 7 in on:
        foreground, background = background or BACKGROUND, foreground or FOREGROUND
    return Look(foreground, background, 1 in on, 2 in on, 3 in on, 4 in on, 9 in on)


def indexed(number: int) -> str:
    """One of the 256 colours, as xterm has them."""
    if number < 16:
        return _SIXTEEN[number]
    if number >= 232:
        grey = 8 + 10 * (number - 232)
        return f"#{grey:02x}{grey:02x}{grey:02x}"
    steps = (0, 95, 135, 175, 215, 255)
    number -= 16
    return f"#{steps[number // 36]:02x}{steps[number // 6 % 6]:02x}{steps[number % 6]:02x}"


def escaped(text: str) -> str:
    """``text`` for the inside of an element or a quoted attribute."""
    return html.escape(_UNFIT.sub("\ufffd", text))


def html_page(title: str, cols: int, lines: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """A page of lines, piece by piece."""
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>\n"
        f"html{{color-scheme:dark;background:{BACKGROUND};color:{FOREGROUND}}}\n"
        f"body{{margin:1.5rem}}\npre{{margin:0;width:{cols + 0.5:g}ch;font:15px/1.35 {_FONT};"
        "white-space:pre-wrap;overflow-wrap:anywhere;word-break:break-all;direction:ltr;unicode-bidi:bidi-override}\n"
        ".w{display:inline-block;width:2ch;text-decoration:inherit}\n"
        "</style>\n</head>\n<body>\n<pre>"
    )
    for line in lines:
        yield html_line(line) + "\n"
    yield "</pre>\n</body>\n</html>\n"


def html_line(cells: Sequence[Cell]) -> str:
    """One line in as few elements as its styles need; without blanks of the default style at its end."""
    parts = []
    used = len(cells)
    while used and cells[used - 1].char == " " and not look(cells[used - 1].style).background:
        used -= 1
    for style, run in groupby(cells[:used], key=_style_of):
        text = "".join(_html_text(run))
        drawn = look(style)
        background = f"background:{drawn.background}" if drawn.background else ""
        css = ";".join(part for part in (drawn.style(), background) if part)
        parts.append(f'<span style="{css}">{text}</span>' if css else text)
    return "".join(parts)


def _html_text(run: Iterable[Cell]) -> Iterator[str]:
    """Wide characters are as wide as two others, whatever their font says: what stands under one another stays so."""
    for is_wide, cells in groupby(run, key=_is_wide):
        if is_wide:
            yield from (f'<span class="w">{escaped(cell.char)}</span>' for cell in cells if cell.width)
        else:
            yield escaped("".join(cell.char for cell in cells))


def _is_wide(cell: Cell) -> bool:
    return cell.width != 1


def svg(title: str, size: Size, rows: Iterable[Sequence[Cell]], cursor: Cursor | None) -> Iterator[str]:
    """A picture of one screen, row by row. ``cursor`` None: it is not drawn."""
    width, height = size.cols * CELL_WIDTH + 2 * MARGIN, size.rows * CELL_HEIGHT + 2 * MARGIN
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" '
        f'role="img">\n<title>{escaped(title)}</title>\n'
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>\n'
        f'<g font-family="{_FONT}" font-size="{FONT_SIZE}" fill="{FOREGROUND}" '
        'style="direction:ltr;unicode-bidi:bidi-override">\n'
    )
    for row, cells in enumerate(rows):
        yield "".join(_svg_row(row, cells))
    if cursor is not None and cursor.visible:
        x, y = MARGIN + min(cursor.col, size.cols - 1) * CELL_WIDTH, MARGIN + cursor.row * CELL_HEIGHT
        yield f'<rect x="{x:g}" y="{y:g}" width="{CELL_WIDTH:g}" height="{CELL_HEIGHT:g}" fill="{FOREGROUND}" opacity=".55"/>\n'
    yield "</g>\n</svg>\n"


def _svg_row(row: int, cells: Sequence[Cell]) -> Iterator[str]:
    """Backgrounds and characters of one row. Each run says how wide it is: a font's own idea must not shift the next."""
    top = MARGIN + row * CELL_HEIGHT
    for first, columns, text, drawn in _runs(_with_marks(cells)):
        x, width = MARGIN + first * CELL_WIDTH, columns * CELL_WIDTH
        if drawn.background:
            yield f'<rect x="{x:g}" y="{top:g}" width="{width:g}" height="{CELL_HEIGHT:g}" fill="{drawn.background}"/>\n'
        lines = drawn.underline or drawn.strikethrough
        shown = text if lines else text.strip(" ")
        if shown:
            x += 0.0 if lines else (len(text) - len(text.lstrip(" "))) * CELL_WIDTH
            width -= (len(text) - len(shown)) * CELL_WIDTH
            css = drawn.style().replace("color:", "fill:", 1) if drawn.foreground else drawn.style()
            style = f' style="{css}"' if css else ""
            yield (
                f'<text x="{x:g}" y="{top + BASELINE:g}" textLength="{width:g}" lengthAdjust="spacingAndGlyphs"{style}>'
                f"{escaped(shown).replace(' ', _NO_BREAK)}</text>\n"
            )


def _with_marks(cells: Sequence[Cell]) -> Sequence[Cell]:
    """Marks (an accent, a variation selector) on the character before them, where there is one."""
    if all(cell.char.isascii() for cell in cells):
        return cells
    merged: list[Cell] = []
    base = -1
    for cell in cells:
        if unicodedata.category(cell.char[:1] or " ") in ("Mn", "Me") and base >= 0 and merged[base].char != " ":
            merged[base] = replace(merged[base], char=merged[base].char + cell.char)
            cell = replace(cell, char=" ")  # noqa: PLW2901
        elif cell.width:
            base = len(merged)
        merged.append(cell)
    return merged


def _runs(cells: Sequence[Cell]) -> Iterator[tuple[int, int, str, Look]]:
    """First column, columns, text and look of each run. What is not ASCII stands alone: fonts differ about its width."""
    at = 0
    while at < len(cells):
        cell, end = cells[at], at + 1
        if cell.char.isascii():
            while end < len(cells) and cells[end].char.isascii() and cells[end].style == cell.style and cells[end].width == 1:
                end += 1
        while end < len(cells) and cells[end].width == 0:
            end += 1
        yield at, end - at, "".join(each.char for each in cells[at:end] if each.width), look(cell.style)
        at = end


def _style_of(cell: Cell) -> str:
    return cell.style
