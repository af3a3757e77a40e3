"""`codewrap audit`: whole or broken in a line, lines for people and programs, and nothing in a log that acts on a terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codewrap.store.audit import AuditLog, server_log, session_log
from codewrap.store.sessions import SessionRecord, SessionStore, process_start
from tests.support.cli import CommandLine


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def directory(codewrap: CommandLine) -> Path:
    """The log of serve-auth, with four lines."""
    directory = server_log(codewrap.directory / "state" / "codewrap")
    log = AuditLog(directory)
    log.append("authentication", {"accepted": True, "user": "anna", "role": "writer"}, at_s=time.time() - 7200)
    log.write("authentication", accepted=False, user="", why="expired token", address="192.0.2.1")
    log.write("revoked", by="anna", subject="user:eve")
    log.close()
    return directory


def test_a_log_that_is_whole_is_said_to_be_with_its_head(codewrap: CommandLine, directory: Path) -> None:
    done = codewrap("audit", "verify")
    head = json.loads((directory / "00000001.jsonl").read_text().splitlines()[-1])["hash"]
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"whole: 4 lines in 1 file; head 4:{head}",
        "lines cut off at the end are only found with a --head that was noted before",
    ]
    again = codewrap("audit", "verify", "--head", f"4:{head}")
    assert (again.status, again.out) == (0, f"whole: 4 lines in 1 file; head 4:{head}\n")


def test_what_is_broken_is_one_line_and_status_1(codewrap: CommandLine, directory: Path) -> None:
    path = directory / "00000001.jsonl"
    path.write_text(path.read_text().replace("user:eve", "user:bob"))
    done = codewrap("audit", "verify")
    assert (done.status, done.err) == (1, "")
    assert done.out == "broken: 00000001.jsonl, line 4: altered: its hash is not that of what it says\n"
    done = codewrap("audit", "verify", "--file", str(path), "--json")
    assert done.status == 1
    shown = json.loads(done.out)
    assert (shown["whole"], shown["lines"], shown["problem"]["line"]) == (False, 3, 4)


def test_what_was_cut_off_is_found_with_a_head(codewrap: CommandLine, directory: Path) -> None:
    head = json.loads(codewrap("audit", "verify", "--json").out)["head"]
    path = directory / "00000001.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert codewrap("audit", "verify").status == 0
    done = codewrap("audit", "verify", "--head", head)
    assert done.status == 1
    assert "truncated: the log ends at its line 3, and line 4 was known" in done.out


def test_what_a_log_went_through_is_said(codewrap: CommandLine) -> None:
    directory = codewrap.directory / "audit"
    log = AuditLog(directory, 1024, 2)
    for number in range(20):
        log.write("input", number=number)
    log.count_lost(3)
    log.close()
    with sorted(directory.iterdir())[-1].open("ab") as file:
        file.write(b'{"at"')
    log.write("input")
    log.close()
    with sorted(directory.iterdir())[-1].open("ab") as file:
        file.write(b'{"at":')
    said = codewrap("audit", "verify", "--file", str(directory)).out
    assert "in 2 files" in said
    assert "are no longer kept" in said
    assert "3 lines could not be written at the time" in said
    assert "1 line was left unfinished by a process that was killed" in said
    assert "6 bytes at the end are no whole line" in said


def test_a_log_is_shown_line_by_line(codewrap: CommandLine, directory: Path) -> None:
    assert directory.exists()
    done = codewrap("audit", "show")
    assert (done.status, done.err) == (0, "")
    rest = [line.split(" ", 1)[1] for line in done.out.splitlines()]
    assert rest == [
        "file file=1 oldest=1 v=1",
        "authentication accepted role=writer user=anna",
        'authentication refused address=192.0.2.1 user="" why="expired token"',
        "revoked by=anna subject=user:eve",
    ]


def test_lines_can_be_chosen(codewrap: CommandLine, directory: Path) -> None:
    assert directory.exists()

    def shown(*words: str) -> list[str]:
        return [json.loads(line)["event"] for line in codewrap("audit", "show", "--json", *words).out.splitlines()]

    assert shown("--user", "anna") == ["authentication", "revoked"]
    assert shown("--user", "anna", "--event", "revoked") == ["revoked"]
    assert shown("--since", "1h") == ["file", "authentication", "revoked"]
    assert shown("--event", "none") == []


def test_json_lines_are_those_of_the_log(codewrap: CommandLine, directory: Path) -> None:
    shown = [json.loads(line) for line in codewrap("audit", "show", "--json").out.splitlines()]
    assert shown == [json.loads(line) for line in (directory / "00000001.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_nothing_in_a_log_acts_on_a_terminal(codewrap: CommandLine, directory: Path, option: list[str]) -> None:
    with (directory / "00000001.jsonl").open("a") as file:
        file.write('{"event":"\\u001b[2J","at":"\\u009b2J","us\\u0007er":["\\u001b]0;x"],"why":"[red]a\\u202eb"}\n\x1b[2Jrest\n')
    done = codewrap("audit", "show", *option)
    assert done.status == 0
    assert all(c.isprintable() or c == "\n" for c in done.out)
    assert "[red]a" in done.out
    assert '"event": "unreadable"' in done.out if option else "unreadable" in done.out


def test_a_log_is_followed(codewrap: CommandLine, directory: Path) -> None:
    command = [sys.executable, "-m", "codewrap.cli.main", "audit", "show", "--follow", "--event", "input"]
    log = AuditLog(directory)
    log.write("input", user="ben")
    with subprocess.Popen(command, env=codewrap.environ, cwd=codewrap.directory, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().endswith("input user=ben\n")
            log.write("input", user="cleo")
            assert process.stdout.readline().endswith("input user=cleo\n")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
        finally:
            process.kill()
    log.close()


def test_whoever_has_seen_enough_ends_it_quietly(codewrap: CommandLine, directory: Path) -> None:
    log = AuditLog(directory)
    for number in range(2000):
        log.write("input", number=number)
    log.close()
    command = [sys.executable, "-m", "codewrap.cli.main", "audit", "show"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=codewrap.environ, cwd=codewrap.directory, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == ""


def test_a_session_has_a_log_of_its_own(codewrap: CommandLine) -> None:
    runtime = codewrap.directory / "runtime" / "codewrap"
    runtime.mkdir(mode=0o700)
    session_directory = codewrap.directory / "build-0a"
    record = SessionRecord(
        name="build",
        pid=os.getpid(),
        pid_started=process_start(os.getpid()),
        epoch="e",
        mode="embedded",
        endpoint="",
        encrypted=True,
        read_only=False,
        command=["true"],
        started_at=0.0,
        log_directory=str(session_directory),
    )
    SessionStore(runtime).create(record)
    log = AuditLog(session_log(session_directory))
    log.write("input", user="anna")
    log.close()
    assert "input user=anna" in codewrap("audit", "show", "--session", "build").out
    assert codewrap("audit", "verify", "--session", "build").status == 0
    done = codewrap("audit", "verify", "--session", "other")
    assert done.status == 255
    assert "ls --all" in done.err


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["verify", "--head", "4"], 2),
        (["verify", "--head", "4:xyz"], 2),
        (["verify", "--file", "a", "--session", "b"], 2),
        (["verify", "--session", "../x"], 2),
        (["show", "--since", "yesterday"], 2),
        (["show", "--file", "not-there"], 125),
        (["verify"], 125),
        (["hide"], 2),
        (["show", "--yaml"], 2),
    ],
)
def test_what_cannot_be_done_is_one_line(codewrap: CommandLine, words: list[str], status: int) -> None:
    done = codewrap("audit", *words)
    assert (done.status, done.out) == (status, "")
    assert done.err.startswith("codewrap: ")
    assert len(done.err.splitlines()) == 1
