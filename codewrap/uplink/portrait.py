"""What the host's own terminal shows, for a host that has drawn over it: the whole of it, and its first row alone."""

from __future__ import annotations

from typing import Protocol

from codewrap.protocol.geometry import Size
from codewrap.protocol.hostlink import Kind, Message

_EVERYTHING = 1 << 62


class Engine(Protocol):
    """The terminal's state, as `terminal/emulator.py` keeps it."""

    @property
    def size(self) -> Size: ...
    @property
    def unfinished(self) -> bytes: ...
    def drawn_row(self, row: int, first_col: int, cols: int) -> str: ...
    def snapshot(self, scrollback_lines: int = 0) -> bytes: ...


class Fed(Protocol):
    """What feeds it from the log: `Composer`."""

    @property
    def fed_to(self) -> int: ...
    def catch_up(self, most_bytes: int) -> bool: ...


def portrait(fed: Fed, engine: Engine) -> Message:
    """The answer to Kind.REDRAW, at the log's end as it is known here."""
    while fed.catch_up(_EVERYTHING):
        pass
    size = engine.size
    header = {
        "offset": fed.fed_to,
        "rows": size.rows,
        "cols": size.cols,
        "top": engine.drawn_row(0, 0, size.cols),
        "unfinished": engine.unfinished.hex(),
    }
    return Message(Kind.PICTURE, header, engine.snapshot())
