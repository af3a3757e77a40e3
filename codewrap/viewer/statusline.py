"""Words of codewrap's own during an attachment: notes, and how the link is. On a terminal over its first row, else on stderr."""

from __future__ import annotations

from typing import Protocol

_PREFIX = " [codewrap] "
# A note stays on the screen so long.
NOTE_S = 4.0


class Line(Protocol):
    """Where a terminal shows them: `TerminalScreen`."""

    @property
    def status(self) -> str:
        """What is shown, "" for nothing."""

    def say(self, text: str) -> None:
        """Show ``text`` in place of it."""


class Words(Protocol):
    """Where they go without a terminal: `Sink`."""

    def write(self, data: bytes) -> None:
        """Write it when it goes."""


class StatusLine:
    """One attachment's. ``line`` is None where there is no terminal."""

    def __init__(self, session: str, line: Line | None, words: Words) -> None:
        self._session = session
        self._line = line
        self._words = words
        self._note = ""
        self._note_until_s = 0.0
        self._dropped_bytes = 0

    def note(self, text: str, now_s: float) -> None:
        """Something that has happened."""
        if self._line is None:
            self._words.write(f"[codewrap] {text}\n".encode())
            return
        self._note = f"{_PREFIX}{text} "
        self._line.say(self._note)
        self._note_until_s = now_s + NOTE_S

    def redrawn(self, now_s: float) -> None:
        """The session's screen was drawn, over whatever we said: a note has its time all the same."""
        if self._line is not None and now_s < self._note_until_s:
            self._line.say(self._note)

    def dropped(self, count: int, now_s: float) -> None:
        """Typed bytes were given up: said now, and again with the state of the link, which would cover it."""
        self._dropped_bytes += count
        self.note(f"{count} typed bytes could not be delivered within 10 s and were dropped", now_s)

    def connected(self) -> None:
        """The link stands: what is dropped from now on is counted anew."""
        self._dropped_bytes = 0

    def show_link(self, text: str, pending_bytes: int, now_s: float) -> bool:
        """Keep showing the state of the link, "" while all is well. True when a line is to go: the screen must be drawn anew."""
        if self._line is None:
            return False
        if not text:
            return self._line.status.startswith(_PREFIX) and now_s >= self._note_until_s
        dropped = f"; {self._dropped_bytes} typed bytes dropped" if self._dropped_bytes else ""
        held = f"; {pending_bytes} typed bytes wait" if pending_bytes else ""
        self._line.say(f"{_PREFIX}{self._session}: {text}{dropped}{held} ")
        return False
