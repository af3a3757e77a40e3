"""`codewrap ls`: a table for people, JSON for programs, never a key."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from codewrap.cli.attach import complete_session
from codewrap.protocol.orders import Reply, Standing
from codewrap.store.activity import Activity, write_activity
from codewrap.store.sessions import SessionRecord, SessionStore, process_start
from codewrap.store.spent import BudgetLeft, Spent, write_spent
from tests.support import kept
from tests.support.answering import Answering
from tests.support.cli import CommandLine
from tests.support.storing import StoringServer
from tests.support.web import WebServer, answer


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
    beside = {"state": "running", "server": None, "spent": nothing, "requests": [], "activity": None}
    assert json.loads(done.out) == [record.public() | beside]
    assert "hush" not in done.out
    assert "zażółć" in done.out


def test_what_a_session_does_is_shown(codewrap: CommandLine, tmp_path: Path) -> None:
    does = Activity("awaiting input", 5.0, ("echo is off",), "Password:", 10)
    write_activity(tmp_path, does)
    add(codewrap, "build", ["make"], log_directory=str(tmp_path))
    (row,) = [line for line in codewrap("ls").out.splitlines() if "build" in line]
    assert row.split("  ")[1] == "awaiting input"
    assert "awaiting input" in codewrap("ls", "--all").out
    (shown,) = json.loads(codewrap("ls", "--json").out)
    assert shown["activity"] == does.public()


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


def archive_of(codewrap: CommandLine) -> Path:
    directory = codewrap.directory / "state" / "codewrap" / "sessions"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def test_what_has_ended_or_was_lost_is_listed_on_request_the_newest_first(codewrap: CommandLine) -> None:
    place = archive_of(codewrap)
    add(codewrap, "now", ["sleep"])
    kept.ended(place, "build", "00000000000000aa", started_at=kept.BEGAN_AT, code=3)
    kept.ended(place, "build", "00000000000000bb", started_at=kept.BEGAN_AT + 60, code=None, signal=9)
    kept.lost(place, "now", "00000000000000cc", started_at=kept.BEGAN_AT + 120, command=["\x1b[2J"])
    assert "build" not in codewrap("ls").out
    done = codewrap("ls", "--all", TZ="UTC")
    assert (done.status, done.err) == (0, "")
    rows = [line.split("  ") for line in done.out.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[0] == ["NAME", "STATE", "BEGAN", "ENDED", "OUTPUT", "COMMAND"]
    assert [row[:2] for row in cells[1:]] == [
        ["now", "running"],
        ["now@00000000", "lost"],
        ["build", "killed by signal 9"],
        ["build@00000000", "exit 3"],
    ]
    assert cells[3][2:] == ["2023-11-14 22:14", "2023-11-14 22:14", "7 B", "make all"]
    assert "\x1b" not in done.out


def test_programs_get_all_sessions_with_what_became_of_them(codewrap: CommandLine) -> None:
    place = archive_of(codewrap)
    add(codewrap, "now", ["sleep"])
    ended, lost = kept.ended(place, "build", code=3), kept.lost(place, "gone", started_at=kept.BEGAN_AT - 1)
    shown = json.loads(codewrap("ls", "--all", "--json").out)
    assert [(each["name"], each["state"]) for each in shown] == [("now", "running"), ("build", "ended"), ("gone", "lost")]
    assert shown[1] == ended.public() | {"server": None}
    assert shown[2] == lost.public() | {"server": None}
    assert "hush" not in json.dumps(shown)


def test_a_torn_session_costs_no_more_than_what_it_says_itself(codewrap: CommandLine) -> None:
    place = archive_of(codewrap)
    kept.ended(place, "whole")
    torn = kept.lost(place, "torn")
    for name in ("session.json", "timeline"):
        (torn.directory / name).write_bytes(b"\0" * 200)
    os.utime(torn.directory, (kept.BEGAN_AT, kept.BEGAN_AT))
    for name in ("output", "timeline"):
        os.utime(torn.directory / name, (kept.BEGAN_AT + 5, kept.BEGAN_AT + 5))
    done = codewrap("ls", "--all")
    assert (done.status, done.err) == (0, "")
    assert {tuple(line.split()[:2]) for line in done.out.splitlines()[1:]} == {("whole", "exit"), ("torn", "lost")}
    shown = {each["name"]: each for each in json.loads(codewrap("ls", "--all", "--json").out)}
    assert shown["torn"]["last_seen"] == kept.BEGAN_AT + 5


SERVED = {"sessions": [{"sessionId": "deploy", "owner": "bob", "openedAt": 1_700_000_000, "seenAt": 1_700_000_060}]}
TOKEN = "a-token-that-is-long"


def test_sessions_that_only_the_server_knows_are_listed_too(codewrap: CommandLine) -> None:
    with WebServer(lambda _: answer(json.dumps(SERVED))) as server:
        settings = {"CODEWRAP_URL": server.url, "CODEWRAP_TOKEN": TOKEN}
        nothing_here = codewrap("ls", **settings)
        add(codewrap, "build", ["make"])
        shown = json.loads(codewrap("ls", "--json", **settings).out)
        table = codewrap("ls", **settings).out.splitlines()
        everything = codewrap("ls", "--all", **settings).out.splitlines()
    assert [line.split()[0] for line in nothing_here.out.splitlines()] == ["NAME", "deploy"]
    assert [line.split()[0] for line in table] == ["NAME", "build", "deploy"]
    assert "(of bob)" in table[2]
    assert everything[2].split()[:2] == ["deploy", "running"]
    assert shown[1] == {
        "name": "deploy",
        "state": "running",
        "server": server.url,
        "owner": "bob",
        "opened_at": 1_700_000_000,
        "seen_at": 1_700_000_060,
    }
    assert (server.asked[0].method, server.asked[0].target) == ("GET", "/api/sessions")


@pytest.mark.parametrize("body", ["{}", '{"sessions": [{"sessionId": 7}]}', "no JSON"])
def test_a_server_that_says_nothing_sensible_is_one_line_and_the_rest_is_listed(codewrap: CommandLine, body: str) -> None:
    add(codewrap, "build", ["make"])
    with WebServer(lambda _: answer(body)) as server:
        done = codewrap("ls", CODEWRAP_URL=server.url, CODEWRAP_TOKEN=TOKEN)
    assert done.status == 0
    assert "build" in done.out
    (line,) = done.err.splitlines()
    assert line.startswith("[codewrap] sessions elsewhere are not known: ")


def test_a_setting_that_is_wrong_keeps_nobody_from_the_sessions_of_this_machine(codewrap: CommandLine) -> None:
    add(codewrap, "build", ["make"])
    done = codewrap("ls", CODEWRAP_URL="not a URL")
    assert (done.status, "build" in done.out) == (0, True)
    assert "CODEWRAP_URL" in done.err


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


def test_recordings_at_the_server_of_sessions_that_are_not_here_are_listed_with_all(codewrap: CommandLine) -> None:
    with StoringServer(b"") as server:
        old, again = server.listed[0], "fedcba9876543210"
        server.listed += [old | {"epoch": again, "ended": False}, old | {"epoch": "0" * 16, "ended": False, "live": True}]
        settings = {"CODEWRAP_URL": server.url, "CODEWRAP_TOKEN": TOKEN}
        lines = codewrap("ls", "--all", **settings).out.splitlines()
        shown = json.loads(codewrap("ls", "--all", "--json", **settings).out)
        assert codewrap("ls", **settings).out == ""
    assert [line.split()[:2] for line in lines[1:]] == [["build", "ended"], [f"build@{again[:8]}", "lost"]]
    assert all("(of alice, stored)" in line for line in lines[1:])
    assert [(each["name"], each["state"], each["stored"], each["server"]) for each in shown] == [
        ("build", "ended", True, server.url),
        ("build", "lost", True, server.url),
    ]
