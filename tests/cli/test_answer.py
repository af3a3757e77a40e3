"""`codewrap answer` as a process: what it sends, what it says, and how it leaves."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from codewrap.cli.answer import asked_by
from codewrap.errors import ConfigError
from tests.support.cli import CommandLine
from tests.support.web import WebServer, answer

TYPED = answer(json.dumps({"status": "typed"}))


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def token(prompt: str = "Deploy? [y/N]", reads: str = "line") -> str:
    """As the server makes one, but for its signature."""
    body = base64.urlsafe_b64encode(json.dumps({"prompt": prompt, "reads": reads}).encode()).decode().rstrip("=")
    return f"e30.{body}.hush-hush"


def piped(codewrap: CommandLine, said: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "codewrap.cli.main", "answer", *words]
    return subprocess.run(command, input=said, env=codewrap.environ, capture_output=True, text=True, timeout=60, check=False)


def refused(status: int, code: str, message: str) -> bytes:
    return answer(json.dumps({"error": {"code": code, "message": message}}), status)


@pytest.mark.parametrize(("text", "options"), [("ja ä", ()), ("y", ("--no-enter",)), ("", ()), ("http://a/b#c", ())])
def test_text_goes_to_the_session_with_the_links_own_token(codewrap: CommandLine, text: str, options: tuple[str, ...]) -> None:
    with WebServer(lambda _: TYPED) as server:
        done = codewrap("answer", f"{server.url}/a/build#{token()}", text, *options, CODEWRAP_TOKEN="another")
        [asked] = server.asked
    assert (done.status, done.out) == (0, "")
    assert (asked.method, asked.target) == ("POST", "/api/sessions/build/answer")
    assert asked.headers["authorization"] == f"Bearer {token()}"
    assert json.loads(asked.body) == {"text": text, "enter": not options}
    asks, sent = done.err.splitlines()
    assert asks == f"[codewrap] build at 127.0.0.1:{server.port} asks: Deploy? [y/N]"
    assert sent == "[codewrap] sent"


def test_link_and_text_come_by_stdin_a_line_each_as_they_are(codewrap: CommandLine) -> None:
    with WebServer(lambda _: TYPED) as server:
        done = piped(codewrap, f" {server.url}/a/build#{token(reads='secret')}\n hush \nmore\n", "-q", "-")
        [asked] = server.asked
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(asked.body)["text"] == " hush "


@pytest.mark.parametrize(
    ("reply", "status", "words"),
    [
        (refused(409, "prompt_gone", "The program has gone on since; nothing was sent."), 1, "gone on since; nothing was sent"),
        (refused(409, "used", "This link works once, and was used."), 1, "was used"),
        (refused(401, "unauthorized", "this token has expired"), 255, "expired"),
        (refused(504, "not_confirmed", "The session has not said"), 255, "has not said"),
    ],
)
def test_answer_that_was_not_typed_is_told_in_a_line_and_by_the_exit_status(
    codewrap: CommandLine, reply: bytes, status: int, words: str
) -> None:
    with WebServer(lambda _: reply) as server:
        done = codewrap("answer", "-q", f"{server.url}/a/build#{token()}", "y")
        assert len(server.asked) == 1
    assert done.status == status
    assert words in done.err
    assert done.err.count("\n") == 1
    assert "hush" not in done.err


@pytest.mark.parametrize(
    "link",
    ["build", "https://c.example/s/build#e30.e30.x", "https://c.example/a/build#nonsense", "http://c.example/a/build#e30.e30.x"],
)
def test_what_is_no_such_link_is_told_before_anything_is_sent(codewrap: CommandLine, link: str) -> None:
    done = codewrap("answer", link, "y")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "e30" not in done.err


def test_text_that_is_too_long_or_nothing_at_all_is_not_sent(codewrap: CommandLine) -> None:
    with WebServer(lambda _: TYPED) as server:
        link = f"{server.url}/a/build#{token()}"
        assert codewrap("answer", link, "x" * 1001).status == 2
        assert codewrap("answer", link, "--no-enter", "").status == 2
        assert server.asked == []


def test_what_a_link_says_cannot_do_more_to_a_terminal_than_be_read() -> None:
    assert asked_by(token("\x1b[31m" + "x" * 300, "secret"))[0].startswith("\\x1b[31m")
    for nonsense in ("", "a.b", "e30.e30.x", "e30.W10.x", "e30.MQ.x"):
        with pytest.raises(ConfigError):
            asked_by(nonsense)
