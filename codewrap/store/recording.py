"""A session's log read as one account of what happened, in order: output with its time, and everything else in between.

The log of a session that runs can be read on from where it ended, again and again. Nothing is held of it but a block, and a log
that breaks off or holds garbage (a host that was killed, a machine that lost its power) gives what can be read.
"""

from __future__ import annotations

import codecs
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from codewrap.protocol.asciicast import Code, Event, resized
from codewrap.protocol.channels import printable
from codewrap.protocol.geometry import Size
from codewrap.store.sessionlog import STREAMS, Entry, LogReader

READ_BYTES: Final = 64 * 1024
MAX_LABEL: Final = 200
DEFAULT_SIZE: Final = Size(rows=24, cols=80)
# Where a session's own terminal is not known (it was not always written down): screens made of it know what this one does.
TERM: Final = "xterm-256color"


@dataclass(frozen=True, slots=True)
class Written:
    """Output of the command, of one stream, at ``offset``. The time is that of its first byte, or some hundredths before."""

    time_s: float
    offset: int
    data: bytes
    stream: str


Moment = Written | Entry


class Account:
    """One log from its beginning on. ``advance`` again gives what has come since."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._position = 0
        self._gap_from = -1
        self._stream = STREAMS[0]
        self._time_s = 0.0
        self._end = 0
        self.ended = False
        """The command's end has been read: nothing follows."""

    @property
    def time_s(self) -> float:
        """How far it has got."""
        return self._time_s

    @property
    def position(self) -> int:
        """The offset up to which output has been read."""
        return self._position

    def advance(self, *, final: bool = False) -> Iterator[Moment]:
        """Everything up to now, in order. ``final``: nobody writes any more, so zeros at the end are none of the command's."""
        self._end = self._reader.end()  # before the timeline: see sessionlog.py
        entries = self._reader.each_entry()
        if not final:
            yield from self._all(entries)
            return
        whole, self._end = self._end, self._reader.written_end()
        yield from self._all(entries)
        if self.ended:  # it came to its end: zeros that stand there were written
            self._end = whole
            yield from self._output(whole)

    def _all(self, entries: Iterable[Entry]) -> Iterator[Moment]:
        for entry in entries:
            yield from self._output(entry.offset)
            self._time_s = max(self._time_s, entry.time_s)
            if entry.what in STREAMS:
                self._stream = entry.what
            else:
                self.ended = self.ended or entry.what == "exit"
                yield Entry(self._time_s, self._position, entry.what, entry.values)
        yield from self._output(self._end)

    def _output(self, end: int) -> Iterator[Moment]:
        """What was written up to ``end``, as far as it is there and still held."""
        if end > self._end:
            self._end = max(self._end, min(end, self._reader.end()))
        while self._position < min(end, self._end):
            data = self._reader.read(self._position, min(READ_BYTES, end - self._position, self._end - self._position))
            start = self._reader.start(self._reader.end())  # behind the reading: it may have been given back meanwhile
            if self._position < start:
                self._gap_from = self._position if self._gap_from < 0 else self._gap_from
                self._position = min(start, end, self._end)
                continue
            if not data:
                return
            if self._gap_from >= 0:
                yield Entry(self._time_s, self._position, "gap", (self._gap_from, self._position))
                self._gap_from = -1
            yield Written(self._time_s, self._position, data, self._stream)
            self._position += len(data)


class Narrator:
    """Moments in, events of an asciicast out. ``plain``: the command had no terminal, so its lines end as those of files do."""

    def __init__(self, *, plain: bool = False) -> None:
        self._plain = plain
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._after_return = False
        self._size: Size | None = None
        self._time_s = 0.0

    def tell(self, moment: Moment) -> list[Event]:
        """What the moment is in a recording; nothing where it is none for others."""
        self._time_s = moment.time_s
        if isinstance(moment, Written):
            return self._shown(self._decoder.decode(moment.data))
        if moment.what == "resize":
            return self._resized(moment)
        event = _event(moment)
        before = self.end() if moment.what == "exit" else []
        return before if event is None else [*before, event]

    def end(self) -> list[Event]:
        """A character that was never finished."""
        return self._shown(self._decoder.decode(b"", final=True))

    def _shown(self, text: str) -> list[Event]:
        if self._plain and text:
            text, self._after_return = _with_returns(text, self._after_return)
        return [Event(self._time_s, Code.OUTPUT, text)] if text else []

    def _resized(self, moment: Entry) -> list[Event]:
        cols, rows = moment.values
        size = Size(rows=rows, cols=cols).clamped()
        known, self._size = self._size, size
        return [] if size == known else [resized(moment.time_s, size)]


def _with_returns(text: str, after_return: bool) -> tuple[str, bool]:
    """Every line feed has a carriage return before it; whether the text ends in one."""
    first = "\n" if text[0] == "\n" and after_return else ""
    rest = text[len(first) :]
    return first + rest.replace("\r\n", "\n").replace("\n", "\r\n"), text[-1] == "\r"


def _event(entry: Entry) -> Event | None:
    """What is neither output nor a size."""
    match entry.what, entry.values:
        case "exit", (code, signal):
            return Event(entry.time_s, Code.EXIT, str(status(code, signal)))
        case "input", (str() as text, *_):
            return Event(entry.time_s, Code.INPUT, text)
        case "join", (str() as user, *_):
            label = f"{user} joined"
        case "leave", (str() as user, *_):
            label = f"{user} left"
        case "prompt", (str() as text, *_):
            label = f"awaiting input: {text}" if text else "awaiting input"
        case "marker", (str() as text, *_):
            label = text
        case "gap", (int() as start, int() as end, *_):
            label = f"gap: {end - start} bytes of output are not held any more"
        case "gap", _:
            label = "gap: output is missing"
        case _:
            return None
    return Event(entry.time_s, Code.MARKER, printable(label, MAX_LABEL))


def status(code: int | None, signal: int | None) -> int:
    """As a shell shows how a command ended."""
    return 128 + signal if signal is not None else (code or 0)


def command_line(command: Iterable[Any]) -> str:
    """A command as it could be typed, fit for a file that others read."""
    return shlex.join(str(word) for word in command).encode("utf-8", "replace").decode()


def first_size(reader: LogReader) -> Size:
    """How large the terminal was in the beginning. Reads the timeline: give it a reader of its own."""
    for entry in reader.each_entry():
        if entry.what == "resize":
            cols, rows = entry.values
            return Size(rows=rows, cols=cols).clamped()
    return DEFAULT_SIZE
