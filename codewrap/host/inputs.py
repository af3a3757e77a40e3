"""Input on its way to the child: the local keyboard's and each writer's, in order, each byte once, acknowledged when written.

Duplicates are known by offset here, in the process that lives as long as the child, so that an uplink may die in between.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, deque
from collections.abc import Container
from dataclasses import dataclass, field

from codewrap.protocol.stream import Incoming

MAX_PENDING_BYTES = 1024 * 1024  # a child that does not read: beyond this writers are not read either
MAX_WRITERS = 1000
MAX_HELD_BYTES = 256 * 1024
_POSTED = re.compile(r"http-([0-9]{1,15})-[0-9a-f]{32}")


@dataclass(slots=True)
class _Writer:
    """What has come of one writer's input, and up to where it is written. Whose it is was said by its first frame."""

    user: str
    made_s: int | None
    incoming: Incoming = field(default_factory=lambda: Incoming(max_held_bytes=MAX_HELD_BYTES))
    written: int = 0


class PendingInput:
    """A queue of bytes for the child. Full: local input is not read, remote input is refused (and sent again by its writer)."""

    def __init__(self) -> None:
        self._queue: deque[tuple[memoryview, str | None, int]] = deque()
        self._bytes = 0
        self.taken = 0
        """So many bytes were put, by anybody."""
        self._writers: OrderedDict[str, _Writer] = OrderedDict()
        self._written: dict[str, int] = {}
        self._forgotten_s: OrderedDict[str, int] = OrderedDict()

    @property
    def full(self) -> bool:
        """Nothing more should be put."""
        return self._bytes >= MAX_PENDING_BYTES

    def __bool__(self) -> bool:
        return bool(self._queue)

    def put_local(self, data: bytes) -> None:
        """Bytes of this machine's own keyboard or stdin."""
        if data:
            self._queue.append((memoryview(data), None, 0))
            self._bytes += len(data)
            self.taken += len(data)

    def put_remote(self, writer: str, offset: int, data: bytes, user: str = "") -> bool:
        """Bytes of ``user``'s stream ``writer``; what was seen before is dropped, what is ahead waits for what was lost.

        A stream is the user's that was first heard with it: what another one sends in its name is dropped, and so is what may be
        of a stream that was forgotten. False then.

        Of what cannot go on (repeats, a full queue, a child that does not read) the writer is told how far it is written, be it
        no further than before: that is how it knows that somebody is there. Of a loss it is told nothing, and sends again.
        """
        known = self._writer(writer, user)
        if known is None:
            return False
        if self.full and offset + len(data) > known.incoming.expected:
            if offset <= known.incoming.expected:
                self._written[writer] = known.written
            return True
        fresh = known.incoming.add(offset, data)
        if fresh:
            self._queue.append((memoryview(fresh), writer, known.incoming.expected))
            self._bytes += len(fresh)
            self.taken += len(fresh)
        elif known.incoming.gap is None:
            self._written[writer] = known.written
        return True

    def next(self) -> memoryview:
        """The bytes to write now."""
        return self._queue[0][0]

    def wrote(self, size: int) -> None:
        """So many bytes of `next` were written."""
        view, writer, end = self._queue[0]
        self._bytes -= size
        if size < len(view):
            self._queue[0] = (view[size:], writer, end)
            return
        self._queue.popleft()
        if writer is not None:
            self._written[writer] = end
            if writer in self._writers:
                self._writers[writer].written = end

    def withdraw(self, writers: Container[str]) -> list[str]:
        """Drop what waits of these; returns those of which anything was dropped. More of theirs must not be put."""
        dropped = {writer: None for _, writer, _ in self._queue if writer is not None and writer in writers}
        self._queue = deque(entry for entry in self._queue if entry[1] not in dropped)
        self._bytes = sum(len(view) for view, _, _ in self._queue)
        return list(dropped)

    def drop(self) -> None:
        """The child reads no more: everything that waits is void."""
        self._queue.clear()
        self._bytes = 0

    def take_acknowledgements(self) -> dict[str, int]:
        """By writer: the offset up to which its input is written; only what changed since the last call."""
        written, self._written = self._written, {}
        return written

    def _writer(self, name: str, user: str) -> _Writer | None:
        """None for a stream that is another's, or may have been forgotten."""
        known = self._writers.get(name)
        if known is None:
            made_s = _made_s(name)
            if made_s is not None and made_s <= self._forgotten_s.get(user, -1):
                return None
            known = self._writers[name] = _Writer(user, made_s)
            if len(self._writers) > MAX_WRITERS:
                self._forget_one()
        elif known.user != user:
            return None
        self._writers.move_to_end(name)
        return known

    def _forget_one(self) -> None:
        """Of the streams of whoever has the most, the one silent longest.

        What a relay kept of a forgotten stream would be written again. So nobody can make another's be forgotten, nor can a
        program that posts, each time as a stream of its own, that of a person. Of what it posted nothing as old is taken.
        """
        crowds = Counter((known.user, known.made_s is None) for known in self._writers.values())
        crowd = crowds.most_common(1)[0][0]
        name = next(name for name, known in self._writers.items() if (known.user, known.made_s is None) == crowd)
        forgotten = self._writers.pop(name)
        if forgotten.made_s is not None:
            floor_s = max(forgotten.made_s, self._forgotten_s.pop(forgotten.user, -1))
            self._forgotten_s[forgotten.user] = floor_s
            if len(self._forgotten_s) > MAX_WRITERS:
                self._forgotten_s.popitem(last=False)


def _made_s(name: str) -> int | None:
    """When the stream ``name`` was made, where it is that of one text that a program posted."""
    found = _POSTED.fullmatch(name)
    return int(found[1]) if found else None
