"""The surroundings of one invocation."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codewrap.cli import environment
from codewrap.cli.environment import Environment


def test_the_env_file_is_below_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("CODEWRAP_NAME=file\nCODEWRAP_MODE=direct\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODEWRAP_MODE", "gateway")
    here = Environment.capture()
    assert (here.values["CODEWRAP_NAME"], here.values["CODEWRAP_MODE"]) == ("file", "gateway")
    assert "CODEWRAP_NAME" not in here.original


def test_flags_of_the_env_file_reach_the_parser_and_secrets_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"CODEWRAP_QUIET": "0"})
    values = {"CODEWRAP_QUIET": "1", "CODEWRAP_PTY": "1", "CODEWRAP_TOKEN": "hush", "SOKETI_HOST": "x"}
    Environment({}, values).export_flags()
    assert os.environ == {"CODEWRAP_QUIET": "0", "CODEWRAP_PTY": "1"}


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"CODEWRAP_USER": "anna", "USER": "root"}, "anna"),
        ({"USER": "root", "LOGNAME": "x"}, "root"),
        ({"LOGNAME": "x"}, "x"),
        ({}, f"uid {os.getuid()}"),
    ],
)
def test_a_user_has_a_name(values: dict[str, str], name: str) -> None:
    assert environment.user_name(values) == name
