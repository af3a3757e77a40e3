"""What became of a session that cannot be attached to: told in one line, with the status that says it to a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from codewrap.cli import past
from codewrap.cli.destination import Destination
from codewrap.cli.environment import Environment
from codewrap.errors import NotAttached, SessionEnded, SessionNotFound
from tests.support.accounts import run_here, sessions_of
from tests.support.cli import CommandLine
from tests.support.kept import ended, lost
from tests.support.storing import StoringServer, blocks_of, sealed


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


LOGS = "(codewrap logs build shows what it wrote)"


@pytest.mark.parametrize("words", [("screen", "build"), ("screen", "build", "--json"), ("send", "build", "x", "--wait-for", "y")])
def test_a_session_that_has_ended_says_how_and_when(codewrap: CommandLine, words: tuple[str, ...]) -> None:
    ended(sessions_of(codewrap), "build", code=3)
    done = codewrap(*words)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("codewrap: session 'build' has ended with status 3, 20")
    assert done.err.rstrip().endswith(LOGS)
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("words", [("screen", "build"), ("send", "build", "x")])
def test_a_session_that_was_lost_says_so(codewrap: CommandLine, words: tuple[str, ...]) -> None:
    lost(sessions_of(codewrap), "build")
    done = codewrap(*words)
    assert (done.status, done.out) == (254, "")
    assert done.err.startswith("codewrap: session 'build': it was lost: its host is gone; last heard of 20")


def test_what_nothing_is_known_of_is_as_it_was_said(codewrap: CommandLine) -> None:
    ended(sessions_of(codewrap), "other")
    here = Environment(codewrap.environ, codewrap.environ)
    error = SessionNotFound("build")
    assert past.explained(Destination.find("build", here), error) is error


def test_one_that_runs_has_not_ended_whatever_was_before(codewrap: CommandLine) -> None:
    ended(sessions_of(codewrap), "build", "00aa000000000000", started_at=1.0)
    run_here(codewrap, "build")
    here = Environment(codewrap.environ, codewrap.environ)
    error = NotAttached("build", "no answer", absent=True)
    assert past.explained(Destination.find("build", here), error) is error


def test_what_a_server_stores_of_it_is_told_with_the_time(tmp_path: Path) -> None:
    values = {"CODEWRAP_STATE_DIR": str(tmp_path / "state"), "CODEWRAP_RUNTIME_DIR": str(tmp_path / "run")}
    here = Environment(values, values)
    error = NotAttached("build", "nobody runs it", absent=True)
    with StoringServer(sealed(blocks_of())) as server:
        said = past.explained(Destination.named("build", here, server.gateway), error)
    assert isinstance(said, NotAttached)
    assert said.advice.startswith("it has ended 20")
    with StoringServer(sealed(blocks_of(whole=False)), ended=False) as server:
        assert past.explained(Destination.named("build", here, server.gateway), error) is error


def test_a_server_that_is_away_changes_nothing(tmp_path: Path) -> None:
    values = {
        "CODEWRAP_STATE_DIR": str(tmp_path / "state"),
        "CODEWRAP_RUNTIME_DIR": str(tmp_path / "run"),
        "CODEWRAP_URL": "http://127.0.0.1:1",
        "CODEWRAP_TOKEN": "a-token",
    }
    error = NotAttached("build", "nobody runs it", absent=True)
    assert past.explained(Destination.find("build", Environment(values, values)), error) is error


def test_who_attaches_from_python_is_told_the_same(codewrap: CommandLine) -> None:
    import codewrap as library

    ended(sessions_of(codewrap), "build", code=3)
    with pytest.raises(SessionEnded) as caught:
        library.attach("build", environ=codewrap.environ)
    assert caught.value.status == 3
