"""The text of kept sessions, to be searched at once: a cache beside them, which may be deleted, damaged or missing at any time.

A directory of its own: ``index`` (SQLite; FTS5 says which pages can have a text at all) and ``lock``, by which one process writes
or many read. What the index was when it was last written stands in ``lock``: one that somebody else changed is thrown away.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codewrap.errors import StoreError
from codewrap.protocol.wanted import folded
from codewrap.store.files import PRIVATE_FILE, create_private, private_directory
from codewrap.store.pages import Page

if TYPE_CHECKING:
    import sqlite3

DIRECTORY: Final = "search"
VERSION: Final = 1
TRIGRAM: Final = "trigram case_sensitive 1"  # what it gets is folded already, by the rules that a search goes by
WAIT_S: Final = 20.0
"""For whoever has the lock. Fifty sessions that end together take turns; who comes too late leaves it to the next search."""
_LOOK_S: Final = 0.01
_WRITING: Final = b"writing"
_NOTE_BYTES: Final = 100
_COMPRESSION: Final = 1  # three times the speed of the usual, and nearly its size
# What says nothing against what is in the index.
_SURROUNDINGS: Final = tuple(
    f"SQLITE_{name}" for name in "FULL BUSY LOCKED READONLY CANTOPEN PERM NOMEM IOERR_WRITE IOERR_FSYNC IOERR_TRUNCATE".split()
)
_SCHEMA: Final = """
CREATE TABLE session(epoch TEXT PRIMARY KEY, started_at REAL, size INTEGER, ended INTEGER, left_out INTEGER) WITHOUT ROWID;
CREATE TABLE page(id INTEGER PRIMARY KEY AUTOINCREMENT, epoch TEXT, text BLOB, times TEXT);
CREATE INDEX page_of ON page(epoch);
"""


@dataclass(frozen=True, slots=True)
class Known:
    """A session in the catalog. ``size``: bytes of its output then; not ``ended``: it was lost, as far as could be known."""

    epoch: str
    started_at: float
    size: int
    ended: bool
    left_out: int


class Catalog:
    """Of the sessions in ``sessions``. ``tokenizer`` is FTS5's; one that this machine lacks costs speed alone."""

    def __init__(self, sessions: Path, tokenizer: str = TRIGRAM, wait_s: float = WAIT_S) -> None:
        self.directory = sessions.with_name(DIRECTORY)
        self._index = self.directory / "index"
        self._tokenizer = tokenizer
        self._wait_s = wait_s

    @contextlib.contextmanager
    def reading(self) -> Iterator[Shelf | None]:
        """What is there; None when there is nothing that can be read. Raises StoreError, and then there is nothing any more."""
        with self._locked(fcntl.LOCK_SH) as lock:
            if not self._is_sound(lock):
                yield None
                return
            with self._translated(), contextlib.closing(_connect(self._index)) as connection:
                yield Shelf(connection)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Shelf]:
        """All that is done in it, or nothing. Raises StoreError."""
        with self._locked(fcntl.LOCK_EX) as lock, self._translated():
            if not self._is_sound(lock):
                self._discard()
            made = not self._index.exists()
            _note(lock, _WRITING)  # who dies from here on leaves what SQLite mends
            if made:
                os.close(create_private(self._index))
            with contextlib.closing(_connect(self._index)) as connection:
                if made:  # it is written at once: not while others read
                    connection.execute("PRAGMA auto_vacuum = FULL")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    if made:
                        _create(connection, self._tokenizer)
                    yield Shelf(connection)
                except BaseException:
                    connection.rollback()
                    raise
                connection.commit()
            _note(lock, _mark(self._index))

    def forget(self, epochs: Iterable[str]) -> None:
        """These are deleted, or to be left out. Nothing is made for that. Raises StoreError."""
        gone = set(epochs)
        if not gone or not self._index.exists():
            return
        with self.writing() as shelf:
            left = shelf.known().keys() - gone
            for epoch in gone if left else ():
                shelf.remove(epoch)
        if not left:  # the whole of it costs no time
            with self._locked(fcntl.LOCK_EX):
                self._discard()

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[int]:
        try:
            fd = self._lock(how)
        except OSError as error:
            raise StoreError(str(self.directory), f"the catalog cannot be locked: {error.strerror}") from error
        try:
            yield fd
        finally:
            os.close(fd)

    def _lock(self, how: int) -> int:
        private_directory(self.directory)
        path = self.directory / "lock"
        deadline = time.monotonic() + self._wait_s
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, PRIVATE_FILE)
            try:
                fcntl.flock(fd, how | fcntl.LOCK_NB)
                with contextlib.suppress(FileNotFoundError):
                    if path.lstat().st_ino == os.fstat(fd).st_ino:  # nobody has deleted it meanwhile
                        return fd
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(fd)
                    raise
                time.sleep(_LOOK_S)
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _is_sound(self, lock: int) -> bool:
        """The index is as one of us left it, or broke off in writing it."""
        try:
            status = self._index.lstat()
        except OSError:
            return False
        noted = os.pread(lock, _NOTE_BYTES, 0).rstrip()
        return stat.S_ISREG(status.st_mode) and noted in (_WRITING, _mark(self._index))

    def _discard(self) -> None:
        for name in ("index", "index-journal", "index-wal", "index-shm"):
            with contextlib.suppress(FileNotFoundError):
                (self.directory / name).unlink()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """What is damaged is thrown away: by who reads it at that very moment, too, for nobody can make use of it."""
        try:
            import sqlite3
        except ImportError as error:
            raise StoreError(str(self.directory), "this Python has no SQLite") from error
        try:
            yield
        except (sqlite3.Error, zlib.error, ValueError) as error:
            if not getattr(error, "sqlite_errorname", "").startswith(_SURROUNDINGS):
                with contextlib.suppress(OSError):
                    self._discard()
            raise StoreError(str(self._index), f"cannot be used: {error}") from error
        except OSError as error:
            raise StoreError(str(self._index), f"cannot be used: {error.strerror}") from error


