"""What the person at this terminal sees: the session's output made safe, and one status line over it when the link is down.

Everything written here is undone by `leave`. Nothing is drawn over a good screen: the status line spoils the top row, so the
session's screen is asked for again when it goes away.
"""

from __future__ import annotations

import re

from codewrap.protocol.geometry import Size
from codewrap.protocol.safety import Sanitizer
from codewrap.terminal.local import Sink
from codewrap.viewer.letterbox import Letterbox

_BARE_NEWLINE = re.compile(rb"(?<!\r)\n")
_BEGIN_STATUS, _END_STATUS = b"\x1b7\x1b[?6l\x1b[1;1H\x1b[0;7m", b"\x1b[K\x1b[0m\x1b8"


class TerminalScreen:
    """The viewer's terminal. ``raw`` passes everything on unfiltered."""

    def __init__(self, sink: Sink, size: Size, *, raw: bool, allow_clipboard: bool) -> None:
        self._sink = sink
        self._size = size
        self._raw = raw
        self._sanitizer = Sanitizer(allow_clipboard=allow_clipboard)
        self._drawn = False
        self._status = ""
        self._letterbox: Letterbox | None = None
        self._plain = False

    @property
    def behind(self) -> bool:
        """The terminal does not take what it was given: give it no more."""
        return self._sink.full

    @property
    def status(self) -> str:
        """The status line that is shown, "" for none."""
        return self._status

    def resize(self, size: Size) -> None:
        """This terminal has another size now: what it shows is spoilt until `redraw`."""
        self._size = size

    def show(self, data: bytes) -> None:
        """Output of the session."""
        if self._letterbox is not None:
            self._sink.write(self._letterbox.feed(data))
            return
        shown = data if self._raw else self._sanitizer.feed(data)
        # Without a terminal of its own the session ends its lines as files do; this one is raw and needs the rest.
        self._sink.write(_BARE_NEWLINE.sub(b"\r\n", shown) if self._plain else shown)

    def redraw(self, data: bytes, session: Size | None) -> None:
        """A screen of the session, over whatever is there. ``session`` is its size; None: it has none (pipes)."""
        if self._letterbox is not None:
            self._sink.write(self._sanitizer.restore())
        self._plain = session is None
        differs = session is not None and session != self._size and not self._raw
        self._letterbox = Letterbox(session, self._size) if session is not None and differs else None
        if not self._drawn and not self._plain:
            # What stood here belongs to the person: it scrolls out of the way instead of being erased.
            self._sink.write(b"\r\n" * self._size.rows)
        elif self._drawn and self._plain:
            self._sink.write(b"\x1b[2J\x1b[H")
        self._drawn = True
        self._status = ""
        self.show(data)

    def say(self, text: str) -> None:
        """Show ``text`` in the status line, over the session's screen; "" takes it away (the screen is spoilt until redrawn)."""
        if text == self._status:
            return
        self._status = text
        if text:
            line = text[: self._size.cols].encode()
            self._sink.write(_BEGIN_STATUS + line + _END_STATUS)

    def leave(self) -> None:
        """Undo what the session did to this terminal, and put the cursor below what it shows."""
        restore = self._sanitizer.restore() if self._drawn else b""
        if self._drawn:
            self._sink.write(restore + b"\r\n\x1b[J")
        self._sink.drain(1.0)
