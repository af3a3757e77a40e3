"""How a terminal's state is written so that any viewer's terminal, in any state, draws it.

Text in, text out. Knows the defects of the engine's own dump (colons in colours, C1 controls, REP, sequences that browsers'
terminals lack) and writes around them; knows nothing of the engine's objects.
"""

from __future__ import annotations

import re
from typing import Final

from codewrap.protocol.geometry import Size

BEGIN_FRAME: Final = "\x1b[?2026h"
END_FRAME: Final = "\x1b[?2026l"

# CAN ends whatever sequence the viewer's terminal is in. No RIS: it destroys a real terminal's scrollback and resets too
# little in xterm.js. One screen after the other, since xterm.js keeps margins, tab stops and saved cursor for each.
_RESET_SCREEN: Final = "\x1b[!p\x1b[?69l\x1b[r\x1b[?6l\x1b[?7h\x1b[<99u%s\x1b[m\x1b[H\x1b7"
_RESET_MODES: Final = (
    "\x1b[?1;5;9;45;66;1000;1002;1003;1004;1005;1006;1015;1016;2004l\x1b[?25h\x1b[4;20l\x1b>"
    "\x0f\x1b(B\x1b)B\x1b*B\x1b+B\x1b[m\x1b[>4m\x1b[0 q"
    "\x1b]8;;\x1b\\\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\\x1b[H\x1b[2J"
)

_C1: Final = re.compile("[\x80-\x9f]")
_UNFINISHED: Final = re.compile(r"\x1b(?:\[[\x20-\x3f]*|[\]X^_]|P[\x20-\x3f]*[\x40-\x7e]?|[\x20-\x2f]*)\Z")
_COLONS: Final = re.compile(r"\x1b\[[\d;]*:[\d:;]*m")
_REPEAT: Final = re.compile(r"(.)\x1b\[(\d+)b", re.DOTALL)
# The engine writes CTC, which xterm.js lacks.
_TAB_STOP: Final = re.compile(r"\x1b\[(\d+)`\x1b\[W")
_PEN_OR_BLANKS: Final = re.compile(r"\x1b\[([\d;]*)m|( +)(?=\r\n)")
_SAVE_AND_SWITCH: Final = re.compile(r"(?P<save>\x1b7)?(?P<back>(?:\x1b\[\?[67][hl])*(?:\x1b\[m)?)\x1b\[\?1047h")


def prologue(size: Size) -> str:
    """Brings a viewer's terminal from any state to the default one, empty, on the main screen. Not the title."""
    screen = _RESET_SCREEN % tab_stops(size)
    return "\x18" + BEGIN_FRAME + "\x1b[?1047h" + screen + "\x1b[?1047l" + screen + _RESET_MODES


def tab_stops(size: Size) -> str:
    """The default ones. There is no single sequence for them that all terminals know."""
    return "\r\x1b[3g" + "\x1b[8C\x1bH" * ((size.cols - 1) // 8)


def scrolled_off(lines: list[str], size: Size) -> str:
    """Draws lines so that they end up in the scrollback of an empty screen; the screen is empty again."""
    if not lines:
        return ""
    end = "" if lines[-1].endswith("\n") else "\r\n"  # it goes on in the first row that is shown
    return "\x1b[H" + "".join(lines) + end + "\x1b[m" + "\n" * (size.rows - 1) + "\x1b[H"


def rewritten(dump: str, alternate: int, cols: int) -> tuple[str, str]:
    """The engine's dump in sequences that terminals agree on, and the unfinished one that its parser is in.

    ``alternate`` is the mode that entered the other screen, if the engine is there.
    """
    dump = _C1.sub(_seven_bit, dump)
    unfinished = _UNFINISHED.search(dump)
    parser = unfinished[0] if unfinished else ""
    # DECCKM is the mode tracker's: the engine keeps it over RIS.
    dump = dump.removesuffix(parser).replace("\x1b[?1h", "")
    dump = _COLONS.sub(_with_semicolons, dump)
    dump = _REPEAT.sub(_repeated, dump)
    dump = _TAB_STOP.sub("\x1b[\\1G\x1bH", dump.replace("\x1b[5W", "\x1b[3g"))
    dump = _Trimmer(cols).trimmed(dump)
    if "\x1b[?1047h" in dump and "\x1b[?1047l" not in dump:
        dump = _SAVE_AND_SWITCH.sub(_Switch(alternate or 1049), dump, count=1)
    return dump, parser


def _seven_bit(found: re.Match[str]) -> str:
    return "\x1b" + chr(ord(found[0]) - 0x40)


def _with_semicolons(found: re.Match[str]) -> str:
    # xterm.js reads 38:2:r:g:b as colour space, red and green.
    return found[0].replace(":", ";")


def _repeated(found: re.Match[str]) -> str:
    return found[1] * (int(found[2]) + 1)


class _Trimmer:
    """Drops the blanks of the default style at the end of a line: the screen is empty before.

    But not a blank row that another one wraps into: printing it is what moves there.
    """

    def __init__(self, cols: int) -> None:
        self._cols = cols
        self._plain = True

    def trimmed(self, dump: str) -> str:
        return _PEN_OR_BLANKS.sub(self._replace, dump)

    def _replace(self, found: re.Match[str]) -> str:
        if found[2] is None:
            self._plain = found[1] in ("", "0")
            return found[0]
        begins_line = found.start() == 0 or found.string[found.start() - 1] == "\n"
        fits = len(found[0]) < self._cols or (len(found[0]) == self._cols and begins_line)
        return "" if self._plain and fits else found[0]


class _Switch:
    """Enters the alternate screen as the program did: 1049 saves the cursor by itself, with the style in force."""

    def __init__(self, mode: int) -> None:
        self._mode = mode

    def __call__(self, found: re.Match[str]) -> str:
        save, back = found["save"] or "", found["back"]
        if self._mode != 1049:
            return f"{save}{back}\x1b[?{self._mode}h"
        if save:
            return f"\x1b[?1049h{back}"
        # Nothing was saved but the default: that is what 1049 must find.
        return "\x1b[m\x1b[H\x1b[?1049h"
