"""What a viewer's terminal shows of a session of its own size, so that something can be drawn over it and be taken away.

Fed with everything that is written to the terminal from a redrawn screen on. Where the engine might see it differently from the
terminal, or does not know all of it, the mirror says so, and nothing is drawn there: it is wrong in no case that it covers.
"""

from __future__ import annotations

import re
from typing import Final

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Cell, Cursor, Screen
from codewrap.viewer.lineediting import character_width

# What a viewer is shown and the engine lacks: scrolling sideways, rectangles, protection, other character sets than lines,
# double lines, left and right margins, wrapping backwards.
_UNKNOWN: Final = re.compile(
    rb"""\x1b (?: \[ (?: [\d;]* (?: \x20[@A] | '[}~] | "q | \$[rtvxz{] ) | \?[012]?[JK] )
                | \[\? [\d;]* (?<!\d)(?:45|69)(?!\d) [\d;]* h
                | [69NOno|}~] | \#[3-68] | [-./][A-Z] | [()][^B0] )""",
    re.VERBOSE,
)
_EMPTIED: Final = re.compile(rb"\x1b\[(?:1?(?:;1?)?)H\x1b\[2?J|\x1b\[2J\x1b\[(?:1?(?:;1?)?)H")
# Styles that the engine does not keep, and how a colour is told that might look like one.
_STYLE: Final = re.compile(
    rb"\x1b\[(?P<style>[\d;:]*)m|\x1b\]8;[^;]*;(?P<link>[^\x07\x1b]+)|(?P<back>\x1b8|\x1b\[u|\x1b\[\?[\d;]*10[\d;]*l)"
)
_COLOUR: Final = re.compile(rb"[34]8[;:](?:5[;:]\d*|2(?:[;:]\d*){3,4})")
_ODD: Final = re.compile(rb"(?:^|;)0*(?:8|21|5[1-58])(?=;|:|\Z)|(?:^|;)4:|(?:^|;)[67]\d(?=;|\Z)")
_REPEAT: Final = re.compile(rb"\x1b\[(\d{0,3})b")
# A sequence or a character at the end.
_LAST: Final = re.compile(
    rb"(?:\x1b(?:\[[\x20-\x3f]*[\x40-\x7e]|[\x20-\x2f]*[\x30-\x5a\x5c-\x7e])|(?P<char>[\x20-\x7e]|[\xc2-\xf4][\x80-\xbf]{1,3}))\Z"
)
_TAIL_BYTES: Final = 256
_MAYBE_ODD: Final = re.compile(rb"\x1b\]8;[^;]*;[^\x07\x1b]|\x1b\[[\d;:]*(?:8|21|5\d|:|[67]\d)[\d;:]*m")


class Mirror:
    """One terminal, from a redrawn screen on; make a new one when the terminal's size changes."""

    def __init__(self, size: Size) -> None:
        self._screen = Screen(size, scrollback_lines=0)
        self._doubtful = self._lost = False
        self._has_margins = False
        self._odd_seen = self._odd_pen = False
        self._last = b""

    @property
    def cursor(self) -> Cursor:
        return self._screen.cursor

    def spelled_out(self, shown: bytes) -> bytes:
        """``shown``, where a prediction was drawn since the last output: what it begins with may be about the last character."""
        found = _REPEAT.match(shown)
        if found is not None:
            return self._last * int(found[1] or b"1") + shown[found.end() :]
        if self._last and shown[0] >= 0x80 and not character_width(shown[:4].decode(errors="ignore")[:1]):
            return (
                b"\x1b[%dD" % character_width(self._last.decode(errors="ignore")) + self._last + shown
            )  # it joins what was printed last
        return shown

    def feed(self, shown: bytes) -> None:
        """What is written to the terminal. Whole sequences only."""
        self._doubt(shown)
        self._screen.feed(shown)
        if shown:
            last = _LAST.search(shown[-_TAIL_BYTES:])
            self._last = last["char"] or b"" if last else b""
        if self._odd_seen or _MAYBE_ODD.search(shown):
            self._follow_styles(shown)

    def cells(self, row: int) -> list[Cell]:
        return self._screen.cells(row)

    def pen(self) -> str | None:
        unsure = self._doubtful or self._lost or self._odd_pen or bool(self._screen.modes.link) or self._screen.failures
        return None if unsure else self._screen.pen()

    def covers(self, row: int, cells: tuple[int, int]) -> bool:
        first, end = cells
        if not 0 <= first < end < self._screen.size.cols:
            return False
        covered = self._screen.cells(row)[first:end]
        if self._odd_seen:
            return all(cell == _BLANK for cell in covered)  # anything else may be of a style that the engine does not keep
        # The engine erases with all of the style; terminals take no more than its background.
        return not any(cell.char == " " and _SEEN_ON_BLANKS.search(cell.style) for cell in covered)

    def reaches(self, row: int, col: int) -> bool:  # noqa: ARG002 - all of it is shown
        return True

    def place(self, row: int, col: int) -> str:
        return f"\x1b[{row + 1};{col + 1}H"

    def restored(self, row: int, first: int, end: int) -> str:
        drawn = self._screen.drawn_row(row, first, end - first)
        return f"{self.place(row, first)}\x1b[m\x1b[{end - first}X{drawn}"

    def settled(self) -> str:
        cursor = self._screen.cursor
        return f"\x1b[0{self._screen.pen() or ''}m{self.place(cursor.row, cursor.col)}"

    def _doubt(self, shown: bytes) -> None:
        """Whether engine and terminal may have come apart; an emptied screen brings them together."""
        self._follow_screens(shown)
        emptied = None
        if self._doubtful:
            for found in _EMPTIED.finditer(shown):
                emptied = found
            if emptied is None:
                return
        since = shown[emptied.end() :] if emptied else shown
        strange = not since.isascii() and not all(map(character_width, set(_NOT_ASCII.findall(since.decode(errors="replace")))))
        self._doubtful = strange or _UNKNOWN.search(since) is not None

    def _follow_screens(self, shown: bytes) -> None:
        alternate = bool(self._screen.modes.alternate)
        for found in _SCREENS.finditer(shown):
            if found["state"] is None:
                self._has_margins = found["margins"].strip(b"1;") != b""
                continue
            # Some terminals have margins for each screen, others one for both; to go where one is already is not the same to all.
            entered = found["state"] == b"h"
            self._lost = self._lost or self._has_margins or entered == alternate
            alternate = entered

    def _follow_styles(self, shown: bytes) -> None:
        for found in _STYLE.finditer(shown):
            style = found["style"]
            if found["link"]:
                self._odd_seen = True
            elif style is None:
                self._odd_pen = self._odd_seen  # what was saved may have been odd
            elif not style.strip(b"0;"):
                self._odd_pen = False
            else:
                self._odd_pen = self._odd_pen and not style.startswith((b"0;", b";"))
                if _ODD.search(_COLOUR.sub(b"", style)):
                    self._odd_seen = self._odd_pen = True


_BLANK: Final = Cell(" ", 1, "")
_SEEN_ON_BLANKS: Final = re.compile(r";[479](?=;|\Z)")
_SCREENS: Final = re.compile(rb"\x1b\[(?:(?P<margins>[\d;]*)r|\?[\d;]*(?<!\d)(?:47|1047|1049)(?!\d)[\d;]*(?P<state>[hl]))")
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
