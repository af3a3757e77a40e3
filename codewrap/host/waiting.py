"""What the host's loop waits for: descriptors and the directions in which each is of interest, in one poll.

poll(2) itself and not `selectors` above it: a command that writes much costs thousands of turns a second, on a processor that it
could use itself.
"""

from __future__ import annotations

import math
import select
from collections.abc import Mapping

from codewrap.terminal.local import Sink

READ, WRITE = select.POLLIN, select.POLLOUT


class Stream:
    """One stream of the child and where it goes here. ``has_more(0)`` is true where a read would not be in vain: to ask costs
    less than the exception."""

    __slots__ = ("has_more", "name", "sink")

    def __init__(self, fd: int, name: str, sink: Sink) -> None:
        self.name = name
        self.sink = sink
        poll = select.poll()
        poll.register(fd, READ)
        self.has_more = poll.poll


class Waiting:
    """A set of descriptors with the directions wanted: READ, WRITE, or both."""

    def __init__(self, wanted: Mapping[int, int] | None = None) -> None:
        self._poll = select.poll()
        self._wanted: dict[int, int] = {}
        if wanted:
            self.want(wanted)

    def want(self, wanted: Mapping[int, int]) -> None:
        """From now on these, and no others."""
        if wanted == self._wanted:
            return
        for fd in self._wanted.keys() - wanted.keys():
            self._poll.unregister(fd)
        for fd, directions in wanted.items():
            if self._wanted.get(fd) != directions:
                self._poll.register(fd, directions)
        self._wanted = dict(wanted)

    def ready(self, timeout_s: float | None) -> list[tuple[int, int]]:
        """What can be read or written now; one that is broken or has hung up is ready for all that is wanted of it.

        Empty after ``timeout_s``; None waits for ever.
        """
        found = self._poll.poll(None if timeout_s is None else max(0, math.ceil(timeout_s * 1000)))
        wanted = self._wanted
        return [(fd, events if events & (READ | WRITE) == events else wanted[fd]) for fd, events in found]
