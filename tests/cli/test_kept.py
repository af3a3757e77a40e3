"""Sessions on this machine by name: the one that runs, the newest that is kept, or the one that is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from codewrap.cli import kept
from codewrap.errors import SessionNotFound
from codewrap.store.archive import Fate, State
from tests.support.accounts import run_here, sessions_of
from tests.support.cli import CommandLine
from tests.support.kept import BEGAN_AT, ended


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_the_one_that_runs_comes_before_those_that_ended(codewrap: CommandLine) -> None:
    old = ended(sessions_of(codewrap), "build", "00aa000000000000", started_at=BEGAN_AT + 10**10)
    assert kept.find(codewrap.environ, "build") == old
    record = run_here(codewrap, "build")
    assert kept.find(codewrap.environ, "build").epoch == record.epoch
    assert kept.find(codewrap.environ, "build@00aa") == old


def test_the_log_of_one_that_runs_is_found_wherever_its_settings_have_put_it(codewrap: CommandLine) -> None:
    elsewhere = codewrap.directory / "elsewhere"
    elsewhere.mkdir()
    record = run_here(codewrap, "build", place=elsewhere)
    assert str(kept.find(codewrap.environ, "build").directory) == record.log_directory


def test_what_is_nowhere_is_told_with_where_to_look(codewrap: CommandLine) -> None:
    assert kept.look_for(codewrap.environ, "build") is None
    with pytest.raises(SessionNotFound, match="ls --all"):
        kept.find(codewrap.environ, "build")
    with pytest.raises(SessionNotFound):
        kept.find(codewrap.environ, "../build")


def test_the_shell_completes_names_of_all(codewrap: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, codewrap.environ[name])
    ended(sessions_of(codewrap), "build")
    ended(sessions_of(codewrap), "build")
    run_here(codewrap, "bench")
    assert kept.complete("b") == ["bench", "build"]
    assert kept.complete("bu") == ["build"]
    assert kept.complete("x") == []
    monkeypatch.setenv("CODEWRAP_STATE_DIR", str(codewrap.directory / "runtime" / "codewrap" / "bench.json"))
    assert kept.complete("b") == []


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (State(Fate.RUNNING), "running"),
        (State(Fate.LOST, 5.0), "lost"),
        (State(Fate.ENDED, 5.0, 3), "exit 3"),
        (State(Fate.ENDED, 5.0, None, 9), "killed by signal 9"),
        (State(Fate.ENDED, 5.0), "ended"),
    ],
)
def test_what_became_of_it_is_said_in_few_words(state: State, said: str) -> None:
    assert kept.how(state) == said
