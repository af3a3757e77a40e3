"""What is looked for: where it stands in a line, and which three letters in a row a text must have to hold it at all. Pure."""

from __future__ import annotations

import re
from typing import Final

MAX_TRIGRAMS: Final = 48
"""More of them tell texts apart no better."""
_GRAM: Final = 3
# Two letters that match an "i" where case does not count, and do not become one.
_DOTS: Final = str.maketrans({"İ": "i", "ı": "i"})
_OPTIONAL: Final = frozenset("*?{")
_INSIDE: Final = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)


def folded(text: str) -> str:
    """One form of all that is the same where case does not count, letter by letter: a part of a text is one of its form."""
    return text.translate(_DOTS).casefold()


class Wanted:
    """``text``, or what the regular expression ``text`` matches, within one line. Raises re.error."""

    def __init__(self, text: str, *, regex: bool = False, ignore_case: bool = False) -> None:
        self._pattern = re.compile(text if regex else re.escape(text), re.IGNORECASE if ignore_case else 0)
        self._plain = None if regex or ignore_case else text
        runs = certain(text, self._pattern.flags) if regex else [text]
        # A line is looked at by the expression only where these are in the page: without case, as the page is folded for that.
        self._runs = [folded(run) for run in runs]
        self.trigrams = trigrams(runs)
        """Each stands in the `folded` form of every text that holds it. None at all: nothing is known."""

    def may_be_in(self, text: str) -> bool:
        """False: in none of its lines."""
        if self._plain is not None:
            return self._plain in text
        form = folded(text)
        return all(run in form for run in self._runs)

    def spans(self, line: str) -> list[tuple[int, int]] | None:
        """Where in the line it stands, if it takes any room; None when it does not."""
        if self._plain is not None and self._plain not in line:
            return None
        found = [match.span() for match in self._pattern.finditer(line)]
        return [(start, end) for start, end in found if end > start] if found else None


def trigrams(runs: list[str]) -> tuple[str, ...]:
    """All three letters in a row of the folded ``runs``; of very many, some from everywhere."""
    found: dict[str, None] = {}
    for run in map(folded, runs):
        found.update(dict.fromkeys(run[at : at + _GRAM] for at in range(len(run) - _GRAM + 1)))
    every = list(found)
    step = max(1, -(-len(every) // MAX_TRIGRAMS))
    return tuple(every[::step])


def certain(pattern: str, flags: int = 0) -> list[str]:
    """Strings that stand in whatever a (valid) regular expression matches. Some of them: groups are not looked into."""
    if flags & re.VERBOSE:
        return []
    runs: list[str] = [""]
    at, depth = 0, 0
    while at < len(pattern):
        letter = pattern[at]
        literal = ""
        step = 1
        if letter == "\\":
            escaped = pattern[at + 1]
            if escaped.isascii() and escaped.isalnum() and escaped not in "dDwWsSbBAZ":
                return []  # numbers of characters and groups: not worth the trouble
            step, literal = 2, "" if escaped.isascii() and escaped.isalnum() else escaped
        elif letter == "[":
            inside = _INSIDE.match(pattern, at)
            if inside is None:
                return []
            step = len(inside[0])
        elif letter == "|" and not depth:
            return []
        elif letter in _OPTIONAL:
            if not depth:
                runs[-1] = runs[-1][:-1]
            step = pattern.index("}", at) - at + 1 if letter == "{" and "}" in pattern[at:] else 1
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter not in ".^$+|":
            literal = letter
        at += step
        if literal and not depth:
            runs[-1] += literal
        else:
            runs.append("")
    return [run for run in runs if len(run) >= _GRAM]
