"""The catalog of what sessions wrote: private, shared, and nothing that anybody would miss."""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from codewrap.errors import StoreError
from codewrap.protocol.wanted import trigrams
from codewrap.store.catalog import TRIGRAM, Catalog, Known
from codewrap.store.pages import Page

NO_SUCH_TOKENIZER = "none such"
FIRST, SECOND = "1" * 16, "2" * 16


def known(epoch: str, ended: bool = True) -> Known:
    return Known(epoch, 1000.0, 5, ended, 0)


def put(catalog: Catalog, epoch: str, *texts: str) -> None:
    with catalog.writing() as shelf:
        shelf.add(known(epoch), [Page(text, ((0, 1.5),)) for text in texts])


def holding(catalog: Catalog, text: str) -> dict[str, list[str]]:
    """The pages that the catalog offers for a text."""
    with catalog.reading() as shelf:
        assert shelf is not None
        found = shelf.candidates(trigrams([text]))
        return {
            epoch: [page.text for number in numbers if (page := shelf.page(epoch, number))] for epoch, numbers in found.items()
        }


def epochs(catalog: Catalog) -> set[str]:
    with catalog.reading() as shelf:
        return set() if shelf is None else set(shelf.known())


@pytest.fixture(params=[TRIGRAM, NO_SUCH_TOKENIZER])
def catalog(tmp_path: Path, request: pytest.FixtureRequest) -> Catalog:
    """With FTS5's trigrams, and as on a machine that lacks them."""
    return Catalog(tmp_path / "sessions", request.param)


@pytest.fixture
def quick(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "sessions")


def test_before_anything_is_written_there_is_nothing(catalog: Catalog) -> None:
    with catalog.reading() as shelf:
        assert shelf is None


def test_what_was_put_in_comes_out_as_it_was(catalog: Catalog) -> None:
    page = Page('Zażółć "gęślą"\njaźń \U0001f980', ((0, 0.25), (1, 61.5)))
    with catalog.writing() as shelf:
        shelf.add(Known(FIRST, 1000.5, 77, True, 12), [page])
    with catalog.reading() as shelf:
        assert shelf is not None
        assert shelf.known() == {FIRST: Known(FIRST, 1000.5, 77, True, 12)}
        ((epoch, (number,)),) = shelf.candidates(trigrams(['"GĘŚLĄ"'])).items()
        assert shelf.page(epoch, number) == page
        assert shelf.page(SECOND, number) is None
        assert shelf.page(epoch, number + 1) is None


def test_pages_are_told_apart_by_what_stands_in_them(quick: Catalog) -> None:
    put(quick, FIRST, "connection refused", "nothing here")
    put(quick, SECOND, "all is well", 'say "CONNECTION" again')
    assert holding(quick, "connection") == {FIRST: ["connection refused"], SECOND: ['say "CONNECTION" again']}
    assert holding(quick, 'say "con') == {SECOND: ['say "CONNECTION" again']}
    assert holding(quick, "refusal") == {}


def test_no_page_that_has_a_text_is_left_out(catalog: Catalog) -> None:
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    texts = ["".join(rng.choice("abAB -*\"'łŁ(€\t\n") for _ in range(200)) for _ in range(30)]
    put(catalog, FIRST, *texts)
    for text in texts:
        at = rng.randrange(150)
        part = text[at : at + rng.randrange(1, 40)]
        assert text in holding(catalog, part)[FIRST], (seed, part)


def test_too_short_a_text_may_be_anywhere(catalog: Catalog) -> None:
    put(catalog, FIRST, "abc", "xyz")
    assert holding(catalog, "a") == {FIRST: ["abc", "xyz"]}


def test_a_session_put_in_again_replaces_what_was_known_of_it(catalog: Catalog) -> None:
    put(catalog, FIRST, "the old text")
    put(catalog, FIRST, "the new text")
    assert holding(catalog, "text") == {FIRST: ["the new text"]}
    assert FIRST not in {epoch: pages for epoch, pages in holding(catalog, "old").items() if "the old text" in pages}


def test_what_is_forgotten_is_not_in_the_file_any_more(catalog: Catalog) -> None:
    marks = [random.Random(seed).randbytes(30).hex() for seed in range(50)]
    put(catalog, FIRST, *marks)
    put(catalog, SECOND, "stays")
    packed = (catalog.directory / "index").read_bytes()
    assert FIRST.encode() in packed
    catalog.forget([FIRST, "3" * 16])
    assert epochs(catalog) == {SECOND}
    assert all(mark not in pages for mark in marks for pages in holding(catalog, mark).values())
    assert FIRST.encode() not in (catalog.directory / "index").read_bytes()
    with sqlite3.connect(catalog.directory / "index") as connection:
        assert connection.execute("SELECT count(*) FROM page").fetchone() == (1,)
    connection.close()


def test_where_nothing_is_left_the_index_goes(catalog: Catalog) -> None:
    put(catalog, FIRST, "text")
    put(catalog, SECOND, "text")
    catalog.forget([FIRST, SECOND])
    assert [path.name for path in catalog.directory.iterdir()] == ["lock"]
    put(catalog, FIRST, "text")
    assert epochs(catalog) == {FIRST}


def test_to_forget_makes_nothing(quick: Catalog) -> None:
    quick.forget([FIRST])
    assert not quick.directory.exists()


