"""The documents say what is: settings, flags, exit statuses, frames and the commands of the README, compared with the code."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
from pathlib import Path

import pytest
import typer
import typer.main

from codewrap import config
from codewrap.cli.main import COMMANDS, app
from codewrap.protocol import frames
from codewrap.protocol.channels import EVENT_CLIENT_INPUT, EVENT_CLIENT_SYNC, EVENT_INPUT, EVENT_SYNC, ChannelRole
from codewrap.server.openapi import document

ROOT = Path(__file__).resolve().parent.parent
SETTING = re.compile(r"\b(?:(?:SOKETI?|PUSHER|CODEWRAP)_[A-Z0-9_]+|AUTH_TOKEN)\b")
# Named like settings, and none of codewrap's: settings of Soketi itself, and what the command is told.
NOT_OURS = re.compile(r"SOKETI_DEFAULT_APP\w*|SOKETI_EVENT_\w+|CODEWRAP_(?:SESSION|EVENT|TEXT|ATTACH|ANSWER_URL)")
# Never from a setting file: it names that file.
MACHINE_PATHS = re.compile("|".join(("/" + "work/", "/" + "home/[a-z]", "/" + "root/", "/" + "Users/")))


def text(name: str) -> str:
    return (ROOT / name).read_text()


def settings_in(source: str) -> set[str]:
    return {name for name in SETTING.findall(source) if not NOT_OURS.fullmatch(name) and not name.endswith("_")}


def settings_of_the_code() -> set[str]:
    """Every setting that stands as a string by itself in the package: those read by name, and the flags' variables."""
    found = {*config.SOKETI_NAMES, *config.PUSHER_NAMES, *config.SECRET_NAMES}
    for path in (ROOT / "codewrap").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and SETTING.fullmatch(node.value):
                found.add(node.value)
    return {name for name in found if not NOT_OURS.fullmatch(name)}


def parser_of(command: str) -> object:
    group = typer.main.get_command(app)
    return group.get_command(None, command)  # type: ignore[attr-defined]


def flags_of(command: str) -> list[str]:
    """The options as they are typed, but for `--help`, which all have."""
    names = []
    for parameter in parser_of(command).params:  # type: ignore[attr-defined]
        if parameter.param_type_name == "option" and "--help" not in parameter.opts:
            names += [*parameter.opts, *parameter.secondary_opts]
    return names


def section(command: str) -> str:
    """What the guide says under the heading of a command."""
    before, heading, after = re.split(rf"^(##+ {command})$", text("docs/guide.md"), flags=re.MULTILINE)
    assert before, heading
    return re.split(r"^##+ ", after, flags=re.MULTILINE)[0]


