"""The questions a command asks its terminal, told apart from drawing, and the answers of a host without a terminal.

Somebody must answer, once: programs wait for it. The host's own terminal does if there is one; otherwise ``Responder``, as
a plain terminal that has what every viewer can draw and promises nothing more. Pure: bytes and values in, bytes out.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from codewrap.protocol.sequences import SequenceCutter


class QueryKind(enum.Enum):
    """What is asked for. The value is the pattern of the question; a group holds its argument."""

    PRIMARY_ATTRIBUTES = rb"\x1b\[0*c|\x1bZ"
    SECONDARY_ATTRIBUTES = rb"\x1b\[>0*c"
    TERTIARY_ATTRIBUTES = rb"\x1b\[=0*c"
    STATUS = rb"\x1b\[5n"
    CURSOR_POSITION = rb"\x1b\[6n"
    PRIVATE_STATUS = rb"\x1b\[\?(\d{1,4})n"
    VERSION = rb"\x1b\[>0*q"
    PRIVATE_MODE = rb"\x1b\[\?(\d{1,5})\$p"
    ANSI_MODE = rb"\x1b\[(\d{1,5})\$p"
    KEYBOARD = rb"\x1b\[\?u"
    KEY_FORMAT = rb"\x1b\[\?\d{1,2}m"
    WINDOW = rb"\x1b\[(1[1345689]|2[01])(?:;\d*)*t"
    PARAMETERS = rb"\x1b\[[01]?x"
    CHECKSUM = rb"\x1b\[[\d;]*\*y"
    PRESENTATION = rb"\x1b\[\d*\$w"
    COLOUR = rb"\x1b\](?:4;\d+|1[0-9]|5;\d+);\?[^\x07\x18\x1a\x1b]*(?:\x07|\x1b\\)"
    CLIPBOARD = rb"\x1b\]52;[^;\x07\x18\x1a\x1b]*;\?(?:\x07|\x1b\\)"
    SETTING = rb"\x1bP\$q[^\x18\x1a\x1b]*\x1b\\"
    CAPABILITY = rb"\x1bP\+q[^\x18\x1a\x1b]*\x1b\\"
    ANSWERBACK = rb"\x05"


@dataclass(frozen=True, slots=True)
class Query:
    """One question. ``argument`` is its mode or status number, 0 if it has none; ``end`` is where it ends in the block."""

    kind: QueryKind
    argument: int
    end: int


@dataclass(frozen=True, slots=True)
class TerminalFacts:
    """What answers depend on, once all that came before the question is drawn. Rows and columns count from 0.

    ``keyboard_flags`` is None unless the Kitty keyboard protocol is spoken to the command: no answer means "no".
    """

    cursor_row: int = 0
    cursor_col: int = 0
    rows: int = 24
    cols: int = 80
    modes: Mapping[int, bool] = field(default_factory=dict)
    keyboard_flags: int | None = None


_QUERY: Final = re.compile(b"|".join(b"(?P<%s>%s)" % (kind.name.encode(), kind.value) for kind in QueryKind))
_WITH_ARGUMENT: Final = frozenset(kind.name for kind in QueryKind if re.compile(kind.value).groups)
_FIXED: Final = {
    QueryKind.PRIMARY_ATTRIBUTES: b"\x1b[?62;22c",
    QueryKind.SECONDARY_ATTRIBUTES: b"\x1b[>1;10;0c",
    QueryKind.TERTIARY_ATTRIBUTES: b"\x1bP!|00000000\x1b\\",
    QueryKind.STATUS: b"\x1b[0n",
    QueryKind.VERSION: b"\x1bP>|codewrap\x1b\\",
    QueryKind.SETTING: b"\x1bP0$r\x1b\\",
    QueryKind.CAPABILITY: b"\x1bP0+r\x1b\\",
}


def find_queries(block: bytes) -> list[Query]:
    """The questions in a block of whole sequences, in order."""
    return [
        Query(QueryKind[found.lastgroup], _argument(found), found.end()) for found in _QUERY.finditer(block) if found.lastgroup
    ]


def _argument(found: re.Match[bytes]) -> int:
    name = found.lastgroup or ""
    return int(found[found.re.groupindex[name] + 1]) if name in _WITH_ARGUMENT else 0


def answer(query: Query, facts: TerminalFacts) -> bytes:
    """What a terminal in this state types; empty for what it does not know or does not tell (colours, clipboard)."""
    fixed = _FIXED.get(query.kind)
    if fixed is not None:
        return fixed
    kind, number = query.kind, query.argument
    if kind is QueryKind.CURSOR_POSITION or (kind is QueryKind.PRIVATE_STATUS and number == 6):
        # With a wrap pending the column is the last one, as on any terminal.
        row, col = facts.cursor_row + 1, min(facts.cursor_col, facts.cols - 1) + 1
        return b"\x1b[%s%d;%dR" % (b"?" if kind is QueryKind.PRIVATE_STATUS else b"", row, col)
    if kind is QueryKind.PRIVATE_MODE:
        known = facts.modes.get(number)
        return b"\x1b[?%d;%d$y" % (number, 0 if known is None else 1 if known else 2)
    if kind is QueryKind.ANSI_MODE:
        return b"\x1b[%d;0$y" % number
    if kind is QueryKind.KEYBOARD and facts.keyboard_flags is not None:
        return b"\x1b[?%du" % facts.keyboard_flags
    if kind is QueryKind.WINDOW and number == 18:
        return b"\x1b[8;%d;%dt" % (facts.rows, facts.cols)
    return b""


class QuerySpotter:
    """``find_queries`` over a stream: a question may be cut anywhere. Not shared by threads."""

    def __init__(self) -> None:
        self._cutter = SequenceCutter(limit=4096)

    def feed(self, data: bytes) -> list[Query]:
        """The questions that ``data`` completes. Draw ``data``, then ``answer`` each and type the results."""
        block = self._cutter.feed(data)
        return find_queries(block) if b"\x1b" in block or b"\x05" in block else []


class Responder:
    """Answers for a host without a terminal."""

    def __init__(self) -> None:
        self._spotter = QuerySpotter()

    def answers(self, data: bytes, facts: TerminalFacts) -> bytes:
        """What to type into the command after ``data`` of its output, with ``facts`` as they are once it is drawn."""
        return b"".join(answer(query, facts) for query in self._spotter.feed(data))
