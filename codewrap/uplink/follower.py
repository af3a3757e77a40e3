"""Follows the session log: where it ends, which stream each byte belongs to, when the size changed, how it ended.

Any range can be asked for again, so there is no second buffer: the log is the history.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from codewrap.protocol.geometry import Size
from codewrap.store.sessionlog import Entry, LogReader


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of one stream at ``offset``."""

    offset: int
    data: bytes
    stream: str

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class SizeChange:
    """From ``offset`` on the terminal has ``size``."""

    offset: int
    size: Size


@dataclass(frozen=True, slots=True)
class Ending:
    """The child ended at ``offset``."""

    offset: int
    code: int | None
    signal: int | None


class LogFollower:
    """A view of the log as of the last `refresh`."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._segment_starts: list[int] = []
        self._segment_streams: list[str] = []
        self._sizes: list[SizeChange] = []
        self.present: Counter[str] = Counter()
        """How often each user has joined and not left."""
        self.end = 0
        self.ending: Ending | None = None

    @property
    def start(self) -> int:
        """The first offset that is still held."""
        return self._reader.start(self.end)

    def refresh(self) -> bool:
        """Look at the log again; True when there is anything new."""
        end = self._reader.end()  # before the timeline: see store/sessionlog.py
        entries = self._reader.entries()
        changed = end != self.end or bool(entries)
        self.end = end
        for entry in entries:
            self._take(entry)
        return changed

    def pieces(self, offset: int, end: int, most_bytes: int) -> Iterator[Piece]:
        """The bytes from ``offset`` to ``end`` in pieces of one stream and at most ``most_bytes`` each."""
        while offset < end:
            stream, stream_end = self._stream_at(offset)
            data = self._reader.read(offset, min(most_bytes, stream_end - offset, end - offset))
            if not data:
                return
            yield Piece(offset, data, stream)
            offset += len(data)

    def sizes(self, index: int) -> list[SizeChange]:
        """Size changes from the ``index``-th on."""
        return self._sizes[index:]

    def ended(self, code: int | None, signal: int | None) -> None:
        """The child has ended so, whether or not the log could take it down."""
        if self.ending is None and (code is not None or signal is not None):
            self.ending = Ending(self.end, code, signal)

    def _take(self, entry: Entry) -> None:
        if entry.what in {"stdout", "stderr"}:
            if not self._segment_streams or self._segment_streams[-1] != entry.what:
                self._segment_starts.append(entry.offset)
                self._segment_streams.append(entry.what)
        elif entry.what == "resize":
            cols, rows = entry.values
            self._sizes.append(SizeChange(entry.offset, Size(rows=rows, cols=cols)))
        elif entry.what in {"join", "leave"}:
            self.present[entry.values[0]] += 1 if entry.what == "join" else -1
        elif entry.what == "exit":
            self.ending = Ending(entry.offset, *entry.values)

    def _stream_at(self, offset: int) -> tuple[str, int]:
        """The stream that holds ``offset`` and where it gives way to the other."""
        index = bisect_right(self._segment_starts, offset)
        stream = self._segment_streams[index - 1] if index else "stdout"
        end = self._segment_starts[index] if index < len(self._segment_starts) else self.end
        return stream, end
