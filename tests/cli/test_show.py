"""`codewrap show`: all of one session, for people and for programs, never a key."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from codewrap.store.activity import Activity, write_activity
from codewrap.store.spent import Spent, write_spent
from tests.support.accounts import run_here, sessions_of
from tests.support.cli import CommandLine, Done
from tests.support.kept import BEGAN_AT, ended, lost
from tests.support.storing import StoringServer, blocks_of, sealed
from tests.support.web import WebServer, answer

TOKEN = "a-token-that-is-long"


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def facts(done: Done) -> dict[str, str]:
    assert (done.status, done.err) == (0, "")
    return {name.strip(): value for name, _, value in (line.partition("  ") for line in done.out.splitlines())}


def said(codewrap: CommandLine, name: str) -> dict[str, str]:
    return {name: value.strip() for name, value in facts(codewrap("show", name, TZ="UTC")).items()}


def test_an_ended_session_is_shown_with_how_it_ended(codewrap: CommandLine) -> None:
    kept = ended(sessions_of(codewrap), "build", "00000000000000aa", code=3, command=["sh", "-c", "\x1b[2J"], pty=False)
    shown = said(codewrap, "build")
    assert shown["name"] == "build (this one: build@00000000000000aa)"
    assert (shown["state"], shown["command"], shown["directory"]) == ("exit 3", "sh -c \\x1b[2J", "/where")
    assert (shown["began"], shown["ended"], shown["lasted"]) == ("2023-11-14 22:13", "2023-11-14 22:14", "1 min 0 s")
    assert (shown["output"], shown["terminal"], shown["share"]) == ("7 B", "none (pipes)", "ask")
    assert shown["relay"] == "http://127.0.0.1:1 (embedded); end-to-end encrypted"
    assert shown["log"].startswith(f"{kept.directory} (")


def test_a_running_session_is_shown_with_how_to_attach_and_no_key(codewrap: CommandLine) -> None:
    record = run_here(codewrap, "build")
    done = codewrap("show", "build")
    assert "hush" not in done.out
    shown = said(codewrap, "build")
    assert (shown["state"], shown["attach"], shown["process"]) == ("running", "codewrap attach build", str(record.pid))
    assert shown["terminal"] == "80 x 24 at the beginning"


def test_what_a_running_session_does_is_shown_and_of_another_not(codewrap: CommandLine) -> None:
    record = run_here(codewrap, "build")
    does = Activity("awaiting input", time.time() - 125.0, ("echo is off", "it reads the terminal"), "Password:\x1b", 10)
    write_activity(Path(record.log_directory), does)
    shown = said(codewrap, "build")["does"]
    assert shown.startswith("awaiting input for 2 min ")
    assert shown.endswith(" (echo is off, it reads the terminal): Password:\\x1b")
    assert json.loads(codewrap("show", "build", "--json").out)["activity"] == does.public()
    gone = lost(sessions_of(codewrap), "gone")
    write_activity(gone.directory, does)
    assert "does" not in said(codewrap, "gone")
    assert json.loads(codewrap("show", "gone", "--json").out)["activity"] is None


def test_a_lost_session_is_shown_with_when_it_was_seen_last(codewrap: CommandLine) -> None:
    lost(sessions_of(codewrap), "build", kept=False)
    shown = said(codewrap, "build")
    assert shown["state"] == "lost"
    assert "seen last" in shown
    assert shown["log"].endswith(", goes with the session)")


def test_of_a_torn_session_the_name_is_shown(codewrap: CommandLine) -> None:
    kept = lost(sessions_of(codewrap), "build")
    for name in ("session.json", "timeline"):
        (kept.directory / name).write_bytes(b"\0")
    shown = said(codewrap, "build")
    assert (shown["command"], shown["began"], shown["relay"]) == ("?", "?", "? (?); end-to-end encrypted")


def test_programs_get_one_object(codewrap: CommandLine) -> None:
    kept = ended(sessions_of(codewrap), "build", code=3)
    write_spent(kept.directory, Spent(BEGAN_AT + 60, BEGAN_AT, 100, 5000, 300, 2))
    shown = json.loads(codewrap("show", "build", "--json").out)
    spent = shown.pop("spent")
    assert (spent["events"], spent["messages"]) == (100, 300)
    assert shown.pop("disk_bytes") == kept.size_bytes()
    assert shown == kept.public() | {"server": None, "activity": None}
    assert said(codewrap, "build")["messages"] == "300"


def test_an_earlier_one_is_shown_by_the_beginning_of_its_id(codewrap: CommandLine) -> None:
    ended(sessions_of(codewrap), "build", "00aa000000000000", code=1)
    ended(sessions_of(codewrap), "build", "00bb000000000000", code=2, started_at=BEGAN_AT + 5)
    assert said(codewrap, "build")["state"] == "exit 2"
    assert said(codewrap, "build@00a")["state"] == "exit 1"
    done = codewrap("show", "build@00")
    assert done.status == 255
    assert "several begin so" in done.err


def test_a_session_that_only_the_server_knows_is_shown_as_far_as_it_says(codewrap: CommandLine) -> None:
    session = {"sessionId": "deploy", "owner": "bob", "openedAt": 1_700_000_000, "seenAt": 1_700_000_060}
    with WebServer(lambda _: answer(json.dumps({"sessions": [session], "recordings": []}))) as server:
        settings = {"CODEWRAP_URL": server.url, "CODEWRAP_TOKEN": TOKEN}
        shown = facts(codewrap("show", "deploy", **settings))
        as_json = json.loads(codewrap("show", "deploy", "--json", **settings).out)
        missing = codewrap("show", "other", **settings)
    assert (shown["owner"].strip(), shown["server"].strip()) == ("bob", server.url)
    assert (as_json["name"], as_json["state"], as_json["owner"]) == ("deploy", "running", "bob")
    assert missing.status == 255


def test_a_session_that_only_the_server_stores_is_shown_like_one_that_is_here(codewrap: CommandLine) -> None:
    with StoringServer(sealed(blocks_of())) as server:
        settings = {"CODEWRAP_URL": server.url, "CODEWRAP_TOKEN": TOKEN}
        done = codewrap("show", "build@0123", **settings)
        as_json = json.loads(codewrap("show", "build", "--json", **settings).out)
        missing = codewrap("show", "other", **settings)
    assert f"as {server.url} stores it" in done.err
    shown = {name.strip(): value.strip() for name, _, value in (line.partition("  ") for line in done.out.splitlines())}
    assert (shown["state"], shown["command"], shown["log"]) == ("exit 3", "make", f"{server.url} (recording)")
    assert (as_json["status"], as_json["server"], as_json["stored"], as_json["log_directory"]) == (3, server.url, True, None)
    assert missing.status == 255
    assert f"nor stored at {server.url}" in missing.err


def test_where_to_read_what_was_said_is_shown(codewrap: CommandLine) -> None:
    kept = ended(sessions_of(codewrap), "build")
    (kept.directory / "uplink.log").touch()
    assert "said" not in said(codewrap, "build")
    (kept.directory / "host.log").write_text("[codewrap] session build ended\n")
    assert said(codewrap, "build")["said"] == str(kept.directory / "host.log")


@pytest.mark.parametrize("name", ["nothing", "../build", "build@"])
def test_what_is_nowhere_is_255_in_one_line(codewrap: CommandLine, name: str) -> None:
    done = codewrap("show", name)
    assert (done.status, done.out) == (255, "")
    (line,) = done.err.splitlines()
    assert "ls --all" in line
