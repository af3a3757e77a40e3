"""Whether to tell somebody who is away, and when: once for each prompt, once at the end, and never who watches. Pure.

A prompt is held back while a viewer is here, or the host's own terminal is in the foreground and was typed into lately; it is
told when that is over and it still stands. An end is told at once or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from codewrap.protocol.channels import printable
from codewrap.uplink.attention import State, Verdict
from codewrap.uplink.occurrence import Happening, Occurrence, Place

# A prompt that is answered by a program, or by who has just left, is none of anybody's business.
SETTLE_S = 2.0
# Who typed here so lately is here.
LATELY_S = 60.0
TEXT_CHARACTERS = 300


class Notifier:
    """One session's. ``tell`` takes what is to be told; ``wall`` is the time of day. Other times are the loop's."""

    def __init__(self, session: str, epoch: str, tell: Callable[[Occurrence], object], wall: Callable[[], float]) -> None:
        self._session = session
        self._epoch = epoch
        self._tell = tell
        self._wall = wall
        self._watchers = 0
        self._here = False
        self._typed_s = -math.inf
        self._prompt = self._told = 0
        self._stands_since_s: float | None = None
        self._ended = False

    @property
    def has_told(self) -> bool:
        """The last prompt was told."""
        return 0 < self._prompt == self._told

    def resume(self) -> None:
        """An uplink before this one has told of prompt 1, which stands."""
        self._prompt = self._told = 1

    def watched_by(self, count: int) -> None:
        """So many viewers are here."""
        self._watchers = count

    def typed_here(self, typed_s: float | None) -> None:
        """When somebody typed last at the host's own terminal; None where there is none, or it is in the background."""
        self._here = typed_s is not None
        self._typed_s = -math.inf if typed_s is None else typed_s

    def judged(self, verdict: Verdict, prompt: int, now_s: float, place: Place | None = None) -> None:
        """The state now, on evidence of now; ``prompt`` is the number of the prompt that stands, if one does, at ``place``."""
        if verdict.state is not State.AWAITING:
            self._stands_since_s = None
            return
        if prompt != self._prompt or self._stands_since_s is None:
            self._prompt, self._stands_since_s = prompt, now_s
        if self._prompt != self._told and not self._is_held(now_s) and now_s >= self._stands_since_s + SETTLE_S:
            self._told = self._prompt
            self._say(Happening.AWAITING, verdict.prompt or "it waits for input", verdict.evidence, place)

    def due_s(self) -> float:
        """When evidence is wanted, since there may be something to tell; infinity when that is not in sight."""
        if self._stands_since_s is None or self._prompt == self._told or self._watchers:
            return math.inf
        return max(self._stands_since_s + SETTLE_S, self._typed_s + LATELY_S if self._here else 0.0)

    def ended(self, code: int | None, signal: int | None, now_s: float) -> None:
        """The command is over."""
        if code is None and signal is None:
            return
        how = f"killed by signal {signal}" if signal is not None else f"exit {code}"
        self._end(Happening.ENDED if code == 0 and signal is None else Happening.FAILED, how, now_s)

    def lost(self, now_s: float) -> None:
        """The host is gone: how the command ended is not known."""
        self._end(Happening.FAILED, "lost: its host process is gone", now_s)

    def _end(self, event: Happening, how: str, now_s: float) -> None:
        told, self._ended, self._stands_since_s = self._ended, True, None
        if not told and not self._is_held(now_s):
            self._say(event, how, (how,))

    def _is_held(self, now_s: float) -> bool:
        return self._watchers > 0 or (self._here and now_s - self._typed_s < LATELY_S)

    def _say(self, event: Happening, text: str, evidence: tuple[str, ...], place: Place | None = None) -> None:
        words = tuple(printable(word, TEXT_CHARACTERS) for word in evidence)
        attach = f"codewrap attach {self._session}"
        now = self._wall()
        number = f"{self._epoch}-{event.value}-{int(now * 1000)}"
        self._tell(Occurrence(event, self._session, printable(text, TEXT_CHARACTERS), words, now, attach, number, place))
