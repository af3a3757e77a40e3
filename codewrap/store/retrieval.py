"""Which kept sessions wrote a text: by the catalog where it knows a session, by its log where it does not.

Whatever is wrong with the catalog costs time alone: what is found is the same without it.
"""

from __future__ import annotations

import contextlib
import fnmatch
import math
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from codewrap.errors import StoreError
from codewrap.protocol.wanted import Wanted
from codewrap.store.archive import Archive, Fate, Kept
from codewrap.store.catalog import Catalog, Known, Shelf
from codewrap.store.pages import Page, read_pages

# So much is written into the catalog at once: who breaks off loses no more.
_BATCH_SESSIONS: Final = 200
_BATCH_PAGES: Final = 160


@dataclass(frozen=True, slots=True)
class Hit:
    """A line with what is looked for; ``time_s`` since the session began, ``spans`` where in it."""

    time_s: float
    line: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look: names like ``name``, what was written at ``since`` or later. How many to bring: sessions, lines of each."""

    name: str = "*"
    since: float | None = None
    most_sessions: int = 50
    most_lines: int = 5


@dataclass(slots=True)
class Found:
    """A session with its first lines; ``count``: of all. ``left_out``: bytes of its output that were not searched."""

    kept: Kept
    is_newest: bool
    """Of its name."""
    left_out: int = 0
    hits: list[Hit] = field(default_factory=list)
    count: int = 0

    def look(self, wanted: Wanted, pages: Iterable[Page], scope: Scope) -> None:
        """Take up what is in these pages."""
        since_s = -math.inf if scope.since is None else scope.since - begun(self.kept)
        for page in pages:
            if not wanted.may_be_in(page.text):
                continue
            for time_s, line in page.lines():
                if time_s < since_s or (spans := wanted.spans(line)) is None:
                    continue
                self.count += 1
                if len(self.hits) < scope.most_lines:
                    self.hits.append(Hit(time_s, line, tuple(spans)))


@dataclass(frozen=True, slots=True)
class _Place:
    """One session. ``kept``: where the catalog does not know it, and it has to be read."""

    name: str
    epoch: str
    started_at: float
    left_out: int = 0
    kept: Kept | None = None


class Retrieval:
    """One search. ``reads`` is told how many logs have to be read for it."""

    def __init__(self, archive: Archive, catalog: Catalog, wanted: Wanted, scope: Scope, reads: Callable[[int], None]) -> None:
        self._archive = archive
        self._catalog = catalog
        self._wanted = wanted
        self._scope = scope
        self._reads = reads
        self.cut: set[str] = set()
        """Names of those sessions in scope of whose output the middle was not searched."""
        self._newest: dict[str, str] = {}
        self._found: dict[str, Found] = {}

    def run(self) -> list[Found]:
        """The sessions that have it, the newest first. Raises StoreError where the directory of sessions cannot be read."""
        with contextlib.suppress(_Unreliable):
            return self._run(*self._known())
        self._found.clear()  # what the catalog did not name may have it just as well
        return self._run({}, {})

    def _run(self, known: dict[str, Known], candidates: dict[str, list[int]]) -> list[Found]:
        listed = self._archive.named()  # after: what the catalog knew by then is there, or gone
        places = self._places(listed, known)
        self._read([place for place in places if place.kept is not None])
        self._forget(known.keys() - {epoch for _, epoch in listed})
        self._look_up([place for place in places if place.kept is None and place.epoch in candidates], candidates)
        found = [self._found[place.epoch] for place in places if place.epoch in self._found]
        return found[: self._scope.most_sessions]

    def _known(self) -> tuple[dict[str, Known], dict[str, list[int]]]:
        with contextlib.suppress(StoreError), self._catalog.reading() as shelf:
            if shelf is not None:
                return shelf.known(), shelf.candidates(self._wanted.trigrams)
        return {}, {}

    def _places(self, listed: set[tuple[str, str]], known: dict[str, Known]) -> list[_Place]:
        """What is in scope, the newest first."""
        names = set(fnmatch.filter({name for name, _ in listed}, self._scope.name))
        places = [self._place(name, epoch, known.get(epoch)) for name, epoch in listed if name in names]
        places.sort(key=lambda place: place.started_at, reverse=True)
        self._newest.clear()
        for place in places:
            self._newest.setdefault(place.name, place.epoch)
            if place.left_out:
                self.cut.add(place.name)
        return [place for place in places if place.kept is None or (place.kept.kept and not self._is_too_old(place.kept))]

    def _is_too_old(self, kept: Kept) -> bool:
        ended, since = kept.ended, self._scope.since
        return since is not None and ended is not None and ended.at is not None and ended.at < since

    def _place(self, name: str, epoch: str, known: Known | None) -> _Place:
        if known is not None and (known.ended or known.size == output_bytes(self._archive.session(name, epoch))):
            return _Place(name, epoch, known.started_at, known.left_out)
        kept = self._archive.session(name, epoch)
        return _Place(name, epoch, begun(kept), kept=kept)

    def _read(self, places: list[_Place]) -> None:
        """The logs themselves, until enough is found; the catalog is told of those that are over."""
        if places:
            self._reads(len(places))
        batch = _Batch(self._catalog)
        for place in places:
            if place.kept is not None:
                self._read_one(place.kept, batch)
            if len(self._found) >= self._scope.most_sessions:
                break
        batch.write()

    def _read_one(self, kept: Kept, batch: _Batch) -> None:
        fate = kept.state.fate  # asked before the log is read: what its host wrote last is in it then
        size = output_bytes(kept)
        try:
            read = read_pages(kept.directory, final=fate is not Fate.RUNNING)
        except StoreError:  # it is gone, or cannot be read: nobody can say what it wrote
            return
        if read.left_out:
            self.cut.add(kept.name)
        self._look(kept, read.left_out, read.pages)
        if fate is not Fate.RUNNING and _is_to_be_kept(kept):
            ended = fate is Fate.ENDED or read.ended
            batch.add(Known(kept.epoch, kept.started_at, size, ended, read.left_out), read.pages)

    def _look_up(self, places: list[_Place], candidates: dict[str, list[int]]) -> None:
        """What the catalog says can have it. Raises _Unreliable."""
        if not places:
            return
        before = len(self._found)
        try:
            with self._catalog.reading() as shelf:
                for place in places:
                    if len(self._found) - before >= self._scope.most_sessions:
                        return
                    self._look_at(shelf, place, candidates[place.epoch])
        except StoreError as error:
            raise _Unreliable from error

    def _look_at(self, shelf: Shelf | None, place: _Place, numbers: list[int]) -> None:
        pages = [None if shelf is None else shelf.page(place.epoch, number) for number in numbers]
        kept = self._archive.session(place.name, place.epoch)
        if None in pages:  # put there anew, or deleted, since they were named
            self._read_one(kept, _Batch(self._catalog))
        else:
            self._look(kept, place.left_out, [page for page in pages if page is not None])

    def _look(self, kept: Kept, left_out: int, pages: list[Page]) -> None:
        found = Found(kept, self._newest.get(kept.name) == kept.epoch, left_out)
        found.look(self._wanted, pages, self._scope)
        if found.count:
            self._found[kept.epoch] = found

    def _forget(self, epochs: Set[str]) -> None:
        with contextlib.suppress(StoreError):
            self._catalog.forget(epochs)


class _Batch:
    """Sessions on their way into the catalog. A catalog that takes nothing is left alone: the next search reads them again."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._waiting: list[tuple[Known, list[Page]]] = []
        self._pages = 0
        self._refused = False

    def add(self, known: Known, pages: list[Page]) -> None:
        """It is over."""
        if self._refused:
            return
        self._waiting.append((known, pages))
        self._pages += len(pages)
        if len(self._waiting) >= _BATCH_SESSIONS or self._pages >= _BATCH_PAGES:
            self.write()

    def write(self) -> None:
        """All that waits."""
        waiting, self._waiting, self._pages = self._waiting, [], 0
        if not waiting:
            return
        try:
            with self._catalog.writing() as shelf:
                for known, pages in waiting:
                    shelf.add(known, pages)
        except StoreError:
            self._refused = True


