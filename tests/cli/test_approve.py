"""`codewrap approve`: here by the session's lane, elsewhere through the server."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from codewrap.protocol.orders import Order, Reply, Standing
from codewrap.store.sessions import SessionRecord, SessionStore, process_start
from tests.support.answering import Answering
from tests.support.cli import CommandLine
from tests.support.web import WebServer, answer


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def add(codewrap: CommandLine, lane: str) -> None:
    """A session that this process runs."""
    directory = codewrap.directory / "runtime" / "codewrap"
    directory.mkdir(mode=0o700, exist_ok=True)
    pid = os.getpid()
    record = SessionRecord(
        "build", pid, process_start(pid), "e", "direct", "", True, False, ["make"], 0.0, "/nowhere", share="ask", lane=lane
    )
    SessionStore(directory).create(record)


def test_who_asks_is_listed_with_their_codes(codewrap: CommandLine) -> None:
    with Answering(Reply("", (Standing("bob", "48 29 13", 0.0),), 4)) as host:
        add(codewrap, host.name)
        done = codewrap("approve", "build")
    assert done.status == 0
    assert done.out.startswith("bob  code 48 29 13  ")
    assert "4 more were turned away" in done.err


def test_nobody_asks(codewrap: CommandLine) -> None:
    with Answering(Reply()) as host:
        add(codewrap, host.name)
        done = codewrap("approve", "build")
    assert (done.status, done.out) == (0, "")
    assert "nobody asks" in done.err


def test_the_host_is_told(codewrap: CommandLine) -> None:
    with Answering(Reply()) as host:
        add(codewrap, host.name)
        assert "bob may type into build" in codewrap("approve", "build", "bob").err
        assert "bob may not type into build" in codewrap("approve", "build", "bob", "--deny").err
    assert host.asked == [Order("approve", "bob"), Order("deny", "bob")]


def test_what_the_host_does_not_do_is_a_failure(codewrap: CommandLine) -> None:
    with Answering(Reply("nobody may type")) as host:
        add(codewrap, host.name)
        done = codewrap("approve", "build", "bob")
    assert done.status == 2
    assert "nobody may type" in done.err


def test_a_session_elsewhere_is_reached_through_the_server(codewrap: CommandLine) -> None:
    with WebServer(lambda _: answer(status=202)) as server:
        done = codewrap("approve", "build", "bob", "--deny", CODEWRAP_URL=server.url, CODEWRAP_TOKEN="a-token-that-is-long")
        (asked,) = server.asked
    assert (done.status, done.err) == (0, "[codewrap] bob may not type into build\n")
    assert (asked.method, asked.target) == ("POST", "/api/sessions/build/approvals")
    assert json.loads(asked.body) == {"user": "bob", "allow": False}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["build"], "does not run on this machine"),
        (["build", "bob"], "CODEWRAP_URL is not set"),
        (["build", "b ob"], "USER"),
        (["build", "--deny"], "--deny"),
        (["B", "bob"], "SESSION"),
    ],
)
def test_what_cannot_be_is_said(codewrap: CommandLine, words: list[str], said: str) -> None:
    done = codewrap("approve", *words)
    assert done.status != 0
    assert said in done.err
