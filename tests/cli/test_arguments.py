"""A link's token leaves the argument list at once, and is read once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from codewrap.cli.arguments import MAX_TOKEN_BYTES, as_given, concealed

ROOT = Path(__file__).resolve().parents[2]
LINK = "https://codewrap.example/s/build"
# What `entry.py` does first; then says what others see of us, and what we have.
PROGRAM = """
import sys
from codewrap.cli.arguments import conceal, concealed
conceal()
with open("/proc/self/cmdline") as listed:
    print(listed.read().replace("\\0", " "))
for word in sys.argv[2:]:
    address, _, fragment = word.partition("#")
    print(address, concealed(fragment))
"""


def run(*words: str, closed: bool = False) -> list[str]:
    """What the program says when it is called so; ``closed``: without a stdin."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        preexec_fn=(lambda: os.close(0)) if closed else None,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("command", ["attach", "send", "screen", "answer"])
@pytest.mark.parametrize("closed", [False, True])
def test_the_token_of_a_link_is_not_in_the_argument_list_and_not_lost(command: str, closed: bool) -> None:
    *listed, said = run(command, f"{LINK}#hush-token", closed=closed)
    assert "hush" not in " ".join(listed)
    assert LINK in " ".join(listed)
    assert said == f"{LINK} hush-token"


def test_every_other_argument_stays_as_it_is() -> None:
    said = run("attach", "--quiet", "a#b", f"{LINK}#first", "é\n x", f"{LINK}#", f"{LINK}#second")
    listed = " ".join(said)
    assert listed.count("first") == listed.count("second") == 1  # where the program says them
    assert "--quiet a#b" in listed
    assert [f"{LINK} first", f"{LINK} ", f"{LINK} second"] == [line for line in said if line.startswith(LINK)]


def test_other_commands_are_left_alone() -> None:
    assert f"{LINK}#part" in run("run", f"{LINK}#part")[-2]


def test_a_fragment_that_was_not_concealed_is_the_token() -> None:
    assert concealed("some-token") == "some-token"
    assert concealed("") == ""


def test_a_pipe_is_read_once() -> None:
    reads, writes = os.pipe()
    os.write(writes, b"some-token")
    os.close(writes)
    assert concealed(f"fd={reads}") == "some-token"
    assert concealed(f"fd={reads}") is None


def test_text_that_looks_like_a_link_is_had_as_it_was_given() -> None:
    reads, writes = os.pipe()
    os.write(writes, b"part\xff")
    os.close(writes)
    assert as_given(f"see {LINK}#fd={reads}") == f"see {LINK}#part\udcff"
    assert as_given("a#b#c") == "a#b#c"
    assert as_given("no fragment") == "no fragment"
    assert as_given("comment #fd=9999") == "comment #fd=9999"


@pytest.mark.parametrize("text", [f"open {LINK}#part", f"{LINK}#" + "x" * (MAX_TOKEN_BYTES + 1)])
def test_what_cannot_be_a_link_stays(text: str) -> None:
    assert any(text in line for line in run("send", "build", text))


def test_only_a_pipe_is_read_and_no_standard_stream(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not for you")
    with (tmp_path / "file").open() as file:
        assert concealed(f"fd={file.fileno()}") is None
    assert concealed("fd=0") is None
    assert concealed("fd=9999") is None


def test_what_no_pipe_holds_stays_and_waits_for_nobody() -> None:
    assert run("attach", f"{LINK}#{'a' * 100_000}")[-1] == f"{LINK} {'a' * 100_000}"
