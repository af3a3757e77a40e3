"""Whether a session works, is idle or waits for somebody: real shells, interpreters, editors and questions, on real terminals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from codewrap.store.activity import Activity, read_activity
from tests.support.ptydriver import Terminal, eventually
from tests.support.sessions import BASH, PROMPT, Machine, program, session_name

WORKING, IDLE, AWAITING = "working", "idle", "awaiting input"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path / "machine") as made:
        yield made


class Minded:
    """One session and what is said of it."""

    def __init__(self, machine: Machine, *command: str) -> None:
        self.name = session_name()
        self.terminal: Terminal = machine.run("--name", self.name, "--quiet", "--", *command)
        self.directory = Path(machine.session(self.name)["log_directory"])

    def activity(self) -> Activity | None:
        """What is said now, if it is said of all that the command has written."""
        found = read_activity(self.directory)
        return found if found is not None and found.offset == (self.directory / "output").stat().st_size else None

    def becomes(self, state: str, evidence: str = "") -> Activity:
        def is_said() -> bool:
            found = self.activity()
            return found is not None and found.state == state and evidence in ", ".join(found.evidence)

        eventually(is_said, f"{state} ({evidence})")
        found = self.activity()
        assert found is not None
        return found

    def prompts(self) -> list[str]:
        """Those in the timeline."""
        entries = [json.loads(line) for line in (self.directory / "timeline").read_text().splitlines()]
        return [entry[3] for entry in entries if entry[2] == "prompt"]


@pytest.fixture
def bash(machine: Machine) -> Minded:
    session = Minded(machine, *BASH)
    session.terminal.shows(PROMPT.strip())
    session.becomes(IDLE)
    return session


def test_shell_is_idle_at_its_prompt_and_works_while_its_command_does(bash: Minded) -> None:
    bash.terminal.send("sleep 100\n")
    assert bash.becomes(WORKING, "sleep does not wait").prompt == ""
    bash.terminal.send("\x03")
    bash.becomes(IDLE)
    assert bash.prompts() == []


@pytest.mark.parametrize(
    ("command", "evidence", "prompt"),
    [
        ("read -s -p 'Secret: ' x", "echo is off", "Secret:"),
        ("read -p 'Go on? [y/N] ' x", "it reads the terminal", "Go on? [y/N]"),
        ("read x", "it reads the terminal", None),
        ("read -n 1 -p 'Press any key'", "asks a question", "Press any key"),
        ("python3 -c 'input(\"Name: \")'", "it reads the terminal", "Name:"),
        ("python3 -c 'import getpass; getpass.getpass()'", "echo is off", "Password:"),
        ("head -n 1", "it reads the terminal", None),
        ("printf '\\e]9;Approve?\\a'; sleep 2", "it called: Approve?", "Approve?"),
    ],
)
def test_who_asks_waits_for_input_until_it_is_answered(bash: Minded, command: str, evidence: str, prompt: str | None) -> None:
    bash.terminal.send(f"{command}\n")
    said = bash.becomes(AWAITING, evidence)
    assert prompt in (None, said.prompt)
    eventually(lambda: len(bash.prompts()) == 1, "the prompt in the timeline")
    bash.terminal.send("y\n")
    bash.becomes(IDLE)
    assert len(bash.prompts()) == 1


def test_answer_that_shows_nothing_is_noticed_by_and_by(machine: Machine) -> None:
    session = Minded(machine, "bash", "-c", "read -s x; sleep 100")
    session.becomes(AWAITING)
    session.terminal.send("y\n")
    session.becomes(WORKING)


def test_question_after_silence_is_noticed_by_and_by(machine: Machine) -> None:
    session = Minded(machine, "bash", "-c", "sleep 1; read x")
    session.becomes(AWAITING)


def test_what_prints_steadily_works_and_so_does_what_is_silent(machine: Machine) -> None:
    session = Minded(machine, "bash", "-c", "for i in $(seq 30); do echo $i; sleep 0.1; done; printf 'Linking: '; sleep 100")
    session.terminal.shows("Linking:")
    session.becomes(WORKING, "does not wait")
    assert session.prompts() == []


def test_interpreter_is_idle_at_its_prompt(machine: Machine) -> None:
    session = Minded(machine, "python3", "-q")
    session.terminal.shows(">>>")
    session.becomes(IDLE)


def test_editor_is_idle(machine: Machine) -> None:
    session = Minded(machine, program("vim"), "-u", "NONE", "note.txt")
    session.terminal.shows("~")
    session.becomes(IDLE, "full-screen")
    session.terminal.send(":q!\r")


def test_next_uplink_knows_it_too(bash: Minded, machine: Machine) -> None:
    bash.terminal.send("read -p 'Go on? [y/N] ' x\n")
    bash.becomes(AWAITING)
    machine.uplink().kill()
    bash.terminal.send("y\n")
    bash.becomes(IDLE)


def test_command_without_a_terminal_is_only_known_to_run(machine: Machine) -> None:
    name = session_name()
    machine.run_piped("--name", name, "--", "cat")
    directory = Path(machine.session(name)["log_directory"])
    eventually(lambda: read_activity(directory), "an activity")
    found = read_activity(directory)
    assert found is not None
    assert found.state == WORKING