class _Unreliable(Exception):
    """The catalog failed while it was used."""


def remember(directory: Path) -> None:
    """Take a session that has just ended up into the catalog. Raises StoreError; a search does it then."""
    name, _, epoch = directory.name.rpartition("-")
    kept = Archive(directory.parent).session(name, epoch)
    if not _is_to_be_kept(kept):
        return
    size = output_bytes(kept)
    read = read_pages(directory, final=True)
    if read.ended:
        with Catalog(directory.parent).writing() as shelf:
            shelf.add(Known(epoch, kept.started_at, size, True, read.left_out), read.pages)


def forget(gone: Sequence[Kept]) -> None:
    """These are deleted. Where the catalog cannot be had the next search does it."""
    places = {kept.directory.parent for kept in gone}
    for place in places:
        with contextlib.suppress(StoreError):
            Catalog(place).forget(kept.epoch for kept in gone)


def begun(kept: Kept) -> float:
    """When its time was 0 (Unix time), as far as can be said."""
    return kept.started_at or kept.last_seen()


def output_bytes(kept: Kept) -> int:
    """How much it has written."""
    try:
        return (kept.directory / "output").lstat().st_size
    except OSError:
        return 0


def _is_to_be_kept(kept: Kept) -> bool:
    """It says so itself: a `session.json` that cannot be read might have said otherwise."""
    return bool(kept.facts) and kept.kept
