"""A log taken apart into bytes, and put together elsewhere: the same session, which is no process of this machine."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from codewrap.errors import StoreError
from codewrap.protocol.geometry import Size
from codewrap.store import sessionfile
from codewrap.store.archive import Archive, Fate, Kept
from codewrap.store.logcopy import LogBytes, LogCopy
from codewrap.store.recording import Account, Written
from codewrap.store.sessionlog import LogReader, LogWriter
from codewrap.store.sessions import process_start
from tests.support.disk import files_ending_at

EPOCH = "00000000000000aa"
NAME = f"build-{EPOCH}"
SEEN = 1_700_000_000.0


def written(root: Path, *pieces: bytes, keep_bytes: int = 1 << 20) -> LogWriter:
    log = LogWriter(root / NAME, 0.0, keep_bytes)
    log.resized(Size(24, 80), 0.0)
    for number, piece in enumerate(pieces):
        log.append(piece, "stdout", float(number + 1))
    facts = {"name": "build", "epoch": EPOCH, "command": ["make"], "pid": os.getpid(), "pid_started": process_start(os.getpid())}
    sessionfile.write_start(root / NAME, facts)
    return log


def copied(source: Path, target: Path, *, most_bytes: int, runs: bool = False) -> Kept:
    log, copy = LogBytes(source), LogCopy(target, "build", EPOCH)
    output_at = timeline_at = 0
    while not log.is_at_end(output_at, timeline_at):
        output_at, output, timeline = log.next(output_at, timeline_at, most_bytes)
        copy.write(output_at, output, timeline)
        output_at, timeline_at = output_at + len(output), timeline_at + len(timeline)
    copy.note(log.facts(10_000), SEEN, runs=runs)
    copy.close()
    log.close()
    found = Archive(target).find("build")
    assert found is not None
    return found


@pytest.mark.parametrize("most_bytes", [100, 1 << 20])
def test_a_copy_in_pieces_of_any_size_has_the_same_bytes(tmp_path: Path, most_bytes: int) -> None:
    log = written(tmp_path / "here", *(os.urandom(333) for _ in range(20)))
    log.ended(3, None, 30.0)
    (tmp_path / "there").mkdir(mode=0o700)
    kept = copied(tmp_path / "here" / NAME, tmp_path / "there", most_bytes=most_bytes)
    for name in ("output", "timeline"):
        assert (kept.directory / name).read_bytes() == (tmp_path / "here" / NAME / name).read_bytes()
        assert (kept.directory / name).stat().st_mode & 0o777 == 0o600
    assert (kept.command, kept.state.fate, kept.state.code) == (("make",), Fate.ENDED, 3)
    assert kept.state.at == SEEN


def test_a_copy_without_an_end_is_lost_though_such_a_process_runs_here(tmp_path: Path) -> None:
    written(tmp_path / "here", b"x")
    (tmp_path / "there").mkdir(mode=0o700)
    state = copied(tmp_path / "here" / NAME, tmp_path / "there", most_bytes=100).state
    assert (state.fate, state.at) == (Fate.LOST, SEEN)


def test_a_copy_of_what_runs_elsewhere_runs(tmp_path: Path) -> None:
    written(tmp_path / "here", b"x")
    (tmp_path / "there").mkdir(mode=0o700)
    assert copied(tmp_path / "here" / NAME, tmp_path / "there", most_bytes=100, runs=True).state.fate is Fate.RUNNING


def test_a_line_that_is_not_finished_waits_and_is_not_the_end(tmp_path: Path) -> None:
    log = written(tmp_path, b"x")
    os.write(log._timeline, b'[5,1,"mar')
    reader = LogBytes(tmp_path / NAME)
    _, _, timeline = reader.next(0, 0, 1000)
    assert timeline.endswith(b"\n")
    assert not reader.is_at_end(1, len(timeline))
    assert reader.next(1, len(timeline), 1000) == (1, b"", b"")
    os.write(log._timeline, b'ker","here"]\n')
    assert reader.next(1, len(timeline), 1000) == (1, b"", b'[5,1,"marker","here"]\n')


def test_output_that_is_not_held_any_more_is_passed_over_and_told_as_a_gap(tmp_path: Path) -> None:
    step = 17 * 1024 * 1024
    log = written(tmp_path / "here", b"old" * 10, keep_bytes=LogReader(written(tmp_path / "x", b"").directory)._keep_bytes)
    os.ftruncate(log._output, log._keep_bytes + 2 * step)
    os.pwrite(log._output, b"new", log._keep_bytes + 2 * step)
    (tmp_path / "there").mkdir(mode=0o700)
    reader = LogBytes(tmp_path / "here" / NAME)
    at, output, timeline = reader.next(0, 0, 1000)
    assert at > 0
    assert len(output) == 1000
    copy = LogCopy(tmp_path / "there", "build", EPOCH)
    copy.write(log._keep_bytes + 2 * step, b"new", timeline)
    copy.note({}, time.time(), runs=False)
    copy.close()
    moments = list(Account(LogReader(copy.directory)).advance())
    assert [moment.values[0] for moment in moments if not isinstance(moment, Written) and moment.what == "gap"] == [0]


def test_a_copy_grows_runs_and_is_over_at_last(tmp_path: Path) -> None:
    copy = LogCopy(tmp_path, "build", EPOCH)
    copy.write(0, b"one", b"")
    copy.note({}, SEEN, runs=True)
    kept = Archive(tmp_path).find("build")
    assert kept is not None
    assert kept.state.fate is Fate.RUNNING
    copy.write(3, b" two", b"")
    copy.note({}, SEEN, runs=False)
    assert kept.state.fate is Fate.LOST
    assert (copy.directory / "output").read_bytes() == b"one two"
    copy.close()


def test_a_command_line_of_megabytes_is_cut(tmp_path: Path) -> None:
    written(tmp_path, b"x")
    sessionfile.write_start(tmp_path / NAME, {"name": "build", "command": ["x" * 100_000] * 50})
    facts = LogBytes(tmp_path / NAME).facts(64 * 1024)
    assert [len(word) for word in facts["command"]] == [4096] * 4
    assert LogBytes(tmp_path / NAME).facts(10) == {}
    assert not {"pid", "machine"} & facts.keys()


def test_where_there_is_no_log_or_no_room_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        LogBytes(tmp_path / "nothing")
    copy = LogCopy(tmp_path, "build", EPOCH)
    with files_ending_at(10), pytest.raises(StoreError, match="cannot be written"):
        copy.write(0, b"x" * 100, b"")
    with pytest.raises(StoreError, match="cannot be made"):
        LogCopy(tmp_path, "build", EPOCH)
