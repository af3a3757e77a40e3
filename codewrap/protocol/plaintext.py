"""A terminal's byte stream as lines of text, without the terminal: for logs that are searched and read, line by line. Pure.

Sequences are left out, and what a line did to itself (a progress bar, a correction) is done: carriage return, backspace and
erasing to the end of the line. Moving to other lines is not followed; `terminal/transcript.py` draws it all.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from codewrap.protocol.sequences import SequenceCutter

MAX_LINE: Final = 1 << 20
"""Characters of a line that has no end yet; then it is given out as it is."""
_SEQUENCE: Final = re.compile(
    rb"""\x1b (?: \[ (?P<csi> [\x20-\x3f]* ) (?P<final> [\x40-\x7e] )?
                | \] [^\x07\x18\x1a\x1b]* (?: \x07 | \x1b\\ )?
                | [PX^_] [^\x18\x1a\x1b]* (?: \x1b\\ )?
                | [\x20-\x2f]* [\x30-\x7e]? )""",
    re.VERBOSE,
)
_ERASE_REST, _ERASE_LINE = "\x00", "\x01"
_DROPPED: Final = bytes((*range(0x08), *range(0x0B, 0x0D), *range(0x0E, 0x20), 0x7F))
_C1: Final = re.compile("[\x80-\x9f]")
_EDITING: Final = re.compile("[\r\b\x00\x01]")


class PlainText:
    """``feed`` gives whole lines, with their ends; ``end`` the one that has none."""

    def __init__(self) -> None:
        self._cutter = SequenceCutter()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""

    def feed(self, data: bytes) -> str:
        """More of the stream, cut anywhere."""
        # A bell ends a string, and CAN and SUB do: they go once the sequences are out.
        block = _SEQUENCE.sub(_kept, self._cutter.feed(data.replace(b"\0", b"").replace(b"\1", b"")))
        return self._lines(self._decoder.decode(block))

    def end(self) -> str:
        """What has no line end."""
        line, self._line = self._line + self._decoder.decode(b"", final=True), ""
        return _settled(line)

    def _lines(self, text: str) -> str:
        *lines, rest = (self._line + text).split("\n") if "\n" in text else (self._line + text,)
        done = "".join(f"{_settled(line)}\n" for line in lines)
        if len(rest) > MAX_LINE:
            done, rest = done + _settled(rest), ""
        self._line = rest
        return done


def _kept(found: re.Match[bytes]) -> bytes:
    if found["final"] != b"K":
        return b""
    return {b"": b"\0", b"0": b"\0", b"2": b"\1"}.get(found["csi"] or b"", b"")


def _settled(line: str) -> str:
    """As the line stands after all that was done to it."""
    line = line.removesuffix("\r")
    if _EDITING.search(line):
        line = _edited(line)
    return _C1.sub("", line.translate(_NOTHING))


def _edited(line: str) -> str:
    shown: list[str] = []
    column = 0
    for part in re.split("([\r\b\x00\x01])", line):
        match part:
            case "\r":
                column = 0
            case "\b":
                column = max(0, column - 1)
            case "\x00":
                del shown[column:]
            case "\x01":
                shown = [" "] * column
            case _:
                shown += [" "] * (column - len(shown))
                shown[column : column + len(part)] = part
                column += len(part)
    return "".join(shown).rstrip(" ")


_NOTHING: Final = dict.fromkeys(_DROPPED)
