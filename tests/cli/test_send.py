"""`codewrap send` where there is nothing to send, nothing to send it to, or no sense in it: one line and a status."""

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
        (("build",), "TEXT: is missing (or --keys, or --enter)"),
        (("build", ""), "TEXT: is missing (or --keys, or --enter)"),
        (("build", "x", "--wait-for", "("), "--wait-for: is not a regular expression: missing ), unterminated subpattern"),
        (("build", "x", "--timeout", "soon"), "--timeout: is not a time (such as 30s, 500ms or 2m)"),
        (("build", "--keys", "Enter,Foo"), "--keys: has no key 'Foo'"),
        (("build", "--keys", "Enter,"), "--keys: has no key ''"),
        (("No Name", "x"), "SESSION: "),
        (("-", "-"), "TEXT: and the link cannot both be read from stdin"),
        (("build", "x", "--mode", "telepathy"), ""),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(codewrap: CommandLine, words: tuple[str, ...], said: str) -> None:
    done = codewrap("send", *words)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"codewrap: {said}")
    assert len(done.err.splitlines()) == 1


def test_a_session_that_nobody_runs_is_not_found(codewrap: CommandLine) -> None:
    done = codewrap("send", "build", "ls", "--enter", "--quiet")
    assert (done.status, done.out) == (255, "")
    assert done.err.startswith("codewrap: no session 'build' can be found")


def test_a_server_that_is_away_is_status_255(codewrap: CommandLine) -> None:
    done = codewrap("send", "build", "ls", CODEWRAP_URL="http://127.0.0.1:1", CODEWRAP_TOKEN="hush-token")
    assert (done.status, done.out) == (255, "")
    assert "127.0.0.1:1" in done.err
    assert "hush" not in done.err
