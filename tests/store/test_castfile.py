"""asciicast files: anybody's read, and one written that grows, is taken over, and meets a full disk."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from codewrap.errors import StoreError
from codewrap.protocol.asciicast import Code, Event, Header
from codewrap.protocol.geometry import Size
from codewrap.store.castfile import CastFile, CastReader, create
from codewrap.store.sessionlog import HOLE_BYTES, LogReader, LogWriter
from tests.support.disk import files_ending_at

SIZE = Size(rows=24, cols=80)
HEADER = Header(SIZE, 1700000000, "sh", "demo", "xterm")


class Growing:
    """A session's log and the file that is made of it."""

    def __init__(self, directory: Path, keep_bytes: int = 1 << 28) -> None:
        self.log = LogWriter(directory / "log", 0.0, keep_bytes)
        self.log.resized(SIZE, 0.0)
        self.path = directory / "x.cast"
        self._keep_bytes = keep_bytes
        create(self.path)

    def open(self) -> CastFile:
        return CastFile(self.path, LogReader(self.log.directory, self._keep_bytes), HEADER, plain=False)

    def events(self) -> list[Event]:
        return list(CastReader(self.path).events())

    def text(self) -> str:
        return "".join(event.data for event in self.events() if event.code is Code.OUTPUT)


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    return Growing(tmp_path)


def test_a_file_grows_with_its_session_and_is_private(growing: Growing) -> None:
    assert growing.path.stat().st_mode & 0o777 == 0o600
    cast = growing.open()
    assert json.loads(growing.path.read_text())["version"] == 3
    growing.log.append(b"one\r\n", "stdout", 1.0)
    assert cast.advance()
    assert growing.events() == [Event(1.0, Code.OUTPUT, "one\r\n")]
    assert not cast.advance()
    growing.log.resized(SIZE, 1.5)
    growing.log.resized(Size(rows=30, cols=90), 2.0)
    growing.log.mark("join", ["anna"], 2.5)
    growing.log.append("ä".encode()[:1], "stdout", 3.0)
    growing.log.ended(3, None, 4.0)
    cast.advance(final=True)
    assert [(event.code.value, event.data) for event in growing.events()] == [
        ("o", "one\r\n"),
        ("r", "90x30"),
        ("m", "anna joined"),
        ("o", "�"),
        ("x", "3"),
    ]
    assert cast.complete
    cast.sync()
    cast.close()


def test_a_file_that_is_there_is_nobody_elses_to_take(growing: Growing) -> None:
    with pytest.raises(FileExistsError):
        create(growing.path)


def test_only_one_process_writes_a_file(growing: Growing) -> None:
    cast = growing.open()
    with pytest.raises(BlockingIOError):
        growing.open()
    cast.close()
    growing.open().close()


@pytest.mark.parametrize("seed", range(10))
def test_who_takes_over_goes_on_where_the_other_stopped(growing: Growing, seed: int) -> None:
    chance = random.Random(seed)
    expected, time_s = "", 0.0
    for _ in range(40):
        time_s += 0.5
        match chance.randrange(5):
            case 0:
                growing.log.mark("marker", [f"at {time_s}"], time_s)
            case 1:
                growing.log.resized(Size(rows=24, cols=chance.randint(80, 90)), time_s)
            case _:
                text = chance.choice(["line\r\n", "ä好", "x" * 100])
                expected += text
                growing.log.append(text.encode(), "stdout", time_s)
        if chance.random() < 0.4:
            cast = growing.open()
            cast.advance()
            cast.close()  # as if it had been killed: nothing else is kept of it
            if chance.random() < 0.5:
                with growing.path.open("ab") as file:
                    file.write(b'[0.5, "o", "torn')
    growing.log.ended(None, 9, 30.0)
    whole = growing.path.with_name("whole.cast")
    create(whole)
    for path in (growing.path, whole):
        cast = CastFile(path, LogReader(growing.log.directory), HEADER, plain=False)
        cast.advance(final=True)
        assert cast.complete
        cast.close()
    assert growing.text() == expected, f"seed {seed}"
    theirs = [event for event in CastReader(whole).events() if event.code is not Code.OUTPUT]
    ours = [event for event in growing.events() if event.code is not Code.OUTPUT]
    assert [(event.code, event.data) for event in ours] == [(event.code, event.data) for event in theirs]
    assert [event.time_s for event in ours] == pytest.approx([event.time_s for event in theirs])


