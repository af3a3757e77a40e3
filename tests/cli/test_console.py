"""The words on stderr: one style, no control characters of others, amounts as people say them."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codewrap.cli import console
from codewrap.errors import CommandNotFound, ConfigError


def test_a_line_into_a_file_has_no_colours_and_no_carriage_return(capfd: pytest.CaptureFixture[str]) -> None:
    console.say("hello")
    assert capfd.readouterr() == ("", "[codewrap] hello\n")


def test_an_error_is_one_line_whatever_is_in_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert console.fail(CommandNotFound("evil\x1b[2J\nname")) == 127
    assert console.fail(ConfigError("SETTING", "is wrong", "do this")) == 2
    assert capfd.readouterr().err.splitlines() == [
        "codewrap: evil\\x1b[2J\\nname: command not found",
        "codewrap: SETTING: is wrong (do this)",
    ]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "what is to be shown cannot be written: No space left on device"),
        (errno.EAGAIN, "the system has no more to give: Resource temporarily unavailable"),
        (errno.ENOENT, "an error of ours: FileNotFoundError (CODEWRAP_DEBUG=1 shows more)"),
    ],
)
def test_what_the_system_refuses_is_one_line(number: int, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert console.refused(OSError(number, "anything")) == 125
    assert capfd.readouterr().err == f"codewrap: {said}\n"


def test_json_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    console.say_json({"a": "ż\n"})
    assert capfd.readouterr().err == '{"a": "ż\\n"}\n'


def test_json_holds_nothing_that_a_terminal_obeys_and_means_the_same() -> None:
    value = {"command": ["ż 漢 \x1b[6n\x9b6n\x7f\u202e\udcff\U000e0041"]}
    line = console.json_line(value)
    assert line.rstrip("\n").isprintable()
    assert "ż 漢" in line
    assert json.loads(line) == value


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (4200, "4.2 KB"),
        (1_500_000, "1.5 MB"),
        (3 * 10**9, "3.0 GB"),
        (10**13, "10000.0 GB"),
    ],
)
def test_amounts(size: int, said: str) -> None:
    assert console.amount(size) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0"),
        (999, "999"),
        (999.7, "1.0k"),
        (1000, "1.0k"),
        (9949, "9.9k"),
        (9960, "10k"),
        (172_800, "173k"),
        (999_600, "1.0M"),
        (123_456_789, "123M"),
    ],
)
def test_counts(number: float, said: str) -> None:
    assert console.count(number) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (12.4, "12 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (3600, "1 h 0 min"),
        (7265, "2 h 1 min"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert console.duration(seconds) == said


def test_what_is_to_be_done_at_the_end_is_done_also_by_who_leaves_at_once(tmp_path: Path) -> None:
    for ending in ("console.leave(3)", "raise SystemExit(3)"):
        mark = tmp_path / "mark"
        program = (
            f"from codewrap.cli import console; from pathlib import Path\nconsole.at_end(Path({str(mark)!r}).touch); {ending}"
        )
        assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 3
        assert mark.exists()
        mark.unlink()


def test_a_moment_is_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    try:
        assert console.moment(1_700_000_000) == "2023-11-15 00:13"
    finally:
        monkeypatch.undo()
        time.tzset()
