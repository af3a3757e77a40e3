"""The command line's door: help, versions, and how errors become one line and an exit status."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from codewrap import __version__
from codewrap.cli.main import COMMANDS, GROUPS, CommandSource, LazyCommands
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
        assert re.search(rf"\b{command.partition(' ')[0]}\b", done.out), command


@pytest.mark.parametrize("command", list(COMMANDS))
def test_each_command_has_a_help_that_says_what_it_does(codewrap: CommandLine, command: str) -> None:
    done = codewrap(*command.split(), "--help")
    assert (done.status, done.err) == (0, "")
    assert f"codewrap {command}" in done.out.replace("codewrap.cli.main", "codewrap")
    assert "--help" in done.out
    assert codewrap(*command.split(), "-h").out == done.out


class Nested(LazyCommands):
    """A table with a group in it."""

    sources: ClassVar = {
        "ls": CommandSource("codewrap.cli.ls", "ls", {}),
        "thing list": CommandSource("codewrap.cli.ls", "ls", {}),
        "other show": CommandSource("codewrap.cli.no_such_module", "show", {}),
        "thing show": CommandSource("codewrap.cli.ls", "ls", {}),
    }
    groups: ClassVar = {"thing": "What one does with things.", "other": "And with others."}


def test_a_group_stands_where_its_first_command_does() -> None:
    assert Nested(name="codewrap").list_commands(None) == ["ls", "thing", "other"]


def test_a_group_holds_its_own_commands_under_their_last_word() -> None:
    group = Nested(name="codewrap").get_command(None, "thing")
    assert group.help == "What one does with things."
    assert group.list_commands(None) == ["list", "show"]
    assert group.get_command(None, "show").name == "show"
    assert group.get_command(None, "ls") is None


def test_a_command_of_a_group_can_be_asked_for_by_both_words() -> None:
    assert Nested(name="codewrap").get_command(None, "thing list").name == "list"
    assert Nested(name="codewrap").get_command(None, "thing hide") is None


def test_a_group_is_made_without_its_commands() -> None:
    other = Nested(name="codewrap").get_command(None, "other")
    assert other.list_commands(None) == ["show"]  # and the module, which is not there, is asked for only now:
    with pytest.raises(ModuleNotFoundError):
        other.get_command(None, "show")


def test_every_group_has_commands_and_every_command_of_two_words_its_group() -> None:
    assert {name.partition(" ")[0] for name in COMMANDS if " " in name} == set(GROUPS)


def test_help_of_a_command_line_with_groups_says_what_each_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    root = Nested(name="codewrap")
    root.sources = {name: source for name, source in Nested.sources.items() if name != "other show"}
    root.main(["--help"], standalone_mode=False)
    root.main(["thing", "--help"], standalone_mode=False)
    root.main(["thing", "show", "--help"], standalone_mode=False)
    said = capsys.readouterr().out
    assert "What one does with things." in said
    assert "thing show [OPTIONS]" in said


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


@pytest.mark.parametrize("words", [["--help"], ["ls", "--all"], ["run", "-dq", "--", "true"]])
def test_output_that_cannot_be_written_is_at_most_one_line(codewrap: CommandLine, words: list[str]) -> None:
    codewrap("run", "true")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "codewrap.cli.main", *words],
            env=codewrap.environ,
            cwd=codewrap.directory,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    if words[0] == "run":  # it runs all the same
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 125
        assert done.stderr == "codewrap: what is to be shown cannot be written: No space left on device\n"


@pytest.mark.parametrize("words", [["--help"], ["ls", "--all"], ["show", "build"]])
def test_a_reader_that_has_gone_is_no_error_that_anybody_is_told_of(codewrap: CommandLine, words: list[str]) -> None:
    codewrap("run", "--name", "build", "true")
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "codewrap.cli.main", *words],
            env=codewrap.environ,
            cwd=codewrap.directory,
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "")


def test_an_env_file_that_cannot_be_read_is_one_line(codewrap: CommandLine) -> None:
    (codewrap.directory / ".env").write_bytes(b"A=\xff\xfe\n")
    done = codewrap("run", "true")
    assert done.status == 2
    assert len(done.err.splitlines()) == 1
