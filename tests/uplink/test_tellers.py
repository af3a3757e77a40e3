"""Targets: real commands, which get what is told by stdin and environment, and a desktop that is a script of the test's."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from codewrap.errors import TransportError
from codewrap.uplink.occurrence import Happening, Occurrence
from codewrap.uplink.tellers import CommandTarget, DesktopTarget, WebhookTarget, targets
from tests.support.web import WebServer, answer

EVIL = "$(touch evil); `touch evil` <b> & --help"
TOLD = Occurrence(Happening.AWAITING, "build", EVIL, ("it asks",), 5.0, "codewrap attach build", "run-1")


def test_command_is_told_by_stdin_and_environment(tmp_path: Path) -> None:
    program = "import json, os, sys; json.dump([json.load(sys.stdin), dict(os.environ), sys.argv], open(sys.argv[1], 'w'))"
    CommandTarget([sys.executable, "-c", program, str(tmp_path / "told")]).deliver(TOLD)
    body, environ, arguments = json.loads((tmp_path / "told").read_text())
    assert body == json.loads(TOLD.to_json())
    assert environ["CODEWRAP_EVENT"] == "awaiting"
    assert environ["CODEWRAP_SESSION"] == "build"
    assert environ["CODEWRAP_TEXT"] == EVIL
    assert environ["CODEWRAP_ATTACH"] == "codewrap attach build"
    assert arguments[1:] == [str(tmp_path / "told")]
    assert os.listdir(tmp_path) == ["told"]


def test_command_is_told_of_the_link_by_stdin_and_environment_and_not_by_argument(tmp_path: Path) -> None:
    program = "import json, os, sys; json.dump([json.load(sys.stdin), dict(os.environ), sys.argv], open(sys.argv[1], 'w'))"
    told = replace(TOLD, answer_url="https://server/a/build#hush")
    CommandTarget([sys.executable, "-c", program, str(tmp_path / "told")]).deliver(told)
    body, environ, arguments = json.loads((tmp_path / "told").read_text())
    assert (body["answer_url"], environ["CODEWRAP_ANSWER_URL"]) == (told.answer_url, told.answer_url)
    assert arguments[1:] == [str(tmp_path / "told")]
    assert "hush" not in repr(told)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["false"], "status 1"),
        (["/nonexistent/program"], "no such file"),
        (["a\0b"], "cannot be"),
    ],
)
def test_command_that_fails_is_said_and_not_run_again(command: list[str], reason: str) -> None:
    with pytest.raises(TransportError, match=reason) as caught:
        CommandTarget(command).deliver(TOLD)
    assert not caught.value.retry


def test_command_that_reads_nothing_is_no_trouble() -> None:
    CommandTarget(["true"]).deliver(TOLD)


def test_command_that_hangs_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    fifo = tmp_path / "held"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(TransportError, match="did not end"):
        CommandTarget(["sh", "-c", f"sleep 100 > {fifo}"], timeout_s=1.0).deliver(TOLD)
    os.set_blocking(held, True)
    assert os.read(held, 1) == b""  # nobody holds the other end any more
    os.close(held)


def desktop(directory: Path, monkeypatch: pytest.MonkeyPatch, display: str) -> Path:
    script = directory / "notify-send"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {directory}/shown\n')
    script.chmod(0o700)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return directory / "shown"


def test_desktop_shows_it_without_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = desktop(tmp_path, monkeypatch, ":0")
    DesktopTarget().deliver(TOLD)
    lines = shown.read_text().splitlines()
    assert lines[1:] == ["--", "build waits for you", "$(touch evil); `touch evil` &lt;b&gt; &amp; --help"]


def test_machine_without_a_desktop_shows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = desktop(tmp_path, monkeypatch, "")
    DesktopTarget().deliver(TOLD)
    assert not shown.exists()


def test_each_kind_of_target_is_made_of_what_was_asked_for() -> None:
    with WebServer(lambda _: answer(status=204)) as server:
        hook, command, screen = targets(
            [{"kind": "webhook", "url": f"{server.url}/hook"}, {"kind": "command", "command": ["true"]}, {"kind": "desktop"}],
            "secret",
        )
        assert isinstance(hook, WebhookTarget)
        hook.deliver(TOLD)
        assert server.asked[0].body == TOLD.to_json()
        assert server.asked[0].headers["codewrap-id"] == "run-1"
    assert isinstance(command, CommandTarget)
    assert isinstance(screen, DesktopTarget)
