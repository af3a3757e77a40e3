"""`codewrap search`: what was found on stdout, what is to be said about it on stderr, and nothing that works on a terminal."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from codewrap.cli.search import Painter, length, parts, window
from codewrap.store.archive import Archive
from codewrap.store.catalog import Catalog
from codewrap.store.retrieval import Found, Hit, remember
from tests.support.accounts import sessions_of
from tests.support.cli import CommandLine
from tests.support.kept import BEGAN_AT, ended, lost, of_this_process


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def add(codewrap: CommandLine, name: str, output: bytes, **changes: object) -> None:
    ended(sessions_of(codewrap), name, output=output, **changes)  # type: ignore[arg-type]


def today(seconds_ago: float) -> float:
    return time.time() - seconds_ago


def test_each_line_has_its_session_and_its_time(codewrap: CommandLine) -> None:
    add(codewrap, "build", b"all well\r\nerror: one\r\n", started_at=BEGAN_AT)
    add(codewrap, "test", b"error: two\r\nerror: three\r\n", started_at=BEGAN_AT + 60)
    done = codewrap("search", "error:", TZ="UTC")
    assert done.status == 0
    assert done.out.splitlines() == [
        "test 2023-11-14 22:14:20 +0s: error: two",
        "test 2023-11-14 22:14:20 +0s: error: three",
        "build 2023-11-14 22:13:20 +0s: error: one",
    ]
    assert done.err == ""


def test_nothing_found_is_status_1(codewrap: CommandLine) -> None:
    assert codewrap("search", "anything").status == 1  # there is no session at all
    add(codewrap, "build", b"hello\r\n")
    done = codewrap("search", "anything")
    assert (done.status, done.out, done.err) == (1, "", "[codewrap] found nothing\n")
    done = codewrap("search", "anything", "--json")
    assert (done.status, json.loads(done.out)) == (1, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["("], None),
        (["(", "--regex"], "codewrap: TEXT: is not a regular expression"),
        ([""], "codewrap: TEXT: is empty"),
        (["a\nb"], "codewrap: TEXT: has more than one line"),
        (["a", "--since", "yesterday-ish"], "codewrap: --since: "),
        (["a", "--limit", "-1"], "codewrap: "),
        ([], "codewrap: "),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(codewrap: CommandLine, words: list[str], said: str | None) -> None:
    done = codewrap("search", *words)
    assert (done.status, done.out) == (1 if said is None else 2, "")
    if said is not None:
        assert done.err.startswith(said)
        assert done.err.count("\n") == 1


def test_options_say_how_and_where_to_look(codewrap: CommandLine) -> None:
    add(codewrap, "build-1", b"Error 17\r\n", started_at=today(3600), at=today(3500))
    add(codewrap, "test-1", b"error 42\r\n", started_at=today(90_000), at=today(89_000))

    def names(*words: str) -> list[str]:
        return [found["name"] for found in json.loads(codewrap("search", "--json", *words).out)]

    assert names("Error") == ["build-1"]
    assert names("error", "-i") == ["build-1", "test-1"]
    assert names("--regex", r"rror \d\d$") == ["build-1", "test-1"]
    assert names(r"rror \d\d$") == []
    assert names("rror", "--name", "test-*") == ["test-1"]
    assert names("rror", "--since", "2h") == ["build-1"]
    assert names("rror", "--limit", "1") == ["build-1"]
    assert names("rror", "--limit", "0") == ["build-1", "test-1"]


def test_programs_get_everything_as_json(codewrap: CommandLine) -> None:
    add(codewrap, "build", b"the \xe2\x82\xac needle\r\n" * 7, code=3, started_at=BEGAN_AT, command=["make", "all"])
    done = codewrap("search", "needle", "--json", "--lines", "1")
    (found,) = json.loads(done.out)
    epoch = found.pop("epoch")
    assert found == {
        "name": "build",
        "session": "build",
        "state": "ended",
        "status": 3,
        "command": ["make", "all"],
        "directory": "/where",
        "started_at": BEGAN_AT,
        "count": 7,
        "left_out_bytes": 0,
        "lines": [{"time_s": 0.5, "at": BEGAN_AT + 0.5, "line": "the € needle", "matches": [[6, 12]], "cut": False}],
    }
    assert len(epoch) == 16
    assert done.err == "[codewrap] 6 more lines in these sessions (--lines 0 shows all)\n"


def test_what_is_held_back_is_said(codewrap: CommandLine) -> None:
    for number in range(3):
        add(codewrap, f"s{number}", b"needle\r\n" * 7, started_at=BEGAN_AT + number)
    done = codewrap("search", "needle", "--limit", "2")
    assert len(done.out.splitlines()) == 10
    assert "4 more lines" in done.err
    assert "the newest 2 sessions" in done.err
    done = codewrap("search", "needle", "--limit", "0", "--lines", "0")
    assert (len(done.out.splitlines()), done.err) == (21, "")


def test_an_earlier_session_of_a_name_is_shown_as_other_commands_take_it(codewrap: CommandLine) -> None:
    add(codewrap, "build", b"needle\r\n", of_epoch="a" * 16, started_at=BEGAN_AT)
    add(codewrap, "build", b"needle\r\n", of_epoch="b" * 16, started_at=BEGAN_AT + 60)
    lines = codewrap("search", "needle").out.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["build", "build@aaaaaaaa"]
    assert Archive(sessions_of(codewrap)).find("build@aaaaaaaa") is not None


def test_nothing_of_the_output_works_on_a_terminal(codewrap: CommandLine) -> None:
    nasty = "needle \x1b]0;title\x07 \x1b[2J \x9b31m \u202e \u2028 \x08\x08 tab\there \x00 \x1b"
    add(codewrap, "build", nasty.encode() + b"\r\n")
    for words in (["needle"], ["needle", "--json"], ["-e", "needle.*"]):
        out = codewrap("search", *words).out
        assert out.endswith("\n")
        assert out[:-1].isprintable()
        assert "title" not in out


def test_what_is_pruned_is_gone_from_the_catalog_as_well(codewrap: CommandLine) -> None:
    add(codewrap, "old", b"needle in the past\r\n")
    add(codewrap, "new", b"needle\r\n", at=time.time())
    sessions = sessions_of(codewrap)
    assert len(codewrap("search", "needle").out.splitlines()) == 2
    assert known(sessions) == {kept.epoch for kept in Archive(sessions).sessions()}
    assert codewrap("prune").status == 0
    assert known(sessions) == {kept.epoch for kept in Archive(sessions).sessions("new")}
    assert codewrap("prune", "--all").status == 0
    assert known(sessions) == set()


def known(sessions: Path) -> set[str]:
    """What the catalog has, as it is on the disk."""
    with Catalog(sessions).reading() as shelf:
        return set() if shelf is None else set(shelf.known())


def test_what_a_session_wrote_is_found_by_its_new_name(codewrap: CommandLine) -> None:
    add(codewrap, "before", b"needle\r\n")
    assert codewrap("search", "needle").out.startswith("before ")
    assert codewrap("rename", "before", "after").status == 0
    assert codewrap("search", "needle").out.startswith("after ")


def test_a_session_that_is_not_recorded_is_not_found(codewrap: CommandLine) -> None:
    kept = lost(sessions_of(codewrap), "secret", output=b"needle\r\n", kept=False, **of_this_process())
    remember(kept.directory)
    assert codewrap("search", "needle").status == 1


def test_who_reads_no_further_is_no_error(codewrap: CommandLine) -> None:
    add(codewrap, "build", b"needle\r\n" * 50_000)
    reads, writes = os.pipe()
    os.close(reads)
    program = f"import os,sys; os.dup2({writes}, 1); sys.argv = ['codewrap', 'search', 'needle', '--lines', '0']\n"
    program += "from codewrap.cli.main import main; main()"
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=codewrap.environ,
        cwd=codewrap.directory,
        pass_fds=[writes],
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writes)
    assert (done.returncode, done.stderr) == (0, b"")


def hit(line: str, *spans: tuple[int, int], time_s: float = 243.0) -> Hit:
    return Hit(time_s, line, spans)


def test_on_a_terminal_what_was_found_stands_out(tmp_path: Path) -> None:
    found = Found(ended(tmp_path, "build", started_at=today(0)), is_newest=True)
    at = time.strftime("%H:%M:%S", time.localtime(found.kept.started_at + 3))
    line = Painter(styled=True, columns=200).line(found, hit("a needle here", (2, 8), time_s=3.0))
    assert line == f"\x1b[2mbuild {at} +3s: \x1b[0ma \x1b[1;31mneedle\x1b[0m here\n"


def test_a_line_that_is_too_long_is_shown_where_the_match_is() -> None:
    line = "x" * 500 + "needle" + "y" * 500
    found = hit(line, (500, 506))
    shown = "".join(part for part, _ in parts(found, 60))
    assert "needle" in shown
    assert (shown[0], shown[-1], len(shown)) == ("…", "…", 62)
    assert [part for part, marked in parts(found, 60) if marked] == ["needle"]
    assert window(hit("short", (0, 5)), 60) == (0, 5)
    assert window(hit(line), 60) == (0, 60)
    huge = hit("z" * 5000, (0, 5000))
    assert "".join(part for part, _ in parts(huge, 60)) == "z" * 60 + "…"


def test_lengths_of_time_are_short() -> None:
    assert [length(seconds) for seconds in (0.9, 59.9, 60, 243, 3600, 90_061)] == [
        "0s",
        "59s",
        "1m00s",
        "4m03s",
        "1h00m00s",
        "25h01m01s",
    ]
