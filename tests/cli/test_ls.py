"""`codewrap ls`: a table for people, JSON for programs, never a key."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from codewrap.cli.attach import complete_session
from codewrap.store.sessions import SessionRecord, SessionStore, process_start
from tests.support.cli import CommandLine


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def add(codewrap: CommandLine, name: str, command: list[str], pid_started: str | None = None) -> SessionRecord:
    """A session that this process runs."""
    directory = codewrap.directory / "runtime" / "codewrap"
    directory.mkdir(mode=0o700, exist_ok=True)
    record = SessionRecord(
        name=name,
        pid=os.getpid(),
        pid_started=process_start(os.getpid()) if pid_started is None else pid_started,
        epoch="e",
        mode="embedded",
        endpoint="http://127.0.0.1:1",
        encrypted=True,
        read_only=False,
        command=command,
        started_at=time.time() - 125,
        log_directory="/nowhere",
        hub={"port": 1, "app_id": "1", "key": "hush-key", "secret": "hush-secret", "master_key": "hush"},
    )
    SessionStore(directory).create(record)
    return record


def test_nothing_runs(codewrap: CommandLine) -> None:
    done = codewrap("ls")
    assert (done.status, done.out) == (0, "")
    assert "codewrap run" in done.err
    assert json.loads(codewrap("ls", "--json").out) == []


def test_what_runs_is_a_table(codewrap: CommandLine) -> None:
    add(codewrap, "build", ["make", "[bold]all", "\x1b[2J"])
    add(codewrap, "gone", ["sleep"], pid_started="another process")
    done = codewrap("ls")
    assert (done.status, done.err) == (0, "")
    assert "gone" not in done.out
    (row,) = [line for line in done.out.splitlines() if "build" in line]
    assert "2 min" in row
    assert "embedded" in row
    assert "make [bold]all" in row
    assert "\x1b" not in done.out


def test_what_runs_is_json_without_keys(codewrap: CommandLine) -> None:
    record = add(codewrap, "build", ["make", "zażółć"])
    done = codewrap("ls", "--json")
    assert json.loads(done.out) == [record.public()]
    assert "hush" not in done.out
    assert "zażółć" in done.out


def test_the_shell_completes_names(codewrap: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    add(codewrap, "build", ["a"])
    add(codewrap, "bench", ["a"])
    add(codewrap, "test", ["a"])
    monkeypatch.setenv("XDG_RUNTIME_DIR", codewrap.environ["XDG_RUNTIME_DIR"])
    assert sorted(complete_session("b")) == ["bench", "build"]
    assert sorted(complete_session("")) == ["bench", "build", "test"]
    assert complete_session("x") == []


def test_completion_says_nothing_where_there_is_nothing_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CODEWRAP_RUNTIME_DIR", str(tmp_path / "file"))
    assert complete_session("") == []
