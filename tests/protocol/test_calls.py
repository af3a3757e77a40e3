"""What calls for somebody is told from what only looks like it, wherever the stream is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewrap.protocol.calls import TEXT_CHARACTERS, Call, CallSpotter

CALLS = [
    (b"done\x07", Call()),
    (b"\x1b]9;Approve the edit?\x07", Call("Approve the edit?")),
    (b"\x1b]9;5 tests failed\x1b\\", Call("5 tests failed")),
    (b"\x1b]777;notify;Build;it is done\x07", Call("Build: it is done")),
    (b"\x1b]99;i=1:d=0;Hello\x1b\\", Call("Hello")),
    (b"\x1b]99;i=1:p=body;Hello\x1b\\", Call("Hello")),
    (b"\x1b]99;e=1;SGVsbG8=\x1b\\", Call("notification")),
    (b"\x1b]9;one\x07\x07", Call("one")),
    (b"\x07\x1b]9;one\x07", Call("one")),
    (b"\x1b]9;\xff a\tb\x07", Call("\ufffd a b")),
]
SILENT = [
    b"plain text, and \x1b[31mcolours\x1b[m\r\n",
    b"\x1b]0;a title\x07",
    b"\x1b]8;;https://example.com\x07link\x1b]8;;\x07",
    b"\x1b]9;4;1;50\x07",
    b"\x1b]9;9;/home\x1b\\",
    b"\x1b]99;p=close;\x1b\\",
    b"\x1b]777;precmd\x07",
    b"\x1b]133;A\x07$ ",
    b"\x1bPq#0;2;0;0;0\x07#\x1b\\",
    b"\x1b]2;a\x18",
]


@pytest.mark.parametrize(("data", "call"), CALLS)
def test_calls_are_heard(data: bytes, call: Call) -> None:
    assert CallSpotter().feed(data) == call


@pytest.mark.parametrize("data", SILENT)
def test_what_only_looks_like_a_call_is_none(data: bytes) -> None:
    assert CallSpotter().feed(data) is None


@pytest.mark.parametrize(("data", "call"), [*CALLS, *((data, None) for data in SILENT)])
def test_byte_by_byte_it_is_the_same(data: bytes, call: Call | None) -> None:
    spotter = CallSpotter()
    found = [heard for at in range(len(data)) if (heard := spotter.feed(data[at : at + 1])) is not None]
    if call is None:
        assert found == []
    else:
        assert call in found


def test_text_is_bounded() -> None:
    call = CallSpotter().feed(b"\x1b]9;" + b"x" * 3000 + b"\x07")
    assert call == Call("x" * TEXT_CHARACTERS)


def test_string_without_an_end_is_not_kept() -> None:
    spotter = CallSpotter()
    assert spotter.feed(b"\x1b]9;" + b"x" * 1_000_000) is None
    assert spotter.feed(b"\x07") is None
    assert spotter.feed(b"\x07") == Call()


def test_prompt_stands_from_its_mark_until_the_line_is_left() -> None:
    spotter = CallSpotter()
    spotter.feed(b"\x1b]133;A\x07user$ \x1b]133;B\x07")
    assert spotter.at_prompt
    spotter.feed(b"make")
    assert spotter.at_prompt
    spotter.feed(b"\r\n")
    assert not spotter.at_prompt


def test_prompt_of_several_lines_stands_with_its_last_mark() -> None:
    spotter = CallSpotter()
    spotter.feed(b"\x1b]133;A\x07~/src\r\n$ \x1b]133;B\x07")
    assert spotter.at_prompt


@pytest.mark.parametrize("mark", [b"C", b"D;0"])
def test_command_that_runs_or_has_ended_is_no_prompt(mark: bytes) -> None:
    spotter = CallSpotter()
    spotter.feed(b"\x1b]133;B\x07")
    spotter.feed(b"\x1b]133;" + mark + b"\x07")
    assert not spotter.at_prompt


@given(st.lists(st.sampled_from([b"\x1b]", b"9;", b"133;B", b"777;notify;", b"\x07", b"\x1b\\", b"\x1b", b"\n", b"\xc3", b"a"])))
def test_nothing_makes_it_raise(parts: list[bytes]) -> None:
    spotter = CallSpotter()
    for part in parts:
        call = spotter.feed(part)
        assert call is None or len(call.text) <= TEXT_CHARACTERS
