"""asciicast: the lines of both versions, as asciinema's own documentation has them, and what is refused."""

from __future__ import annotations

import json

import pytest

from codewrap.errors import RemoteProtocolError
from codewrap.protocol.asciicast import Code, Decoder, Encoder, Event, Header, resized
from codewrap.protocol.geometry import Size

HEADER = Header(Size(rows=24, cols=80), 1504467315, "sh -c 'a b'", "demo", "xterm-256color", "/bin/bash")
EVENTS = [
    Event(0.25, Code.OUTPUT, "\x1b[1mHello\r\n"),
    Event(1.5, Code.MARKER, "somebody joined"),
    resized(1.5, Size(rows=30, cols=90)),
    Event(2.000001, Code.INPUT, "q"),
    Event(3.0, Code.EXIT, "130"),
]


def lines(version: int, events: list[Event]) -> list[str]:
    encoder = Encoder(version)
    return [encoder.header(HEADER), *map(encoder.event, events)]


def test_version_3_is_written_as_its_documentation_has_it() -> None:
    assert "".join(lines(3, EVENTS)) == (
        '{"version": 3, "term": {"cols": 80, "rows": 24, "type": "xterm-256color"}, "timestamp": 1504467315, '
        '"command": "sh -c \'a b\'", "title": "demo", "env": {"TERM": "xterm-256color", "SHELL": "/bin/bash"}}\n'
        '[0.25, "o", "\\u001b[1mHello\\r\\n"]\n'
        '[1.25, "m", "somebody joined"]\n'
        '[0.0, "r", "90x30"]\n'
        '[0.500001, "i", "q"]\n'
        '[0.999999, "x", "130"]\n'
    )


def test_version_2_counts_from_the_beginning_and_marks_the_exit() -> None:
    written = lines(2, EVENTS)
    assert json.loads(written[0]) == {
        "version": 2,
        "width": 80,
        "height": 24,
        "timestamp": 1504467315,
        "command": "sh -c 'a b'",
        "title": "demo",
        "env": {"TERM": "xterm-256color", "SHELL": "/bin/bash"},
    }
    assert [json.loads(line) for line in written[1:]] == [
        [0.25, "o", "\x1b[1mHello\r\n"],
        [1.5, "m", "somebody joined"],
        [1.5, "r", "90x30"],
        [2.000001, "i", "q"],
        [3.0, "m", "exit 130"],
    ]


def test_a_header_says_nothing_that_is_not_known() -> None:
    assert Encoder(3).header(Header(Size(24, 80))) == '{"version": 3, "term": {"cols": 80, "rows": 24}}\n'
    assert Encoder(2).header(Header(Size(24, 80))) == '{"version": 2, "width": 80, "height": 24}\n'


def test_a_line_holds_no_control_character_whatever_was_shown() -> None:
    for version in (2, 3):
        line = Encoder(version).event(Event(0, Code.OUTPUT, "\x1b]0;\x07\x00\x9b31m\u202e\U0001f600\n\r"))
        assert line[:-1].isprintable()
        assert line.isascii()


def test_intervals_add_up_to_the_time_that_was_meant() -> None:
    encoder = Encoder(3)
    written = [encoder.event(Event(at / 3, Code.OUTPUT, "x")) for at in range(3000)]
    assert sum(json.loads(line)[0] for line in written) == pytest.approx(2999 / 3, abs=1e-5)
    assert encoder.time_s == pytest.approx(2999 / 3, abs=1e-5)


def test_time_never_goes_back() -> None:
    for version, expected in ((2, [5.0, 5.0]), (3, [5.0, 0.0])):
        encoder = Encoder(version)
        written = [encoder.event(Event(at, Code.OUTPUT, "x")) for at in (5.0, 1.0)]
        assert [json.loads(line)[0] for line in written] == expected


@pytest.mark.parametrize("version", [2, 3])
def test_what_was_written_is_read_again(version: int) -> None:
    first, *rest = lines(version, EVENTS[:-1])
    decoder = Decoder(first)
    assert decoder.version == version
    assert decoder.header == HEADER
    read = [decoder.event(line) for line in rest]
    assert [(each.code, each.data) for each in read if each] == [(each.code, each.data) for each in EVENTS[:-1]]
    assert [each.time_s for each in read if each] == pytest.approx([each.time_s for each in EVENTS[:-1]])
    assert [each.size for each in read if each] == [None, None, Size(rows=30, cols=90), None]


def test_comments_empty_lines_and_events_of_other_kinds_are_passed_over() -> None:
    decoder = Decoder('{"version": 3, "term": {"cols": 80, "rows": 24}}')
    assert [decoder.event(line) for line in ("# a word", "", "\n", '[1.0, "z", "?"]')] == [None] * 4
    assert decoder.event('[1.0, "o", "x"]') == Event(2.0, Code.OUTPUT, "x")


def test_terminal_of_a_version_2_recording_is_that_of_its_environment() -> None:
    line = '{"version": 2, "width": 1, "height": 5000, "timestamp": 1.5, "command": 3, "env": {"TERM": "vt100"}}'
    assert Decoder(line).header == Header(Size(rows=1000, cols=2), 1, "", "", "vt100")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "text",
        "[]",
        "{}",
        '{"version": 1, "width": 80, "height": 24, "stdout": []}',
        '{"version": "3"}',
        '{"version": 3}',
        '{"version": 3, "term": {"cols": 80}}',
        '{"version": 3, "term": {"cols": "80", "rows": 24}}',
        '{"version": 2, "width": 80}',
        "[" * 100_000,
    ],
)
def test_what_is_no_header_is_refused(line: str) -> None:
    with pytest.raises(RemoteProtocolError):
        Decoder(line)


@pytest.mark.parametrize(
    "line",
    ["x", "{}", "[]", '[1, "o"]', '[1, "o", 5]', '["1", "o", "x"]', '[-1, "o", "x"]', '[NaN, "o", "x"]', '[1e300, "o", "x"]'],
)
def test_what_is_no_event_is_refused(line: str) -> None:
    for header in ('{"version": 3, "term": {"cols": 80, "rows": 24}}', '{"version": 2, "width": 80, "height": 24}'):
        with pytest.raises(RemoteProtocolError):
            Decoder(header).event(line)


def test_every_beginning_of_a_recording_reads_or_is_refused() -> None:
    whole = "".join(lines(3, EVENTS))
    for end in range(len(whole)):
        first, *rest = whole[:end].split("\n")
        try:
            decoder = Decoder(first)
        except RemoteProtocolError:
            assert len(first) < whole.index("\n")
            continue
        read = [decoder.event(line) for line in rest[:-1]]
        assert [each.data for each in read if each] == [each.data for each in EVENTS[: len(read)]]
