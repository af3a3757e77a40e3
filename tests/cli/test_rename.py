"""`codewrap rename`: a session that is over gets another name; one that runs keeps its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from codewrap.store.archive import Archive
from tests.support.accounts import run_here, sessions_of
from tests.support.cli import CommandLine
from tests.support.kept import ended, lost


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_a_session_that_is_over_is_found_by_its_new_name(codewrap: CommandLine) -> None:
    ended(sessions_of(codewrap), "build", code=3)
    lost(sessions_of(codewrap), "vanished")
    done = codewrap("rename", "build", "first-build")
    assert (done.status, done.out, done.err) == (0, "", "[codewrap] build is first-build now\n")
    assert codewrap("rename", "vanished", "gone").status == 0
    assert Archive(sessions_of(codewrap)).names() == {"first-build", "gone"}


def test_a_session_that_runs_keeps_its_name(codewrap: CommandLine) -> None:
    run_here(codewrap, "build")
    done = codewrap("rename", "build", "other")
    assert done.status == 2
    assert "runs, and keeps its name" in done.err
    assert Archive(sessions_of(codewrap)).names() == {"build"}


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["nothing", "new"], 255, "ls --all"),
        (["build", "Not A Name"], 2, "NEW"),
        (["build", "taken"], 2, "'taken' is running"),
    ],
)
def test_what_cannot_be_is_one_line_and_changes_nothing(codewrap: CommandLine, words: list[str], status: int, said: str) -> None:
    ended(sessions_of(codewrap), "build")
    run_here(codewrap, "taken")
    done = codewrap("rename", *words)
    assert (done.status, done.out) == (status, "")
    (line,) = done.err.splitlines()
    assert said in line
    assert Archive(sessions_of(codewrap)).names() == {"build", "taken"}
