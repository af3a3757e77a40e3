"""A session's log as pages of lines with times."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codewrap.errors import StoreError
from codewrap.protocol.geometry import Size
from codewrap.store.pages import HEAD_BYTES, PAGE_CHARACTERS, TAIL_BYTES, Page, Pages, read_pages
from codewrap.store.sessionlog import LogWriter


def log(directory: Path, *written: tuple[float, bytes, str], ended: bool = True) -> Path:
    """What a command wrote: when, what, to which stream."""
    writer = LogWriter(directory / "log", 0.0)
    writer.resized(Size(24, 80), 0.0)
    for at, data, stream in written:
        writer.append(data, stream, at)
    if ended:
        writer.ended(0, None, 99.0)
    writer.close()
    return directory / "log"


def lines(read: Pages) -> list[tuple[float, str]]:
    return [line for page in read.pages for line in page.lines()]


def test_lines_have_the_time_at_which_they_ended(tmp_path: Path) -> None:
    place = log(
        tmp_path, (1.0, b"one\r\ntwo\r\nthr", "stdout"), (5.0, b"ee\r\nfour", "stdout"), (7.0, b" and more\r\nprompt$ ", "stdout")
    )
    read = read_pages(place, final=True)
    assert lines(read) == [(1.0, "one"), (1.0, "two"), (5.0, "three"), (7.0, "four and more"), (7.0, "prompt$ ")]
    assert (read.ended, read.left_out) == (True, 0)


def test_two_streams_do_not_run_into_one_another(tmp_path: Path) -> None:
    place = log(tmp_path, (1.0, b"out", "stdout"), (1.1, b"error\n", "stderr"), (1.2, b"put\n", "stdout"))
    assert [text for _, text in lines(read_pages(place, final=True))] == ["error", "output"]


def test_many_lines_are_many_pages_and_no_line_is_torn(tmp_path: Path) -> None:
    every = [f"line {number} of many" for number in range(20_000)]
    data = "".join(f"{line}\r\n" for line in every).encode()
    place = log(tmp_path, *((at / 100, data[at : at + 5000], "stdout") for at in range(0, len(data), 5000)))
    read = read_pages(place, final=True)
    assert [text for _, text in lines(read)] == every
    assert len(read.pages) > 5
    assert all(len(page.text) < PAGE_CHARACTERS + 100 for page in read.pages)
    times = [time_s for time_s, _ in lines(read)]
    assert times == sorted(times)


def test_of_very_much_the_beginning_and_the_end_are_read(tmp_path: Path) -> None:
    middle = b"in the middle\r\n" * 200_000
    data = b"the first\r\n" + b"x" * (HEAD_BYTES - 11) + middle + b"y" * (TAIL_BYTES - 10) + b"\nthe last\n"
    place = log(tmp_path, *((1.0 + at / 1e6, data[at : at + 999_983], "stdout") for at in range(0, len(data), 999_983)))
    read = read_pages(place, final=True)
    shown = [text for _, text in lines(read)]
    assert (shown[0], shown[-1]) == ("the first", "the last")
    assert set("".join(shown[1:-1])) == {"x", "y"}
    assert read.left_out == len(middle)


def test_what_fits_just_so_is_read_whole(tmp_path: Path) -> None:
    data = b"x" * (HEAD_BYTES + TAIL_BYTES - 6) + b"\nlast\n"
    read = read_pages(log(tmp_path, (1.0, data, "stdout")), final=True)
    assert (lines(read)[-1][1], read.left_out) == ("last", 0)


def test_a_log_that_is_still_written_has_not_ended(tmp_path: Path) -> None:
    read = read_pages(log(tmp_path, (1.0, b"so far", "stdout"), ended=False), final=False)
    assert (lines(read), read.ended) == ([(1.0, "so far")], False)
    assert read_pages(log(tmp_path / "empty"), final=True).pages == []


def test_a_torn_log_gives_what_can_be_read(tmp_path: Path) -> None:
    place = log(tmp_path, (1.0, b"before\r\n", "stdout"), ended=False)
    with (place / "timeline").open("ab") as timeline:
        timeline.write(b'\0\0\0[1.5, 8, "std')
    with (place / "output").open("ab") as output:
        output.write(b"after\r\n" + bytes(5000))
    assert [text for _, text in lines(read_pages(place, final=True))] == ["before", "after"]


def test_a_log_that_is_not_there_is_an_error_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        read_pages(tmp_path / "nothing", final=True)
    place = log(tmp_path)
    os.unlink(place / "output")
    (place / "output").mkdir()
    with pytest.raises(StoreError):
        read_pages(place, final=True)


def test_lines_of_a_page_without_times_are_of_its_beginning() -> None:
    assert list(Page("a\nb", ()).lines()) == [(0.0, "a"), (0.0, "b")]
