"""Where a viewer's session is: by name on this machine, over what is configured, or not to be found."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest

from codewrap import config
from codewrap.cli.destination import Destination, new_challenge
from codewrap.cli.environment import Environment
from codewrap.errors import ConfigError, SessionNotFound
from codewrap.store import files
from codewrap.store.sessions import SessionRecord, SessionStore, process_start


def surroundings(root: Path, **settings: str) -> Environment:
    values = {"CODEWRAP_RUNTIME_DIR": str(root), **settings}
    return Environment(values, values)


def running(root: Path, **changes: object) -> SessionRecord:
    values: dict[str, object] = {field.name: "x" for field in dataclasses.fields(SessionRecord)}
    values |= {"name": "build", "pid": os.getpid(), "pid_started": process_start(os.getpid()), "mode": "gateway"}
    values |= {"read_only": False, "encrypted": True, "hub": None, "started_at": 1.0, **changes}
    record = SessionRecord(**values)  # type: ignore[arg-type]
    SessionStore(files.runtime_directory({"CODEWRAP_RUNTIME_DIR": str(root)})).create(record)
    return record


def test_a_session_of_this_machine_is_found_by_its_record(tmp_path: Path) -> None:
    record = running(tmp_path)
    to = Destination.find("build", surroundings(tmp_path))
    assert (to.name, to.record, to.may_type) == ("build", record, True)
    assert to.encrypted(False)


def test_a_record_says_whether_anybody_may_type(tmp_path: Path) -> None:
    running(tmp_path, read_only=True, encrypted=False)
    to = Destination.find("build", surroundings(tmp_path))
    assert not to.may_type
    assert not to.encrypted(True)


def test_without_a_record_it_is_as_configured(tmp_path: Path) -> None:
    to = Destination.find("build", surroundings(tmp_path))
    assert (to.record, to.may_type, to.encrypted(True), to.encrypted(False)) == (None, True, True, False)


def test_over_one_given_server_records_of_this_machine_do_not_count(tmp_path: Path) -> None:
    running(tmp_path)
    gateway = config.Gateway("https://codewrap.example", "a-token-that-is-long-enough")
    to = Destination.named("build", surroundings(tmp_path), gateway, may_type=False)
    assert (to.record, to.may_type) == (None, False)


def test_a_session_that_is_nowhere_cannot_be_connected_to(tmp_path: Path) -> None:
    to = Destination.find("build", surroundings(tmp_path))
    with pytest.raises(SessionNotFound, match="nothing of that name runs here"):
        to.connect("challenge", lambda _: None, read_only=True)


def test_a_session_whose_server_is_not_configured_here_is_said_to_go_over_it(tmp_path: Path) -> None:
    running(tmp_path, endpoint="https://far.example")
    with pytest.raises(SessionNotFound, match=r"it goes over https://far\.example"):
        Destination.find("build", surroundings(tmp_path)).connect("challenge", lambda _: None, read_only=True)


def test_what_is_neither_a_name_nor_a_link_is_a_wrong_setting(tmp_path: Path) -> None:
    for wrong in ("No Name", "private-x", "https://codewrap.example/nothing#token"):
        with pytest.raises(ConfigError):
            Destination.find(wrong, surroundings(tmp_path))


def test_challenges_are_identifiers_and_no_two_are_alike() -> None:
    made = {new_challenge() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{12,64}", one) for one in made)
