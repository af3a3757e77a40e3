"""`codewrap share` as a process: the link, what is said of it, and where there can be none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from codewrap.store.sessions import SessionRecord, SessionStore, process_start
from tests.support.cli import CommandLine
from tests.support.web import WebServer, answer

SHARED = {
    "token": "t.t.t",
    "tokenId": "ab",
    "sessionId": "build",
    "user": "link@0011",
    "role": "viewer",
    "once": False,
    "expiresAt": 1_700_000_000,
}


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def runs_here(codewrap: CommandLine, mode: str, share: str = "ask") -> None:
    """A session `build` of this account, in ``mode``."""
    directory = codewrap.directory / "runtime" / "codewrap"
    directory.mkdir(mode=0o700)
    record = SessionRecord(
        name="build",
        pid=os.getpid(),
        pid_started=process_start(os.getpid()),
        epoch="e",
        mode=mode,
        endpoint="somewhere",
        encrypted=True,
        read_only=False,
        command=["make"],
        started_at=0.0,
        log_directory=str(codewrap.directory),
        share=share,
    )
    SessionStore(directory).create(record)


def test_a_link_alone_goes_to_stdout_and_what_it_allows_to_stderr(codewrap: CommandLine) -> None:
    runs_here(codewrap, "gateway")
    with WebServer(lambda _: answer(json.dumps(SHARED), 201)) as server:
        done = codewrap("share", "build", CODEWRAP_URL=server.url, CODEWRAP_TOKEN="hush")
    assert (done.status, done.out) == (0, f"{server.url}/s/build#t.t.t\n")
    assert json.loads(server.asked[0].body) == {"sessionId": "build", "write": False, "once": False, "lifetimeS": 3600}
    who, where = done.err.splitlines()
    assert who.startswith("[codewrap] whoever has this link may watch build until 2023-11-1")
    assert "this machine" in where
    assert "t.t.t" not in done.err
    assert "hush" not in done.err


def test_who_may_type_still_has_to_be_approved(codewrap: CommandLine) -> None:
    with WebServer(lambda _: answer(json.dumps(SHARED), 201)) as server:
        settings = {"CODEWRAP_URL": server.url, "CODEWRAP_TOKEN": "hush"}
        done = codewrap("share", "build", "--write", "--once", "--expires", "10m", **settings)
    assert json.loads(server.asked[0].body) == {"sessionId": "build", "write": True, "once": True, "lifetimeS": 600}
    assert "the first who opens this link may watch and type into build until" in done.err
    assert "codewrap approve build link@0011" in done.err


@pytest.mark.parametrize(
    ("share", "said"),
    [
        ("ask", "[codewrap] typing waits for: codewrap approve build link@0011"),
        ("write", "they may type at once"),
        ("view", "lets nobody type"),
    ],
)
def test_what_typing_takes_is_known_of_a_session_of_this_machine(codewrap: CommandLine, share: str, said: str) -> None:
    runs_here(codewrap, "gateway", share)
    with WebServer(lambda _: answer(json.dumps(SHARED), 201)) as server:
        done = codewrap("share", "build", "--write", CODEWRAP_URL=server.url, CODEWRAP_TOKEN="hush")
    assert said in done.err.splitlines()[1]


def test_json_is_one_object_and_the_picture_is_none_of_it(codewrap: CommandLine) -> None:
    with WebServer(lambda _: answer(json.dumps(SHARED), 201)) as server:
        done = codewrap("share", "build", "--json", "--qr", CODEWRAP_URL=server.url, CODEWRAP_TOKEN="hush")
    said = json.loads(done.out)
    assert said.pop("url") == f"{server.url}/s/build#t.t.t"
    assert said == {name: value for name, value in SHARED.items() if name != "token"}
    assert "█" in done.err
    assert max(map(len, done.err.splitlines()[:10])) <= 80


@pytest.mark.parametrize(("mode", "advice"), [("embedded", "this machine alone"), ("direct", "--mode gateway")])
def test_a_session_that_goes_through_no_server_of_ours_cannot_be_shared(codewrap: CommandLine, mode: str, advice: str) -> None:
    runs_here(codewrap, mode)
    done = codewrap("share", "build", CODEWRAP_URL="http://127.0.0.1:1", CODEWRAP_TOKEN="hush")
    assert (done.status, done.out) == (125, "")
    assert done.err.startswith("codewrap: session 'build' cannot be shared: ")
    assert advice in done.err
    assert len(done.err.splitlines()) == 1


def test_without_a_server_one_line_says_what_to_set(codewrap: CommandLine) -> None:
    done = codewrap("share", "build")
    assert (done.status, done.out) == (125, "")
    assert "set CODEWRAP_URL and CODEWRAP_TOKEN" in done.err


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (404, "nobody hosts a session of this name", "cannot be shared: nobody hosts it at http://127.0.0.1:"),
        (403, "this session is somebody else's", "this session is somebody else's"),
    ],
)
def test_what_the_server_refuses_is_one_line(codewrap: CommandLine, status: int, message: str, said: str) -> None:
    refused = {"error": {"code": "x", "message": message}}
    with WebServer(lambda _: answer(json.dumps(refused), status)) as server:
        done = codewrap("share", "build", CODEWRAP_URL=server.url, CODEWRAP_TOKEN="hush")
    assert (done.status, done.out) == (125, "")
    assert said in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("words", [["UPPER"], ["build", "--expires", "soon"]])
def test_a_wrong_name_or_time_is_status_2(codewrap: CommandLine, words: list[str]) -> None:
    assert codewrap("share", *words).status == 2