def shell_commands(markdown: str) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_env_example_lists_every_setting_of_the_code_and_no_other() -> None:
    listed = re.findall(r"^#([A-Z0-9_]+)=", text(".env.example"), re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == settings_of_the_code()


def test_every_setting_in_env_example_has_a_line_that_explains_it() -> None:
    lines = text(".env.example").splitlines()
    bare = [line for before, line in itertools.pairwise(lines) if re.match(r"#[A-Z0-9_]+=", line) and before[:2] != "# "]
    assert bare == []


def test_guide_names_every_setting_of_the_code_and_no_other() -> None:
    assert settings_in(text("docs/guide.md")) == settings_of_the_code()


@pytest.mark.parametrize(
    "name", ["README.md", "docs/architecture.md", "docs/protocol.md", "docs/contributing.md", "CHANGELOG.md"]
)
def test_no_document_names_a_setting_that_does_not_exist(name: str) -> None:
    assert settings_in(text(name)) <= settings_of_the_code()


@pytest.mark.parametrize("command", COMMANDS)
def test_guide_has_a_section_with_every_flag_of_the_command(command: str) -> None:
    said = section(command)
    assert [
        flag for flag in flags_of(command) if f"`{flag}`" not in said and f"`{flag} " not in said and f"[{flag}]" not in said
    ] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_guide_names_no_flag_that_the_command_lacks(command: str) -> None:
    # Only tables are meant to be complete; sentences may speak of other commands' flags.
    rows = [line.split("|")[1] for line in section(command).splitlines() if line.startswith("| `--")]
    named = {flag for row in rows for flag in re.findall(r"`(--?[a-z-]+)`", row)}
    assert named <= set(flags_of(command))


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_shows_every_command(command: str) -> None:
    assert re.search(rf"\bcodewrap {re.escape(command)}\b", text("README.md"))


def test_exit_statuses_stand_in_readme_and_guide() -> None:
    for name in ("README.md", "docs/guide.md"):
        said = text(name)
        for status in ("127", "126", "125", "128+n", "254", "255"):
            assert status in said, f"{name} does not say {status}"


def test_ci_runs_the_very_test_command_of_the_readme() -> None:
    commands = [line for line in shell_commands(text("README.md")) if line.endswith("-m pytest")]
    assert len(commands) == 1
    assert commands[0] in text(".ci/run").splitlines()


def test_readme_has_one_command_that_ends_in_a_session_to_attach_to() -> None:
    commands = [line for line in shell_commands(text("README.md")) if "pip install" in line and "codewrap run" in line]
    assert len(commands) == 1
    assert "--name hello" in commands[0]
    assert ".venv/bin/codewrap attach hello" in text("README.md")


def test_ci_asks_for_the_same_programs_as_the_readme() -> None:
    needed = re.search(r"^needed=\((.*)\)$", text(".ci/run"), re.MULTILINE)
    assert needed is not None
    assert f"apt-get install -y {needed[1]}`" in text("README.md")


def test_protocol_describes_every_frame_with_its_fields() -> None:
    said = text("docs/protocol.md")
    size = frames.Size(24, 80)
    examples = [
        frames.Output("e", 0, b"x", acks={"w": 1}),
        frames.Output("e", 0, b"\xff", "stderr"),
        frames.Screen("e", 0, size, b"x", 0, 2, plain=True),
        frames.Resized("e", 0, size),
        frames.Acked("e", {"w": 1}),
        frames.Notice("e", 0, "gap", "text", (0, 1)),
        frames.Ended("e", 0, 0, None),
        frames.Input("e", "w", 0, b"x"),
        frames.Resize("e", "w", size),
        frames.Sync("e", 0, "screen"),
    ]
    assert f'"v":{frames.VERSION}' in said
    for frame in examples:
        members = ast.literal_eval(_python(frames.encode(frame)))
        del members["v"]
        for name, value in members.items():
            assert f"`{name}`" in said, f"the field {name} of {type(frame).__name__}"
            if name == "type":
                assert f"`{value}`" in said, f"the type {value}"


def _python(json_text: str) -> str:
    return json_text.replace("null", "None").replace("true", "True")


def test_protocol_names_every_channel_and_event() -> None:
    said = text("docs/protocol.md")
    names = [f"{role.value}S" for role in ChannelRole] + [EVENT_INPUT, EVENT_CLIENT_INPUT, EVENT_SYNC, EVENT_CLIENT_SYNC]
    assert [name for name in names if f"`{name}`" not in said] == []


def test_protocol_names_every_path_of_serve_auth() -> None:
    said = text("docs/protocol.md")
    assert [path for path in document()["paths"] if path.replace("{app_id}", "ID") not in said] == []


def test_example_of_the_protocol_runs_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", text("docs/protocol.md"), re.MULTILINE | re.DOTALL)
    exec(compile(example, "docs/protocol.md", "exec"), {})
    assert capsys.readouterr().out == "b'hello\\r\\n'\nNone\n"


def test_changelog_begins_with_what_is_unreleased() -> None:
    headings = re.findall(r"^## (.+)$", text("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "Unreleased"


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
            if "://" not in target and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert broken == []


def test_decisions_are_numbered_and_have_their_three_parts() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [path.name[:4] for path in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for path in pages:
        headings = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], path.name
        assert path.read_text().startswith(f"# {path.name[:4]}: ")


def test_no_tracked_file_holds_a_path_of_somebodys_machine() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    holding = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path.suffix not in {".bin", ".png"} and MACHINE_PATHS.search(path.read_text(errors="replace")):
            holding.append(name)
    assert holding == []
