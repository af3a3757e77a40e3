"""The keys that decide a request: found where they are meant, and never eaten otherwise."""

from __future__ import annotations

import math

import pytest

from codewrap.host.chord import HELD_S, Chord


@pytest.mark.parametrize("prefix", [b"\x1d", b"\x1b[27;5;93~", b"\x1b[93;5u"])
@pytest.mark.parametrize(("key", "allow"), [(b"y", True), (b"Y", True), (b"\x1b[121u", True), (b"n", False), (b"N", False)])
@pytest.mark.parametrize("together", [True, False])
def test_the_chord_decides_and_nothing_of_it_is_typed(prefix: bytes, key: bytes, allow: bool, together: bool) -> None:
    chord = Chord()
    if together:
        assert chord.feed(prefix + key, 0.0) == (b"", allow)
        return
    assert chord.feed(prefix, 0.0) == (b"", None)
    assert chord.feed(key, 0.5) == (b"", allow)
    assert chord.due_s is None


def test_any_other_key_is_passed_on_with_it() -> None:
    chord = Chord()
    assert chord.feed(b"\x1d", 0.0) == (b"", None)
    assert chord.feed(b"x", 0.1) == (b"\x1dx", None)
    assert chord.feed(b"y", 0.2) == (b"y", None)


def test_alone_it_is_passed_on_after_a_while() -> None:
    chord = Chord()
    chord.feed(b"\x1d", 5.0)
    assert chord.due_s == 5.0 + HELD_S
    assert [chord.overdue(at) for at in (5.5, 5.0 + HELD_S)] == [b"", b"\x1d"]
    assert chord.feed(b"y", 9.0) == (b"y", None)
    assert chord.overdue(99.0) == b""


def test_nothing_is_kept_back_once_no_request_stands() -> None:
    chord = Chord()
    chord.feed(b"\x1d", 5.0)
    assert chord.overdue(math.inf) == b"\x1d"


def test_twice_it_is_once_passed_on() -> None:
    chord = Chord()
    chord.feed(b"\x1d", 0.0)
    assert chord.feed(b"\x1d", 0.5) == (b"\x1d", None)
    assert chord.feed(b"y", 0.6) == (b"", True)


@pytest.mark.parametrize("text", [b"a\x1dy", b"\x1dyes", b"\x1b[200~\x1dy\x1b[201~", b"y", b"\x1b"])
def test_in_the_midst_of_text_it_is_text(text: bytes) -> None:
    assert Chord().feed(text, 0.0) == (text, None)
