"""`codewrap screen` where there is nothing to show: one line and a status."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import CommandLine


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("build", "--json", "--png"), "--png: and --json do not go together"),
        (("build", "--timeout", "-1"), "--timeout: is not a time"),
        (("No Name",), "SESSION: "),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(codewrap: CommandLine, words: tuple[str, ...], said: str) -> None:
    done = codewrap("screen", *words)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"codewrap: {said}")


def test_a_picture_without_its_packages_says_what_to_install(codewrap: CommandLine, tmp_path: Path) -> None:
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    (lacking / "PIL.py").write_text("raise ImportError('not here')")
    done = codewrap("screen", "build", "--png", PYTHONPATH=f"{lacking}:{codewrap.environ['PYTHONPATH']}")
    assert (done.status, done.out) == (2, "")
    assert "pip install 'codewrap[png]'" in done.err


def test_a_session_that_nobody_runs_is_not_found_and_no_file_is_made(codewrap: CommandLine, tmp_path: Path) -> None:
    done = codewrap("screen", "build", "-o", "shown.txt")
    assert (done.status, done.out) == (255, "")
    assert done.err.startswith("codewrap: no session 'build' can be found")
    assert not (tmp_path / "shown.txt").exists()
