"""What `run` says at the beginning and at the end, to people and to programs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from codewrap.cli.notifying import Notifying
from codewrap.cli.run import RunOptions
from codewrap.cli.runlines import RunLines
from codewrap.config import Settings, load
from codewrap.host.session import Outcome
from codewrap.protocol.admission import Share
from codewrap.store.sessions import SessionRecord
from codewrap.terminal.child import Exited

OPTIONS = RunOptions(
    name="build", pty=False, cols=None, rows=None, encrypt=True, share=Share.ASK, quiet=False, json=False
)  # as `codewrap run --name build`
RECORD = SessionRecord(
    "build", 7, "then", "epoch", "embedded", "http://127.0.0.1:1", True, False, ["make", "-j4"], 0.0, "/log", {"secret": "hush"}
)
ENDED = Outcome(Exited(3, None), output_bytes=6, duration_s=2.0, restarts=0)


@pytest.fixture
def settings() -> Settings:
    return load({})


def begun(capsys: pytest.CaptureFixture[str], settings: Settings, options: RunOptions, outer: str = "") -> tuple[str, list[str]]:
    RunLines(options, settings, outer).begin(RECORD)
    said = capsys.readouterr()
    return said.out, said.err.splitlines()


def ended(capsys: pytest.CaptureFixture[str], settings: Settings, options: RunOptions, outcome: Outcome = ENDED) -> list[str]:
    lines = RunLines(options, settings, "")
    lines.notice("the uplink says\x1b[31m so")
    lines.notice("the uplink says\x1b[31m so")
    lines.end("build", outcome, Path("/nowhere"))
    said = capsys.readouterr()
    assert said.out == ""
    return said.err.splitlines()


def test_three_lines_say_the_name_the_way_and_the_relay(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    out, lines = begun(capsys, settings, OPTIONS)
    assert out == ""
    assert lines == [
        "[codewrap] session build: make -j4 (others ask before they type)",
        "[codewrap] attach with: codewrap attach build",
        "[codewrap] relay: embedded, this machine only (http://127.0.0.1:1); end-to-end encrypted",
    ]


def test_who_runs_it_is_told_that_the_recording_goes_to_the_server(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    record = replace(RECORD, mode="gateway", endpoint="https://codewrap.example")
    gateway = load({"CODEWRAP_URL": "https://codewrap.example", "CODEWRAP_TOKEN": "hush"})
    RunLines(OPTIONS, gateway, "").begin(record, stored=True)
    assert capsys.readouterr().err.splitlines()[2] == (
        "[codewrap] relay: https://codewrap.example (gateway); end-to-end encrypted, and so is the recording that is stored there"
    )
    RunLines(replace(OPTIONS, json=True), gateway, "").begin(record, stored=True)
    assert json.loads(capsys.readouterr().err)["stored"] is True
    RunLines(replace(OPTIONS, json=True), settings, "").begin(RECORD)
    assert json.loads(capsys.readouterr().err)["stored"] is False


def test_a_session_within_another_says_so_in_one_line_more(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    _, lines = begun(capsys, settings, OPTIONS, "outer")
    assert lines[3:] == ["[codewrap] inside session outer, whose viewers see this too"]
    assert begun(capsys, settings, replace(OPTIONS, quiet=True), "outer") == ("", [])


def test_a_program_is_told_on_stderr_as_stdout_is_the_command_s(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    out, (line,) = begun(capsys, settings, replace(OPTIONS, json=True))
    said = json.loads(line)
    assert out == ""
    assert (said["session"], said["share"]) == ("build", "ask")
    assert "hush" not in line


@pytest.mark.parametrize(("quiet", "lines"), [(False, 3), (True, 0)])
def test_in_the_background_the_name_is_on_stdout(
    capsys: pytest.CaptureFixture[str], settings: Settings, quiet: bool, lines: int
) -> None:
    out, said = begun(capsys, settings, replace(OPTIONS, detach=True, quiet=quiet))
    assert (out, len(said)) == ("build\n", lines)


def test_in_the_background_the_object_is_on_stdout_and_says_which_process(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    out, said = begun(capsys, settings, replace(OPTIONS, detach=True, json=True))
    assert said == []
    assert json.loads(out)["pid"] == 7


def test_the_end_says_how_and_what_was_kept_for_it_once(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    said = ended(capsys, settings, OPTIONS)
    assert len(said) == 2
    assert "\x1b" not in said[0]
    assert said[1] == "[codewrap] session build ended: exit 3, 2.0 s, 6 B of output"


def test_the_end_says_what_went_wrong_and_what_it_cost(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    report = {"peak_watchers": 2, "events": 5, "bytes": 900, "messages": 10, "messages_per_day_estimate": 1500, "refused": 1}
    outcome = Outcome(Exited(None, 9), 6, 2.0, 2, report, "no space left on device")
    *_, broken, last = ended(capsys, settings, OPTIONS, outcome)
    assert broken.endswith("the session log could not be kept whole: no space left on device")
    assert last.endswith(
        "killed by signal 9, 2.0 s, 6 B of output, 2 watching at most, 5 events sent (900 B), "
        "about 10 messages (1.5k a day at this rate), 1 publishes failed, the link was restarted 2 times"
    )


@pytest.mark.parametrize("options", [replace(OPTIONS, quiet=True), replace(OPTIONS, json=True)])
def test_whoever_wants_no_lines_gets_none_at_the_end_but_in_the_background_where_a_file_gets_them(
    capsys: pytest.CaptureFixture[str], settings: Settings, options: RunOptions
) -> None:
    assert ended(capsys, settings, options) == []
    assert len(ended(capsys, settings, replace(options, detach=True))) == 2


def test_who_is_told_is_said_before_anything_is_sent(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    options = replace(OPTIONS, notifying=Notifying(("desktop", "https://hooks.example.com/…"), ()))
    _, lines = begun(capsys, settings, options)
    assert lines[-1] == "[codewrap] tells when it waits for you, ends or fails: desktop, https://hooks.example.com/…"
    _, lines = begun(capsys, settings, replace(options, json=True))
    assert json.loads(lines[0])["notify"] == ["desktop", "https://hooks.example.com/…"]
