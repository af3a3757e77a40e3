"""`import codewrap`: a session from a program, against real ones; and that it costs nobody anything who does not use it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import codewrap
from codewrap.errors import (
    CommandNotExecutable,
    CommandNotFound,
    ConfigError,
    NotStarted,
    SessionEnded,
    SessionNotFound,
    TypingRefused,
    WaitTimeout,
)
from codewrap.protocol.geometry import Size
from tests.support.ptydriver import eventually
from tests.support.sessions import BASH, Machine, session_name

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "machine")
    yield made  # type: ignore[misc]
    made.close()


def test_a_program_types_waits_looks_and_learns_the_status(machine: Machine) -> None:
    name = session_name()
    host = machine.run("--name", name, "--quiet", "--", *BASH)
    host.shows("ready$")
    with codewrap.attach(name, environ=machine.environ) as session:
        assert session.wait_for(r"ready\$ $")[0] == "ready$ "
        session.send("echo $((6 * 7))\n")
        assert session.wait_for(r"^42$")[0] == "42"
        assert session.screen.rows[:2] == ("ready$ echo $((6 * 7))", "42")
        session.wait_for(r"ready\$ $")
        session.send("cat\n")
        session.keys("C-d")
        session.wait_for(re.compile(r"ready\$ $"))
        with pytest.raises(WaitTimeout):
            session.wait_for("never", timeout=0.01)
        assert session.status is None
        session.send("exit 3\n")
        assert (session.wait(), session.status) == (3, 3)
        with pytest.raises(SessionEnded):
            session.send("more")
    assert host.status() == 3


def test_a_session_that_is_left_goes_on(machine: Machine) -> None:
    with codewrap.run(["cat"], name=session_name(), environ=machine.environ, cols=33, rows=7) as session:
        assert session.screen.size == Size(rows=7, cols=33)
        session.send("one\n")
        session.wait_for("one\n(.|\n)*one|^one$")
    with codewrap.attach(session.name, environ=machine.environ) as again:
        again.send(b"two\n", paste=True)
        eventually(lambda: again.screen.text == "one\none\ntwo\ntwo", "what was typed before and now")
        again.keys("C-d")
        assert again.wait(timeout=30) == 0


def test_a_program_that_may_only_watch_is_not_let_type(machine: Machine) -> None:
    with codewrap.run(["cat"], environ=machine.environ) as session:
        with (
            codewrap.attach(session.name, read_only=True, environ=machine.environ) as watching,
            pytest.raises(TypingRefused, match="only be watched"),
        ):
            watching.send("x")
        session.keys("C-c")
        assert session.wait(timeout=30) == 130


def test_what_cannot_be_run_or_reached_is_an_error_of_ours(machine: Machine) -> None:
    environ = machine.environ
    for command, error in ((["no-such-command-here"], CommandNotFound), ([str(machine.home)], CommandNotExecutable)):
        with pytest.raises(error):
            codewrap.run(command, environ=environ)
    with pytest.raises(NotStarted, match="is not a session name"):
        codewrap.run(["cat"], name="No Name", environ=environ)
    with pytest.raises(ConfigError, match="command"):
        codewrap.run([], environ=environ)
    with pytest.raises(SessionNotFound):
        codewrap.attach("nobody", environ=environ)
    for wrong in ("-", "https://codewrap.example/s/build", "No Name"):
        with pytest.raises(ConfigError):
            codewrap.attach(wrong, environ=environ)


def test_a_wrong_key_or_pattern_is_an_error_of_ours(machine: Machine) -> None:
    with codewrap.run(["cat"], environ=machine.environ) as session:
        with pytest.raises(ConfigError, match="is no key"):
            session.keys("Foo")
        with pytest.raises(ConfigError, match="is not a regular expression"):
            session.wait_for("(")
        session.keys("C-c")
        session.wait(timeout=30)


def test_the_example_of_the_document_runs_as_printed(machine: Machine) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/python.md").read_text(), re.MULTILINE | re.DOTALL)
    environ = {**machine.environ, "PS1": "$ ", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", example], env=environ, cwd=machine.home, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n3\n", "")


def test_importing_it_loads_nothing_else_of_ours() -> None:
    program = "import sys, codewrap; print(*[n for n in sys.modules if n.startswith('codewrap.') or n == 'typing'])"
    done = subprocess.run([sys.executable, "-S", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


def test_it_gives_what_it_names_and_nothing_else() -> None:
    assert sorted(codewrap.__all__) == ["Session", "__version__", "attach", "run"]
    assert all(hasattr(codewrap, name) for name in codewrap.__all__)
    assert not hasattr(codewrap, "detach")
