"""Looks without a session: one screen that never changes, and what was asked. It implements `server.looking.Looks`."""

from __future__ import annotations

import threading
from collections.abc import Callable

from codewrap.errors import ConfigError, NotAttached
from codewrap.protocol.geometry import Size
from codewrap.server.looking import Outcome, Place, Result, Sight, Typing
from codewrap.terminal.emulator import Screen
from codewrap.terminal.shown import Shown

WAIT_S = 15.0


class FakeLooks:
    """Shows ``text``; what is typed is what comes of it. ``error`` is raised instead; ``holds``: everybody waits for `stop`."""

    def __init__(self, text: bytes = b"\x1b[1mhello\x1b[m \xe2\x80\xaethere\r\n", *, holds: bool = False) -> None:
        self.text = text
        self.error: Exception | None = None
        self.places: list[Place] = []
        self.typings: list[Typing] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self.stopped = False
        self._entered = threading.Semaphore(0)
        self._free = threading.Event()
        if not holds:
            self._free.set()

    def check_keys(self, names: tuple[str, ...]) -> None:
        if "Foo" in names:
            raise ConfigError("keys", "there is one that is no key's name")

    def look(self, place: Place) -> Sight:
        self._come(place)
        screen = Screen(Size(rows=3, cols=20))
        screen.feed(self.text)
        return Sight(place.session, "run", len(self.text), Shown.of(screen))

    def type(self, place: Place, typing: Typing) -> Outcome:
        self.typings.append(typing)
        self._come(place)
        found = None if typing.pattern is None else typing.pattern.search(typing.text)
        if typing.pattern is None:
            return Outcome(Result.TYPED, True, "run", 7)
        if found is None:
            return Outcome(Result.TIMED_OUT, True, "run", 7, reason="waiting for a match")
        return Outcome(Result.MATCHED, True, "run", 7, found[0], found.groups())

    def stop(self) -> None:
        self.stopped = True
        self._free.set()

    def wait_entered(self) -> None:
        """Until one more has come."""
        assert self._entered.acquire(timeout=WAIT_S), "nobody came"

    def _come(self, place: Place) -> None:
        self.places.append(place)
        self._entered.release()
        assert self._free.wait(WAIT_S), "nobody let them go"
        if self.stopped:
            raise NotAttached(place.session, "it was detached from")
        self.meanwhile()
        if self.error is not None:
            raise self.error