def test_what_is_complete_is_left_alone(growing: Growing) -> None:
    growing.log.append(b"x", "stdout", 1.0)
    growing.log.ended(0, None, 2.0)
    cast = growing.open()
    cast.advance(final=True)
    cast.close()
    before = growing.path.read_bytes()
    again = growing.open()
    assert again.complete
    assert not again.advance(final=True)
    again.close()
    assert growing.path.read_bytes() == before


def test_who_takes_over_a_file_that_knows_more_than_the_log_loses_nothing_of_it(tmp_path: Path) -> None:
    growing = Growing(tmp_path, HOLE_BYTES // 2)
    growing.log.append(b"first\r\n", "stdout", 1.0)
    cast = growing.open()
    cast.advance()
    cast.close()
    for at in range(40):
        growing.log.append(b"x" * (1 << 20), "stdout", 2.0 + at)
    growing.log.append(b"last", "stdout", 50.0)
    growing.log.ended(0, None, 51.0)
    cast = growing.open()
    cast.advance(final=True)
    cast.close()
    assert growing.text().startswith("first\r\nx")
    assert growing.text().endswith("xlast")
    assert growing.events()[-1] == Event(51.0, Code.EXIT, "0")


def test_a_full_disk_leaves_whole_lines_and_says_why(growing: Growing) -> None:
    cast = growing.open()
    growing.log.append(b"small\r\n", "stdout", 1.0)
    cast.advance()
    size = growing.path.stat().st_size
    growing.log.append(b"fits\r\n", "stdout", 1.5)
    growing.log.append(b"x" * 5000, "stdout", 2.0)
    with files_ending_at(size + 1000):
        assert cast.advance()
    assert cast.broken == os.strerror(27)
    growing.log.append(b"more", "stdout", 3.0)
    assert not cast.advance()
    cast.close()
    assert growing.path.stat().st_size < size + 1000
    assert growing.path.read_text().endswith("\n")
    assert growing.text() == "small\r\nfits\r\n"


def test_a_lock_ends_with_its_process(growing: Growing) -> None:
    program = (
        "import sys; from pathlib import Path; from codewrap.store.castfile import *; from codewrap.store.sessionlog import *\n"
        "from tests.store.test_castfile import HEADER\n"
        "held = CastFile(Path(sys.argv[1]), LogReader(Path(sys.argv[2])), HEADER, plain=False)\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(growing.path), str(growing.log.directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError):
            growing.open()
        other.kill()
        other.wait()
        growing.open().close()


def test_a_symbolic_link_is_not_followed(growing: Growing) -> None:
    link = growing.path.with_name("link.cast")
    link.symlink_to(growing.path)
    with pytest.raises(StoreError):
        CastFile(link, LogReader(growing.log.directory), HEADER, plain=False)


def test_files_of_others_are_read_up_to_where_they_were_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "x.cast"
    path.write_text('{"version": 2, "width": 80, "height": 24}\n[1.0, "o", "a"]\n\n[2.0, "o", "b')
    assert CastReader(path).header.size == SIZE
    assert list(CastReader(path).events()) == [Event(1.0, Code.OUTPUT, "a")]


@pytest.mark.parametrize("content", [b"", b"text\n", b"\xff\xfe\x00", b'{"version": 1}\n', b"\x1b]0;x\x07\n"])
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.cast"
    path.write_bytes(content)
    with pytest.raises(StoreError):
        CastReader(path)


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.cast"
    path.write_text('{"version": 2, "width": 80, "height": 24}\n[1.0, "o", "a"]\nnonsense\n[2.0, "o", "b"]\n')
    events = CastReader(path).events()
    assert next(events).data == "a"
    with pytest.raises(StoreError, match="line 3"):
        next(events)


def test_a_file_that_is_not_there_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        CastReader(tmp_path / "none.cast")
    with pytest.raises(StoreError, match="cannot be read"):
        CastReader(tmp_path)
