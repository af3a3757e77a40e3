"""What a session wrote, as the lines that a person saw and may look for. Pure.

`plaintext.py` leaves out sequences and settles what a line did to itself. Here what a program says by moving about (a page in an
editor) is cut into lines first: text of different rows never stands side by side. Blank lines are left out.
"""

from __future__ import annotations

import re
from typing import Final

from codewrap.protocol.plaintext import PlainText
from codewrap.protocol.sequences import SequenceCutter

SNAPSHOT_BYTES: Final = 16 * 1024
"""So much of a line that begins anew again and again (a progress bar) is one line; then the next of it begins."""
_MOST_BLANKS: Final = 512
_MOVE: Final = re.compile(rb"\x1b(?:\[([0-9;]{0,32})([ABCDEFGHJdfsu])|\[\?(?:47|1047|1048|1049)[hl]|[78DEMc])")
# No column but the first is known here: what is moved to stands apart.
_APART: Final = {b"C": b" ", b"D": b"\b"}


class TextLines:
    """``feed`` gives the lines that have ended, ``end`` the rest."""

    def __init__(self) -> None:
        self._cutter = SequenceCutter()
        self._plain = PlainText()
        self._unfinished_bytes = 0

    def feed(self, data: bytes) -> list[str]:
        """More of the stream, cut anywhere."""
        block = _MOVE.sub(_moved, self._cutter.feed(data))
        last = block.rfind(b"\n")
        self._unfinished_bytes = len(block) - last if last >= 0 else self._unfinished_bytes + len(block)
        if self._unfinished_bytes > SNAPSHOT_BYTES and (at := block.rfind(b"\r", last + 1)) >= 0:
            block = block[:at] + b"\n" + block[at + 1 :]
            self._unfinished_bytes = len(block) - at
        return _written(self._plain.feed(block))

    def end(self) -> list[str]:
        """What has no line end."""
        return _written(self._plain.end())


def _written(text: str) -> list[str]:
    return [line for line in text.split("\n") if line and not line.isspace()] if text else []


def _moved(found: re.Match[bytes]) -> bytes:
    """What a move to elsewhere is among lines."""
    parameters, final = found[1], found[2]
    if final is None:
        return b"\n"
    if final in _APART:
        return _APART[final] * min(_MOST_BLANKS, int(parameters) if parameters.isdigit() and int(parameters) else 1)
    if final == b"G":
        return b"\r" if parameters in (b"", b"0", b"1") else b" "
    if final == b"J" and parameters in (b"", b"0"):
        return b"\x1b[K"
    return b"" if final == b"s" else b"\n"
