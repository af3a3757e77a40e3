"""The command line's door: help, versions, and how errors become one line and an exit status."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codewrap import __version__
from codewrap.cli.main import COMMANDS
from tests.support.cli import CommandLine


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_the_version_is_shown(codewrap: CommandLine) -> None:
    done = codewrap("--version")
    assert (done.status, done.out, done.err) == (0, f"codewrap {__version__}\n", "")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_every_command(codewrap: CommandLine, option: str) -> None:
    done = codewrap(option)
    assert (done.status, done.err) == (0, "")
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", done.out), command


@pytest.mark.parametrize("command", list(COMMANDS))
def test_each_command_has_a_help_that_says_what_it_does(codewrap: CommandLine, command: str) -> None:
    done = codewrap(command, "--help")
    assert (done.status, done.err) == (0, "")
    assert command in done.out
    assert "--help" in done.out
    assert codewrap(command, "-h").out == done.out


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-command"],
        ["run"],
        ["run", "--no-such-option", "true"],
        ["run", "--cols", "many", "true"],
        ["run", "--cols", "0", "true"],
        ["attach"],
        ["attach", "one", "two"],
        ["ls", "--yaml"],
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(codewrap: CommandLine, words: list[str]) -> None:
    done = codewrap(*words)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("codewrap: ")
    assert "--help" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_wrong_setting_is_one_line_that_names_it_and_not_its_value(codewrap: CommandLine) -> None:
    done = codewrap("run", "true", SOKETI_HOST="h", SOKETI_PORT="hush-hush")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("codewrap: SOKETI_PORT: ")
    assert len(done.err.splitlines()) == 1
    assert "hush" not in done.err


@pytest.mark.parametrize("name", ["UPPER", "-x", "a" * 49, "a b", "a\x1b[2Jb", "private-x", ""])
def test_a_name_that_is_none_is_refused_without_control_characters(codewrap: CommandLine, name: str) -> None:
    done = codewrap("attach", "--", name)
    assert done.status == 2
    assert "\x1b" not in done.err
    assert len(done.err.splitlines()) == 1


def test_an_error_of_ours_is_one_line_and_the_rest_on_request(codewrap: CommandLine) -> None:
    (codewrap.directory / "sitecustomize.py").write_text(
        "import codewrap.config\n"
        "def fail(*_, **__):\n"
        "    raise RuntimeError('with a secret in it')\n"
        "codewrap.config.load = fail\n"
    )
    path = {"PYTHONPATH": f"{codewrap.directory}:{codewrap.environ['PYTHONPATH']}"}
    done = codewrap("run", "true", **path)
    assert (done.status, done.out) == (125, "")
    assert done.err == "codewrap: an error of ours: RuntimeError (CODEWRAP_DEBUG=1 shows more)\n"
    assert "Traceback" in codewrap("run", "true", CODEWRAP_DEBUG="1", **path).err


def test_an_env_file_that_cannot_be_read_is_one_line(codewrap: CommandLine) -> None:
    (codewrap.directory / ".env").write_bytes(b"A=\xff\xfe\n")
    done = codewrap("run", "true")
    assert done.status == 2
    assert len(done.err.splitlines()) == 1
