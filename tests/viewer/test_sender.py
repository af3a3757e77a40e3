"""Keystrokes: numbered, sent again until confirmed, dropped when too old."""

from __future__ import annotations

import itertools

import pytest

from codewrap.protocol.frames import Input
from codewrap.viewer.sender import CHUNK_BYTES, EXPIRY_S, RESEND_S, WINDOW_CHUNKS, Sender

WINDOW_BYTES = WINDOW_CHUNKS * CHUNK_BYTES


def new_sender() -> Sender:
    writers = (f"w{n}" for n in itertools.count(1))
    return Sender(lambda: next(writers))


def test_keystrokes_leave_at_once_and_are_numbered() -> None:
    sender = new_sender()
    sender.type(b"ab", 0.0)
    assert sender.ready
    assert sender.due("e", 0.0) == [Input("e", "w1", 0, b"ab")]
    sender.type(b"c", 0.0)
    assert sender.due("e", 0.1) == [Input("e", "w1", 2, b"c")]
    assert not sender.ready
    assert sender.due("e", 0.2) == []


def test_what_is_confirmed_is_not_sent_again() -> None:
    sender = new_sender()
    sender.type(b"abc", 0.0)
    sender.due("e", 0.0)
    sender.confirm({"w1": 2, "another": 50}, 0.1)
    assert sender.pending_bytes == 1
    assert sender.due("e", 0.1 + RESEND_S) == [Input("e", "w1", 2, b"c")]
    sender.confirm({"w1": 3}, 2.0)
    assert sender.pending_bytes == 0
    assert sender.wait_s(2.0) is None
    assert sender.due("e", 9.0) == []


def test_confirming_what_was_never_sent_changes_nothing() -> None:
    sender = new_sender()
    sender.type(b"abc", 0.0)
    sender.due("e", 0.0)
    sender.confirm({"w1": 99}, 0.0)
    assert sender.pending_bytes == 3


def test_what_is_not_confirmed_is_sent_again_after_a_while_and_not_before() -> None:
    sender = new_sender()
    sender.type(b"a", 0.0)
    sender.due("e", 0.0)
    assert sender.wait_s(0.25) == RESEND_S - 0.25
    assert sender.due("e", RESEND_S - 0.01) == []
    assert sender.due("e", RESEND_S) == [Input("e", "w1", 0, b"a")]
    assert sender.due("e", RESEND_S + 0.5) == []


def test_what_could_not_be_sent_is_given_again_together_with_what_came_since() -> None:
    sender = new_sender()
    sender.type(b"ab", 0.0)
    sender.due("e", 0.0)
    sender.unsent()
    sender.type(b"c", 0.0)
    assert sender.due("e", 0.1) == [Input("e", "w1", 0, b"ab"), Input("e", "w1", 2, b"c")]


def test_a_paste_goes_in_pieces_within_the_window() -> None:
    sender = new_sender()
    paste = bytes(n % 251 for n in range(WINDOW_BYTES + 10_000))
    sender.type(paste, 0.0)
    assert sender.full
    first = sender.due("e", 0.0)
    assert all(len(frame.data) <= CHUNK_BYTES for frame in first)
    assert b"".join(frame.data for frame in first) == paste[:WINDOW_BYTES]
    assert not sender.ready
    assert not sender.full
    sender.confirm({"w1": WINDOW_BYTES}, 0.1)
    rest = sender.due("e", 0.1)
    assert b"".join(frame.data for frame in rest) == paste[WINDOW_BYTES:]
    assert rest[0].offset == WINDOW_BYTES


def test_a_ctrl_c_of_some_time_ago_does_not_arrive() -> None:
    sender = new_sender()
    sender.type(b"\x03", 0.0)
    sender.due("e", 0.0)
    assert sender.expire(EXPIRY_S - 0.1) == 0
    sender.type(b"later", 0.0)
    assert sender.expire(EXPIRY_S) == 6
    assert sender.writer == "w2"
    assert (sender.pending_bytes, sender.due("e", EXPIRY_S)) == (0, [])
    sender.type(b"x", 0.0)
    assert sender.due("e", EXPIRY_S + 1) == [Input("e", "w2", 0, b"x")]
    sender.confirm({"w1": 1}, EXPIRY_S + 1)
    assert sender.pending_bytes == 1


def test_what_a_host_holds_for_a_command_that_does_not_read_waits_as_at_a_terminal() -> None:
    sender = new_sender()
    paste = bytes(3 * CHUNK_BYTES)
    sender.type(paste, 0.0)
    sender.due("e", 0.0)
    now_s = 0.0
    while now_s < 3 * EXPIRY_S:
        wait_s = sender.wait_s(now_s)
        assert wait_s is not None
        now_s += wait_s
        assert sender.expire(now_s) == 0
        again = sender.due("e", now_s)
        assert [frame.offset for frame in again] == ([0, CHUNK_BYTES, 2 * CHUNK_BYTES] if now_s == RESEND_S else [0])
        sender.confirm({"w1": 0}, now_s)
    assert now_s >= 3 * EXPIRY_S
    sender.confirm({"w1": CHUNK_BYTES}, now_s)
    assert [frame.offset for frame in sender.due("e", now_s + RESEND_S)] == [CHUNK_BYTES, 2 * CHUNK_BYTES]


def test_a_host_that_falls_silent_over_it_is_not_waited_for() -> None:
    sender = new_sender()
    sender.type(b"abc", 0.0)
    sender.due("e", 0.0)
    sender.confirm({"w1": 0}, 5.0)
    assert sender.expire(EXPIRY_S + 4.9) == 0
    assert sender.expire(EXPIRY_S + 5.0) == 3


def test_what_was_not_sent_for_a_lost_link_is_given_whole_even_after_a_stall() -> None:
    sender = new_sender()
    sender.type(bytes(2 * CHUNK_BYTES), 0.0)
    sender.due("e", 0.0)
    sender.confirm({"w1": 0}, 0.1)
    sender.unsent()
    assert [frame.offset for frame in sender.due("e", 0.2)] == [0, CHUNK_BYTES]


def test_nothing_typed_never_expires() -> None:
    sender = new_sender()
    assert sender.expire(1000.0) == 0
    assert sender.writer == "w1"


def test_a_new_run_forgets_what_was_meant_for_the_one_before() -> None:
    sender = new_sender()
    sender.type(b"abc", 0.0)
    sender.due("e", 0.0)
    sender.type(b"d", 0.0)
    assert sender.forget() == 4
    assert sender.due("e2", 5.0) == []
    assert sender.wait_s(5.0) is None


def test_what_was_typed_before_the_session_answered_is_dropped_in_time_too() -> None:
    sender = new_sender()
    sender.type(b"\x03", 5.0)
    assert sender.wait_s(6.0) == pytest.approx(EXPIRY_S - 1.0)
    assert sender.expire(5.0 + EXPIRY_S - 0.1) == 0
    assert sender.expire(5.0 + EXPIRY_S) == 1
    assert sender.due("e", 20.0) == []
