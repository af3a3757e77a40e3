"""Answers a terminal gives to a program that asks it: for sessions without a terminal of their own, given here and only here."""

from __future__ import annotations

from collections.abc import Callable

from codewrap.protocol.geometry import Size
from codewrap.protocol.queries import Responder, TerminalFacts
from codewrap.terminal.emulator import Screen


class AnsweringScreen:
    """A terminal's state that answers. ``silent_until`` bytes are only drawn: they were answered by an uplink before this one."""

    def __init__(self, screen: Screen, answer: Callable[[bytes], object], silent_until: int) -> None:
        self._screen = screen
        self._answer = answer
        self._responder = Responder()
        self._silent_bytes = silent_until

    def feed(self, data: bytes) -> None:
        """Draw ``data``, then answer what it asks."""
        self._screen.feed(data)
        answers = self._responder.answers(data, self._facts())
        if self._silent_bytes > 0:
            self._silent_bytes -= len(data)
        elif answers:
            self._answer(answers)

    def resize(self, size: Size) -> None:
        """As the screen's."""
        self._screen.resize(size)

    def snapshot(self, scrollback_lines: int = 0) -> bytes:
        """As the screen's."""
        return self._screen.snapshot(scrollback_lines)

    def _facts(self) -> TerminalFacts:
        cursor, size = self._screen.cursor, self._screen.size
        return TerminalFacts(
            cursor_row=cursor.row,
            cursor_col=min(cursor.col, size.cols - 1),
            rows=size.rows,
            cols=size.cols,
            modes=self._screen.modes.known_modes(),
        )
