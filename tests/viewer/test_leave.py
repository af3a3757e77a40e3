"""What the person is told of the leave to type."""

from __future__ import annotations

from codewrap.protocol.admission import REQUEST_S
from codewrap.viewer.leave import STREAMS_KEPT, Leave


def test_the_code_of_the_first_frame_is_shown_as_long_as_the_request_may_stand() -> None:
    leave = Leave()
    assert leave.text(0.0) == ""
    assert leave.told("asked", "whatever the host says", "48 29 13", 0.0) == "waiting for leave to type; say this code: 48 29 13"
    assert leave.told("asked", "", "11 11 11", 5.0) == ""
    assert "48 29 13" in leave.text(REQUEST_S - 1)
    assert leave.text(REQUEST_S) == ""
    assert "22 22 22" in leave.told("asked", "", "22 22 22", REQUEST_S)


def test_an_answer_ends_the_waiting() -> None:
    for kind, said in (("approved", "you may type now"), ("denied", "no"), ("revoked", "no")):
        leave = Leave()
        leave.told("asked", "", "48 29 13", 0.0)
        assert leave.told(kind, "no", "", 1.0).startswith(said)
        assert leave.text(1.0) == ""
        assert "33 33 33" in leave.told("asked", "", "33 33 33", 2.0)


def test_without_a_key_there_is_no_code() -> None:
    assert Leave().told("asked", "", "", 0.0) == "waiting for leave to type"


def test_only_our_own_streams_are_ours() -> None:
    leave = Leave()
    first = leave.new_stream()
    assert leave.is_ours(first)
    assert not leave.is_ours("another")
    for _ in range(STREAMS_KEPT):
        leave.new_stream()
    assert not leave.is_ours(first)
