"""Cuts a terminal's byte stream where its parser is at rest: between characters and between escape sequences.

Owns the only incremental knowledge of where sequences end, so that everything behind it works on whole blocks with plain
regular expressions. It judges nothing and changes nothing, but strings without an end are dropped, not kept.
"""

from __future__ import annotations

import re
from typing import Final

STRING_LIMIT: Final = 1 << 18
"""Longest OSC, DCS, APC, PM or SOS that is kept; a longer one vanishes. Clipboard writes of 100 kB must fit."""

CSI_LIMIT: Final = 4096
"""Parameter bytes after which a control sequence without a final byte is given up and its rest taken for text."""

INTERMEDIATE_LIMIT: Final = 16
"""The same for intermediate bytes after ESC; real sequences have one or two."""

_ESC: Final = 0x1B
_UNFINISHED: Final = re.compile(
    rb"\x1b(?:[\x20-\x2f]{0,%d}|\[[\x00-\x17\x19\x1c-\x3f\x7f]{0,%d})\Z" % (INTERMEDIATE_LIMIT, CSI_LIMIT)
)
_UNFINISHED_CHARACTER: Final = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")
# CAN, SUB and ESC end every string; BEL ends an OSC only (xterm's ctlseqs, "Operating System Commands").
_STRING_END: Final = {
    0x5D: re.compile(rb"[\x07\x18\x1a\x1b]"),
    **dict.fromkeys(b"PX^_", re.compile(rb"[\x18\x1a\x1b]")),
}


class SequenceCutter:
    """``feed`` returns what is complete and holds the rest back, at most about ``limit`` bytes.

    The concatenated results are the input, whatever the splits, but for strings longer than ``limit``: dropped whole.
    """

    def __init__(self, limit: int = STRING_LIMIT) -> None:
        self._limit = limit
        self._held = b""
        self._string = bytearray()  # an unfinished string from its ESC on; empty when there is none
        self._dropping = False  # that string grew too long: only its first two bytes are kept

    @property
    def pending(self) -> bytes:
        """The unfinished character or sequence: another parser that is fed this stands where the stream does."""
        return bytes(self._string) + self._held

    def feed(self, data: bytes) -> bytes:
        """Take more of the stream; return its complete part, which begins and ends with the parser at rest."""
        if self._held:
            data, self._held = self._held + data, b""
        done = b""
        if self._string:
            done, data = self._go_on(data)
            if self._string:
                return done
        end = self._rest_begins(data)
        if end < len(data):
            self._hold(data[end:])
            data = data[:end]
        return done + data if done else data

    def _go_on(self, data: bytes) -> tuple[bytes, bytes]:
        """Inside a string: (the finished string with nothing of its end, what follows it)."""
        found = _STRING_END[self._string[1]].search(data)
        at = found.start() if found else len(data)
        if not found or (data[at] == _ESC and at + 1 == len(data)):
            self._keep(data[:at])
            self._held = data[at:]
            return b"", b""
        self._keep(data[:at])
        string, dropped = bytes(self._string), self._dropping
        self._string, self._dropping = bytearray(), False
        if not dropped:
            return string, data[at:]
        if data[at] == _ESC:
            return b"", data[at + 2 :] if data[at + 1] == 0x5C else data[at:]
        return b"", data[at + 1 :]

    def _keep(self, more: bytes) -> None:
        if self._dropping:
            return
        if len(self._string) + len(more) > self._limit:
            self._dropping = True
            del self._string[2:]
        else:
            self._string += more

    def _hold(self, rest: bytes) -> None:
        if len(rest) < 2 or rest[0] != _ESC or rest[1] not in _STRING_END:
            self._held = rest
            return
        if rest[-1] == _ESC:
            rest, self._held = rest[:-1], b"\x1b"
        self._string += rest[:2]
        self._keep(rest[2:])

    @staticmethod
    def _rest_begins(data: bytes) -> int:
        """Where the unfinished part of ``data`` begins. Every ESC begins anew, so only the last one matters."""
        last = data.rfind(b"\x1b")
        if last >= 0:
            kind = data[last + 1] if last + 1 < len(data) else None
            if kind is None:
                return _string_before(data, last)
            if kind in _STRING_END:
                if not _STRING_END[kind].search(data, last + 2):
                    return last
            elif _UNFINISHED.match(data, last):
                return last
        tail = _UNFINISHED_CHARACTER.search(data, max(len(data) - 3, last + 1))
        return tail.start() if tail else len(data)


def _string_before(data: bytes, escape: int) -> int:
    """``data`` ends with ESC at ``escape``: half of a string's end, or the beginning of something new."""
    start = data.rfind(b"\x1b", 0, escape)
    kind = data[start + 1] if start >= 0 else None
    if kind in _STRING_END and not _STRING_END[kind].search(data, start + 2, escape):
        return start
    return escape
