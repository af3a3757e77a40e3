"""`codewrap ls`: a table for people, JSON for programs, never a key."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from codewrap.cli.attach import complete_session
from codewrap.protocol.orders import Reply, Standing
from codewrap.store.sessions import SessionRecord, SessionStore, process_start
from codewrap.store.spent import BudgetLeft, Spent, write_spent
from tests.support.answering import Answering
from tests.support.cli import CommandLine


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def add(
    codewrap: CommandLine,
    name: str,
    command: list[str],
    pid_started: str | None = None,
    log_directory: str = "/nowhere",
    lane: str = "",
) -> SessionRecord:
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
        log_directory=log_directory,
        hub={"port": 1, "app_id": "1", "key": "hush-key", "secret": "hush-secret", "master_key": "hush"},
        lane=lane,
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
    nothing = {"events": 0, "bytes": 0, "messages": 0, "refused": 0, "budget": None}
    nothing |= {"messages_per_day_estimate": 0, "messages_per_day_mean": 0}
    assert json.loads(done.out) == [record.public() | {"spent": nothing, "requests": []}]
    assert "hush" not in done.out
    assert "zażółć" in done.out


@pytest.mark.parametrize(
    ("budget", "said"),
    [(None, "300, 86k/day"), (BudgetLeft(50_000, 86_400.0, 1240.0, 25_000.0, 1e-9), "300, 86k/day, 1.2k left")],
)
def test_what_a_session_has_spent_so_far_is_shown(
    codewrap: CommandLine, tmp_path: Path, budget: BudgetLeft | None, said: str
) -> None:
    now = time.time()
    spent = Spent(now - 5, now - 1000, 100, 5000, 300, 2, ((now - 30, 300),), budget)
    write_spent(tmp_path, spent)
    add(codewrap, "build", ["make"], log_directory=str(tmp_path))
    (row,) = [line for line in codewrap("ls", COLUMNS="160").out.splitlines() if "build" in line]
    assert said in row
    (shown,) = json.loads(codewrap("ls", "--json").out)
    expected = spent.public(now)
    mean = expected.pop("messages_per_day_mean")
    assert 0 < shown["spent"].pop("messages_per_day_mean") <= mean
    assert shown["spent"] == expected


def test_who_asks_to_type_is_shown(codewrap: CommandLine) -> None:
    asking = Reply(requests=(Standing("bob", "48 29 13", 5.0), Standing("eve", "11 11 11", 6.0)))
    with Answering(asking) as host:
        add(codewrap, "build", ["make"], lane=host.name)
        (shown,) = json.loads(codewrap("ls", "--json").out)
        (row,) = [line for line in codewrap("ls", COLUMNS="160").out.splitlines() if "build" in line]
    assert shown["requests"] == [
        {"user": "bob", "code": "48 29 13", "since": 5.0},
        {"user": "eve", "code": "11 11 11", "since": 6.0},
    ]
    assert host.name not in json.dumps(shown)
    assert "ask, 2 asking" in row


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
