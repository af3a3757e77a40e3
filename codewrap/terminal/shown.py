"""What a terminal shows at one moment, as values: text, cells in runs of one style, cursor, modes. Made from a `Screen`.

`Shown.document` is the JSON of `codewrap screen --json`; its shape is described in docs/guide.md and only ever gets more members.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import groupby
from typing import Any, Final

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Cell, Cursor, Screen

VERSION: Final = 1
_FLAGS: Final = {1: "bold", 2: "faint", 3: "italic", 4: "underline", 5: "blink", 7: "inverse", 9: "strike"}
_MOUSE: Final = {9: "press", 1000: "click", 1002: "drag", 1003: "move"}

Colour = int | str
"""0 to 255 of the palette, or ``#rrggbb``."""


@dataclass(frozen=True, slots=True)
class Style:
    """How characters look."""

    bold: bool = False
    faint: bool = False
    italic: bool = False
    underline: bool = False
    blink: bool = False
    inverse: bool = False
    strike: bool = False
    fg: Colour | None = None
    bg: Colour | None = None

    @classmethod
    def read(cls, style: str) -> Style:
        """From a `Cell`'s: parameters of SGR, each after a semicolon."""
        numbers = [int(number) for number in style.split(";") if number]
        found: dict[str, Any] = {}
        while numbers:
            code = numbers.pop(0)
            if code in _FLAGS:
                found[_FLAGS[code]] = True
            elif code in (38, 48):
                found["fg" if code == 38 else "bg"] = _extended(numbers)
            elif 30 <= code <= 37 or 90 <= code <= 97:
                found["fg"] = code - 30 if code < 90 else code - 82
            elif 40 <= code <= 47 or 100 <= code <= 107:
                found["bg"] = code - 40 if code < 100 else code - 92
        return cls(**found)

    def document(self) -> dict[str, Any]:
        """Only what is not as by default."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in values.items() if value is not None and value is not False}


@dataclass(frozen=True, slots=True)
class Run:
    """Characters of one style and width, side by side, from column ``col`` on; each takes ``width`` (1 or 2) columns."""

    col: int
    width: int
    text: str
    style: Style

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"col": self.col, "width": self.width, "text": self.text, **self.style.document()}


@dataclass(frozen=True, slots=True)
class Modes:
    """Those that matter to who types or looks. ``mouse``: what of it the command wants to hear, None: nothing."""

    application_cursor: bool
    application_keypad: bool
    bracketed_paste: bool
    alternate_screen: bool
    focus_events: bool
    inverse_video: bool
    mouse: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """One moment. ``rows`` are without trailing blanks."""

    size: Size
    cursor: Cursor
    title: str
    modes: Modes
    rows: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...] = field(repr=False)

    @classmethod
    def of(cls, screen: Screen) -> Shown:
        """``screen`` as it is now."""
        cells = tuple(tuple(screen.cells(row)) for row in range(screen.size.rows))
        return cls(screen.size, screen.cursor, screen.title, _modes(screen), tuple(screen.text()), cells)

    @property
    def runs(self) -> tuple[tuple[Run, ...], ...]:
        """For each row its cells, without default blanks at the end."""
        return tuple(map(_runs, self.cells))

    @property
    def text(self) -> str:
        """The rows as lines, without those below the last that is not blank."""
        return "\n".join(self.rows).rstrip("\n")

    @property
    def plain(self) -> str:
        """`text` as lines for any terminal or file: what turns text round or is not seen is not in it."""
        text = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in self.text)
        return text + "\n" if text else ""

    def document(self) -> dict[str, Any]:
        """As JSON has it. ``cursor`` is counted from 0; its ``col`` is the width while the next character would wrap."""
        modes = {one.name: getattr(self.modes, one.name) for one in fields(self.modes)}
        return {
            "v": VERSION,
            "size": {"rows": self.size.rows, "cols": self.size.cols},
            "cursor": {"row": self.cursor.row, "col": self.cursor.col, "visible": self.cursor.visible},
            "title": self.title,
            "modes": modes,
            "rows": [
                {"text": text, "runs": [run.document() for run in runs]} for text, runs in zip(self.rows, self.runs, strict=True)
            ],
        }


def _modes(screen: Screen) -> Modes:
    known = screen.modes.known_modes()
    return Modes(
        application_cursor=known.get(1, False),
        application_keypad=screen.modes.keypad,
        bracketed_paste=known.get(2004, False),
        alternate_screen=bool(screen.modes.alternate),
        focus_events=known.get(1004, False),
        inverse_video=known.get(5, False),
        mouse=_MOUSE.get(screen.modes.mouse),
    )


def _runs(cells: tuple[Cell, ...]) -> tuple[Run, ...]:
    placed = [(col, cell) for col, cell in enumerate(cells) if cell.width]
    runs = []
    for (width, style), group in groupby(placed, lambda one: (one[1].width, one[1].style)):
        members = list(group)
        runs.append(Run(members[0][0], width, "".join(cell.char for _, cell in members), Style.read(style)))
    if runs and runs[-1].style == Style() and runs[-1].width == 1:
        last = runs.pop()
        if kept := last.text.rstrip(" "):
            runs.append(Run(last.col, last.width, kept, last.style))
    return tuple(runs)


def _extended(numbers: list[int]) -> Colour | None:
    kind = numbers.pop(0) if numbers else 0
    if kind == 5 and numbers:
        return numbers.pop(0)
    if kind == 2 and len(numbers) >= 3:
        rgb, numbers[:] = numbers[:3], numbers[3:]
        return "#" + "".join(f"{part:02x}" for part in rgb)
    return None
