"""What `send`, `screen` and the Python API have in common: how times and patterns are written, and that nothing stays open."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from codewrap.cli.destination import Destination
from codewrap.cli.environment import Environment
from codewrap.cli.remotes import attached, parse_pattern, parse_timeout
from codewrap.errors import ConfigError, WaitTimeout
from tests.support.sessions import SilentServer


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30.0), ("500ms", 0.5), ("2m", 120.0), ("1h", 3600.0), ("1.5", 1.5), (" 3 s ", 3.0), ("0", 0.0)]
)
def test_a_time_has_a_unit_or_is_seconds(text: str, seconds: float) -> None:
    assert parse_timeout("--timeout", text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "1d", "1e9s", "soon", "1.s", "١s", "9" * 400])
def test_what_is_no_time_is_a_wrong_setting(text: str) -> None:
    with pytest.raises(ConfigError, match="--timeout: is not a time"):
        parse_timeout("--timeout", text)


def test_lines_have_ends_in_patterns() -> None:
    assert parse_pattern("--wait-for", r"^\$ $").search("a\n$ \nb")


@pytest.mark.parametrize("text", ["(", "*", "[a", "(?P<x", "a{2,1}", "(" * 5000])
def test_what_is_no_pattern_is_a_wrong_setting(text: str) -> None:
    with pytest.raises(ConfigError, match="--wait-for: is not a regular expression"):
        parse_pattern("--wait-for", text)


def test_a_server_that_says_nothing_is_not_waited_for_longer_than_wanted_and_nothing_stays(tmp_path: Path) -> None:
    with SilentServer() as server:
        values = {
            "CODEWRAP_RUNTIME_DIR": str(tmp_path),
            "SOKETI_HOST": "127.0.0.1",
            "SOKETI_PORT": str(server.port),
            "SOKETI_SERVICE_USER": "1",
            "SOKETI_SERVICE_KEY": "key",
            "SOKETI_SERVICE_SECRET": "secret",
        }
        to = Destination.find("build", Environment(values, values))
        with pytest.raises(WaitTimeout, match="waiting for an answer"):
            attached(to, 0.1, encrypted=False, read_only=True)
    assert not [thread.name for thread in threading.enumerate() if thread.name == "codewrap-build"]
