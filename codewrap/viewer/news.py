"""What a session has printed and drawn since a moment, and whether a pattern is found in that. Pure.

Two accounts of it: the text of the bytes that came, in their order, and the rows of the screen that are not as they were. The
first has what scrolled by and what is printed a second time (a prompt); the second what was put together out of pieces (a
counter of which one digit is drawn anew). What is typed comes back as echo: that is no news in either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from codewrap.protocol.sequences import SequenceCutter

TEXT_LIMIT: Final = 64 * 1024
"""Characters that are kept of what was printed: the newest."""

_TOKEN: Final = re.compile(
    r"""\x1b (?: \[ (?P<count> [\d;:?<=>!]* ) [\x20-\x2f]* (?P<final> [\x40-\x7e] )
               | [\]PX^_] [^\x07\x18\x1a\x1b]* (?: \x07 | \x1b\\ )?
               | (?P<move> [DEM] ) | [\x20-\x2f]* [\x30-\x7e] )
      | (?P<line> \r* \n | \r | \x0b | \x0c )
      | (?P<back> \x08 )
      | (?P<silent> [\x00-\x06\x07\x0e-\x1f\x7f-\x9f] )""",
    re.VERBOSE,
)
# Moves to another row: what is printed next does not continue this line.
_ROWS: Final = frozenset("ABEFHdefSTLM")
_BLANKS: Final = re.compile(r"\s+")


class Printed:
    """Bytes of output as text: controls are gone; where the cursor goes to another row a line ends."""

    def __init__(self) -> None:
        self._cutter = SequenceCutter()
        self._parts: list[str] = [""]
        self._held = ""
        self.trimmed = False
        """The beginning is not held any more."""

    @property
    def text(self) -> str:
        """What was printed since `keep_from`, at most TEXT_LIMIT of it."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0]

    def feed(self, data: bytes) -> None:
        """Take more of the output, cut anywhere."""
        whole = self._held + self._cutter.feed(data).decode(errors="replace")
        block = whole.rstrip("\r")
        self._held = whole[len(block) :]  # a line feed may follow
        at = 0
        for found in _TOKEN.finditer(block):
            if found.start() > at:
                self._parts.append(block[at : found.start()])
            at = found.end()
            self._obey(found)
        if at < len(block):
            self._parts.append(block[at:])
        text = self.text
        if len(text) > TEXT_LIMIT:
            self._parts = [text[-TEXT_LIMIT:]]
            self.trimmed = True

    def keep_from(self, at: int | None) -> None:
        """Forget what stands before ``at`` in `text`; None: all of it."""
        self._parts = ["" if at is None else self.text[at:]]
        self.trimmed = False

    def _obey(self, found: re.Match[str]) -> None:
        final = found["final"]
        if found["line"] is not None or found["move"] is not None:
            self._parts.append("\n")
        elif final is not None and final in _ROWS:
            if not self._parts[-1].endswith("\n"):
                self._parts.append("\n")
        elif final in ("C", "a"):
            count = found["count"]
            self._parts.append(" " * min(int(count), 1000) if count.isdecimal() and int(count) else " ")
        elif final in ("G", "`"):
            self._parts.append(" ")
        elif found["back"] is not None:
            self._step_back()

    def _step_back(self) -> None:
        """What is printed next takes the place of the last character."""
        while len(self._parts) > 1 and not self._parts[-1]:
            self._parts.pop()
        if not self._parts[-1].endswith("\n"):
            self._parts[-1] = self._parts[-1][:-1]


