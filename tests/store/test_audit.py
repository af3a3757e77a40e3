"""The audit log on a real disk: the chain over files and processes, kills, full disks, foreign files."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from codewrap.errors import StoreError
from codewrap.store.audit import RETRY_S, AuditLog, Head, server_log, session_log
from codewrap.store.auditcheck import Verdict, verify
from codewrap.store.auditlines import NO_HASH, file_name, file_numbers
from tests.support import auditwriter
from tests.support.disk import files_ending_at


class Clock:
    """Seconds that go by when they are told to."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def lines(directory: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for number in file_numbers(directory)
        for line in (directory / file_name(number)).read_text().splitlines()
    ]


def events(directory: Path) -> list[str]:
    return [line["event"] for line in lines(directory)]


def whole(directory: Path) -> Verdict:
    verdict = verify(directory)
    assert verdict.problem is None
    return verdict


def newest(directory: Path) -> Path:
    return directory / file_name(file_numbers(directory)[-1])


def test_lines_are_numbered_dated_and_chained(directory: Path) -> None:
    log = AuditLog(directory, clock=lambda: 1_769_903_999.1234)
    assert log.head() == Head(0, NO_HASH)
    assert log.write("input", user="anna", size=3, accepted=True, why=None)
    assert log.append("input", {"user": "ben"}, at_s=0.5)
    header, first, second = lines(directory)
    assert (header["event"], header["file"], header["oldest"], header["v"], header["prev"]) == ("file", 1, 1, 1, NO_HASH)
    assert [line["seq"] for line in (header, first, second)] == [1, 2, 3]
    assert (first["prev"], second["prev"]) == (header["hash"], first["hash"])
    assert first["at"] == "2026-01-31T23:59:59.123Z"
    assert second["at"] == "1970-01-01T00:00:00.500Z"
    assert {name: first[name] for name in ("user", "size", "accepted", "why")} == {
        "user": "anna",
        "size": 3,
        "accepted": True,
        "why": None,
    }
    assert log.head() == Head(3, second["hash"]) == whole(directory).head
    log.close()


def test_a_log_goes_on_where_the_last_process_left_it(directory: Path) -> None:
    for user in ("anna", "ben"):
        log = AuditLog(directory)
        log.write("input", user=user)
        log.close()
    assert events(directory) == ["file", "input", "input"]
    assert whole(directory).head.seq == 3


def test_directory_and_files_are_for_their_owner_alone(directory: Path) -> None:
    old = os.umask(0)
    try:
        log = AuditLog(directory)
        log.write("input")
    finally:
        os.umask(old)
    log.close()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(newest(directory).stat().st_mode) == 0o600
    newest(directory).chmod(0o644)
    again = AuditLog(directory)
    again.write("input")
    again.close()
    assert stat.S_IMODE(newest(directory).stat().st_mode) == 0o600


def test_logs_stand_beside_what_they_are_about(tmp_path: Path) -> None:
    assert server_log(tmp_path) == tmp_path / "serve-auth" / "audit"
    assert session_log(tmp_path / "build-0a") == tmp_path / "build-0a" / "audit"


def test_nothing_is_made_before_the_first_line(directory: Path) -> None:
    AuditLog(directory).close()
    assert not directory.exists()


@pytest.mark.parametrize("what", ["link", "hard link", "directory", "pipe"])
def test_a_file_that_is_not_ours_alone_is_not_written(directory: Path, tmp_path: Path, what: str) -> None:
    directory.mkdir(mode=0o700)
    other = tmp_path / "other"
    other.write_bytes(b"as it was")
    path = directory / file_name(1)
    makers = {
        "link": lambda: path.symlink_to(other),
        "hard link": lambda: path.hardlink_to(other),
        "directory": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
    }
    makers[what]()
    log = AuditLog(directory)
    assert not log.write("input")
    assert log.refused_writes == 1
    assert log.problem
    with pytest.raises(StoreError):
        log.open()
    log.close()
    assert other.read_bytes() == b"as it was"


