"""Input is kept where the terminal shows it, and never where it does not."""

from __future__ import annotations

import os
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from codewrap.host.typed import TypedRecord, echoes
from codewrap.store.sessionlog import LogReader, LogWriter


@pytest.fixture
def pty() -> Iterator[tuple[int, int]]:
    master, slave = os.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def set_echo(fd: int, *, on: bool) -> None:
    settings = termios.tcgetattr(fd)
    settings[3] = settings[3] | termios.ECHO if on else settings[3] & ~termios.ECHO
    termios.tcsetattr(fd, termios.TCSANOW, settings)


def kept(directory: Path) -> list[str]:
    return [entry.values[0] for entry in LogReader(directory).entries() if entry.what == "input"]


def test_what_is_echoed_is_kept_and_a_password_is_not(tmp_path: Path, pty: tuple[int, int]) -> None:
    master, slave = pty
    typed = TypedRecord(LogWriter(tmp_path / "log", 0.0))
    assert typed.write(master, memoryview(b"login\n")) == 6
    set_echo(slave, on=False)
    assert typed.write(master, memoryview(b"secret\n")) == 7
    set_echo(slave, on=True)
    typed.write(master, memoryview("ä".encode()[:1]))
    typed.write(master, memoryview("ä".encode()[1:]))
    assert kept(tmp_path / "log") == ["login\n", "ä"]
    assert b"secret" not in (tmp_path / "log" / "timeline").read_bytes()
    assert os.read(slave, 100) == b"login\n"


def test_a_character_begun_before_a_password_does_not_swallow_what_follows_it(tmp_path: Path, pty: tuple[int, int]) -> None:
    master, slave = pty
    typed = TypedRecord(LogWriter(tmp_path / "log", 0.0))
    typed.write(master, memoryview(b"\xc3"))
    set_echo(slave, on=False)
    typed.write(master, memoryview(b"\xa4"))
    set_echo(slave, on=True)
    typed.write(master, memoryview(b"x"))
    assert kept(tmp_path / "log") == ["x"]


def test_what_is_no_terminal_echoes_nothing(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    assert not echoes(write_end)
    typed = TypedRecord(LogWriter(tmp_path / "log", 0.0))
    assert typed.write(write_end, memoryview(b"data")) == 4
    assert kept(tmp_path / "log") == []
    os.close(read_end)
    os.close(write_end)
    assert not echoes(write_end)


def test_a_write_that_does_not_go_is_the_callers_to_see(tmp_path: Path, pty: tuple[int, int]) -> None:
    master, _ = pty
    typed = TypedRecord(LogWriter(tmp_path / "log", 0.0))
    os.set_blocking(master, False)
    with pytest.raises(BlockingIOError):
        for _ in range(100):
            typed.write(master, memoryview(b"x" * 4096))
    assert "".join(kept(tmp_path / "log")).strip("x") == ""
