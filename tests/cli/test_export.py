"""`codewrap export`: every form, to stdout and into private files, of sessions that run, have ended, or were lost."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from codewrap.protocol.geometry import Size
from tests.support.cli import CommandLine
from tests.support.keptlogs import KeptSession


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def kept(codewrap: CommandLine, name: str = "demo", *, pty: bool = True) -> KeptSession:
    return KeptSession(codewrap.directory / "state" / "codewrap", name, pty=pty)


def sample(codewrap: CommandLine) -> KeptSession:
    session = kept(codewrap)
    session.log.append(b"\x1b[31m<script>alert(1)</script>\x1b[m\r\n", "stdout", 1.0)
    session.log.mark("join", ["anna"], 2.0)
    session.log.resized(Size(rows=30, cols=90), 3.0)
    session.log.append(b"\x1b[?25lend", "stdout", 4.0)
    session.ended(3, 5.0)
    return session


def test_cast_is_version_3_with_everything_that_happened(codewrap: CommandLine) -> None:
    sample(codewrap)
    done = codewrap("export", "demo")
    assert (done.status, done.err) == (0, "")
    header, *events = map(json.loads, done.out.splitlines())
    assert header["version"] == 3
    assert header["term"] == {"cols": 80, "rows": 24, "type": "xterm-256color"}
    assert [event[1:] for event in events] == [
        ["o", "\x1b[31m<script>alert(1)</script>\x1b[m\r\n"],
        ["m", "anna joined"],
        ["r", "90x30"],
        ["o", "\x1b[?25lend"],
        ["x", "3"],
    ]
    assert sum(event[0] for event in events) == pytest.approx(5.0)


def test_cast2_is_version_2(codewrap: CommandLine) -> None:
    sample(codewrap)
    header, *events = map(json.loads, codewrap("export", "demo", "--format", "cast2").out.splitlines())
    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    assert events[-1] == [5.0, "m", "exit 3"]


def test_text_is_all_of_it_without_sequences(codewrap: CommandLine) -> None:
    sample(codewrap)
    assert codewrap("export", "demo", "-f", "txt").out == "<script>alert(1)</script>\nend\n"


def test_a_command_without_a_terminal_is_told_line_by_line(codewrap: CommandLine) -> None:
    session = kept(codewrap, pty=False)
    session.log.append(b"one\ntwo\n", "stdout", 1.0)
    session.log.append(b"oops\n", "stderr", 2.0)
    session.ended()
    assert codewrap("export", "demo", "-f", "txt").out == "one\ntwo\noops\n"


def test_pages_and_pictures_are_whole_and_text_in_them_is_text(codewrap: CommandLine) -> None:
    sample(codewrap)
    page = codewrap("export", "demo", "-f", "html").out
    assert page.endswith("</html>\n")
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "<title>demo: sh -c &lt;b&gt;&amp;</title>" in page
    picture = ET.fromstring(codewrap("export", "demo", "-f", "svg").out)
    assert picture.findtext("{*}title") == "demo: sh -c <b>&"
    assert [each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")] == ["<script>alert(1)</script>", "end"]
    assert picture.attrib["width"] == "834"


def test_a_picture_of_an_earlier_moment(codewrap: CommandLine) -> None:
    sample(codewrap)
    done = codewrap("export", "demo", "-f", "svg", "--at", "2.5")
    assert "end" not in done.out.partition("</title>")[2]
    assert 'width="744"' in done.out
    assert [json.loads(line)[1] for line in codewrap("export", "demo", "--at", "2.5").out.splitlines()[1:]] == ["o", "m"]


def test_a_session_that_runs_is_told_as_far_as_it_is(codewrap: CommandLine) -> None:
    session = kept(codewrap)
    session.log.append(b"so far", "stdout", 1.0)
    assert codewrap("export", "demo", "-f", "txt").out == "so far\n"
    session.lost()
    assert codewrap("export", "demo", "-f", "txt").out == "so far\n"


def test_a_file_is_private_and_takes_the_place_of_another(codewrap: CommandLine) -> None:
    sample(codewrap)
    path = codewrap.directory / "x.txt"
    path.write_text("old")
    path.chmod(0o644)
    done = codewrap("export", "demo", "-f", "txt", "-o", "x.txt")
    assert (done.status, done.out, done.err) == (0, "", "")
    assert path.read_text() == "<script>alert(1)</script>\nend\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in codewrap.directory.iterdir() if each.name.startswith(".x")] == []
    assert codewrap("export", "demo", "-f", "txt", "-o", "-").out.endswith("end\n")


def test_places_that_cannot_be_written_are_one_line(codewrap: CommandLine) -> None:
    sample(codewrap)
    (codewrap.directory / "folder").mkdir()
    for place, status in (("folder", 2), ("none/x.cast", 125), ("/proc/x.cast", 125)):
        done = codewrap("export", "demo", "-o", place)
        assert (done.status, done.out) == (status, "")
        assert len(done.err.splitlines()) == 1
        assert "Traceback" not in done.err


def test_a_full_disk_leaves_no_half_file(codewrap: CommandLine) -> None:
    sample(codewrap)
    done = codewrap("export", "demo", "-o", "/dev/full")
    assert done.status == 125
    assert "No space left" in done.err


def test_what_is_not_there_is_one_line(codewrap: CommandLine) -> None:
    done = codewrap("export", "none")
    assert (done.status, done.out) == (255, "")
    assert done.err.startswith("codewrap: no session 'none'")
    assert codewrap("export", "demo", "--format", "gif").status == 2


def test_a_reader_that_has_seen_enough_ends_it_quietly(codewrap: CommandLine) -> None:
    session = kept(codewrap)
    for at in range(40):
        session.log.append(b"x" * 65536, "stdout", float(at))
    session.ended()
    command = [sys.executable, "-m", "codewrap.cli.main", "export", "demo"]
    process = subprocess.Popen(command, env=codewrap.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 10)
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
