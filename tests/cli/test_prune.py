"""`codewrap prune`: deletes what is kept too long or takes too much, or what the options say; never what runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from codewrap.store.archive import Archive
from tests.support.accounts import run_here, sessions_of
from tests.support.cli import CommandLine
from tests.support.kept import ended

DAY_S = 86_400


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    """Sessions that ended 40 days and one day ago, and just now, and one that runs."""
    codewrap = CommandLine(tmp_path)
    for name, days in (("old", 40), ("yesterday", 1), ("new", 0)):
        ended(sessions_of(codewrap), name, at=time.time() - days * DAY_S)
    run_here(codewrap, "running")
    return codewrap


@pytest.mark.parametrize(
    ("words", "settings", "left", "said"),
    [
        ([], {}, {"yesterday", "new", "running"}, "1 session deleted ("),
        ([], {"CODEWRAP_RETENTION": "12h"}, {"new", "running"}, "2 sessions deleted ("),
        ([], {"CODEWRAP_RETENTION": "forever"}, {"old", "yesterday", "new", "running"}, "0 sessions deleted (0 B)"),
        ([], {"CODEWRAP_RECORDINGS_MAX": "0"}, {"running"}, "3 sessions deleted ("),
        (["--older-than", "12h"], {}, {"new", "running"}, "2 sessions deleted ("),
        (["--all"], {}, {"running"}, "3 sessions deleted ("),
    ],
)
def test_what_is_too_much_is_deleted(
    codewrap: CommandLine, words: list[str], settings: dict[str, str], left: set[str], said: str
) -> None:
    done = codewrap("prune", *words, **settings)
    assert (done.status, done.out) == (0, "")
    assert done.err.startswith(f"[codewrap] {said}")
    assert Archive(sessions_of(codewrap)).names() == left


def test_what_would_be_deleted_can_be_seen_before(codewrap: CommandLine) -> None:
    before = Archive(sessions_of(codewrap)).names()
    done = codewrap("prune", "--all", "--dry-run")
    assert done.status == 0
    assert [line.partition("@")[0] for line in done.out.splitlines()] == ["old", "yesterday", "new"]
    assert all("exit 0" in line for line in done.out.splitlines())
    assert done.err.startswith("[codewrap] 3 sessions would be deleted (")
    assert Archive(sessions_of(codewrap)).names() == before


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["--all", "--older-than", "7d"], {}),
        (["--older-than", "long"], {}),
        ([], {"CODEWRAP_RETENTION": "long"}),
        ([], {"CODEWRAP_RECORDINGS_MAX": "much"}),
    ],
)
def test_what_makes_no_sense_is_one_line_and_deletes_nothing(
    codewrap: CommandLine, words: list[str], settings: dict[str, str]
) -> None:
    done = codewrap("prune", *words, **settings)
    assert (done.status, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert len(Archive(sessions_of(codewrap)).names()) == 4
