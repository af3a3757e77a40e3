"""Reads an audit log: `verify` says whether the chain is whole or where it breaks, `AuditReader` gives the lines to show.

Needs no more than permission to read, and waits for no writer: a log is looked at as far as it reached at the start.
What cannot be found without a head that was kept elsewhere: lines cut off at the end (and then what else was made of the
log by somebody who computed the whole chain anew: the hashes have no key).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from codewrap.errors import StoreError
from codewrap.store import auditlines
from codewrap.store.audit import EMPTY, Head, take_lock
from codewrap.store.auditlines import DAMAGED, HEADER, LOST, MAX_LINE_BYTES, NO_HASH, TORN, Record, may_be_unfinished, parse

_LOCK_WAIT_S = 2.0
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Break:
    """Where a log is not as it was written: ``line`` (from 1; 0 the file as a whole) of ``file``, and why."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.why}" if self.line else f"{self.file}: {self.why}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``problem`` is the first thing wrong, None where all that is there holds together.

    ``first_seq`` is above 1 where older files are gone. ``torn`` lines were left unfinished by killed writers, ``lost`` ones
    never written (the log says so itself); ``unfinished_bytes`` stand behind the last line and are covered by nothing.
    """

    files: int
    lines: int
    first_seq: int
    head: Head
    torn: int = 0
    lost: int = 0
    unfinished_bytes: int = 0
    problem: Break | None = None


class _Line(NamedTuple):
    """``end`` is where the next one begins; ``ended`` whether there is a newline."""

    number: int
    text: bytes
    end: int
    ended: bool = True


def verify(path: Path, expected_head: Head | None = None) -> Verdict:
    """Check the log in the directory ``path``, or one file of a log. Raises StoreError where it cannot be read.

    ``expected_head`` is a line that must be in it, as `AuditLog.head` or an earlier verdict had it.
    """
    with contextlib.ExitStack() as opened:
        try:
            parts = _open_parts(path, opened)
            return _Verification(parts, expected_head, alone=not path.is_dir()).run()
        except OSError as error:
            raise StoreError(str(path), f"the audit log cannot be read: {error.strerror}") from error


class _Part(NamedTuple):
    """One file of the log, as far as it reached when it was opened."""

    path: Path
    number: int | None
    fd: int
    size: int

    def lines(self, start: int = 0) -> Iterator[_Line]:
        """Behind byte ``start``; none longer than a line can be: what is, comes in pieces that are no lines."""
        position, number, rest, end = start, 0, b"", start
        while position < self.size:
            block = os.pread(self.fd, min(_READ_BYTES, self.size - position), position)
            if not block:
                break
            position += len(block)
            *whole, rest = (rest + block).split(b"\n")
            for text in whole:
                number, end = number + 1, end + len(text) + 1
                yield _Line(number, text, end)
            if len(rest) > MAX_LINE_BYTES:
                number, end = number + 1, end + len(rest)
                yield _Line(number, rest, end)
                rest = b""
        if rest:
            yield _Line(number + 1, rest, end, ended=False)


def _open_parts(path: Path, opened: contextlib.ExitStack) -> list[_Part]:
    if not path.is_dir():
        name = path.name.removesuffix(".jsonl")
        return [_open_part(path, int(name) if name.isascii() and name.isdigit() else None, opened)]
    directory_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(BlockingIOError):  # held by somebody who was stopped: then a line may be seen unfinished
            take_lock(directory_fd, fcntl.LOCK_SH, _LOCK_WAIT_S)
        return [_open_part(path / auditlines.file_name(number), number, opened) for number in auditlines.file_numbers(path)]
    finally:
        os.close(directory_fd)


def _open_part(path: Path, number: int | None, opened: contextlib.ExitStack) -> _Part:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    opened.callback(os.close, fd)
    return _Part(path, number, fd, os.fstat(fd).st_size)


class _Broken(Exception):
    """The first thing wrong was found."""

    def __init__(self, part: _Part, line: int, why: str) -> None:
        super().__init__(why)
        self.found = Break(part.path.name, line, why)


class _Verification:
    """One walk along the chain."""

    def __init__(self, parts: list[_Part], expected: Head | None, *, alone: bool) -> None:
        self._parts = parts
        self._expected = expected
        self._alone = alone
        self._head: Head | None = None
        self._first_seq = 1
        self._lines = self._torn = self._lost = self._unfinished = 0
        self._oldest = 1

    def run(self) -> Verdict:
        problem = None
        try:
            for part in self._parts:
                self._file(part)
            if self._parts:
                self._check_ends()
            else:
                problem = Break("the log", 0, "removed: none of its files is there")
        except _Broken as broken:
            problem = broken.found
        return Verdict(
            len(self._parts),
            self._lines,
            self._first_seq,
            self._head or EMPTY,
            self._torn,
            self._lost,
            self._unfinished,
            problem,
        )

    def _file(self, part: _Part) -> None:
        first = True
        for line, record in self._records(part):
            if first:
                self._check_header(part, record)
            elif record.event == HEADER:
                raise _Broken(part, line.number, f"reordered: here begins {auditlines.file_name(record.fields['file'])}")
            first = False
            self._follow(part, line, record)
        if first and part is not self._parts[-1]:
            raise _Broken(part, 0, "removed: none of its lines is there")

    def _records(self, part: _Part) -> Iterator[tuple[_Line, Record]]:
        """The lines, each whole in itself; what killed writers left is taken out."""
        lines = part.lines()
        for line in lines:
            is_end = not line.ended and part is self._parts[-1]
            record = parse(line.text) if line.ended or is_end else None
            if record is None and is_end and may_be_unfinished(line.text):
                self._unfinished = len(line.text)
            elif record is None:
                yield self._behind_torn(part, line, next(lines, None))
            elif record.event in {TORN, DAMAGED}:
                raise _Broken(part, line.number, "removed: what this line speaks of should stand before it")
            else:
                yield line, record

    def _behind_torn(self, part: _Part, line: _Line, behind: _Line | None) -> tuple[_Line, Record]:
        """The marker behind a line that a killed writer left unfinished; anything else is a break."""
        marker = parse(behind.text) if behind is not None and behind.ended else None
        if behind is not None and marker is not None and self._continues(marker):
            told = {name: marker.fields.get(name) for name in ("bytes", "digest")}
            if marker.event not in {TORN, DAMAGED}:
                raise _Broken(part, line.number, "inserted: no line of this log, and the next one follows from the one before")
            if told == auditlines.torn_fields(line.text) and may_be_unfinished(line.text):
                self._torn += 1
                return behind, marker
        raise _Broken(part, line.number, "altered: its hash is not that of what it says")

    def _check_header(self, part: _Part, record: Record) -> None:
        number, oldest = record.fields.get("file"), record.fields.get("oldest")
        if record.event != HEADER or not isinstance(number, int) or not isinstance(oldest, int):
            if self._continues(record):
                raise _Broken(part, 1, "removed: the file's first line is not there")
            return
        if part.number is not None and number != part.number:
            raise _Broken(part, 1, f"reordered: this is file {auditlines.file_name(number)}")
        if number == 1 and record.seq != 1:
            raise _Broken(part, 1, f"removed: this is line {record.seq} of the log, and its first file begins with line 1")
        if record.fields.get("v") != auditlines.FORMAT:
            raise _Broken(part, 1, "this log is of another version of codewrap")
        self._oldest = oldest

    def _continues(self, record: Record) -> bool:
        if self._head is not None:
            return record.seq == self._head.seq + 1 and record.prev == self._head.hash
        return record.seq > 1 or record.prev == NO_HASH  # what came before it is not here to be compared

    def _follow(self, part: _Part, line: _Line, record: Record) -> None:
        if not self._continues(record):
            raise _Broken(part, line.number, self._why(record, part, line))
        if self._head is None:
            self._first_seq = record.seq
            self._check_expected(part, 0, Head(record.seq - 1, record.prev))
        self._head = Head(record.seq, record.hash)
        self._check_expected(part, line.number, self._head)
        self._lines += 1
        if record.event == LOST and isinstance(lines := record.fields.get("lines"), int):
            self._lost += lines

    def _check_expected(self, part: _Part, line: int, head: Head) -> None:
        if self._expected is not None and head.seq == self._expected.seq and head.hash != self._expected.hash:
            raise _Broken(part, line, f"altered: line {head.seq} of the log was another one when its head was noted")

    def _why(self, record: Record, part: _Part, line: _Line) -> str:
        seq = self._head.seq + 1 if self._head is not None else 1
        if record.seq < seq:
            return f"inserted: line {record.seq} of the log, which has its place before, again or in another form"
        if record.seq == seq:
            return f"altered: it does not follow from the line before (line {seq - 1} of the log, or what it was)"
        if (found := self._later(part, line, seq)) is not None:
            return f"reordered: line {seq} of the log belongs here, which stands in {found}"
        until = "" if record.seq == seq + 1 else f" to {record.seq - 1}"
        return f"removed: line {seq}{until} of the log should stand before it"

    def _later(self, part: _Part, line: _Line, seq: int) -> str | None:
        """Where behind ``line`` the log's line ``seq`` stands."""
        for other in self._parts[self._parts.index(part) :]:
            for later in other.lines():
                found = parse(later.text) if other is not part or later.number > line.number else None
                if found is not None and found.seq == seq and self._continues(found):
                    return f"{other.path.name}, line {later.number}"
        return None

    def _check_ends(self) -> None:
        first, last = self._parts[0], self._parts[-1]
        if not self._alone and first.number is not None and first.number > self._oldest:
            raise _Broken(first, 0, f"removed: {auditlines.file_name(self._oldest)} should be there before it")
        expected, head = self._expected, self._head or EMPTY
        if expected is None:
            return
        if expected.seq > head.seq:
            raise _Broken(last, 0, f"truncated: the log ends at its line {head.seq}, and line {expected.seq} was known")
        if expected.seq < self._first_seq - 1:
            why = f"the log begins at its line {self._first_seq} now: whether line {expected.seq} was in it cannot be told"
            raise _Broken(first, 0, why)


class AuditReader:
    """The lines of the log at ``path`` (its directory, or one file), in order; each `read` gives those that came meanwhile.

    Shows what there is, also where the chain is broken: a line that is no JSON comes as an event `unreadable`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0
        self._position = 0

    def read(self) -> Iterator[dict[str, Any]]:
        """Raises StoreError."""
        with contextlib.ExitStack() as opened:
            try:
                for part in _open_parts(self._path, opened):
                    yield from self._lines(part)
            except OSError as error:
                raise StoreError(str(self._path), f"the audit log cannot be read: {error.strerror}") from error

    def _lines(self, part: _Part) -> Iterator[dict[str, Any]]:
        number = part.number or 0
        if number < self._number:
            return
        if number > self._number:
            self._number, self._position = number, 0
        for line in part.lines(self._position):
            if line.ended:  # one that is not is read when it is
                self._position = line.end
                yield _members(line.text)


def _members(line: bytes) -> dict[str, Any]:
    try:
        members = json.loads(line)
    except (ValueError, RecursionError):
        members = None
    return members if isinstance(members, dict) else {"event": "unreadable", "bytes": len(line)}
