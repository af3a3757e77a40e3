"""Whether a log is kept, what its host writes beside it, and what the uplink is told; a disk that refuses costs no more."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from codewrap.cli.keeping import Keeping
from codewrap.errors import ConfigError
from codewrap.protocol.geometry import Size
from codewrap.store.archive import Archive, Fate, State
from codewrap.store.sessionfile import CLEANED
from codewrap.store.sessions import SessionRecord, process_start
from codewrap.terminal.child import Exited
from tests.support.kept import BEGAN_AT, ended
from tests.support.ptydriver import eventually

EPOCH = "00000000000000aa"


def record(directory: Path) -> SessionRecord:
    place = directory / f"build-{EPOCH}"
    place.mkdir()
    return SessionRecord(
        name="build",
        pid=os.getpid(),
        pid_started=process_start(os.getpid()),
        epoch=EPOCH,
        mode="embedded",
        endpoint="http://127.0.0.1:1",
        encrypted=True,
        read_only=False,
        command=["make", "all"],
        started_at=BEGAN_AT,
        log_directory=str(place),
        hub={"secret": "hush"},
        share="write",
        lane="hush-lane",
    )


def test_what_is_known_of_a_session_stands_beside_its_log_and_no_key(tmp_path: Path) -> None:
    keeping = Keeping({}, record=True)
    keeping.begin(record(tmp_path), pty=True, size=Size(30, 100))
    kept = Archive(tmp_path).find("build")
    assert kept is not None
    assert kept.state == State(Fate.RUNNING)
    assert (kept.epoch, kept.command, kept.working_directory) == (EPOCH, ("make", "all"), str(Path.cwd()))
    assert (kept.started_at, kept.mode, kept.share, kept.pty, kept.size) == (BEGAN_AT, "embedded", "write", True, Size(30, 100))
    assert kept.kept
    assert "hush" not in (kept.directory / "session.json").read_text()


def test_terminal_and_shell_of_its_surroundings_are_known_and_nothing_else_of_them(tmp_path: Path) -> None:
    keeping = Keeping({"TERM": "screen", "SHELL": "/bin/zsh", "PASSWORD": "hush"}, record=True)
    keeping.begin(record(tmp_path), pty=True, size=Size(30, 100))
    kept = Archive(tmp_path).find("build")
    assert kept is not None
    assert kept.facts["environ"] == {"TERM": "screen", "SHELL": "/bin/zsh"} == keeping.plan()["environ"]
    assert "hush" not in (kept.directory / "session.json").read_text()


@pytest.mark.parametrize(("pty", "environ"), [(True, {"TERM": "xterm-256color"}), (False, {})])
def test_a_terminal_of_its_own_has_a_name(pty: bool, environ: dict[str, str], tmp_path: Path) -> None:
    keeping = Keeping({}, record=True)
    keeping.begin(record(tmp_path), pty=pty, size=Size(30, 100))
    assert keeping.plan()["environ"] == environ


def test_how_it_ended_is_added(tmp_path: Path) -> None:
    keeping = Keeping({}, record=True)
    keeping.begin(record(tmp_path), pty=False, size=Size(24, 80))
    keeping.end(Exited(None, 9), 1.5, 7)
    kept = Archive(tmp_path).find("build")
    assert kept is not None
    assert (kept.state.fate, kept.state.status, kept.state.duration_s, kept.state.output_bytes) == (Fate.ENDED, 137, 1.5, 7)


@pytest.mark.parametrize(("record_it", "retention", "kept"), [(True, "30d", True), (False, "30d", False), (True, "0", False)])
def test_a_log_is_kept_unless_that_is_not_wanted(record_it: bool, retention: str, kept: bool) -> None:
    settings = {"CODEWRAP_RETENTION": retention, "CODEWRAP_RECORDINGS_MAX": "5M"}
    assert Keeping(settings, record=record_it, store=True).stored is kept
    keeping = Keeping(settings, record=record_it)
    plan = keeping.plan()
    assert keeping.kept is kept
    assert json.loads(json.dumps(plan)) == plan
    assert plan == {
        "host": os.getpid(),
        "kept": kept,
        "stored": False,
        "keep_s": 0 if retention == "0" else 2_592_000,
        "keep_bytes": 5_000_000,
        "environ": {},
    }


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError):
        Keeping({"CODEWRAP_RETENTION": "long"}, record=True)


def test_nothing_is_written_into_a_log_that_goes_with_its_session(tmp_path: Path) -> None:
    keeping = Keeping({}, record=False)
    keeping.begin(record(tmp_path), pty=False, size=Size(24, 80))
    kept = Archive(tmp_path).find("build")
    assert kept is not None
    assert not kept.kept
    before = (kept.directory / "session.json").read_bytes()
    keeping.end(Exited(0, None), 1.5, 7)
    assert (kept.directory / "session.json").read_bytes() == before


def test_a_disk_that_refuses_is_no_error(tmp_path: Path) -> None:
    of_build = record(tmp_path)
    Path(of_build.log_directory).rmdir()
    keeping = Keeping({}, record=True)
    keeping.begin(of_build, pty=False, size=Size(24, 80))
    keeping.end(Exited(0, None), 1.5, 7)
    assert list(tmp_path.iterdir()) == []


def test_a_working_directory_that_is_gone_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    of_build = record(tmp_path)
    monkeypatch.chdir(gone)
    gone.rmdir()
    Keeping({}, record=True).begin(of_build, pty=False, size=Size(24, 80))
    kept = Archive(tmp_path).find("build")
    assert kept is not None
    assert (kept.command, kept.working_directory) == (("make", "all"), "")


@pytest.mark.parametrize("kept", [True, False])
def test_without_an_uplink_the_host_has_too_much_deleted(tmp_path: Path, kept: bool) -> None:
    ended(tmp_path, "old")
    keeping = Keeping({}, record=kept)
    keeping.begin(record(tmp_path), pty=False, size=Size(24, 80))
    keeping.end(Exited(0, None), 1.5, 7)
    keeping.clean_up(os.environ)
    eventually(lambda: (tmp_path / CLEANED).exists() and "old" not in Archive(tmp_path).names(), "what was too old is gone")
    assert Archive(tmp_path).names() == ({"build"} if kept else set())
