"""Recordings found by name and told as events."""

from __future__ import annotations

from pathlib import Path

import pytest

from codewrap.cli.recordings import Recording, complete_recording
from codewrap.protocol.asciicast import Code
from codewrap.store.archive import Archive
from tests.support.keptlogs import SIZE, KeptSession


def recording(state: Path, name: str = "demo") -> Recording:
    kept = Archive(state / "sessions").find(name)
    assert kept is not None
    return Recording(kept)


def test_a_recording_says_what_it_is_of(tmp_path: Path) -> None:
    session = KeptSession(tmp_path, began_ago_s=3600)
    told = recording(tmp_path)
    assert not told.is_over
    session.ended(3)
    told = recording(tmp_path)
    assert told.is_over
    assert not told.plain
    header = told.header()
    assert (header.size, header.title, header.command, header.term) == (SIZE, "demo", "sh -c '<b>&'", "xterm-256color")
    assert header.timestamp == int(told.kept.started_at)


def test_events_are_told_up_to_a_moment(tmp_path: Path) -> None:
    session = KeptSession(tmp_path)
    for at in range(5):
        session.log.append(b"%d" % at, "stdout", float(at))
    session.ended()
    told = recording(tmp_path)
    assert [event.data for event in told.events() if event.code is Code.OUTPUT] == list("01234")
    assert [event.data for event in told.events(2.5) if event.code is Code.OUTPUT] == list("012")


def test_zeros_after_the_end_of_a_lost_session_are_not_told(tmp_path: Path) -> None:
    session = KeptSession(tmp_path)
    session.log.append(b"x\0\0", "stdout", 1.0)
    assert [event.data for event in recording(tmp_path).events() if event.code is Code.OUTPUT] == ["x\0\0"]
    session.lost()
    assert [event.data for event in recording(tmp_path).events() if event.code is Code.OUTPUT] == ["x"]


def test_names_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEWRAP_STATE_DIR", str(tmp_path))
    for name in ("build", "bench", "other"):
        KeptSession(tmp_path, name).ended()
    assert complete_recording("b") == ["bench", "build"]
    monkeypatch.setenv("CODEWRAP_STATE_DIR", "/proc/none")
    assert complete_recording("b") == []
