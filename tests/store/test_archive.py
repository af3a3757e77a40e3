"""Kept sessions: what became of them, never guessed; found by name; deleted by age and size; whatever a power loss left."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from codewrap.errors import ConfigError, SessionNotFound, StoreError
from codewrap.store.archive import Archive, Fate, Kept, Policy, State
from codewrap.store.sessionfile import CLEANED, FILE_NAME, HEARTBEAT
from codewrap.store.sessions import process_start
from tests.support.kept import BEGAN_AT, ended, epoch, lost, of_this_process

DAY_S = 86_400.0


def put(path: Path, at: float, data: bytes | None = None) -> None:
    """A file as it was left at ``at``."""
    if data is not None or not path.exists():
        path.write_bytes(data or b"")
    os.utime(path, (at, at))


def names(found: list[Kept]) -> list[str]:
    return [kept.name for kept in found]


# -- what became of it ----------------------------------------------------------------------------------------------


def test_an_ended_session_has_all_that_its_host_wrote(tmp_path: Path) -> None:
    ended(tmp_path, "build", "00000000000000aa", code=3, at=BEGAN_AT + 9)
    (kept,) = Archive(tmp_path).sessions()
    assert (kept.name, kept.epoch, kept.directory) == ("build", "00000000000000aa", tmp_path / "build-00000000000000aa")
    assert kept.state == State(Fate.ENDED, BEGAN_AT + 9, 3, None, 60.0, 7)
    assert kept.state.status == 3
    public = kept.public()
    assert json.loads(json.dumps(public)) == public
    assert public == {
        "name": "build",
        "epoch": "00000000000000aa",
        "state": "ended",
        "status": 3,
        "code": 3,
        "signal": None,
        "ended_at": BEGAN_AT + 9,
        "last_seen": None,
        "duration_s": 60.0,
        "output_bytes": 7,
        "command": ["make", "all"],
        "directory": "/where",
        "started_at": BEGAN_AT,
        "pid": kept.pid,
        "mode": "embedded",
        "endpoint": "http://127.0.0.1:1",
        "encrypted": True,
        "share": "ask",
        "read_only": False,
        "pty": True,
        "size": [24, 80],
        "kept": True,
        "log_directory": str(kept.directory),
    }


def test_the_status_of_a_killed_command_is_as_a_shell_says_it(tmp_path: Path) -> None:
    state = ended(tmp_path, "build", code=None, signal=9).state
    assert (state.status, state.signal) == (137, 9)


def test_a_session_runs_while_its_very_process_does(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as host:
        kept = lost(tmp_path, "build", pid=host.pid, pid_started=process_start(host.pid))
        assert kept.state == State(Fate.RUNNING)
        assert kept.state.status is None
        host.kill()
    assert kept.state.fate is Fate.LOST


def test_a_pid_that_another_process_has_now_is_not_the_session_s(tmp_path: Path) -> None:
    assert lost(tmp_path, "build", **of_this_process() | {"pid_started": "a boot:1"}).state.fate is Fate.LOST


def test_a_session_that_ended_after_it_was_read_is_not_taken_for_lost(tmp_path: Path) -> None:
    kept = lost(tmp_path, "build", "00000000000000aa")
    shutil.rmtree(kept.directory)
    ended(tmp_path, "build", "00000000000000aa", code=5)
    assert kept.ended is None
    assert kept.state.status == 5


def test_a_lost_session_was_last_seen_when_its_host_or_its_output_last_moved(tmp_path: Path) -> None:
    kept = lost(tmp_path, "build")
    for name, at in (("output", 100.0), ("timeline", 200.0), (HEARTBEAT, 300.0), (FILE_NAME, 900.0)):
        put(kept.directory / name, BEGAN_AT + at)
    assert kept.state == State(Fate.LOST, BEGAN_AT + 300)
    assert kept.public()["last_seen"] == BEGAN_AT + 300
    put(kept.directory / "output", BEGAN_AT + 400)
    assert kept.state == State(Fate.LOST, BEGAN_AT + 400)


def test_of_a_session_without_any_file_the_start_is_what_is_known(tmp_path: Path) -> None:
    kept = lost(tmp_path, "build")
    for path in kept.directory.iterdir():
        path.unlink()
    assert kept.state == State(Fate.LOST, BEGAN_AT)


@pytest.mark.parametrize("behind", [b"", b'[2.5, 7, "leave", "bob"]\n', b"\0" * 512, b'[2.5, 7, "lea'])
def test_the_end_in_the_log_counts_where_the_host_could_not_say_more(tmp_path: Path, behind: bytes) -> None:
    kept = lost(tmp_path, "build")
    with (kept.directory / "timeline").open("ab") as file:
        file.write(b'[2.0, 7, "exit", 4, null]\n' + behind)
    put(kept.directory / "timeline", BEGAN_AT + 2)
    assert kept.state == State(Fate.ENDED, BEGAN_AT + 2, 4, None, 2.0, 7)


@pytest.mark.parametrize(
    "entry",
    [
        b'[2.0, 7, "stdout", "exit"]',
        b'[2.0, 7, "exit"]',
        b'["exit"',
        b'["exit", 7, "exit", 1, null]',
        b'[1, "7", "exit", 1, null]',
    ],
)
def test_what_only_looks_like_an_end_is_none(tmp_path: Path, entry: bytes) -> None:
    kept = lost(tmp_path, "build")
    with (kept.directory / "timeline").open("ab") as file:
        file.write(entry + b"\n")
    assert kept.state.fate is Fate.LOST


def test_a_session_of_another_machine_runs_while_it_gives_signs_of_life(tmp_path: Path) -> None:
    kept = lost(tmp_path, "build")
    facts = json.loads((kept.directory / FILE_NAME).read_text())
    (kept.directory / FILE_NAME).write_text(json.dumps(facts | {"machine": "another.example", **of_this_process()}))
    (kept,) = Archive(tmp_path).sessions()
    put(kept.directory / "output", BEGAN_AT)
    put(kept.directory / "timeline", BEGAN_AT)
    put(kept.directory / HEARTBEAT, BEGAN_AT + 50)
    assert kept.state == State(Fate.LOST, BEGAN_AT + 50)
    put(kept.directory / HEARTBEAT, time.time())
    assert kept.state.fate is Fate.RUNNING


# -- what a power loss leaves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "left", [None, b"", b"\0" * 400, b'{"v":1,"na', b"[]", b'{"ended": 7, "pid": -1, "size": [1], "command": 1}']
)
@pytest.mark.parametrize("log", ["whole", "torn", "gone"])
def test_of_a_torn_session_all_that_can_be_read_is_used(tmp_path: Path, left: bytes | None, log: str) -> None:
    whole = ended(tmp_path, "whole")
    kept = lost(tmp_path, "torn")
    (kept.directory / FILE_NAME).unlink() if left is None else (kept.directory / FILE_NAME).write_bytes(left)
    for name in ("output", "timeline"):
        if log == "torn":
            (kept.directory / name).write_bytes(b"\0" * 100 + b"\xff[")
        if log == "gone":
            (kept.directory / name).unlink()
        else:
            put(kept.directory / name, BEGAN_AT + 1)
    os.utime(kept.directory, (BEGAN_AT, BEGAN_AT))
    torn, other = sorted(Archive(tmp_path).sessions(), key=lambda kept: kept.name)
    assert other == whole
    assert (torn.name, torn.epoch, torn.command, torn.pid, torn.size) == ("torn", kept.epoch, (), 0, None)
    assert torn.state == State(Fate.LOST, None if log == "gone" else BEGAN_AT + 1)
    assert json.loads(json.dumps(torn.public()))["state"] == "lost"


def test_members_that_make_no_sense_are_left_out_one_by_one(tmp_path: Path) -> None:
    kept = ended(tmp_path, "build", code=3)
    facts = json.loads((kept.directory / FILE_NAME).read_text())
    nonsense: dict[str, Any] = {
        "pid": True,
        "pid_started": 7,
        "started_at": float("inf"),
        "pty": "yes",
        "size": ["a", "b"],
        "encrypted": None,
        "ended": facts["ended"] | {"code": "3", "duration_s": 10**400},
    }
    (kept.directory / FILE_NAME).write_text(json.dumps(facts | nonsense))
    (read,) = Archive(tmp_path).sessions()
    assert (read.pid, read.pid_started, read.started_at, read.pty, read.size) == (0, "", 0.0, None, None)
    assert read.encrypted
    assert read.command == ("make", "all")
    assert read.state == State(Fate.ENDED, BEGAN_AT + 60, None, None, None, 7)
    assert read.state.status is None


def test_a_session_that_has_only_just_begun_is_not_taken_for_lost(tmp_path: Path) -> None:
    (tmp_path / f"build-{epoch()}").mkdir()
    (kept,) = Archive(tmp_path).sessions()
    assert kept.state.fate is Fate.RUNNING
    assert Archive(tmp_path).prune(Policy(0.0, 0), time.time()) == []


# -- found ----------------------------------------------------------------------------------------------------------


def test_the_newest_come_first(tmp_path: Path) -> None:
    for name, at in (("b", 2), ("c", 3), ("a", 1)):
        ended(tmp_path, name, started_at=BEGAN_AT + at)
    assert names(Archive(tmp_path).sessions()) == ["c", "b", "a"]
    assert Archive(tmp_path).names() == {"a", "b", "c"}


def test_a_name_finds_its_newest_session_and_an_epoch_the_one_that_has_it(tmp_path: Path) -> None:
    old = ended(tmp_path, "build", "00aa000000000000", started_at=BEGAN_AT)
    new = ended(tmp_path, "build", "00bb000000000000", started_at=BEGAN_AT + 5)
    ended(tmp_path, "build-2", "00cc000000000000", started_at=BEGAN_AT + 9)
    archive = Archive(tmp_path)
    assert archive.find("build") == new
    assert archive.find("build@00aa") == old
    assert archive.find("build@00aa000000000000") == old
    assert archive.find("build@00cc") is None
    assert [archive.find(text) for text in ("other", "", "build@", "BUILD", "../build", "build@zz")] == [None] * 6
    with pytest.raises(SessionNotFound, match="several begin so"):
        archive.find("build@00")


def test_what_is_no_session_s_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"link-{epoch()}").symlink_to(tmp_path / "elsewhere")
    (tmp_path / f"file-{epoch()}").write_text("")
    (tmp_path / f"No-Name-{epoch()}").mkdir()
    (tmp_path / "build-short").mkdir()
    before = sorted(tmp_path.iterdir())
    archive = Archive(tmp_path)
    assert archive.sessions() == []
    assert archive.prune(Policy(0.0, 0), time.time()) == []
    assert sorted(tmp_path.iterdir()) == before


def test_a_place_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "nowhere")
    assert (archive.sessions(), archive.names(), archive.find("build")) == ([], set(), None)
    assert archive.prune(Policy(0.0, 0), time.time()) == []


def test_a_place_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        Archive(tmp_path / "file").sessions()


# -- renamed and deleted --------------------------------------------------------------------------------------------


def test_a_renamed_session_is_found_by_its_new_name_with_all_that_it_has(tmp_path: Path) -> None:
    old = ended(tmp_path, "build", code=3)
    archive = Archive(tmp_path)
    new = archive.rename(old, "kept-build")
    assert archive.sessions() == [new]
    assert archive.find("kept-build") == new
    assert new.state.status == 3
    assert (new.directory / "output").read_bytes() == b"hello\r\n"
    assert json.loads((new.directory / FILE_NAME).read_text())["name"] == "kept-build"


def test_a_session_of_which_nothing_can_be_read_can_be_renamed(tmp_path: Path) -> None:
    kept = lost(tmp_path, "build")
    (kept.directory / FILE_NAME).write_bytes(b"\0")
    assert Archive(tmp_path).rename(kept, "torn").name == "torn"


def test_a_name_that_is_none_and_a_session_that_is_gone_are_refused(tmp_path: Path) -> None:
    kept = ended(tmp_path, "build")
    archive = Archive(tmp_path)
    with pytest.raises(ConfigError):
        archive.rename(kept, "../x")
    archive.delete(kept)
    with pytest.raises(StoreError):
        archive.rename(kept, "new")


def test_a_deleted_session_is_gone_with_all_that_it_has(tmp_path: Path) -> None:
    kept = ended(tmp_path, "build")
    (kept.directory / "audit").mkdir()
    (kept.directory / "audit" / "1").write_text("line")
    other = ended(tmp_path, "other")
    archive = Archive(tmp_path)
    archive.delete(kept)
    archive.delete(kept)
    assert [path.name for path in tmp_path.iterdir()] == [other.directory.name]


def test_what_a_deletion_that_broke_off_left_is_not_listed_and_goes_at_the_next(tmp_path: Path) -> None:
    kept = ended(tmp_path, "build")
    kept.directory.rename(tmp_path / f".{kept.directory.name}.gone")
    archive = Archive(tmp_path)
    assert archive.sessions() == []
    archive.prune(Policy(), time.time())
    assert list(tmp_path.iterdir()) == []


# -- by age and size ------------------------------------------------------------------------------------------------


def test_what_ended_too_long_ago_is_deleted_and_nothing_that_runs(tmp_path: Path) -> None:
    now = BEGAN_AT + 10 * DAY_S
    ended(tmp_path, "old", at=now - 8 * DAY_S)
    ended(tmp_path, "new", at=now - 6 * DAY_S)
    vanished = lost(tmp_path, "vanished")
    for name in ("output", "timeline"):
        put(vanished.directory / name, now - 9 * DAY_S)
    lost(tmp_path, "running", **of_this_process())
    archive = Archive(tmp_path)
    policy = Policy(7 * DAY_S)
    assert names(archive.doomed(policy, now)) == ["vanished", "old"]
    assert archive.names() == {"old", "new", "vanished", "running"}
    assert names(archive.prune(policy, now)) == ["vanished", "old"]
    assert archive.names() == {"new", "running"}
    assert names(archive.prune(Policy(0.0), now)) == ["new"]
    assert archive.names() == {"running"}


def test_a_week_of_retention_under_a_clock_that_moves(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    policy = Policy(7 * DAY_S)
    left = []
    for day in range(14):
        now = BEGAN_AT + day * DAY_S
        ended(tmp_path, f"day-{day}", at=now)
        archive.prune(policy, now)
        left.append(len(archive.sessions()))
    assert left == [1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7, 7, 7, 7]
    # A clock that was set back makes nothing older than it is.
    assert archive.prune(policy, BEGAN_AT) == []


def test_what_ended_while_the_clock_was_set_back_is_no_older_than_its_beginning(tmp_path: Path) -> None:
    ended(tmp_path, "an-hour", at=BEGAN_AT - 3600)
    ended(tmp_path, "to-1970", at=100.0)
    archive, week = Archive(tmp_path), Policy(7 * DAY_S)
    assert archive.prune(week, BEGAN_AT + 7 * DAY_S - 1) == []
    assert len(archive.prune(week, BEGAN_AT + 7 * DAY_S)) == 2


def test_what_ended_before_the_clock_was_set_is_kept_from_when_that_is_seen(tmp_path: Path) -> None:
    ended(tmp_path, "early", at=160.0, started_at=100.0)
    archive, week = Archive(tmp_path), Policy(7 * DAY_S)
    put(archive.sessions()[0].directory / HEARTBEAT, 150.0)
    assert archive.prune(week, 10 * DAY_S) == []  # it is not set yet
    assert archive.doomed(week, BEGAN_AT) == []
    assert archive.prune(week, BEGAN_AT) == []
    assert archive.prune(week, BEGAN_AT + 7 * DAY_S - 1) == []
    assert names(archive.prune(week, BEGAN_AT + 7 * DAY_S)) == ["early"]


def test_who_wants_nothing_kept_does_not_wait_for_a_clock(tmp_path: Path) -> None:
    ended(tmp_path, "early", at=160.0, started_at=100.0)
    assert names(Archive(tmp_path).prune(Policy(0.0), 200.0)) == ["early"]


def test_of_too_much_the_oldest_end_goes_first_and_never_what_runs(tmp_path: Path) -> None:
    block = os.urandom(1 << 20)
    ended(tmp_path, "second", at=BEGAN_AT + 2, output=block)
    ended(tmp_path, "first", at=BEGAN_AT + 1, output=block)
    ended(tmp_path, "third", at=BEGAN_AT + 3, output=block)
    lost(tmp_path, "running", output=block, **of_this_process())
    archive = Archive(tmp_path)
    sizes = {kept.name: kept.size_bytes() for kept in archive.sessions()}
    assert all(1 << 20 <= size < 1.5 * (1 << 20) for size in sizes.values())
    now = BEGAN_AT + 100
    assert archive.doomed(Policy(None, sum(sizes.values())), now) == []
    assert names(archive.prune(Policy(None, sizes["running"] + sizes["third"]), now)) == ["first", "second"]
    assert names(archive.prune(Policy(None, 0), now)) == ["third"]
    assert archive.names() == {"running"}


def test_age_goes_before_size(tmp_path: Path) -> None:
    block = os.urandom(1 << 20)
    for at in (1, 2, 3):
        ended(tmp_path, f"s{at}", at=BEGAN_AT + at, output=block)
    archive = Archive(tmp_path)
    most = sum(kept.size_bytes() for kept in archive.sessions() if kept.name != "s1")
    assert names(archive.prune(Policy(98.5, most), BEGAN_AT + 100)) == ["s1"]


def test_what_was_to_go_with_its_session_goes_whatever_the_policy(tmp_path: Path) -> None:
    lost(tmp_path, "not-kept", kept=False)
    lost(tmp_path, "not-kept-running", kept=False, **of_this_process())
    ended(tmp_path, "kept")
    archive = Archive(tmp_path)
    assert names(archive.prune(Policy(), time.time())) == ["not-kept"]
    assert archive.names() == {"not-kept-running", "kept"}


def test_what_cannot_be_deleted_does_not_keep_the_rest(tmp_path: Path) -> None:
    ended(tmp_path, "first", "00000000000000aa", at=BEGAN_AT + 1)
    ended(tmp_path, "second", at=BEGAN_AT + 2)
    (tmp_path / ".first-00000000000000aa.gone").write_text("in the way")
    archive = Archive(tmp_path)
    assert names(archive.prune(Policy(0.0), BEGAN_AT + 100)) == ["second"]
    assert archive.names() == {"first"}


# -- once in a while ------------------------------------------------------------------------------------------------


def test_it_is_cleaned_up_once_an_hour(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    policy = Policy(60.0)
    now = BEGAN_AT + 1000
    ended(tmp_path, "first")
    assert names(archive.clean_up(policy, now)) == ["first"]
    ended(tmp_path, "second")
    assert archive.clean_up(policy, now + 3599) == []
    assert names(archive.clean_up(policy, now + 3600)) == ["second"]


def test_a_clock_that_was_set_back_does_not_keep_it_from_being_cleaned_up(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.clean_up(Policy(), BEGAN_AT + 40 * DAY_S)
    ended(tmp_path, "old")
    assert names(archive.clean_up(Policy(60.0), BEGAN_AT + 1000)) == ["old"]


def test_while_one_cleans_up_others_do_not(tmp_path: Path) -> None:
    ended(tmp_path, "old")
    with (tmp_path / CLEANED).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert Archive(tmp_path).clean_up(Policy(0.0), BEGAN_AT + 1000) == []
    assert names(Archive(tmp_path).clean_up(Policy(0.0), BEGAN_AT + 1000)) == ["old"]


def test_where_nothing_can_be_written_nothing_is_cleaned_up(tmp_path: Path) -> None:
    assert Archive(tmp_path / "nowhere").clean_up(Policy(0.0), BEGAN_AT) == []
    assert list(tmp_path.iterdir()) == []
