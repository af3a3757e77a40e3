"""Has a link made for each prompt that is told, by which it can be answered once; and tells the server what came of an answer.

Stands before the courier. A thread of its own asks the server, so that nothing waits for it: where there is no link in time,
it is told without one. What is told stays in order.
"""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from codewrap.errors import CodewrapError
from codewrap.uplink.occurrence import Happening, Occurrence, Place

# An answer is told by each of these too, so that the server does not wait long.
MAX_WAITING = 64


class LinkServer(Protocol):
    """The server that the session goes through. Both wait for it, for a bounded time, and raise CodewrapError."""

    def link(self, prompt: str, place: Place) -> str:
        """The address by which ``prompt`` can be answered at ``place``."""

    def report(self, link: str, outcome: str) -> None:
        """What became of the answer that came by the link of that id."""


class AnswerLinks:
    """``tell`` takes what is told next; ``failed`` is told, once for each reason, why there is no link."""

    def __init__(self, server: LinkServer, tell: Callable[[Occurrence], object], failed: Callable[[str], object]) -> None:
        self._server = server
        self._tell = tell
        self._failed = failed
        self._said: str | None = None
        self._work: queue.Queue[Callable[[], object] | None] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None

    def tell(self, occurrence: Occurrence) -> None:
        """As the courier's, with a link where a prompt is told. Returns at once."""
        self._put(functools.partial(self._told, occurrence))

    def report(self, link: str, outcome: str) -> None:
        """An answer has come by that link. Returns at once."""
        self._put(functools.partial(self._reported, link, outcome))

    def close(self) -> None:
        """Wait until all is done."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()

    def _put(self, work: Callable[[], object]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="answer-links", daemon=True)
            self._thread.start()
        try:
            self._work.put_nowait(work)
        except queue.Full:
            self._give_up("the server does not keep up")

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _told(self, occurrence: Occurrence) -> None:
        if occurrence.event is Happening.AWAITING and occurrence.place is not None:
            try:
                occurrence = replace(occurrence, answer_url=self._server.link(occurrence.text, occurrence.place))
            except CodewrapError as error:
                self._give_up(str(error))
        self._tell(occurrence)

    def _reported(self, link: str, outcome: str) -> None:
        try:
            self._server.report(link, outcome)
        except CodewrapError as error:
            self._give_up(str(error))

    def _give_up(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            self._failed(reason)
