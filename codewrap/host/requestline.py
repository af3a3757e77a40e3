"""A line over the host's own terminal while somebody asks to type, without a trace of it afterwards.

The host knows no screen; the uplink does. So a line is drawn only over a picture that the uplink has sent and that is still true,
on the first row, whose own text takes it away before anything else is written. When all is decided the whole picture is drawn
once more, since drawing over it moved what the terminal has saved of its cursor. Output is never kept back longer than SHOWN_S.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from codewrap.protocol.geometry import Size
from codewrap.protocol.sequences import SequenceCutter

# Output that comes sooner after the line was drawn waits: a line that goes at once is not seen.
SHOWN_S = 0.3
MAX_KEPT_BYTES = 256 * 1024
# It comes back when output has paused, or where it does not pause, after so long.
PAUSE_S = 0.3
HIDDEN_S = 1.5
# A picture that does not come is asked for again: the uplink may have died meanwhile.
ASK_AGAIN_S = 1.0
# At the end: what the line has left is little, and nobody may be there to answer.
MAX_TRIES = 30
# The uplink may be that far behind in a flood, and what came since goes over its picture.
MAX_SINCE_BYTES = 1024 * 1024
# A terminal may take a screen that is cleared at once for one that is over, and keep it in its history (tmux: scroll-on-clear).
_HOME = b"\x1b[H"
_CLEAR, _CLEAR_ROW = _HOME + b"\x1b[2J", b"\x1b[2K\x1b[B"
_OVER_FIRST_ROW = b"\x1b7\x0f\x1b(B\x1b[?6l\x1b[1;1H"
_BACK = b"\x1b[0m\x1b8"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the line works on: the terminal, the log, the uplink."""

    write: Callable[[bytes | memoryview], None]
    ask: Callable[[], None]
    end: Callable[[], int]
    tail: Callable[[int], bytes]
    size: Callable[[], Size | None]


@dataclass(slots=True)
class _Picture:
    """What the terminal shows now: all of it, and its first row alone (None where output came since, which may have moved it)."""

    whole: bytes
    first_row: bytes | None


class RequestLine:
    """One terminal's. ``text`` is what is to be shown, "" for nothing."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._text = ""
        self._bell = False
        self._undo = b""
        self._shown_s: float | None = None
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._spoilt = False
        self._asked = False
        self._tries = 0
        self._next_s: float | None = None  # when to ask for a picture
        self._hidden_s = 0.0

    @property
    def shown(self) -> bool:
        """It lies over the screen."""
        return self._shown_s is not None

    @property
    def wanted(self) -> bool:
        """It stands, or has left something: output for the terminal goes by `pass_on`."""
        return bool(self._text) or self._spoilt

    @property
    def due_s(self) -> float | None:
        """When `look_after` has something to do."""
        if self._shown_s is not None:
            return self._shown_s + SHOWN_S if self._kept else None
        return self._next_s

    def say(self, text: str, now_s: float, *, bell: bool = False) -> None:
        """Show ``text`` from now on; "" takes the line away."""
        self._bell = self._bell or (bell and bool(text))
        if text == self._text:
            return
        self._text = text
        self.hide(now_s)
        self._next_s = now_s if text or self._spoilt else None
        self._asked = False
        self._tries = 0

    def pass_on(self, data: bytes | memoryview, now_s: float) -> None:
        """Something of the child's for the terminal, now or in a moment."""
        if self._shown_s is None:
            self._around.write(data)
            self._wrote(now_s)
            return
        self._kept.append(bytes(data))
        self._kept_bytes += len(data)
        if now_s >= self._shown_s + SHOWN_S or self._kept_bytes > MAX_KEPT_BYTES:
            self.hide(now_s)

    def hide(self, now_s: float) -> None:
        """Take it away, and write what was kept back. It comes back when output pauses."""
        if self._shown_s is None:
            return
        self._around.write(b"".join((self._undo, *self._kept)))
        self._kept, self._kept_bytes, self._undo, self._shown_s = [], 0, b"", None
        self._asked = False
        self._hidden_s = now_s
        self._next_s = now_s + PAUSE_S

    def resized(self, now_s: float) -> None:
        """The terminal has another size, and has moved everything, the line too."""
        self._undo = b""
        self.hide(now_s)
        if self._spoilt:
            self._next_s = now_s + PAUSE_S

    def look_after(self, now_s: float) -> None:
        """Do what is due."""
        if self._shown_s is not None:
            if self._kept and now_s >= self._shown_s + SHOWN_S:
                self.hide(now_s)
        elif self._next_s is not None and now_s >= self._next_s:
            self._asked = True
            self._tries += 1
            self._next_s = now_s + ASK_AGAIN_S if self._text or self._tries < MAX_TRIES else None
            self._around.ask()

    def picture(self, header: dict[str, Any], whole: bytes, now_s: float) -> None:
        """The uplink's answer. One that is not true any more is asked for again."""
        if not self._asked or self._shown_s is not None:
            return
        self._asked = False
        current = self._current(header, whole)
        still = self._text and current is not None and current.first_row is None and now_s < self._hidden_s + HIDDEN_S
        if current is None or still:
            self._next_s = now_s + PAUSE_S
        elif self._text:
            self._draw(current, now_s)
        else:
            self._around.write(current.whole)
            self._spoilt, self._next_s = False, None

    def _wrote(self, now_s: float) -> None:
        """The line waits for a pause, but not for ever."""
        if self._next_s is not None and self._text and not self._asked:
            self._next_s = max(self._next_s, min(now_s + PAUSE_S, self._hidden_s + HIDDEN_S))

    def _current(self, header: dict[str, Any], whole: bytes) -> _Picture | None:
        """The picture with what came since; None where it cannot be known, or the terminal is in the midst of a sequence."""
        since_bytes = self._around.end() - int(header["offset"])
        size = Size(rows=int(header["rows"]), cols=int(header["cols"]))
        if size != self._around.size() or not 0 <= since_bytes <= MAX_SINCE_BYTES:
            return None
        cutter = SequenceCutter()
        since = self._around.tail(since_bytes) if since_bytes else b""
        cutter.feed(bytes.fromhex(header["unfinished"]) + since)
        if cutter.pending:
            return None
        return _Picture(
            whole.replace(_CLEAR, _HOME + _CLEAR_ROW * size.rows + _HOME, 1) + since,
            None if since else str(header["top"]).encode(),
        )

    def _draw(self, current: _Picture, now_s: float) -> None:
        size = self._around.size() or Size(24, 80)
        shown = self._text[: size.cols - 1].encode()
        first_row = current.first_row
        self._undo = current.whole if first_row is None else _OVER_FIRST_ROW + b"\x1b[0m\x1b[2K" + first_row + _BACK
        bell = b"\x07" if self._bell else b""
        self._around.write(bell + _OVER_FIRST_ROW + b"\x1b[0;7m\x1b[2K" + shown + _BACK)
        self._spoilt, self._bell, self._shown_s, self._next_s = True, False, now_s, None