class News:
    """Since the last `begin` or `take`; until then since it was made, when nothing was there."""

    def __init__(self) -> None:
        self._printed = Printed()
        self._rows: list[str] = []
        self._prompt = ""
        self._typed: list[str] = []

    def begin(self, rows: list[str], prompt: str, typed: str) -> None:
        """From here on. ``rows`` are shown, ``prompt`` is what stands before the cursor; ``typed`` is sent now."""
        self._printed.keep_from(None)
        self._rows, self._prompt = rows, _squeezed(prompt)
        self._typed = [line for line in map(_squeezed, re.split(r"[\r\n]", typed)) if line]

    def take(self, found: re.Match[str], rows: list[str]) -> None:
        """``found`` was found by `find`: it is no news any more, nor is what came before it, nor what ``rows`` show."""
        self._printed.keep_from(found.end() if found.string is self._printed.text else None)
        self._rows, self._typed = rows, []

    def printed(self, data: bytes) -> None:
        """Output of the session."""
        self._printed.feed(data)

    def jumped(self, *, redrawn: bool) -> None:
        """So much came that it was not passed on. ``redrawn``: nothing of what was shown before has been left standing."""
        self._printed.keep_from(None)
        self._printed.trimmed = True
        if redrawn:
            self._rows = []

    def reflowed(self, rows: list[str]) -> None:
        """The terminal has another size: ``rows`` show what was there, broken in other places."""
        self._rows = [*self._rows, *rows]

    def find(self, pattern: re.Pattern[str], rows: list[str]) -> re.Match[str] | None:
        """The first of ``pattern`` in what was printed, else in what is new in ``rows``. What is empty does not count."""
        text = self._printed.text
        echoes = [] if self._printed.trimmed else self._echoes(text)
        for found in _each(pattern, text):
            if not any(start <= found.start() and not text[end : found.end()].strip() for start, end in echoes):
                return found
        return self._find_drawn(pattern, rows)

    # -- the screen ----------------------------------------------------------------------------------------------

    def _find_drawn(self, pattern: re.Pattern[str], rows: list[str]) -> re.Match[str] | None:
        before, typed = set(self._rows), "".join(self._typed)
        for row in rows:
            if not row.strip() or row in before:
                continue
            changed: tuple[int, int] | None = None
            for found in _each(pattern, row):
                start, end = changed = changed or _changed(row, self._rows)
                if found.start() < end and found.end() > start and _squeezed(row[start:end]) not in typed:
                    return found
        return None

    # -- echo ----------------------------------------------------------------------------------------------------

    def _echoes(self, text: str) -> list[tuple[int, int]]:
        """Where ``text`` is what was typed: at its beginning, and where a prompt was given before each further line."""
        echoes: list[tuple[int, int]] = []
        at = 0
        for line in self._typed:
            end = _matches_at(text, at, line) or None
            found = (at, end) if end is not None else self._echo_after_prompt(text, at, line, first=not echoes)
            if found is None:
                break
            echoes.append(found)
            at = found[1]
        return echoes

    def _echo_after_prompt(self, text: str, at: int, line: str, *, first: bool) -> tuple[int, int] | None:
        for found in re.compile(r"[^\n]+").finditer(text, at):
            shown = _squeezed(found[0])
            prompted = bool(self._prompt) and shown.startswith(self._prompt)
            if shown.endswith(line) and (prompted or not first):
                return _suffix_start(text, found.end(), line), found.end()
            is_last = found.end() == len(text)
            if is_last and prompted and line.startswith(shown.removeprefix(self._prompt)):
                return _suffix_start(text, found.end(), shown.removeprefix(self._prompt)), found.end()
        return None


def _matches_at(text: str, at: int, line: str) -> int:
    """Where ``line`` ends that begins at ``at``, blanks apart; ``text`` may end within it. 0: something else is there."""
    matched = 0
    for place in range(at, len(text)):
        if matched == len(line):
            return place
        if text[place].isspace():
            continue
        if text[place] != line[matched]:
            return 0
        matched += 1
    return len(text)


def _suffix_start(text: str, end: int, squeezed: str) -> int:
    """Where the last ``len(squeezed)`` characters before ``end`` begin, blanks not counted."""
    left = len(squeezed)
    while left > 0 and end > 0:
        end -= 1
        left -= not text[end].isspace()
    return end


def _each(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Every match that is not empty, wherever it begins."""
    at = 0
    while at <= len(text) and (found := pattern.search(text, at)) is not None:
        if found.end() > found.start():
            yield found
        at = found.start() + 1


def _changed(row: str, before: list[str]) -> tuple[int, int]:
    """Which part of ``row`` is not as in that row of ``before`` that it is most like."""
    best = (0, len(row))
    for other in before:
        most = min(len(row), len(other))
        same = 0
        while same < most and row[same] == other[same]:
            same += 1
        tail = 0
        while tail < most - same and row[-1 - tail] == other[-1 - tail]:
            tail += 1
        if len(row) - same - tail < best[1] - best[0]:
            best = (same, len(row) - tail)
    return best


def _squeezed(text: str) -> str:
    """Without blanks and what does not print: wrapped lines are echoed with both."""
    return "".join(c for c in _BLANKS.sub("", text) if c.isprintable())
