"""What the person at this terminal sees: the session's output made safe, predictions, and one status line when the link is down.

Everything written here is undone by `leave`. Nothing is drawn over a good screen: the status line spoils the top row, so the
session's screen is asked for again when it goes away.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from codewrap.protocol.geometry import Size
from codewrap.protocol.safety import Sanitizer
from codewrap.terminal.child import get_size
from codewrap.terminal.local import Sink

if TYPE_CHECKING:
    from codewrap.viewer.letterbox import Letterbox
    from codewrap.viewer.mirror import Mirror
    from codewrap.viewer.overlay import Canvas, Laid
    from codewrap.viewer.prediction import Foreseen

_BARE_NEWLINE = re.compile(rb"(?<!\r)\n")
_BEGIN_STATUS, _END_STATUS = b"\x1b7\x1b[?6l\x1b[1;1H\x1b[0;7m", b"\x1b[K\x1b[0m\x1b8"
_FIRST_ROW = "\x1b[1;"


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
        self._mirrors = False
        self._mirror: Mirror | None = None
        self._spoilt = False
        self._laid: Laid | None = None
        self._drawn_over = False
        self._held: list[bytes] | None = None

    @property
    def behind(self) -> bool:
        """The terminal does not take what it was given: give it no more."""
        return self._sink.full

    @property
    def status(self) -> str:
        """The status line that is shown, "" for none."""
        return self._status

    @property
    def canvas(self) -> Canvas | None:
        """What predictions can be drawn over; None where there is nothing that is known well enough."""
        return None if self._spoilt else self._letterbox or self._mirror

    def mirror(self, wanted: bool) -> bool:
        """Whether a `canvas` is wanted. True when there will be one only after `redraw`."""
        self._mirrors = wanted
        if not wanted:
            self.lay(None)
            self._mirror = None
        return wanted and self.canvas is None and not self._raw and not self._plain

    def resize(self, size: Size) -> None:
        """This terminal has another size now: what it shows is spoilt until `redraw`."""
        self._size = size
        self._spoilt, self._laid = True, None

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """All that is shown meanwhile is written together: nothing flickers that is taken away and drawn again."""
        held = self._held = []
        try:
            yield
        finally:
            self._held = None
            self._sink.write(b"".join(held))

    def show(self, data: bytes) -> None:
        """Output of the session."""
        if self._laid is not None:
            self.lay(None)
        if self._letterbox is not None:
            self._write(self._letterbox.feed(data))
            return
        shown = data if self._raw else self._sanitizer.feed(data)
        if self._drawn_over and shown and self._mirror is not None:
            shown, self._drawn_over = self._mirror.spelled_out(shown), False
        # Without a terminal of its own the session ends its lines as files do; this one is raw and needs the rest.
        self._write(_BARE_NEWLINE.sub(b"\r\n", shown) if self._plain else shown)
        if self._mirror is not None:
            self._mirror.feed(shown)

    def lay(self, foreseen: Foreseen | None) -> None:
        """Show a prediction over the session's screen, in place of any other; None: the screen alone. Output takes it away."""
        laid = None
        canvas = self.canvas
        if foreseen is not None and canvas is not None and not self.behind:
            from codewrap.viewer.overlay import laid_over

            # The row under the status line would have to be restored to that.
            laid = (
                laid_over(canvas, foreseen)
                if not self._status or not canvas.place(foreseen.row, 0).startswith(_FIRST_ROW)
                else None
            )
        if laid != self._laid:
            self._write(((self._laid.undrawn if self._laid else "") + (laid.drawn if laid else "")).encode())
            self._laid, self._drawn_over = laid, True

    def redraw(self, data: bytes, session: Size | None) -> None:
        """A screen of the session, over whatever is there. ``session`` is its size; None: it has none (pipes)."""
        self.lay(None)
        if self._letterbox is not None:
            self._write(self._sanitizer.restore())
        self._plain = session is None
        self._prepare(session)
        if not self._drawn and not self._plain:
            # What stood here belongs to the person: it scrolls out of the way instead of being erased.
            self._write(b"\r\n" * self._size.rows)
        elif self._drawn and self._plain:
            self._write(b"\x1b[2J\x1b[H")
        self._drawn = True
        self._status = ""
        self.show(data)

    def say(self, text: str) -> None:
        """Show ``text`` in the status line, over the session's screen; "" takes it away (the screen is spoilt until redrawn)."""
        if text == self._status:
            return
        self.lay(None)  # it may lie there
        self._status = text
        if text:
            line = text[: self._size.cols].encode()
            self._write(_BEGIN_STATUS + line + _END_STATUS)

    def leave(self) -> None:
        """Undo what the session did to this terminal, and put the cursor below what it shows."""
        self.lay(None)
        restore = self._sanitizer.restore(self._size.cols) if self._drawn else b""
        if self._drawn:
            self._sink.write(restore + b"\r\n\x1b[J")
        self._sink.drain(1.0)

    def _prepare(self, session: Size | None) -> None:
        """For a screen of a session of this size, which comes next."""
        self._spoilt = False
        self._letterbox = self._mirror = None
        if session is None or self._raw:
            return
        # The engine takes time and memory: who has the session's size and a fast link does without.
        if session != self._size:
            from codewrap.viewer.letterbox import Letterbox

            self._letterbox = Letterbox(session, self._size)
        elif self._mirrors:
            from codewrap.viewer.mirror import Mirror

            self._mirror = Mirror(self._size)

    def _write(self, data: bytes) -> None:
        if self._held is None:
            self._sink.write(data)
        else:
            self._held.append(data)


class ErrorStream:
    """The session's stderr where its stdout goes elsewhere (`attach NAME > file`): on a terminal it is made safe as well."""

    def __init__(self, sink: Sink, *, raw: bool, allow_clipboard: bool) -> None:
        self._sink = sink
        self._sanitizer = Sanitizer(allow_clipboard=allow_clipboard) if os.isatty(sink.fd) and not raw else None
        self._changed = False

    def show(self, data: bytes) -> None:
        """Bytes of the session's stderr."""
        shown = data if self._sanitizer is None else self._sanitizer.feed(data)
        self._changed = self._changed or b"\x1b" in shown
        self._sink.write(shown)

    def leave(self) -> None:
        """Undo what it did to a terminal."""
        if self._sanitizer is not None and self._changed:
            self._sink.write(self._sanitizer.restore((get_size(self._sink.fd) or Size(24, 80)).cols))
            self._changed = False
