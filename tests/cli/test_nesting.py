"""Where this runs, and what is refused there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from codewrap.cli import nesting
from codewrap.cli.environment import Environment
from codewrap.errors import EXIT_FAILED, EXIT_NOT_ATTACHED, SessionNested, SessionWatchesItself
from codewrap.store.sessions import SessionRecord, SessionStore, process_start

Here = Callable[[str], Environment]


@pytest.fixture
def here(tmp_path: Path) -> Here:
    """Surroundings in which a session's name is set, "" for none."""

    def make(session: str) -> Environment:
        original = {"CODEWRAP_SESSION": session} if session else {}
        return Environment(original, {"CODEWRAP_RUNTIME_DIR": str(tmp_path / "run")})

    (tmp_path / "run").mkdir(mode=0o700)
    return make


def running(directory: Path, name: str, pid_started: str) -> None:
    """A record of ``name`` whose host is this process, if it began then."""
    record = SessionRecord(name, os.getpid(), pid_started, "e", "embedded", "", True, False, ["bash"], 0.0, str(directory))
    SessionStore(directory).create(record)


def test_the_session_around_is_the_one_that_still_runs(here: Here, tmp_path: Path) -> None:
    running(tmp_path / "run", "outer", process_start(os.getpid()))
    assert nesting.outer_session(here("outer")) == "outer"


def test_outside_of_sessions_there_is_none(here: Here, tmp_path: Path) -> None:
    running(tmp_path / "run", "outer", process_start(os.getpid()))
    assert nesting.outer_session(here("")) == ""


@pytest.mark.parametrize("name", ["over", "never-was", "../outer"])
def test_one_that_is_over_is_around_nobody(here: Here, tmp_path: Path, name: str) -> None:
    running(tmp_path / "run", "over", "long ago")
    assert nesting.outer_session(here(name)) == ""


def test_where_nothing_can_be_known_nothing_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    here = Environment({"CODEWRAP_SESSION": "outer"}, {"CODEWRAP_RUNTIME_DIR": str(tmp_path / "file")})
    assert nesting.outer_session(here) == ""


def test_a_session_within_a_session_is_refused_in_a_line_that_says_what_to_do() -> None:
    nesting.refuse_within("")
    with pytest.raises(SessionNested, match=r"inside session 'outer'.*--nested.*--detach") as refused:
        nesting.refuse_within("outer")
    assert refused.value.exit_status == EXIT_FAILED


def test_a_session_is_not_shown_within_itself_but_within_another(here: Here) -> None:
    nesting.refuse_mirror(here("outer"), "other")
    nesting.refuse_mirror(here(""), "outer")
    with pytest.raises(SessionWatchesItself, match=r"inside session 'outer'.*unset CODEWRAP_SESSION") as refused:
        nesting.refuse_mirror(here("outer"), "outer")
    assert refused.value.exit_status == EXIT_NOT_ATTACHED
