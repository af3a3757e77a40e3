"""What `attach` shows of a session that is over: its screen on a terminal, its bytes in a file, and its status."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codewrap.cli import ended
from codewrap.cli.destination import Destination
from codewrap.cli.environment import Environment
from codewrap.config import load
from codewrap.errors import EXIT_LOST
from tests.support.storing import OUTPUT, StoringServer, blocks_of, sealed


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    values = {"CODEWRAP_STATE_DIR": str(tmp_path / "state"), "CODEWRAP_RUNTIME_DIR": str(tmp_path / "run")}
    return Environment(values, values)


def shown(here: Environment, server: StoringServer, *, quiet: bool = False) -> int | None:
    return ended.show(Destination.named("build", here, server.gateway), quiet=quiet)


def test_a_file_gets_the_very_bytes_and_the_status_is_the_session_s(
    here: Environment, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with StoringServer(sealed(blocks_of())) as server:
        assert shown(here, server) == 3
    said = capfdbinary.readouterr()
    assert said.out == OUTPUT
    assert b"session build has ended 20" in said.err
    assert said.err.rstrip().endswith(b": exit 3; this is how it was then")


def test_a_terminal_gets_the_screen_as_it_was(here: Environment) -> None:
    ours, theirs = os.openpty()
    kept = os.dup(1)
    try:
        os.dup2(theirs, 1)
        with StoringServer(sealed(blocks_of())) as server:
            assert shown(here, server, quiet=True) == 3
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(theirs)
    drawn = os.read(ours, 10_000)
    os.close(ours)
    assert b"hello" in drawn
    assert b"31mred" in drawn
    assert drawn.count(b"\n") == 2


def test_one_that_was_lost_says_so(here: Environment, capfd: pytest.CaptureFixture[str]) -> None:
    with StoringServer(sealed(blocks_of(whole=False)), ended=False) as server:
        assert shown(here, server) == EXIT_LOST
    assert "session build was lost: its host is gone; last heard of 20" in capfd.readouterr().err


def test_where_there_is_nothing_to_show_nothing_is_said_of_it(here: Environment, capfd: pytest.CaptureFixture[str]) -> None:
    with StoringServer(b"") as server:
        server.listed.clear()
        assert shown(here, server) is None
    assert ended.show(Destination.named("build", here, load({})), quiet=False) is None
    assert capfd.readouterr() == ("", "")


def test_one_that_runs_and_one_that_was_altered_are_not_shown(here: Environment, capfd: pytest.CaptureFixture[str]) -> None:
    with StoringServer(sealed(blocks_of(whole=False)), ended=False, live=True) as server:
        assert shown(here, server) is None
    with StoringServer(sealed(blocks_of())[:-1]) as server:
        assert shown(here, server) is None
    said = capfd.readouterr()
    assert said.out == ""
    assert "damaged" in said.err
