"""asciicast files on the disk: read ones of anybody, and write one of a session that goes on.

A recording that grows holds whole lines at every moment. Who writes it holds a lock on it, so that another process can take over
exactly when the first has ended or died, and goes on where that one stopped: after so much output, so many other events.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codewrap.errors import RemoteProtocolError, StoreError
from codewrap.protocol.asciicast import MAX_LINE_BYTES, Code, Decoder, Encoder, Event, Header
from codewrap.store.files import create_private
from codewrap.store.recording import Account, Narrator
from codewrap.store.sessionlog import Entry, LogReader

# So much is put together before it is written.
BATCH_BYTES = 256 * 1024


class CastReader:
    """A file that may be anybody's."""

    def __init__(self, path: Path) -> None:
        """Raises StoreError."""
        self._path = path
        with self._lines() as lines:
            self.header = self._decoder(next(lines, "")).header

    def events(self) -> Iterator[Event]:
        """From the beginning. A last line that is not finished is passed over. Raises StoreError."""
        with self._lines() as lines:
            decoder = self._decoder(next(lines, ""))
            for number, line in enumerate(lines, 2):
                try:
                    event = decoder.event(line)
                except RemoteProtocolError as error:
                    if not line.endswith("\n"):
                        return
                    raise StoreError(str(self._path), f"{error} (line {number})") from error
                if event is not None:
                    yield event

    def _decoder(self, line: str) -> Decoder:
        try:
            return Decoder(line)
        except RemoteProtocolError as error:
            raise StoreError(str(self._path), str(error)) from error

    @contextlib.contextmanager
    def _lines(self) -> Iterator[Iterator[str]]:
        try:
            with self._path.open("rb") as file:
                yield (line.decode(errors="replace") for line in iter(lambda: file.readline(MAX_LINE_BYTES), b""))
        except OSError as error:
            raise StoreError(str(self._path), f"cannot be read: {error.strerror}") from error


@dataclass(slots=True)
class _Before:
    """What stands in a file already: so many characters of output, so many other events, up to a time and a position."""

    characters: int = 0
    others: int = 0
    time_s: float = 0.0
    position: int = 0
    complete: bool = False
    until_s: float = -1.0
    """What happened up to then stands in it, as far as that is known."""


class CastFile:
    """A recording of version 3 that follows a session's log. `advance` it now and then; it never raises but at the beginning."""

    def __init__(self, path: Path, reader: LogReader, header: Header, *, plain: bool) -> None:
        """``path`` is there (`create`), and nobody else writes it. Raises StoreError, BlockingIOError while somebody does."""
        self.path = path
        self.broken = ""
        self._account = Account(reader)
        self._narrator = Narrator(plain=plain)
        self._encoder = Encoder(3)
        self._size = header.size
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise StoreError(str(path), f"cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._before = _standing(self._fd)
            self._resume(header)
        except OSError:
            os.close(self._fd)
            raise

    @property
    def complete(self) -> bool:
        """The session's end stands in it."""
        return self._before.complete

    def advance(self, *, final: bool = False) -> bool:
        """Write what has come since; True when there was anything. ``final``: nobody writes the log any more."""
        lines: list[str] = []
        size = 0
        grown = False
        for event in self._events(final=final):
            lines.append(self._line(event))
            size += len(lines[-1])
            if size >= BATCH_BYTES:
                grown = self._write("".join(lines)) or grown
                lines, size = [], 0
            if self.broken:
                return grown
        return self._write("".join(lines)) or grown

    def sync(self) -> None:
        """Have it brought to the disk."""
        with contextlib.suppress(OSError):
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Let others have it."""
        os.close(self._fd)

    def _events(self, *, final: bool) -> Iterator[Event]:
        """What is new to the file."""
        if self.broken or self.complete:
            return
        before = self._before
        for moment in self._account.advance(final=final):
            if moment.time_s <= before.until_s:
                continue
            if isinstance(moment, Entry) and moment.what == "gap" and (before.characters or before.others):
                # The log does not reach back to the file's beginning any more: by time, then, as well as that goes.
                before.characters, before.others, before.until_s = 0, 0, before.time_s
                continue
            for event in self._narrator.tell(moment):
                yield from self._unknown(event)
        if final:
            for event in self._narrator.end():
                yield from self._unknown(event)

    def _unknown(self, event: Event) -> Iterator[Event]:
        """Of an event, what does not stand in the file yet."""
        before = self._before
        if event.code is Code.OUTPUT:
            known = min(before.characters, len(event.data))
            before.characters -= known
            if known < len(event.data):
                yield Event(event.time_s, event.code, event.data[known:])
        elif event.size is not None and event.size == self._size:
            return  # the header says it, or the one before
        else:
            self._size = event.size or self._size
            if before.others:
                before.others -= 1
            else:
                yield event

    def _line(self, event: Event) -> str:
        if event.code is Code.EXIT:
            self._before.complete = True
        return self._encoder.event(event)

    def _resume(self, header: Header) -> None:
        before = self._before
        os.ftruncate(self._fd, before.position)
        if before.position:
            self._encoder.event(Event(before.time_s, Code.MARKER, ""))  # intervals go on from there
        else:
            self._write(self._encoder.header(header))

    def _write(self, text: str) -> bool:
        """Whole lines only, as many as the disk takes: one that is cut off would be none."""
        data = text.encode()
        start, written = self._before.position, 0
        try:
            while written < len(data):
                written += os.pwrite(self._fd, data[written:] if written else data, start + written)
        except OSError as error:
            self.broken = error.strerror or "it cannot be written"
            written = data.rfind(b"\n", 0, written) + 1
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, start + written)
        self._before.position += written
        return written > 0


def create(path: Path) -> None:
    """An empty file that only its owner can read. Raises OSError, FileExistsError where there is one already."""
    os.close(create_private(path))


def _standing(fd: int) -> _Before:
    """What a file of ours holds; of one that is damaged, what stands before that."""
    before = _Before()
    decoder: Decoder | None = None
    with os.fdopen(os.dup(fd), "rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            try:
                if decoder is None:
                    decoder = Decoder(line.decode(errors="replace"))
                    before.position += len(line)
                    continue
                event = decoder.event(line.decode(errors="replace"))
            except RemoteProtocolError:
                break
            before.position += len(line)
            if event is not None:
                before.time_s = event.time_s
                before.complete = event.code is Code.EXIT
                before.characters += len(event.data) if event.code is Code.OUTPUT else 0
                before.others += event.code is not Code.OUTPUT
    return before
