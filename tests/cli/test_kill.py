"""`codewrap kill`: here by the session's lane, elsewhere through the server."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from codewrap.cli.kill import parse_signal
from codewrap.errors import ConfigError
from codewrap.protocol.orders import Order, Reply
from tests.support.accounts import run_here, sessions_of
from tests.support.answering import Answering
from tests.support.cli import CommandLine
from tests.support.kept import ended
from tests.support.web import WebServer, answer

TOKEN = "a-token-that-is-long"


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_the_host_is_asked_to_send_it(codewrap: CommandLine) -> None:
    with Answering(Reply()) as host:
        run_here(codewrap, "build", lane=host.name)
        first = codewrap("kill", "build")
        codewrap("kill", "build", "--signal", "9")
    assert (first.status, first.out, first.err) == (0, "", "[codewrap] SIGTERM sent to the command of build\n")
    assert host.asked == [Order("kill", signal=signal.SIGTERM), Order("kill", signal=signal.SIGKILL)]


def test_what_the_host_does_not_do_is_a_failure(codewrap: CommandLine) -> None:
    with Answering(Reply("not that one")) as host:
        run_here(codewrap, "build", lane=host.name)
        done = codewrap("kill", "build")
    assert done.status == 2
    assert "not that one" in done.err


def test_a_session_elsewhere_is_reached_through_the_server(codewrap: CommandLine) -> None:
    ended(sessions_of(codewrap), "build")
    with WebServer(lambda _: answer(status=202)) as server:
        done = codewrap("kill", "build", "-s", "int", CODEWRAP_URL=server.url, CODEWRAP_TOKEN=TOKEN)
        (asked,) = server.asked
    assert done.status == 0
    assert (asked.method, asked.target) == ("POST", "/api/sessions/build/kill")
    assert json.loads(asked.body) == {"signal": signal.SIGINT}


def test_a_session_that_is_over_is_told_with_how_it_ended(codewrap: CommandLine) -> None:
    ended(sessions_of(codewrap), "build", code=3)
    done = codewrap("kill", "build")
    assert done.status == 255
    assert "does not run any more (exit 3)" in done.err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["nothing"], 255, "nothing of that name runs here"),
        (["Not A Name"], 2, "not a session name"),
        (["nothing", "--signal", "STOP"], 2, "--signal"),
    ],
)
def test_what_makes_no_sense_is_one_line(codewrap: CommandLine, words: list[str], status: int, said: str) -> None:
    done = codewrap("kill", *words)
    assert (done.status, done.out) == (status, "")
    (line,) = done.err.splitlines()
    assert said in line


@pytest.mark.parametrize("text", ["TERM", "term", "SIGTERM", "15"])
def test_a_signal_is_known_by_its_names_and_its_number(text: str) -> None:
    assert parse_signal("--signal", text) is signal.SIGTERM


@pytest.mark.parametrize("text", ["", "0", "-9", "WINCH", "SIG", "99", "TERM "])
def test_what_is_no_signal_that_is_passed_on_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--signal"):
        parse_signal("--signal", text)