def test_a_directory_that_is_a_link_is_not_followed(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    directory.symlink_to(tmp_path / "other")
    log = AuditLog(directory)
    assert not log.write("input")
    with pytest.raises(StoreError, match="symbolic link"):
        log.open()
    assert list((tmp_path / "other").iterdir()) == []


def test_open_tells_at_once_and_makes_the_first_file(directory: Path) -> None:
    log = AuditLog(directory)
    log.open()
    log.close()
    assert events(directory) == ["file"]


def test_files_are_closed_by_size_and_the_oldest_removed(directory: Path) -> None:
    log = AuditLog(directory, 1024, 3)
    for number in range(40):
        log.write("input", number=number)
    log.close()
    numbers = file_numbers(directory)
    assert len(numbers) == 3
    assert numbers[0] > 1
    assert all((directory / file_name(number)).stat().st_size < 2048 for number in numbers)
    verdict = whole(directory)
    assert (verdict.files, verdict.head) == (3, log.head())
    assert verdict.first_seq == lines(directory)[0]["seq"] > 1
    assert [line["event"] for line in lines(directory)].count("file") == 3


def test_more_files_may_be_kept_than_before(directory: Path) -> None:
    for files in (2, 5):
        log = AuditLog(directory, 1024, files)
        for number in range(12):
            log.write("input", number=number)
            assert verify(directory).problem is None
        log.close()


def test_a_file_that_could_not_be_removed_is_no_break(directory: Path) -> None:
    log = AuditLog(directory, 1024, 3)
    for number in range(5):
        log.write("input", number=number, padding="x" * 200)
    kept = (directory / file_name(1)).read_bytes()
    for number in range(20):
        log.write("input", number=number, padding="x" * 200)
        if not (directory / file_name(1)).exists():
            break
    (directory / file_name(1)).write_bytes(kept)
    whole(directory)
    log.write("input")
    log.close()
    whole(directory)


def test_a_line_that_was_left_unfinished_is_closed_off_and_the_chain_goes_on(directory: Path) -> None:
    log = AuditLog(directory)
    log.write("input", user="anna")
    before = newest(directory).read_bytes()
    log.write("input", user="ben")
    log.close()
    after = newest(directory).read_bytes()
    for end in range(len(before) + 1, len(after) - 1):
        newest(directory).write_bytes(after[:end])
        verdict = whole(directory)
        assert (verdict.head.seq, verdict.unfinished_bytes) == (2, end - len(before))
        again = AuditLog(directory)
        again.write("input", user="cleo")
        again.close()
        verdict = whole(directory)
        assert (verdict.head.seq, verdict.torn, verdict.unfinished_bytes) == (4, 1, 0)


def test_a_line_that_lacks_nothing_but_its_newline_is_completed(directory: Path) -> None:
    log = AuditLog(directory)
    log.write("input", user="anna")
    log.close()
    newest(directory).write_bytes(newest(directory).read_bytes()[:-1])
    assert (whole(directory).head, whole(directory).unfinished_bytes) == (log.head(), 0)
    again = AuditLog(directory)
    again.write("input", user="ben")
    again.close()
    assert events(directory) == ["file", "input", "input"]
    assert whole(directory).torn == 0


def test_a_first_line_that_was_left_unfinished_is_written_anew(directory: Path) -> None:
    log = AuditLog(directory, 1024)
    while len(file_numbers(directory)) < 2 if directory.exists() else True:
        log.write("input", padding="x" * 100)
    log.close()
    data = newest(directory).read_bytes()
    for end in (0, 1, data.index(b"\n")):
        newest(directory).write_bytes(data[:end])
        assert verify(directory).problem is None
        again = AuditLog(directory, 1024)
        again.write("input")
        again.close()
        whole(directory)
    newest(directory).unlink()
    (directory / file_name(1)).write_bytes(b'{"at"')
    again = AuditLog(directory)
    again.write("input")
    again.close()
    assert events(directory) == ["file", "input"]
    whole(directory)


def test_a_damaged_end_is_marked_and_found_again(directory: Path) -> None:
    log = AuditLog(directory)
    for number in range(3):
        log.write("input", number=number)
    log.close()
    data = newest(directory).read_bytes()
    newest(directory).write_bytes(data.replace(b'"number":2', b'"number":5'))
    again = AuditLog(directory)
    assert again.write("input", number=3)
    again.close()
    assert events(directory) == ["file", "input", "input", "input", "damaged", "input"]
    problem = verify(directory).problem
    assert problem is not None
    assert (problem.line, problem.why.split(":")[0]) == (4, "altered")


def test_a_process_that_is_killed_leaves_a_log_that_goes_on(directory: Path) -> None:
    seed = 20
    chance = random.Random(seed)
    for round_number in range(20):
        command = [sys.executable, auditwriter.__file__, str(directory), "0", "8192", "4", f"user{round_number}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
                wanted = grown(directory) + chance.randrange(20_000)
                while grown(directory) < wanted and process.poll() is None:
                    pass  # it writes as fast as it can, and is to be caught at it
            finally:
                process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        verdict = verify(directory)
        assert verdict.problem is None, f"seed {seed}, round {round_number}: {verdict.problem}"
    log = AuditLog(directory, 8192, 4)
    assert log.write("input")
    log.close()
    assert whole(directory).head.seq > 20


def grown(directory: Path) -> int:
    """About how many bytes were ever written to the log."""
    while True:
        number = file_numbers(directory)[-1]
        try:
            return number * 8192 + (directory / file_name(number)).stat().st_size
        except FileNotFoundError:
            continue  # it was the newest a moment ago


def test_two_processes_write_one_log(directory: Path) -> None:
    names = ("anna", "ben")
    processes = [
        subprocess.Popen([sys.executable, auditwriter.__file__, str(directory), "1000", "65536", "100", name]) for name in names
    ]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    verdict = whole(directory)
    written = [line for line in lines(directory) if line["event"] == "input"]
    assert Counter(line["user"] for line in written) == {"anna": 1000, "ben": 1000}
    for name in names:
        assert [line["number"] for line in written if line["user"] == name] == list(range(1, 1001))
    assert verdict.lines == 2000 + verdict.files


def test_two_logs_in_turn_see_each_other_s_lines_files_and_removals(directory: Path) -> None:
    logs = [AuditLog(directory, 1024, 2), AuditLog(directory, 1024, 2)]
    for number in range(60):
        # One of them is away for a while, so that the file it has open is removed.
        log = logs[0] if number % 20 < 15 else logs[1]
        assert log.write("input", number=number)
    for log in logs:
        log.close()
    verdict = whole(directory)
    assert verdict.head == max(log.head() for log in logs)


def test_a_full_disk_is_counted_and_said_when_there_is_room_again(directory: Path) -> None:
    clock = Clock()
    log = AuditLog(directory, monotonic=clock)
    log.write("input", number=0)
    size = newest(directory).stat().st_size
    with files_ending_at(size + 100):
        assert [log.write("input", number=number) for number in range(1, 4)] == [False] * 3
        assert newest(directory).stat().st_size == size
        clock.now_s += RETRY_S
        assert not log.write("input", number=4)
    assert log.refused_writes == 4
    assert log.problem == "File too large"
    assert not log.write("input", number=5)  # not tried before its time
    clock.now_s += RETRY_S
    assert log.write("input", number=6)
    assert (log.refused_writes, log.problem) == (5, "")
    log.close()
    assert events(directory) == ["file", "input", "lost", "input"]
    assert lines(directory)[2]["lines"] == whole(directory).lost == 5


def test_a_disk_that_is_full_when_a_file_begins_leaves_the_one_before_the_last(directory: Path) -> None:
    clock = Clock()
    log = AuditLog(directory, 1024, monotonic=clock)
    while not directory.exists() or newest(directory).stat().st_size < 1024:
        log.write("input", padding="x" * 100)
    with files_ending_at(50):
        assert not log.write("input")
    assert file_numbers(directory) == [1]
    clock.now_s += RETRY_S
    assert log.write("input")
    log.close()
    assert events(directory)[-3:] == ["lost", "file", "input"]
    whole(directory)


def test_a_disk_that_is_full_from_the_start_leaves_nothing_that_would_be_missed(directory: Path) -> None:
    clock = Clock()
    log = AuditLog(directory, monotonic=clock)
    with files_ending_at(50):
        assert not log.write("input")
    assert file_numbers(directory) == []
    clock.now_s += RETRY_S
    assert log.write("input")
    log.close()
    assert events(directory) == ["file", "lost", "input"]
    whole(directory)


def test_what_was_lost_is_said_at_the_end_if_no_line_follows(directory: Path) -> None:
    log = AuditLog(directory)
    log.write("input")
    log.count_lost(3)
    log.close()
    log.close()
    assert lines(directory)[-1]["event"] == "lost"
    assert log.refused_writes == whole(directory).lost == 3


def test_a_directory_that_went_away_is_made_again_and_its_files_are_missed(directory: Path, tmp_path: Path) -> None:
    clock = Clock()
    log = AuditLog(directory, monotonic=clock)
    log.write("input")
    directory.rename(tmp_path / "away")
    log.write("input")
    clock.now_s += RETRY_S
    directory.mkdir(exist_ok=True)
    log.close()
    log.write("input")
    log.close()
    problem = verify(directory).problem
    assert problem is not None
    assert "removed: 00000001.jsonl should be there" in str(problem)


def test_lines_cut_off_under_a_process_that_writes_are_found(directory: Path) -> None:
    log = AuditLog(directory)
    for number in range(4):
        log.write("input", number=number)
    with newest(directory).open("rb+") as file:
        file.truncate(newest(directory).read_bytes().index(b'{"at"', 300))
    assert verify(directory).problem is None  # nobody can tell yet
    assert log.write("input", number=4)
    log.close()
    problem = verify(directory).problem
    assert problem is not None
    assert problem.why.startswith("removed: ")


def test_a_process_that_holds_the_lock_is_not_waited_for_long(directory: Path) -> None:
    clock = Clock()
    log = AuditLog(directory, lock_wait_s=0.01, monotonic=clock)
    log.write("input")
    held = os.open(directory, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert not log.write("input")
    with pytest.raises(StoreError):
        log.open()
    os.close(held)
    clock.now_s += RETRY_S
    assert log.write("input")
    log.close()
    assert whole(directory).lost == 1
