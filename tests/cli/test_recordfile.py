"""`run --record`: the file before the command runs, and after it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codewrap.cli.recordfile import RecordFile, open_cast
from codewrap.errors import ConfigError
from codewrap.host.typed import TypedRecord
from codewrap.protocol.asciicast import Code
from codewrap.protocol.geometry import Size
from codewrap.store.castfile import CastReader
from codewrap.store.sessionlog import LogReader, LogWriter


def values(path: Path) -> dict[str, object]:
    return {"record_file": str(path), "began_at": 1700000000.5, "command": ["sh", "-c", "a b"], "session": "demo", "pty": True}


def test_nothing_is_wanted(tmp_path: Path) -> None:
    wanted = RecordFile()
    wanted.create()
    wanted.discard()
    assert wanted.plan() == {"record_file": None}
    assert wanted.finish(tmp_path, {}) == ""
    assert wanted.writer(LogWriter(tmp_path / "log", 0.0), pty=True) is os.write


def test_a_new_file_is_made_and_an_empty_one_discarded(tmp_path: Path) -> None:
    wanted = RecordFile(tmp_path / "x.cast")
    wanted.create()
    assert (tmp_path / "x.cast").stat().st_mode & 0o777 == 0o600
    assert wanted.plan() == {"record_file": str(tmp_path / "x.cast")}
    wanted.discard()
    assert not (tmp_path / "x.cast").exists()
    wanted.create()
    (tmp_path / "x.cast").write_text("something")
    wanted.discard()
    assert (tmp_path / "x.cast").exists()


@pytest.mark.parametrize("place", ["there", "none/x.cast", "there/x.cast", "x" * 300])
def test_mistakes_are_said(tmp_path: Path, place: str) -> None:
    (tmp_path / "there").write_text("x")
    with pytest.raises(ConfigError, match="--record"):
        RecordFile(tmp_path / place).create()


def test_what_nobody_wrote_is_written_at_the_end(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "log", 0.0)
    log.resized(Size(rows=30, cols=90), 0.0)
    log.append(b"hi", "stdout", 1.0)
    log.ended(3, None, 2.0)
    wanted = RecordFile(tmp_path / "x.cast")
    wanted.create()
    assert wanted.finish(log.directory, values(tmp_path / "x.cast")) == ""
    reader = CastReader(tmp_path / "x.cast")
    assert (reader.header.size, reader.header.timestamp) == (Size(rows=30, cols=90), 1700000000)
    assert (reader.header.command, reader.header.title) == ("sh -c 'a b'", "demo")
    assert [(event.code, event.data) for event in reader.events()] == [(Code.OUTPUT, "hi"), (Code.EXIT, "3")]
    whole = (tmp_path / "x.cast").read_bytes()
    assert wanted.finish(log.directory, values(tmp_path / "x.cast")) == ""
    assert (tmp_path / "x.cast").read_bytes() == whole


def test_a_file_that_was_taken_away_is_said(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "log", 0.0)
    wanted = RecordFile(tmp_path / "x.cast")
    assert "the recording has ended" in wanted.finish(log.directory, values(tmp_path / "x.cast"))


def test_a_log_that_went_with_its_session_is_no_error(tmp_path: Path) -> None:
    assert RecordFile(tmp_path / "x.cast").finish(tmp_path / "gone", values(tmp_path / "x.cast")) == ""


def test_typing_is_kept_on_a_terminal_alone(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "log", 0.0)
    kept = RecordFile(typing=True).writer(log, pty=True)
    assert isinstance(kept.__self__, TypedRecord)  # type: ignore[attr-defined]
    assert RecordFile(typing=True).writer(log, pty=False) is os.write


def test_two_never_write_one_file(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "log", 0.0)
    RecordFile(tmp_path / "x.cast").create()
    held = open_cast(values(tmp_path / "x.cast"), LogReader(log.directory))
    with pytest.raises(BlockingIOError):
        open_cast(values(tmp_path / "x.cast"), LogReader(log.directory))
    held.close()