def test_files_are_private_whatever_the_umask(quick: Catalog) -> None:
    before = os.umask(0)
    try:
        put(quick, FIRST, "text")
        with quick.writing() as shelf:
            shelf.add(known(SECOND), [Page("more", ())])
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in quick.directory.iterdir()}
    finally:
        os.umask(before)
    assert stat.S_IMODE(quick.directory.stat().st_mode) == 0o700
    assert modes == {"index": 0o600, "index-journal": 0o600, "lock": 0o600}


def test_who_breaks_off_leaves_what_was_there(catalog: Catalog) -> None:
    put(catalog, FIRST, "text")
    with pytest.raises(KeyboardInterrupt), catalog.writing() as shelf:
        shelf.add(known(SECOND), [Page("half", ())])
        raise KeyboardInterrupt
    assert epochs(catalog) == {FIRST}


def _killed(sessions: Path) -> None:
    with Catalog(sessions).writing() as shelf:
        shelf.add(known(SECOND), [Page("half" * 100_000, ())])
        os._exit(9)


def test_a_writer_that_is_killed_costs_what_it_wrote_alone(quick: Catalog) -> None:
    put(quick, FIRST, "text")
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=(quick.directory.with_name("sessions"),))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert holding(quick, "text") == {FIRST: ["text"]}
    put(quick, SECOND, "text too")
    assert epochs(quick) == {FIRST, SECOND}


def _garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _emptied(path: Path) -> None:
    os.truncate(path, 0)


def _torn(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data), 1000):
        data[at : at + 300] = bytes(300)
    path.write_bytes(data)


def _another_database(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE session(other)")
    connection.close()


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _deleted(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("spoil", [_garbage, _cut, _emptied, _torn, _another_database, _link, _deleted])
@pytest.mark.parametrize("lock_too", [False, True])
def test_what_somebody_else_did_to_the_index_is_noticed_and_it_is_made_anew(
    catalog: Catalog, spoil: object, lock_too: bool
) -> None:
    put(catalog, FIRST, *("some text" * 1000 for _ in range(20)))
    spoil(catalog.directory / "index")  # type: ignore[operator]
    if lock_too:
        (catalog.directory / "lock").unlink()
    assert epochs(catalog) == set()
    put(catalog, SECOND, "text")
    assert holding(catalog, "text") == {SECOND: ["text"]}
    assert not (catalog.directory / "index").is_symlink()


@pytest.mark.parametrize("spoil", [_garbage, _torn, _another_database])
def test_damage_that_nobody_saw_coming_is_an_error_and_the_end_of_the_index(catalog: Catalog, spoil: object) -> None:
    texts = [random.Random(seed).randbytes(3000).hex() for seed in range(20)]
    put(catalog, FIRST, *texts)
    index = catalog.directory / "index"
    spoil(index)  # type: ignore[operator]
    status = index.stat()
    noted = f"1 {status.st_ino} {status.st_size} {status.st_mtime_ns}"
    (catalog.directory / "lock").write_bytes(noted.encode().ljust(100))
    with pytest.raises(StoreError):
        for text in texts:
            assert holding(catalog, text) == {FIRST: [text]}
        put(catalog, FIRST, "text")
    assert epochs(catalog) == set()


def test_a_directory_in_the_place_of_the_index_is_an_error_of_the_store(quick: Catalog) -> None:
    quick.directory.mkdir(mode=0o700)
    (quick.directory / "index").mkdir()
    assert epochs(quick) == set()
    with pytest.raises(StoreError):
        put(quick, FIRST, "text")


def test_a_place_that_cannot_be_written_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    catalog = Catalog(tmp_path / "file" / "sessions")
    with pytest.raises(StoreError):
        put(catalog, FIRST, "text")
    with pytest.raises(StoreError):
        epochs(catalog)


def test_who_waits_too_long_for_another_gives_up(tmp_path: Path) -> None:
    patient, hasty = Catalog(tmp_path / "sessions"), Catalog(tmp_path / "sessions", wait_s=0.05)
    put(patient, FIRST, "text")
    with patient.writing():
        with pytest.raises(StoreError, match="locked"):
            epochs(hasty)
        with pytest.raises(StoreError, match="locked"):
            put(hasty, SECOND, "text")
    with patient.reading():
        assert epochs(hasty) == {FIRST}  # many read
        with pytest.raises(StoreError, match="locked"):
            put(hasty, SECOND, "text")


def test_a_python_without_sqlite_has_no_catalog(quick: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    put(quick, FIRST, "text")
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    with pytest.raises(StoreError, match="no SQLite"):
        put(quick, FIRST, "text")
    with pytest.raises(StoreError, match="no SQLite"):
        epochs(quick)


def _puts(sessions: Path, numbers: Iterable[int]) -> None:
    for number in numbers:
        put(Catalog(sessions), f"{number:016}", f"text of {number}")
        epochs(Catalog(sessions))


def test_many_processes_write_and_read_at_once(quick: Catalog) -> None:
    sessions = quick.directory.with_name("sessions")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_puts, args=(sessions, range(at, 40, 8))) for at in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    assert len(epochs(quick)) == 40
    assert holding(quick, "text of 17") == {f"{17:016}": ["text of 17"]}
