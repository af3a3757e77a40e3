"""Recordings in a directory: put in their place, said again, cut off, bounded; and by several at once."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from codewrap.server.recordingfiles import QUIET_S, NoRoom, OutOfPlace, RecordingFiles, Stored, TooLong
from tests.support.disk import files_ending_at

RUN, OTHER = "0123456789abcdef", "fedcba9876543210"
NOW = 1_700_000_000.0


def files(root: Path, age_s: float | None = None, most_bytes: int | None = None, session_bytes: int = 1000) -> RecordingFiles:
    return RecordingFiles(root / "recordings", age_s, most_bytes, session_bytes)


def put(of: RecordingFiles, at: int, data: bytes, *, name: str = "build", run: str = RUN, last: bool = False) -> Stored:
    return of.put(name, run, "alice", at, data, last=last, now_s=NOW)


def content(of: RecordingFiles, name: str = "build", run: str = RUN) -> bytes:
    stored = of.find(name, run)
    assert stored is not None
    return of.read(stored, 0, 10_000)


def test_pieces_are_put_one_behind_the_other_until_the_last(tmp_path: Path) -> None:
    store = files(tmp_path)
    assert put(store, 0, b"one").ended is False
    done = put(store, 3, b"two", last=True)
    assert (done.name, done.epoch, done.owner, done.opened_at) == ("build", RUN, "alice", int(NOW))
    assert (done.size_bytes, done.ended) == (6, True)
    assert content(store) == b"onetwo"
    assert store.read(done, 2, 2) == b"et"
    assert store.read(done, 6, 2) == b""


def test_a_piece_said_again_changes_nothing_also_behind_it_and_after_the_end(tmp_path: Path) -> None:
    store = files(tmp_path)
    for at, data, last in ((0, b"one", False), (3, b"two", False), (0, b"one", False), (6, b"end", True), (6, b"end", True)):
        put(store, at, data, last=last)
    assert put(store, 3, b"two").ended
    assert content(store) == b"onetwoend"


def test_another_piece_in_a_place_takes_it_and_all_behind(tmp_path: Path) -> None:
    store = files(tmp_path)
    put(store, 0, b"one")
    put(store, 3, b"half a pie")
    put(store, 3, b"two")
    assert content(store) == b"onetwo"


def test_what_lies_beyond_the_end_is_refused_with_where_that_is(tmp_path: Path) -> None:
    store = files(tmp_path)
    with pytest.raises(OutOfPlace):
        put(store, 1, b"x")
    assert store.all() == []
    put(store, 0, b"one")
    with pytest.raises(OutOfPlace) as raised:
        put(store, 4, b"x")
    assert (raised.value.size_bytes, raised.value.ended) == (3, False)


def test_nothing_is_added_to_what_has_ended(tmp_path: Path) -> None:
    store = files(tmp_path)
    put(store, 0, b"one", last=True)
    for at in (0, 3):
        with pytest.raises(OutOfPlace) as raised:
            put(store, at, b"more")
        assert raised.value.ended
    assert content(store) == b"one"


def test_a_recording_grows_to_its_bound_and_no_further(tmp_path: Path) -> None:
    store = files(tmp_path, session_bytes=5)
    put(store, 0, b"12345")
    with pytest.raises(TooLong):
        put(store, 5, b"6")


def test_files_and_directories_are_private_and_links_are_not_followed(tmp_path: Path) -> None:
    store = files(tmp_path)
    path = put(store, 0, b"one").path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path.parent.parent)} == {0o700}
    target = tmp_path / "elsewhere"
    target.write_bytes(b"precious")
    path.unlink()
    path.symlink_to(target)
    with pytest.raises(NoRoom):
        put(store, 0, b"overwritten")
    assert target.read_bytes() == b"precious"


def test_the_newest_comes_first_and_only_what_is_reached(tmp_path: Path) -> None:
    store = files(tmp_path)
    for age_s, name, run in ((30, "build", RUN), (10, "build", OTHER), (20, "deploy", RUN)):
        moment = time.time() - age_s
        os.utime(put(store, 0, b"x", name=name, run=run).path, (moment, moment))
    assert [(each.name, each.epoch) for each in store.all()] == [("build", OTHER), ("deploy", RUN), ("build", RUN)]
    assert [each.name for each in store.all(lambda name: name == "deploy")] == ["deploy"]
    assert [each.epoch for each in store.of("build")] == [OTHER, RUN]
    assert store.find("build", "0" * 16) is None
    assert store.of("nothing") == []


def test_strange_names_in_the_directory_are_passed_over(tmp_path: Path) -> None:
    store = files(tmp_path)
    path = put(store, 0, b"x").path
    (path.parent / "notes.txt").write_text("x")
    (path.parent.parent / "UPPER").mkdir()
    (path.parent.parent / "file").write_text("x")
    assert [each.path for each in store.all()] == [path]


def test_deleting_removes_all_of_it_and_twice_is_no_error(tmp_path: Path) -> None:
    store = files(tmp_path)
    stored = put(store, 0, b"x", last=True)
    store.delete(stored)
    store.delete(stored)
    assert store.all() == []
    assert store.read(stored, 0, 5) == b""
    assert list((tmp_path / "recordings").iterdir()) == []


def test_who_reads_is_not_disturbed_by_the_end(tmp_path: Path) -> None:
    store = files(tmp_path)
    before = put(store, 0, b"one")
    put(store, 3, b"two", last=True)
    assert store.read(before, 3, 10) == b"two"


def aged(store: RecordingFiles, name: str, size: int, age_s: float, *, last: bool) -> None:
    moment = NOW - age_s
    os.utime(put(store, 0, b"x" * size, name=name, last=last).path, (moment, moment))


def test_what_is_too_old_goes_also_where_it_never_ended(tmp_path: Path) -> None:
    store = files(tmp_path, age_s=100)
    for name, age_s, last in (("old", 100, True), ("lost", 101, False), ("young", 99, True)):
        aged(store, name, 10, age_s, last=last)
    deleted, left = store.clean_up(NOW)
    assert ({each.name for each in deleted}, left) == ({"old", "lost"}, 10)
    assert [each.name for each in store.all()] == ["young"]


def test_of_too_much_the_oldest_goes_but_nothing_that_may_run(tmp_path: Path) -> None:
    store = files(tmp_path, most_bytes=25)
    for name, age_s, last in (("lost", QUIET_S + 5, False), ("running", 500, False), ("first", 400, True), ("second", 300, True)):
        aged(store, name, 10, age_s, last=last)
    deleted, left = store.clean_up(NOW)
    assert ([each.name for each in deleted], left) == (["lost", "first"], 20)
    assert {each.name for each in store.all()} == {"running", "second"}


def test_a_full_disk_takes_all_of_a_piece_or_nothing(tmp_path: Path) -> None:
    store = files(tmp_path, session_bytes=1 << 20)
    put(store, 0, b"one")
    with files_ending_at(1000), pytest.raises(NoRoom):
        put(store, 3, b"x" * 2000)
    assert content(store) == b"one"
    with files_ending_at(0), pytest.raises(NoRoom):
        put(store, 0, b"x", name="another")
    assert [each.name for each in store.all()] == ["build"]
    put(store, 3, b"two", last=True)
    assert content(store) == b"onetwo"


def test_several_processes_put_pieces_of_one_recording_without_harm(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from codewrap.server.recordingfiles import RecordingFiles\n"
        "store = RecordingFiles(Path(sys.argv[1]), None, None)\n"
        "for at in range(200): store.put('build', '0123456789abcdef', 'alice', at * 10, b'%010d' % at, last=False, now_s=at)\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "recordings")]) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    store = files(tmp_path)
    assert len(store.all()) == 1
    assert content(store) == b"".join(b"%010d" % at for at in range(200))


def test_deleting_beside_putting_ends_in_one_or_the_other(tmp_path: Path) -> None:
    store = files(tmp_path, session_bytes=1 << 20)
    failed: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(200):
                put(store, 0, b"x")
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        for stored in store.all():
            store.delete(stored)
    thread.join()
    assert failed == []
    assert content(store) == b"x" if store.all() else True


def test_ten_thousand_are_listed_without_opening_one(tmp_path: Path) -> None:
    store = files(tmp_path)
    for number in range(10_000):
        directory = tmp_path / "recordings" / f"session-{number}"
        directory.mkdir(mode=0o700)
        path = directory / f"{number:016x}.1700000000.alice.ended"
        path.touch()
        path.chmod(0)  # whoever may list need not be able to read
    found = store.all()
    assert len(found) == 10_000
    assert {(each.owner, each.ended, each.size_bytes) for each in found} == {("alice", True, 0)}
