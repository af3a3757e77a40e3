"""What a host writes of its session: once at the start, once more at the end; read back whatever became of the file."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from codewrap.errors import StoreError
from codewrap.store import sessionfile
from codewrap.store.sessionfile import FILE_NAME, machine, read, write_end, write_start

FACTS = {"name": "build", "epoch": "00", "command": ["make", "a\udcffb"]}


def test_what_is_known_at_the_start_stands_there_privately(tmp_path: Path) -> None:
    written = write_start(tmp_path, FACTS)
    assert read(str(tmp_path)) == written == {"v": 1, **FACTS, "machine": machine(), "ended": None}
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == [FILE_NAME]


def test_the_end_is_added_to_it(tmp_path: Path) -> None:
    written = write_start(tmp_path, FACTS)
    before = time.time()
    write_end(tmp_path, written, code=None, signal=9, duration_s=1.23456, output_bytes=7)
    read_back = read(str(tmp_path))
    ended = read_back.pop("ended")
    assert read_back | {"ended": None} == written
    assert before <= ended.pop("at") <= time.time()
    assert ended == {"code": None, "signal": 9, "duration_s": 1.235, "output_bytes": 7}


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        write_start(tmp_path / "gone", FACTS)


@pytest.mark.parametrize("command", ["x", "x" * 4000, "x" * 100_000])
def test_the_end_has_its_place_on_a_disk_that_takes_nothing_more(tmp_path: Path, command: str) -> None:
    written = write_start(tmp_path, FACTS | {"command": [command]})
    size = (tmp_path / FILE_NAME).stat().st_size
    (tmp_path / f".{FILE_NAME}.{os.getpid()}").mkdir()  # no file can be made in its place
    write_end(tmp_path, written, code=None, signal=255, duration_s=1e9, output_bytes=2**63, at=1e10 / 3)
    assert read(str(tmp_path))["ended"]["output_bytes"] == 2**63
    assert (tmp_path / FILE_NAME).stat().st_size == size


def test_an_end_that_has_no_place_is_told_and_leaves_what_stands_there(tmp_path: Path) -> None:
    written = write_start(tmp_path, FACTS)
    (tmp_path / f".{FILE_NAME}.{os.getpid()}").mkdir()
    with pytest.raises(StoreError):
        write_end(tmp_path, written | {"more": "x" * 200}, code=0, signal=None, duration_s=1.0, output_bytes=7)
    assert read(str(tmp_path)) == written
    (tmp_path / FILE_NAME).unlink()
    with pytest.raises(StoreError):
        write_end(tmp_path, written, code=0, signal=None, duration_s=1.0, output_bytes=7)
    assert read(str(tmp_path)) == {}


def test_a_command_of_any_length_is_read_back(tmp_path: Path) -> None:
    written = write_start(tmp_path, FACTS | {"command": ["x" * 100_000]})
    assert read(str(tmp_path)) == written


@pytest.mark.parametrize("left", [b"", b"\0" * 300, b"{", b"[1]", b"7", b"[" * 100_000, b"\xff", b'{"name": "build"'])
def test_of_a_file_that_makes_no_sense_nothing_is_known(tmp_path: Path, left: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(left)
    assert read(str(tmp_path)) == {}


def test_a_file_cut_off_anywhere_is_no_error(tmp_path: Path) -> None:
    write_start(tmp_path, FACTS)
    whole = (tmp_path / FILE_NAME).read_bytes().rstrip()
    for length in range(len(whole)):
        (tmp_path / FILE_NAME).write_bytes(whole[:length])
        assert read(str(tmp_path)) == {}, length


@pytest.mark.parametrize("what", ["link", "directory", "pipe"])
def test_what_is_no_file_is_not_read(tmp_path: Path, what: str) -> None:
    path = tmp_path / FILE_NAME
    if what == "link":
        (tmp_path / "target").write_text("{}")
        path.symlink_to(tmp_path / "target")
    elif what == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    assert sessionfile.read(str(tmp_path)) == {}


def test_a_sign_of_life_is_a_private_file_with_a_time(tmp_path: Path) -> None:
    before = time.time() - 1
    sessionfile.sign_of_life(tmp_path)
    status = (tmp_path / sessionfile.HEARTBEAT).stat()
    assert (status.st_size, status.st_mode & 0o777) == (0, 0o600)
    assert before <= status.st_mtime <= time.time() + 1
    sessionfile.sign_of_life(tmp_path, 5000.0)
    assert (tmp_path / sessionfile.HEARTBEAT).stat().st_mtime == 5000.0
    sessionfile.sign_of_life(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_cleaning_is_due_where_it_was_never_done_or_an_hour_ago_or_by_a_clock_that_was_set_back(tmp_path: Path) -> None:
    stamp = tmp_path / sessionfile.CLEANED
    assert sessionfile.clean_is_due(tmp_path, 5000.0)
    stamp.write_text("")
    os.utime(stamp, (5000, 5000))
    assert sessionfile.clean_is_due(tmp_path, 5000.0)
    stamp.write_text("\n")
    os.utime(stamp, (5000, 5000))
    due = [now for now in (0.0, 4999.0, 5000.0, 8599.0, 8600.0) if sessionfile.clean_is_due(tmp_path, now)]
    assert due == [0.0, 4999.0, 8600.0]
