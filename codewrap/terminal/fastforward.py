"""A flood of plain lines, shortened: what has scrolled out of a terminal's memory need not have been drawn.

Pure. A terminal that scrolls as a whole ends the same whether it is given all lines or the last that it keeps; only colours
set on the way have to be carried over. Anything but text, line ends, tabs and colours is left as it is.
"""

from __future__ import annotations

import re
from typing import Final

WORTH_BYTES: Final = 32 * 1024

_COLOUR: Final = re.compile(rb"\x1b\[[\d;:]{0,64}m")
_RESET: Final = re.compile(rb"\x1b\[0{0,4}m")
# Character sets, the end of a sequence, and C1 controls in UTF-8: what changes how text is taken.
_SHIFTS: Final = (b"\x0e", b"\x0f", b"\x18", b"\x1a")
_C1: Final = re.compile(rb"\xc2[\x80-\x9f]")


def shortened(block: bytes, lines: int) -> bytes:
    """Bytes that leave a terminal as ``block`` does, if it scrolls as a whole and keeps less than ``lines`` rows in all.

    ``block`` begins and ends with the terminal's parser at rest (`protocol/sequences.py`). Itself where nothing can be left out.
    """
    if len(block) < WORTH_BYTES:
        return block
    kept = block.rsplit(b"\n", lines)
    start = len(kept[0]) + 1
    if len(kept) <= lines or start < WORTH_BYTES or block[start - 2 : start] != b"\r\n" or not _is_plain(block):
        return block
    return _colours_of(block[:start]) + b"\r\n" + block[start:]


def _is_plain(block: bytes) -> bool:
    if any(shift in block for shift in _SHIFTS) or (b"\xc2" in block and _C1.search(block)):
        return False
    escapes = block.count(b"\x1b")
    return not escapes or escapes == len(_COLOUR.findall(block))


def _colours_of(block: bytes) -> bytes:
    """What ``block`` has made of the style: its colour sequences from the last reset on."""
    if b"\x1b" not in block:
        return b""
    reset = 0
    for found in _RESET.finditer(block):
        reset = found.start()
    return b"".join(_COLOUR.findall(block, reset))
