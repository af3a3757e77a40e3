"""Input on its way to the child: the local keyboard's and each writer's, in order, each byte once, acknowledged when written.

Duplicates are known by offset here, in the process that lives as long as the child, so that an uplink may die in between.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from codewrap.protocol.stream import Incoming

MAX_PENDING_BYTES = 1024 * 1024  # a child that does not read: beyond this writers are not read either
MAX_WRITERS = 1000
MAX_HELD_BYTES = 256 * 1024


class PendingInput:
    """A queue of bytes for the child. Full: local input is not read, remote input is refused (and sent again by its writer)."""

    def __init__(self) -> None:
        self._queue: deque[tuple[memoryview, str | None, int]] = deque()
        self._bytes = 0
        self._writers: OrderedDict[str, Incoming] = OrderedDict()
        self._written: dict[str, int] = {}

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

    def put_remote(self, writer: str, offset: int, data: bytes) -> None:
        """A writer's bytes; what was seen before is dropped, what is ahead waits. A repeat is acknowledged again."""
        incoming = self._incoming(writer)
        if self.full and offset + len(data) > incoming.expected:
            return
        fresh = incoming.add(offset, data)
        if fresh:
            self._queue.append((memoryview(fresh), writer, incoming.expected))
            self._bytes += len(fresh)
        elif incoming.gap is None and not self._waits(writer):
            self._written[writer] = incoming.expected

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

    def drop(self) -> None:
        """The child reads no more: everything that waits is void."""
        self._queue.clear()
        self._bytes = 0

    def take_acknowledgements(self) -> dict[str, int]:
        """By writer: the offset up to which its input is written; only what changed since the last call."""
        written, self._written = self._written, {}
        return written

    def _incoming(self, writer: str) -> Incoming:
        incoming = self._writers.pop(writer, None)
        if incoming is None:
            incoming = Incoming(max_held_bytes=MAX_HELD_BYTES)
            if len(self._writers) >= MAX_WRITERS:
                self._writers.popitem(last=False)
        self._writers[writer] = incoming
        return incoming

    def _waits(self, writer: str) -> bool:
        return any(name == writer for _, name, _ in self._queue)
