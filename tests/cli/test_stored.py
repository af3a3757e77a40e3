"""Recordings of a server: fetched, opened, checked and shown like those that are here; what is wrong with them is said."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from codewrap.cli import stored
from codewrap.cli.environment import Environment
from codewrap.cli.recordings import Recording
from codewrap.errors import RemoteProtocolError, SessionNotFound, TransportError
from codewrap.store.archive import Fate
from tests.support.storing import OUTPUT, RUN, TIMELINE, UPDATED, StoringServer, blocks_of, sealed

OTHER = "fedcba9876543210"


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    values = {"CODEWRAP_STATE_DIR": str(tmp_path / "state"), "USER": "somebody"}
    return Environment(values, values)


def test_what_is_fetched_is_a_session_like_those_that_are_here(here: Environment, capsys: pytest.CaptureFixture[str]) -> None:
    with StoringServer(sealed(blocks_of())) as server:
        kept = stored.fetch(here, server.gateway, "build")
    assert (kept.name, kept.epoch, kept.command, kept.pty) == ("build", RUN, ("make",), False)
    assert (kept.state.fate, kept.state.code, kept.state.at) == (Fate.ENDED, 3, UPDATED)
    assert (kept.directory / "output").read_bytes() == OUTPUT
    assert (kept.directory / "timeline").read_bytes().startswith(TIMELINE)
    assert stat.S_IMODE((kept.directory / "output").stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.directory.stat().st_mode) == 0o700
    assert Recording(kept).is_over
    assert capsys.readouterr().err == f"[codewrap] session build@01234567 as {server.url} stores it\n"
    assert all("hush" not in asked.target for asked in server.asked)


def test_a_run_is_named_by_the_beginning_of_its_epoch(here: Environment) -> None:
    with StoringServer(sealed(blocks_of())) as server:
        server.listed.insert(0, server.listed[0] | {"epoch": OTHER})
        assert stored.fetch(here, server.gateway, "build@0123").epoch == RUN
        for text in ("build@77", "another", "build@", "-"):
            with pytest.raises(SessionNotFound, match="nor stored at"):
                stored.fetch(here, server.gateway, text)
        server.listed.append(server.listed[1] | {"epoch": "0123" * 4})
        with pytest.raises(SessionNotFound, match="several"):
            stored.fetch(here, server.gateway, "build@0123")


@pytest.mark.parametrize(
    ("live", "fate", "words"), [(True, Fate.RUNNING, "it still runs"), (False, Fate.LOST, "its end was never stored")]
)
def test_what_has_no_end_runs_or_is_lost(
    here: Environment, capsys: pytest.CaptureFixture[str], live: bool, fate: Fate, words: str
) -> None:
    with StoringServer(sealed(blocks_of(whole=False)), ended=False, live=live) as server:
        state = stored.fetch(here, server.gateway, "build").state
    assert state.fate is fate
    assert words in capsys.readouterr().err


def test_what_was_altered_cut_or_sealed_otherwise_is_refused(here: Environment) -> None:
    whole = sealed(blocks_of())
    for data in (whole[:-1], sealed(blocks_of(whole=False)), b"", whole[:40] + b"\0" + whole[41:], sealed(blocks_of(), OTHER)):
        with StoringServer(data) as server, pytest.raises(RemoteProtocolError, match="damaged"):
            stored.fetch(here, server.gateway, "build")
    with StoringServer(whole) as server:
        server.master_key = bytes(32)
        with pytest.raises(RemoteProtocolError, match="another master key since"):
            stored.fetch(here, server.gateway, "build")


def test_what_still_runs_is_followed_to_its_end(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LOOK_S", 0.0)
    whole = sealed(blocks_of())
    first = 4 + int.from_bytes(whole[:4], "big")
    second = first + 4 + int.from_bytes(whole[first : first + 4], "big")
    with StoringServer(whole[:first], ended=False, live=True) as server:
        fetched = stored.follow(here, server.gateway, "build")
        kept = fetched.kept
        assert kept.state.fate is Fate.RUNNING
        fetched.more()
        assert (kept.directory / "output").read_bytes() == b""
        server.data = whole[: second - 3]
        fetched.more()
        server.data = whole[:second]
        fetched.more()
        assert (kept.directory / "output").read_bytes() == OUTPUT
        assert kept.state.fate is Fate.RUNNING
        server.data = whole
        fetched.more()
        assert (kept.state.fate, kept.state.code) == (Fate.ENDED, 3)
        asked = len(server.asked)
        fetched.more()
        assert len(server.asked) == asked
        fetched.close()


@pytest.mark.parametrize("left", ["gone", "deleted"])
def test_what_is_followed_and_whose_host_is_gone_is_lost(left: str, here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LOOK_S", 0.0)
    with StoringServer(sealed(blocks_of(whole=False)), ended=False, live=True) as server:
        fetched = stored.follow(here, server.gateway, "build")
        server.listed[:] = [] if left == "deleted" else [server.listed[0] | {"live": False}]
        fetched.more()
        fetched.close()
    assert fetched.kept.state.fate is Fate.LOST


def test_a_server_that_is_away_for_a_while_ends_no_following(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LOOK_S", 0.0)
    with StoringServer(sealed(blocks_of(whole=False)), ended=False, live=True) as server:
        fetched = stored.follow(here, server.gateway, "build")
    fetched.more()
    assert fetched.kept.state.fate is Fate.RUNNING
    monkeypatch.setattr(stored, "PATIENCE_S", -1.0)
    with pytest.raises(TransportError):
        fetched.more()
    fetched.close()


def test_what_processes_that_are_gone_left_is_removed(here: Environment, tmp_path: Path) -> None:
    left = tmp_path / "state" / "fetched" / "999999999-0000000000000000-abc"
    strange = tmp_path / "state" / "fetched" / "strange"
    for directory in (left, strange):
        directory.mkdir(parents=True)
        (directory / "output").write_text("secret")
    with StoringServer(sealed(blocks_of())) as server:
        first = stored.fetch(here, server.gateway, "build")
        second = stored.fetch(here, server.gateway, "build")
    assert not left.exists()
    assert not strange.exists()
    assert first.directory.is_dir()
    assert second.directory.is_dir()


def test_what_is_listed_says_what_became_of_it() -> None:
    with StoringServer(b"") as server:
        server.listed += [server.listed[0] | {"ended": False, "live": live} for live in (True, False)]
        found = stored.listed(server.gateway)
        assert [stored.state_of(each) for each in found] == ["ended", "running", "lost"]
        assert stored.listed(server.gateway, "another") == []
        shown = stored.public(found[0], server.gateway)
    assert (shown["name"], shown["epoch"], shown["state"], shown["server"]) == ("build", RUN, "ended", server.url)
    assert json.loads(json.dumps(shown)) == shown
