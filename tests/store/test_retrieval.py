"""Which sessions wrote a text: with the catalog, without it, and with one that is wrong."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from codewrap.protocol.wanted import Wanted
from codewrap.store import sessionfile
from codewrap.store.archive import Archive, Kept
from codewrap.store.catalog import Catalog
from codewrap.store.pages import HEAD_BYTES, TAIL_BYTES
from codewrap.store.retrieval import Found, Retrieval, Scope, forget, remember
from tests.support.disk import files_ending_at
from tests.support.kept import BEGAN_AT, ended, lost, of_this_process


class Searched:
    """One directory of sessions, and how it is searched."""

    def __init__(self, directory: Path) -> None:
        self.sessions = directory / "sessions"
        self.sessions.mkdir(parents=True, mode=0o700)
        self.catalog = Catalog(self.sessions)
        self.read = 0
        """How many logs the last search had to read."""
        self.cut: set[str] = set()

    def search(self, text: str, regex: bool = False, **scope: object) -> list[Found]:
        self.read = 0
        wanted = Wanted(text, regex=regex)
        retrieval = Retrieval(Archive(self.sessions), self.catalog, wanted, Scope(**scope), self._reads)  # type: ignore[arg-type]
        found = retrieval.run()
        self.cut = retrieval.cut
        return found

    def names(self, text: str, **scope: object) -> list[str]:
        return [found.kept.name for found in self.search(text, **scope)]  # type: ignore[arg-type]

    def known(self) -> set[str]:
        with self.catalog.reading() as shelf:
            return set() if shelf is None else set(shelf.known())

    def _reads(self, logs: int) -> None:
        self.read = logs


@pytest.fixture
def here(tmp_path: Path) -> Searched:
    return Searched(tmp_path)


def test_what_is_found_comes_newest_first_with_its_lines(here: Searched) -> None:
    ended(here.sessions, "old", output=b"needle one\r\n", started_at=BEGAN_AT)
    ended(here.sessions, "new", output=b"no\r\na \x1b[1mneedle\x1b[0m and a needle\r\n", started_at=BEGAN_AT + 100)
    ended(here.sessions, "other", output=b"nothing\r\n", started_at=BEGAN_AT + 50)
    for _ in range(2):
        found = here.search("needle")
        assert [(each.kept.name, each.count, each.is_newest) for each in found] == [("new", 1, True), ("old", 1, True)]
        (hit,) = found[0].hits
        assert (hit.time_s, hit.line, hit.spans) == (0.5, "a needle and a needle", ((2, 8), (15, 21)))


def test_a_session_is_read_once_and_then_known(here: Searched) -> None:
    kept = ended(here.sessions, "build")
    assert (here.names("hello"), here.read) == (["build"], 1)
    assert (here.names("hello"), here.read) == (["build"], 0)
    assert (here.names("nothing of it"), here.read) == ([], 0)
    assert here.known() == {kept.epoch}


def test_what_runs_is_read_each_time_and_never_put_in(here: Searched) -> None:
    lost(here.sessions, "now", output=b"so far\r\n", started_at=time.time(), **of_this_process())
    assert (here.names("so far"), here.read) == (["now"], 1)
    assert (here.names("so far"), here.read) == (["now"], 1)
    assert here.known() == set()


def test_what_a_lost_session_wrote_is_found_also_when_there_is_more_of_it(here: Searched) -> None:
    kept = lost(here.sessions, "gone", output=b"first\r\n")
    assert (here.names("first"), here.known()) == (["gone"], {kept.epoch})
    with (kept.directory / "output").open("ab") as output:
        output.write(b"second\r\n")
    assert (here.names("second"), here.read) == (["gone"], 1)
    assert (here.names("second"), here.read) == (["gone"], 0)
    assert [found.count for found in here.search("first")] == [1]


def test_a_session_that_was_not_to_be_recorded_is_not_in_it(here: Searched) -> None:
    ended(here.sessions, "secret", kept=False, output=b"hush\r\n")
    running = lost(here.sessions, "running", kept=False, output=b"hush\r\n", **of_this_process())
    remember(running.directory)
    assert (here.names("hush"), here.known()) == ([], set())
    assert not here.catalog.directory.exists() or not any(
        b"hush" in path.read_bytes() for path in here.catalog.directory.iterdir()
    )


def test_a_session_that_cannot_say_whether_it_is_to_be_kept_is_searched_and_not_put_in(here: Searched) -> None:
    kept = ended(here.sessions, "torn")
    (kept.directory / sessionfile.FILE_NAME).write_bytes(bytes(300))
    remember(kept.directory)
    assert (here.names("hello"), here.read, here.known()) == (["torn"], 1, set())


def test_a_session_is_put_in_at_its_end(here: Searched) -> None:
    kept = lost(here.sessions, "build", **of_this_process())
    remember(kept.directory)
    assert here.known() == set()  # it has not ended
    with (kept.directory / "timeline").open("ab") as timeline:
        timeline.write(b'[2.0,7,"exit",0,null]\n')
    remember(kept.directory)
    assert here.known() == {kept.epoch}
    assert (here.names("hello"), here.read) == (["build"], 0)


def test_a_renamed_session_is_found_by_its_new_name(here: Searched) -> None:
    kept = ended(here.sessions, "before")
    assert here.names("hello") == ["before"]
    Archive(here.sessions).rename(kept, "after")
    assert (here.names("hello"), here.read) == (["after"], 0)
    assert here.names("hello", name="bef*") == []


def test_what_is_deleted_is_not_found_and_leaves_the_catalog(here: Searched) -> None:
    gone, stays = ended(here.sessions, "gone"), ended(here.sessions, "stays")
    assert sorted(here.names("hello")) == ["gone", "stays"]
    Archive(here.sessions).delete(gone)
    assert (here.names("hello"), here.known()) == (["stays"], {stays.epoch})
    Archive(here.sessions).delete(stays)
    forget([stays])
    assert here.known() == set()


def test_of_a_name_the_newest_is_told_from_the_others(here: Searched) -> None:
    ended(here.sessions, "build", started_at=BEGAN_AT)
    ended(here.sessions, "build", started_at=BEGAN_AT + 5)
    for _ in range(2):
        assert [found.is_newest for found in here.search("hello")] == [True, False]
    ended(here.sessions, "build", kept=False, started_at=BEGAN_AT + 10)  # NAME is this one now
    assert [found.is_newest for found in here.search("hello")] == [False, False]


def test_names_are_chosen_by_pattern(here: Searched) -> None:
    for name in ("build-1", "build-2", "test-1"):
        ended(here.sessions, name)
    assert sorted(here.names("hello", name="build-*")) == ["build-1", "build-2"]
    assert here.read == 2
    assert here.names("hello", name="*-1") != []


def test_only_lines_since_a_moment_count(here: Searched) -> None:
    now = time.time()
    ended(here.sessions, "old", started_at=now - 1000, at=now - 900)
    kept = ended(here.sessions, "long", output=b"early needle\r\n", started_at=now - 1000, at=now)
    log_more(kept, 990.0, b"late needle\r\n")
    for _ in range(2):
        (found,) = here.search("needle", since=now - 60)
        assert [hit.line for hit in found.hits] == ["late needle"]
        assert here.names("hello", since=now - 60) == []
    assert here.names("hello", since=now - 2000) == ["old"]


def log_more(kept: Kept, at: float, data: bytes) -> None:
    """The command writes on."""
    offset = (kept.directory / "output").stat().st_size
    with (kept.directory / "timeline").open("ab") as timeline, (kept.directory / "output").open("ab") as output:
        timeline.write(f'[{at},{offset},"stdout"]\n'.encode())
        output.write(data)


def test_so_many_sessions_and_lines_and_no_more(here: Searched) -> None:
    for number in range(6):
        ended(here.sessions, f"s{number}", output=b"needle\r\n" * 9, started_at=BEGAN_AT + number)
    for _ in range(3):
        found = here.search("needle", most_sessions=3, most_lines=4)
        assert [(each.kept.name, each.count, len(each.hits)) for each in found] == [("s5", 9, 4), ("s4", 9, 4), ("s3", 9, 4)]
    ended(here.sessions, "newer", output=b"needle\r\n", started_at=BEGAN_AT + 100)
    assert here.names("needle", most_sessions=3) == ["newer", "s5", "s4"]
    assert here.names("needle") == ["newer", "s5", "s4", "s3", "s2", "s1", "s0"]


def test_of_very_long_output_it_is_said_that_not_all_was_searched(here: Searched) -> None:
    output = b"first\n" + b"x" * HEAD_BYTES + b"\nlost\n" + b"y" * TAIL_BYTES + b"\nlast\n"
    ended(here.sessions, "long", output=output)
    for _ in range(2):
        (found,) = here.search("last")
        assert found.left_out == len(output) - HEAD_BYTES - TAIL_BYTES
        assert (here.names("lost"), here.cut) == ([], {"long"})


def test_expressions_are_searched_with_and_without_the_catalog(here: Searched) -> None:
    ended(here.sessions, "build", output=b"took 17 seconds\r\n17\r\n")
    for _ in range(2):
        assert [hit.line for hit in here.search(r"^\d+$", regex=True)[0].hits] == ["17"]
        assert [hit.line for hit in here.search(r"took \d+ sec", regex=True)[0].hits] == ["took 17 seconds"]
        assert here.search(r"took \d{3}", regex=True) == []


def _deleted(path: Path) -> None:
    shutil.rmtree(path)


def _garbage(path: Path) -> None:
    (path / "index").write_bytes(os.urandom(20_000))


def _file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("in its place")


def _unnoticed_garbage(path: Path) -> None:
    """As if the disk had lost it: the file's time and size say nothing."""
    status = (path / "index").stat()
    with (path / "index").open("r+b") as index:
        for at in range(0, status.st_size, 1024):
            index.seek(at + 100)
            index.write(os.urandom(600))
    os.utime(path / "index", ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("spoil", [_deleted, _garbage, _file, _unnoticed_garbage])
def test_without_a_sound_catalog_the_same_is_found(here: Searched, spoil: object) -> None:
    for number in range(5):
        ended(here.sessions, f"s{number}", output=b"needle\r\n" if number != 3 else b"nothing\r\n", started_at=BEGAN_AT + number)
    assert here.names("needle") == ["s4", "s2", "s1", "s0"]
    spoil(here.catalog.directory)  # type: ignore[operator]
    assert here.names("needle") == ["s4", "s2", "s1", "s0"]
    assert here.read == 5
    assert here.names("needle") == ["s4", "s2", "s1", "s0"]
    assert here.read == (5 if spoil is _file else 0)


def test_a_python_without_sqlite_finds_the_same(here: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(here.sessions, "build")
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    assert here.names("hello") == ["build"]


@pytest.mark.parametrize("room", [0, 50, 10_000])
def test_on_a_full_disk_the_same_is_found(here: Searched, room: int) -> None:
    for number in range(5):
        ended(here.sessions, f"s{number}", output=b"needle\r\n" * 2000, started_at=BEGAN_AT + number)
    names = ["s4", "s3", "s2", "s1", "s0"]
    with files_ending_at(room):
        first, second = here.names("needle"), here.names("needle")
    assert (first, second) == (names, names)
    assert (here.names("needle"), here.read) == (names, 5)
    assert (here.names("needle"), here.read) == (names, 0)


def test_a_disk_that_fills_up_leaves_what_was_known(here: Searched) -> None:
    ended(here.sessions, "first")
    assert here.names("hello") == ["first"]
    ended(here.sessions, "second", output=b"".join(b"%d needle\r\n" % number for number in range(50_000)))
    with files_ending_at((here.catalog.directory / "index").stat().st_size):
        assert here.names("needle") == ["second"]
    assert (here.names("hello"), here.read) == (["first"], 1)


def test_a_session_whose_log_cannot_be_read_hides_no_other(here: Searched) -> None:
    broken, _ = ended(here.sessions, "broken"), ended(here.sessions, "sound")
    (broken.directory / "output").unlink()
    assert here.names("hello") == ["sound"]


def test_where_no_session_ever_was_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    sessions = tmp_path / "state" / "sessions"
    assert Retrieval(Archive(sessions), Catalog(sessions), Wanted("x"), Scope(), lambda _: None).run() == []
