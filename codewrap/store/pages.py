"""The text of a session's log in pages of whole lines with their times: what is searched, and kept for that in the catalog.

The beginning and the end of the output only, where there is much of it: the command of a month may not hold up a search.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from codewrap.errors import StoreError
from codewrap.protocol.textlines import TextLines
from codewrap.store.recording import Account, Written
from codewrap.store.sessionlog import STREAMS, LogReader

HEAD_BYTES: Final = 1 << 20
TAIL_BYTES: Final = 7 << 20
"""So much of the output's beginning and of its end is read; what is in between is not."""
PAGE_CHARACTERS: Final = 48 * 1024
_BATCH_BYTES: Final = 64 * 1024
_BATCH_S: Final = 0.25  # times of lines are told this finely


@dataclass(frozen=True, slots=True)
class Page:
    """Lines, in the order in which they ended. ``times``: from which line on (0 is the first) which time holds."""

    text: str
    times: tuple[tuple[int, float], ...]

    def lines(self) -> Iterator[tuple[float, str]]:
        """Each with its time."""
        ahead = list(reversed(self.times))
        time_s = 0.0
        for number, line in enumerate(self.text.split("\n")):
            while ahead and ahead[-1][0] <= number:
                time_s = ahead.pop()[1]
            yield time_s, line


@dataclass(slots=True)
class Pages:
    """All of one session, as far as it has got. ``left_out``: bytes of its output that are in none of them."""

    pages: list[Page] = field(default_factory=list)
    left_out: int = 0
    ended: bool = False
    """The command's end stands in the log: nothing follows."""


def read_pages(directory: Path, *, final: bool) -> Pages:
    """Of the log that is there. ``final``: nobody writes any more. Raises StoreError."""
    reader = LogReader(directory)
    try:
        return _Binder(reader.end()).bind(Account(reader), final=final)
    except OSError as error:
        raise StoreError(str(directory), f"the session log cannot be read: {error.strerror}") from error
    finally:
        reader.close()


class _Binder:
    def __init__(self, end: int) -> None:
        whole = end <= HEAD_BYTES + TAIL_BYTES
        self._gap = (end, end) if whole else (HEAD_BYTES, end - TAIL_BYTES)
        self._bound = Pages()
        self._streams = {stream: TextLines() for stream in STREAMS}
        self._batch = bytearray()
        self._batch_stream = STREAMS[0]
        self._batch_s = 0.0
        self._lines: list[str] = []
        self._times: list[tuple[int, float]] = []
        self._characters = 0

    def bind(self, account: Account, *, final: bool) -> Pages:
        for moment in account.advance(final=final):
            if isinstance(moment, Written):
                self._take(moment)
        self._flush()
        self._end_lines()
        self._close_page()
        self._bound.ended = account.ended
        return self._bound

    def _take(self, moment: Written) -> None:
        start, end = (min(max(0, edge - moment.offset), len(moment.data)) for edge in self._gap)
        if start == end:
            self._add(moment.data, moment)
            return
        self._add(moment.data[:start], moment)
        self._flush()
        self._end_lines()  # what follows is not what followed
        self._bound.left_out += end - start
        self._add(moment.data[end:], moment)

    def _add(self, data: bytes, moment: Written) -> None:
        apart = moment.stream != self._batch_stream or moment.time_s - self._batch_s > _BATCH_S
        if self._batch and (apart or len(self._batch) >= _BATCH_BYTES):
            self._flush()
        if not self._batch:
            self._batch_stream, self._batch_s = moment.stream, round(moment.time_s, 2)
        self._batch += data

    def _flush(self) -> None:
        if self._batch:
            self._put(self._streams[self._batch_stream].feed(bytes(self._batch)))
            self._batch.clear()

    def _end_lines(self) -> None:
        for stream, lines in self._streams.items():
            self._put(lines.end())
            self._streams[stream] = TextLines()

    def _put(self, lines: list[str]) -> None:
        for line in lines:
            if not self._times or self._times[-1][1] != self._batch_s:
                self._times.append((len(self._lines), self._batch_s))
            self._lines.append(line)
            self._characters += len(line) + 1
            if self._characters >= PAGE_CHARACTERS:
                self._close_page()

    def _close_page(self) -> None:
        if self._lines:
            self._bound.pages.append(Page("\n".join(self._lines), tuple(self._times)))
        self._lines, self._times, self._characters = [], [], 0