class Shelf:
    """The catalog while it is open."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'words'").fetchone()
        self.has_words = found is not None
        """Else every page has to be looked at."""

    def known(self) -> dict[str, Known]:
        """Every session that is in it, by epoch."""
        rows = self._connection.execute("SELECT epoch, started_at, size, ended, left_out FROM session")
        return {row[0]: Known(row[0], row[1], row[2], bool(row[3]), row[4]) for row in rows}

    def candidates(self, trigrams: Sequence[str]) -> dict[str, list[int]]:
        """Pages that can have a text in which all ``trigrams`` stand, in order, by epoch."""
        if trigrams and self.has_words:
            match = " AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in trigrams)
            query = (
                "SELECT page.epoch, page.id FROM words JOIN page ON page.id = words.rowid WHERE words MATCH ? ORDER BY page.id"
            )
            rows = self._connection.execute(query, (match,))
        else:
            rows = self._connection.execute("SELECT epoch, id FROM page ORDER BY id")
        found: dict[str, list[int]] = {}
        for epoch, number in rows:
            found.setdefault(epoch, []).append(number)
        return found

    def page(self, epoch: str, number: int) -> Page | None:
        """None: it is gone."""
        query = "SELECT text, times FROM page WHERE id = ? AND epoch = ?"
        row = self._connection.execute(query, (number, epoch)).fetchone()
        return None if row is None else Page(_unpacked(row[0]), tuple((line, time_s) for line, time_s in json.loads(row[1])))

    def add(self, known: Known, pages: Iterable[Page]) -> None:
        """A session with all its text, in the place of what was known of it."""
        self.remove(known.epoch)
        for page in pages:
            packed = zlib.compress(page.text.encode(), _COMPRESSION)
            times = json.dumps(page.times, separators=(",", ":"))
            done = self._connection.execute("INSERT INTO page(epoch, text, times) VALUES(?, ?, ?)", (known.epoch, packed, times))
            if self.has_words:
                self._connection.execute("INSERT INTO words(rowid, text) VALUES(?, ?)", (done.lastrowid, folded(page.text)))
        values = (known.epoch, known.started_at, known.size, known.ended, known.left_out)
        self._connection.execute("INSERT INTO session VALUES(?, ?, ?, ?, ?)", values)

    def remove(self, epoch: str) -> None:
        """Nothing of it is left."""
        for number, packed in self._connection.execute("SELECT id, text FROM page WHERE epoch = ?", (epoch,)).fetchall():
            if self.has_words:
                text = folded(_unpacked(packed))
                self._connection.execute("INSERT INTO words(words, rowid, text) VALUES('delete', ?, ?)", (number, text))
        self._connection.execute("DELETE FROM page WHERE epoch = ?", (epoch,))
        self._connection.execute("DELETE FROM session WHERE epoch = ?", (epoch,))


def _unpacked(packed: bytes) -> str:
    return zlib.decompress(packed).decode()


def _connect(path: Path) -> sqlite3.Connection:
    import sqlite3

    connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    # What is deleted is not to be found in the file any more; what is needed beside it stays in memory.
    for pragma in ("secure_delete = ON", "temp_store = MEMORY", "synchronous = NORMAL"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _create(connection: sqlite3.Connection, tokenizer: str) -> None:
    import sqlite3

    for statement in _SCHEMA.strip().split("\n"):
        connection.execute(statement)
    # detail=none: which page, not where in it. A fifteenth of the room.
    words = f"CREATE VIRTUAL TABLE words USING fts5(text, content='', detail=none, tokenize='{tokenizer}')"
    try:
        connection.execute(words)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname != "SQLITE_ERROR":
            raise
        # A SQLite before 3.34, or one without FTS5.


def _mark(path: Path) -> bytes:
    """By what a file is known to be as it was."""
    status = path.lstat()
    return f"{VERSION} {status.st_ino} {status.st_size} {status.st_mtime_ns}".encode()


def _note(lock: int, what: bytes) -> None:
    """Always of one length: it is written over where a full disk would not let it be written anew."""
    os.pwrite(lock, what.ljust(_NOTE_BYTES), 0)
