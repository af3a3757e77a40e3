"""The session log on a real disk: followed at every moment, full disks, holes, partial lines."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from codewrap.errors import StoreError
from codewrap.protocol.geometry import Size
from codewrap.store.sessionlog import HOLE_BYTES, MARK_INTERVAL_S, Entry, LogReader, LogWriter, delete
from tests.support.disk import files_ending_at

MIB = 1024 * 1024


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    log = LogWriter(tmp_path / "log", started_s=100.0)
    yield log
    log.close()


@pytest.fixture
def reader(writer: LogWriter) -> Iterator[LogReader]:
    log = LogReader(writer.directory)
    yield log
    log.close()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", path], capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_bytes_and_timeline_come_back(writer: LogWriter, reader: LogReader) -> None:
    writer.resized(Size(rows=24, cols=80), 100.0)
    writer.append(b"out", "stdout", 100.5)
    writer.append(b"err", "stderr", 100.50001)
    writer.resized(Size(rows=50, cols=132), 101.0)
    writer.ended(3, None, 102.0)
    assert reader.end() == writer.end == 6
    assert reader.read(0, 100) == b"outerr"
    assert reader.read(2, 2) == b"te"
    assert reader.read(6, 5) == reader.read(99, 5) == b""
    assert reader.entries() == [
        Entry(0.0, 0, "resize", (80, 24)),
        Entry(0.5, 0, "stdout"),
        Entry(0.5, 3, "stderr"),
        Entry(1.0, 6, "resize", (132, 50)),
        Entry(2.0, 6, "exit", (3, None)),
    ]
    assert reader.entries() == []


def test_output_is_marked_when_the_stream_changes_or_time_has_passed(writer: LogWriter, reader: LogReader) -> None:
    writer.append(b"a", "stdout", 100.0)
    writer.append(b"b", "stdout", 100.0 + MARK_INTERVAL_S / 2)
    writer.append(b"c", "stdout", 100.0 + MARK_INTERVAL_S * 1.01)
    writer.append(b"d", "stderr", 100.0 + MARK_INTERVAL_S * 1.01)
    assert [(entry.offset, entry.what) for entry in reader.entries()] == [(0, "stdout"), (2, "stdout"), (3, "stderr")]


def test_the_log_is_private(writer: LogWriter) -> None:
    assert writer.directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in writer.directory.iterdir()} == {0o600}


def test_a_log_is_not_written_over_another(writer: LogWriter) -> None:
    with pytest.raises(StoreError, match="cannot be made: File exists"):
        LogWriter(writer.directory, 0.0)


@pytest.mark.parametrize("name", ["output", "timeline"])
def test_a_link_in_the_logs_place_is_not_followed(name: str, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir(mode=0o700)
    (tmp_path / "log" / name).symlink_to(tmp_path / "target")
    with pytest.raises(StoreError):
        LogWriter(tmp_path / "log", 0.0)
    assert not (tmp_path / "target").exists()
    (tmp_path / "target").touch()
    with pytest.raises(StoreError, match="cannot be read"):
        LogReader(tmp_path / "log")


def test_a_log_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read: No such file"):
        LogReader(tmp_path)


@pytest.mark.parametrize("name", ["output", "timeline"])
def test_what_is_no_file_is_neither_read_nor_waited_for(name: str, tmp_path: Path) -> None:
    LogWriter(tmp_path / "log", 0.0).close()
    (tmp_path / "log" / name).unlink()
    os.mkfifo(tmp_path / "log" / name)
    with pytest.raises(StoreError, match=f"{name} is no file"):
        LogReader(tmp_path / "log")


def open_descriptors() -> set[int]:
    found = set()
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            os.fstat(fd)  # that of the listing is closed
            found.add(fd)
    return found


def test_descriptors_are_not_inherited_and_all_are_closed(tmp_path: Path) -> None:
    before = open_descriptors()
    writer = LogWriter(tmp_path / "log", 0.0)
    reader = LogReader(tmp_path / "log")
    opened = open_descriptors() - before
    assert len(opened) == 4
    assert not any(os.get_inheritable(fd) for fd in opened)
    writer.close()
    reader.close()
    assert open_descriptors() == before


@pytest.mark.parametrize("there", ["output", "timeline"])
def test_a_log_that_cannot_be_made_or_read_leaves_nothing_open(there: str, tmp_path: Path) -> None:
    (tmp_path / there).touch()
    before = open_descriptors()
    with pytest.raises(StoreError):
        LogWriter(tmp_path, 0.0)
    (tmp_path / "output").unlink(missing_ok=True)
    (tmp_path / "timeline").unlink(missing_ok=True)
    (tmp_path / there).touch()
    with pytest.raises(StoreError):
        LogReader(tmp_path)
    assert open_descriptors() == before


def test_a_timeline_is_read_at_every_byte_of_its_growth(writer: LogWriter, reader: LogReader, tmp_path: Path) -> None:
    for number in range(5):
        writer.append(b"x" * number, ("stdout", "stderr")[number % 2], 100.0 + number)
    writer.ended(None, 15, 110.0)
    whole = reader.entries()
    (tmp_path / "grown").mkdir()
    (tmp_path / "grown" / "output").touch()
    timeline = tmp_path / "grown" / "timeline"
    timeline.touch()
    follower = LogReader(tmp_path / "grown")
    found: list[Entry] = []
    for byte in (writer.directory / "timeline").read_bytes():
        with timeline.open("ab") as file:
            file.write(bytes([byte]))
        found += follower.entries()
        assert found == whole[: len(found)]
    assert found == whole
    follower.close()


def test_a_long_timeline_is_read_at_once(writer: LogWriter, reader: LogReader) -> None:
    for number in range(60_000):
        writer.append(b"x", ("stdout", "stderr")[number % 2], 100.0)
    assert (writer.directory / "timeline").stat().st_size > MIB
    assert [entry.offset for entry in reader.entries()] == list(range(60_000))


def test_a_second_reader_starts_from_the_beginning(writer: LogWriter, reader: LogReader) -> None:
    writer.append(b"x", "stdout", 100.0)
    first = reader.entries()
    again = LogReader(writer.directory)
    assert again.entries() == first != []
    again.close()


def test_a_reader_knows_the_stream_of_each_byte_at_every_moment(writer: LogWriter, reader: LogReader) -> None:
    """Whoever measures the bytes first and then reads the timeline lacks nothing, however busy the writer is."""
    rng = random.Random(3)
    letters = {"stdout": b"o", "stderr": b"e"}

    def write() -> None:
        for _ in range(4000):
            stream = rng.choice(["stdout", "stderr"])
            writer.append(letters[stream] * rng.randrange(1, 50), stream, 100.0)
        writer.ended(0, None, 101.0)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    starts: list[tuple[int, str]] = []
    seen, looks = 0, 0
    while not starts or starts[-1][1] != "exit" or seen < writer.end:
        end = reader.end()
        starts += [(entry.offset, entry.what) for entry in reader.entries()]
        looks += 1
        for (start, stream), (stop, _) in pairwise([*starts, (end, "")]):
            part = range(max(start, seen), min(stop, end))
            if part:
                assert reader.read(part.start, len(part)) == letters[stream] * len(part)
        seen = end
    thread.join(30)
    assert looks > 1
    assert seen == writer.end == reader.end()


def test_old_bytes_are_given_back_and_those_promised_are_held(tmp_path: Path) -> None:
    keep = 2 * MIB
    writer = LogWriter(tmp_path / "log", 0.0, keep_bytes=keep)
    reader = LogReader(tmp_path / "log", keep_bytes=keep)
    held_from = set()
    for number in range(44):
        writer.append(bytes([number + 1]) * MIB, "stdout", 0.0)
        start = reader.start(reader.end())
        assert writer.start <= start <= max(0, writer.end - keep)
        assert reader.read(start, 1) == bytes([start // MIB + 1])
        held_from.add(start)
    assert sorted(held_from) == [0, HOLE_BYTES, 2 * HOLE_BYTES]
    assert reader.end() == writer.end == 44 * MIB
    assert reader.read(0, 4) == bytes(4)
    status = (tmp_path / "log" / "output").stat()
    assert status.st_blocks * 512 <= keep + HOLE_BYTES + MIB
    writer.close()
    reader.close()


def test_a_disk_that_is_full_ends_the_log_and_says_why(full_disk: Path) -> None:
    writer = LogWriter(full_disk / "log", 0.0)
    reader = LogReader(full_disk / "log")
    data = random.Random(1).randbytes(200_000)
    for at in range(0, len(data), 10_000):
        writer.append(data[at : at + 10_000], "stdout", 0.0)
    writer.resized(Size(24, 80), 1.0)
    writer.ended(0, None, 2.0)
    assert writer.broken == "No space left on device"
    assert 0 < writer.end == reader.end() < 65_536
    assert reader.read(0, 1 << 20) == data[: writer.end]
    assert [entry.what for entry in reader.entries()] == ["stdout"]
    writer.close()
    reader.close()


def test_the_end_of_a_log_that_broke_is_the_last_byte_in_it(writer: LogWriter, reader: LogReader) -> None:
    """A write that fits in part was counted whole."""
    with files_ending_at(1000):
        writer.append(b"a" * 900, "stdout", 100.0)
        writer.append(b"b" * 900, "stdout", 100.0)
    assert writer.broken == "File too large"
    writer.append(b"c", "stderr", 100.0)
    assert writer.end == reader.end() == 1000
    assert reader.read(890, 1000) == b"a" * 10 + b"b" * 100


def test_the_tail_is_the_end_of_the_output(writer: LogWriter) -> None:
    assert writer.tail(10) == b""
    writer.append(b"0123456789", "stdout", 100.0)
    assert writer.tail(3) == b"789"
    assert writer.tail(100) == b"0123456789"
    writer.close()
    assert writer.tail(3) == b"", "who asks at the end gets no error"


def test_a_deleted_log_is_gone_and_deleting_it_again_is_no_error(writer: LogWriter, reader: LogReader) -> None:
    writer.append(b"text", "stdout", 100.0)
    delete(writer.directory)
    assert not writer.directory.exists()
    delete(writer.directory)
    writer.append(b" more", "stdout", 101.0)
    assert reader.read(0, 99) == b"text more", "who has it open reads on"


def test_deleting_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    delete(tmp_path / "link")
    assert (tmp_path / "target" / "file").exists()


def test_marks_and_input_stand_in_the_timeline(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "log", 0.0)
    log.append(b"abc", "stdout", 1.0)
    log.mark("join", ["alice"], 2.0)
    log.typed("q", 3.0)
    log.mark("marker", ["x" * 600], 4.0)
    *_, join, typed, marker = LogReader(tmp_path / "log").entries()
    assert join == Entry(2.0, 3, "join", ("alice",))
    assert typed == Entry(3.0, 3, "input", ("q",))
    assert len(marker.values[0]) == 500


@pytest.mark.parametrize(
    ("what", "values"), [("exit", [0, None]), ("stdout", []), ("input", ["x"]), ("join", [["a"]]), ("join", ["a"] * 5)]
)
def test_nobody_else_may_write_what_is_the_hosts_to_say(tmp_path: Path, what: str, values: list[object]) -> None:
    log = LogWriter(tmp_path / "log", 0.0)
    with pytest.raises(ValueError, match=what):
        log.mark(what, values, 1.0)
    assert LogReader(tmp_path / "log").entries() == []


def test_end_of_what_was_written_is_before_the_zeros_of_a_power_loss(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "log", 0.0)
    reader = LogReader(tmp_path / "log")
    assert reader.written_end() == 0
    log.append(b"a\0b", "stdout", 1.0)
    os.truncate(tmp_path / "log" / "output", 3 << 20)
    assert (reader.end(), reader.written_end()) == (3 << 20, 3)
    reader.sync()
