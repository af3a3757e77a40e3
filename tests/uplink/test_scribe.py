"""The uplink's scribe: brings the log to the disk, writes the recording, and ends it when host or session do."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from codewrap.errors import StoreError
from codewrap.protocol.asciicast import Code, Event, Header
from codewrap.protocol.geometry import Size
from codewrap.store.castfile import CastFile, CastReader, create
from codewrap.store.sessionlog import LogReader, LogWriter
from codewrap.uplink.scribe import OpenCast, Scribe
from tests.support.disk import files_ending_at
from tests.support.ptydriver import eventually

SIZE = Size(rows=24, cols=80)


class Desk:
    """A log, the file that is wanted of it, and a scribe."""

    def __init__(self, directory: Path, *, host_pid: int | None = None, keep: bool = True) -> None:
        self.log = LogWriter(directory / "log", 0.0)
        self.log.resized(SIZE, 0.0)
        self.path = directory / "x.cast"
        self.failures: list[str] = []
        self.failed = threading.Event()
        create(self.path)
        self._host_pid = os.getppid() if host_pid is None else host_pid
        self._keep = keep

    def scribe(self, open_cast: OpenCast | None = None) -> Scribe:
        made = Scribe(self.log.directory, self._host_pid, keep=self._keep, open_cast=open_cast or self.open, failed=self._note)
        made.start()
        return made

    def open(self, reader: LogReader) -> CastFile:
        return CastFile(self.path, reader, Header(SIZE), plain=False)

    def text(self) -> str:
        if not self.path.stat().st_size:
            return ""
        return "".join(event.data for event in CastReader(self.path).events() if event.code is Code.OUTPUT)

    def _note(self, words: str) -> None:
        self.failures.append(words)
        self.failed.set()


def test_the_recording_grows_and_ends_with_the_session(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    scribe = desk.scribe()
    desk.log.append(b"one", "stdout", 1.0)
    eventually(lambda: desk.text() == "one", "the first line")
    desk.log.append(b"two", "stdout", 2.0)
    desk.log.ended(4, None, 3.0)
    scribe.stop(over=True)
    assert list(CastReader(desk.path).events())[-1] == Event(3.0, Code.EXIT, "4")
    assert desk.text() == "onetwo"
    desk.open(LogReader(desk.log.directory)).close()  # nobody holds it
    assert desk.failures == []


def test_one_that_stops_before_the_end_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    first = desk.scribe()
    desk.log.append("ä".encode()[:1], "stdout", 1.0)
    first.stop(over=False)
    second = desk.scribe()
    desk.log.append("ä".encode()[1:], "stdout", 2.0)
    desk.log.ended(0, None, 3.0)
    second.stop(over=True)
    assert desk.text() == "ä"


def test_one_waits_until_another_lets_go(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    held = desk.open(LogReader(desk.log.directory))
    scribe = desk.scribe()
    desk.log.append(b"x", "stdout", 1.0)
    held.close()
    eventually(lambda: desk.text() == "x", "it took over")
    scribe.stop(over=True)


def test_a_host_that_is_gone_is_the_end(tmp_path: Path) -> None:
    desk = Desk(tmp_path, host_pid=1 << 30)
    desk.log.append("ends in the midst of ä".encode()[:-1], "stdout", 1.0)
    scribe = desk.scribe()
    eventually(lambda: desk.text().endswith("of \ufffd"), "all is written")
    scribe.stop(over=False)


def test_a_full_disk_is_told_once_and_the_log_is_still_minded(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.log.append(b"x" * 5000, "stdout", 1.0)
    with files_ending_at(1000):
        scribe = desk.scribe()
        assert desk.failed.wait(30)
    desk.log.append(b"more", "stdout", 2.0)
    scribe.stop(over=True)
    assert desk.failures == [f"the recording {desk.path} has ended, and the command went on: {os.strerror(27)}"]


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path)

    def refused(_: LogReader) -> CastFile:
        raise StoreError("x.cast", "cannot be written: gone")

    scribe = desk.scribe(refused)
    assert desk.failed.wait(30)
    scribe.stop(over=True)
    assert desk.failures == ["the recording has ended: x.cast: cannot be written: gone"]


@pytest.mark.parametrize("keep", [True, False])
def test_without_a_recording_it_only_minds_what_is_kept(tmp_path: Path, keep: bool) -> None:
    desk = Desk(tmp_path)
    scribe = Scribe(desk.log.directory, os.getppid(), keep=keep, open_cast=None, failed=desk.failures.append)
    scribe.start()
    assert any(thread.name == "scribe" for thread in threading.enumerate()) == keep
    scribe.stop(over=True)


def test_a_log_that_is_gone_is_no_error(tmp_path: Path) -> None:
    scribe = Scribe(tmp_path / "none", os.getppid(), keep=True, open_cast=None, failed=lambda _: None)
    scribe.start()
    scribe.stop(over=True)
