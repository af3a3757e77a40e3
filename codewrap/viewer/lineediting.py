"""What a keystroke most likely does to the line that the cursor stands in. Pure.

As line editors and terminals' own echo do it: characters are inserted, or put over blanks; backspace takes one away; arrows
move. What would leave the line, or is not known to do just this, is not foreseen.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from codewrap.terminal.emulator import Cell

# More at once was not typed but pasted, or is a report: what becomes of it is not worth guessing.
MAX_TYPED_BYTES: Final = 32
_BLANK: Final = Cell(" ", 1, "")
_BEHIND: Final = Cell(" ", 0, "")
_KEYS: Final = re.compile(
    r"(?P<left>\x1b[\[O]D)|(?P<right>\x1b[\[O]C)|(?P<erase>[\x7f\x08])|(?P<other>[\x00-\x1f\x80-\x9f].*)|.", re.DOTALL
)


class Kind(enum.Enum):
    """What a key does; OTHER is anything."""

    PRINT = "print"
    ERASE = "erase"
    LEFT = "left"
    RIGHT = "right"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Key:
    """One keystroke of ``size_bytes``; ``char`` and its ``width`` are set where it prints."""

    kind: Kind
    size_bytes: int
    char: str = ""
    width: int = 0


class KeyReader:
    """Cuts what is typed into keys. One for each keyboard: a key may come in two pieces."""

    def __init__(self) -> None:
        self._held = b""
        self._escaped = False

    @property
    def held_bytes(self) -> int:
        """The end of what was read belongs to no key yet."""
        return len(self._held)

    def read(self, data: bytes) -> list[Key]:
        """The keys in ``data``; every byte belongs to one, sooner or later."""
        data = self._held + data
        self._held = _unfinished(data)
        whole = data[: len(data) - len(self._held)]
        if not whole:
            return []
        escaped, self._escaped = self._escaped, whole.endswith((b"\x1b", b"\x1b[", b"\x1bO"))
        try:
            text = whole.decode()
        except UnicodeDecodeError:
            text = ""
        if escaped or not text or len(whole) > MAX_TYPED_BYTES:
            return [Key(Kind.OTHER, len(whole))]
        return [_key(found) for found in _KEYS.finditer(text)]


@dataclass(frozen=True, slots=True)
class Line:
    """A row of cells with the cursor at ``col``. ``proof`` are the characters, by column, by which a prediction proves true."""

    cells: tuple[Cell, ...]
    col: int
    proof: tuple[tuple[int, str], ...] = ()

    def after(self, key: Key, style: str) -> Line | None:
        """The line after ``key``, which prints in ``style``; None where that cannot be foreseen."""
        match key.kind:
            case Kind.PRINT:
                return self._inserted(key, style)
            case Kind.ERASE:
                return self._erased()
            case Kind.LEFT:
                width = self._width_before()
                return replace(self, col=self.col - width) if width else None
            case Kind.RIGHT:
                ends_here = self._is_gap(self.col) or self.col + 2 >= len(self.cells) or not self.cells[self.col].width
                return None if ends_here else replace(self, col=self.col + self.cells[self.col].width)
            case _:
                return None

    def agrees(self, cells: Sequence[Cell]) -> bool:
        """Whether ``cells`` show what proves this line."""
        return all(col < len(cells) and cells[col].char == char and cells[col].width for col, char in self.proof)

    def is_news_to(self, cells: Sequence[Cell]) -> bool:
        """Whether a screen that showed ``cells`` must have changed to agree. Blanks prove nothing."""
        return any(char != " " and cells[col].char != char for col, char in self.proof)

    def _inserted(self, key: Key, style: str) -> Line | None:
        col, gap = self.col, self._gap()
        if gap is None or gap + key.width >= len(self.cells):
            return None  # the last column is special: what comes there wraps, now or later
        typed = (Cell(key.char, key.width, style), _BEHIND)[: key.width]
        cells = self.cells[:col] + typed + self.cells[col:gap] + self.cells[gap + key.width :]
        proof = [(at, char) for at, char in self.proof if at < col]
        proof += [(at + key.width, char) for at, char in self.proof if col <= at < gap]
        return Line(_mended(cells), col + key.width, (*proof, (col, key.char)))

    def _erased(self) -> Line | None:
        width, gap = self._width_before(), self._gap()
        if not width or gap is None:
            return None
        first = self.col - width
        cells = self.cells[:first] + self.cells[self.col : gap] + (_BLANK,) * width + self.cells[gap:]
        proof = [(at, char) for at, char in self.proof if at < first]
        proof += [(at - width, char) for at, char in self.proof if self.col <= at < gap]
        return Line(cells, first, (*proof, (first, cells[first].char)))

    def _width_before(self) -> int:
        """Of the character before the cursor; 0 where there is none, or the cursor stands within one."""
        if not 0 < self.col < len(self.cells) or not self.cells[self.col].width:
            return 0
        width = self.cells[self.col - 1].width
        return width or (2 if self.col > 1 and self.cells[self.col - 2].width == 2 else 0)

    def _gap(self) -> int | None:
        """Where the text at the cursor ends: at two blanks. None where it goes on to the edge."""
        return next((at for at in range(self.col, len(self.cells) - 1) if self._is_gap(at)), None)

    def _is_gap(self, at: int) -> bool:
        return all(cell.char == " " and cell.width for cell in self.cells[at : at + 2])


def _mended(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Without halves of wide characters."""
    mended = list(cells)
    for at, cell in enumerate(cells):
        whole = at + 1 < len(cells) and not cells[at + 1].width
        if (cell.width == 2 and not whole) or (not cell.width and (at == 0 or cells[at - 1].width != 2)):
            mended[at] = _BLANK
    return tuple(mended)


def _key(found: re.Match[str]) -> Key:
    text = found[0]
    size_bytes = len(text.encode())
    if found.lastgroup is not None:
        return Key(Kind(found.lastgroup), size_bytes)
    width = character_width(text)
    return Key(Kind.PRINT, size_bytes, text, width) if width else Key(Kind.OTHER, size_bytes)


@lru_cache(maxsize=1024)
def character_width(char: str) -> int:
    """Cells that every terminal gives ``char``, whatever stands beside it: 1 or 2.

    0 for what they do not agree on: marks, joiners, halves of flags, characters yet unknown.
    """
    code = ord(char)
    if 0x20 <= code < 0x7F:
        return 1
    joins = 0x1160 <= code <= 0x11FF or 0xD7B0 <= code <= 0xD7FF or 0x1F1E6 <= code <= 0x1F1FF or 0x1F3FB <= code <= 0x1F3FF
    if joins or unicodedata.category(char) in ("Mn", "Me", "Mc", "Cc", "Cf", "Cs", "Cn", "Zl", "Zp"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _unfinished(data: bytes) -> bytes:
    """The beginning of a character at the end of ``data``."""
    for length in range(1, min(3, len(data)) + 1):
        lead = data[-length]
        if 0xC2 <= lead <= 0xF4:
            return data[-length:] if length < (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4) else b""
        if not 0x80 <= lead <= 0xBF:
            break
    return b""
