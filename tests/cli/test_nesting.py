"""Where this runs, and what is refused there."""

from __future__ import annotations

import os
import subprocess
import sys
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


def around(tmp_path: Path, session: str, *, setsid: bool) -> str:
    """What a process finds that this one has started, as the host of a session starts its command or not."""
    environ = {**os.environ, "CODEWRAP_SESSION": session, "CODEWRAP_RUNTIME_DIR": str(tmp_path / "run")}
    script = (
        "from codewrap.cli.environment import Environment; from codewrap.cli.nesting import outer_session; import os;"
        "here = Environment(dict(os.environ), dict(os.environ)); print(outer_session(here))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        env=environ,
        start_new_session=setsid,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return found.stdout.strip()


@pytest.mark.usefixtures("here")
def test_the_session_around_is_the_one_whose_terminal_this_is(tmp_path: Path) -> None:
    running(tmp_path / "run", "outer", process_start(os.getpid()))
    assert around(tmp_path, "outer", setsid=True) == "outer"


def test_on_another_terminal_there_is_none_around_whatever_the_environment_says(here: Here, tmp_path: Path) -> None:
    running(tmp_path / "run", "outer", process_start(os.getpid()))
    assert around(tmp_path, "outer", setsid=False) == ""
    assert nesting.outer_session(here("outer")) == ""


def test_outside_of_sessions_there_is_none(here: Here, tmp_path: Path) -> None:
    running(tmp_path / "run", "outer", process_start(os.getpid()))
    assert nesting.outer_session(here("")) == ""


@pytest.mark.parametrize("name", ["over", "never-was", "../outer"])
@pytest.mark.usefixtures("here")
def test_one_that_is_over_is_around_nobody(tmp_path: Path, name: str) -> None:
    running(tmp_path / "run", "over", "long ago")
    assert around(tmp_path, name, setsid=True) == ""


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
