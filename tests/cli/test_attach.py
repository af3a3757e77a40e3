"""`codewrap attach` where it cannot attach: what is said, and with which status it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import CommandLine


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_a_session_that_nobody_runs_is_said_not_to_be_found(codewrap: CommandLine) -> None:
    done = codewrap("attach", "--quiet", "build")
    assert (done.status, done.out) == (255, "")
    assert done.err.startswith("codewrap: no session 'build' can be found")
    assert len(done.err.splitlines()) == 1
    assert codewrap("attach", "build").err.splitlines() == ["[codewrap] connecting to build ...", done.err.strip()]


@pytest.mark.parametrize(
    ("setting", "value"), [("--detach-keys", "what"), ("--predict", "sometimes"), ("--mode", "telepathy"), ("--mode", "gateway")]
)
def test_a_wrong_option_is_one_line(codewrap: CommandLine, setting: str, value: str) -> None:
    done = codewrap("attach", setting, value, "build")
    assert done.status == 2
    assert len(done.err.splitlines()) == 1


def test_a_gateway_that_is_away_is_said_to_be_and_is_status_255(codewrap: CommandLine) -> None:
    done = codewrap("attach", "-q", "build", CODEWRAP_URL="http://127.0.0.1:1", CODEWRAP_TOKEN="hush-token")
    assert (done.status, done.out) == (255, "")
    assert "127.0.0.1:1" in done.err
    assert "hush" not in done.err
    assert "Traceback" not in done.err
