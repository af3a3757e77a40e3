"""Order out of disorder: whatever a relay drops, repeats, cuts or reorders, every byte once, in order, and gaps told right."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewrap.errors import LocalProtocolError
from codewrap.protocol.stream import Incoming, Outgoing, Range

SENT = random.Random(5).randbytes(2000)
PIECES = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 40)), max_size=60)


class Model:
    """The plain truth beside `Incoming` with room enough: which bytes have arrived, by position."""

    def __init__(self) -> None:
        self.arrived: set[int] = set()
        self.expected = 0

    def add(self, offset: int, size: int) -> None:
        # Ranges that came too late for `expected` hold nothing new.
        self.arrived.update(range(offset, offset + size))
        while self.expected in self.arrived:
            self.expected += 1

    @property
    def gap(self) -> Range | None:
        ahead = [position for position in self.arrived if position > self.expected]
        return Range(self.expected, min(ahead)) if ahead else None


@given(pieces=PIECES)
def test_any_pieces_in_any_order_give_each_byte_once_and_tell_the_gap(pieces: list[tuple[int, int]]) -> None:
    incoming, model, out = Incoming(), Model(), b""
    for offset, size in pieces:
        out += incoming.add(offset, SENT[offset : offset + size])
        model.add(offset, size)
        assert out == SENT[: model.expected]
        assert incoming.expected == model.expected
        assert incoming.gap == model.gap


@given(pieces=PIECES, room=st.integers(0, 60), start=st.integers(0, 50))
def test_with_little_room_nothing_comes_twice_or_out_of_order_and_sending_again_heals(
    pieces: list[tuple[int, int]], room: int, start: int
) -> None:
    incoming, out = Incoming(start, max_held_bytes=room), b""
    for offset, size in pieces:
        out += incoming.add(offset, SENT[offset : offset + size])
        assert out == SENT[start : incoming.expected]
        assert incoming.gap is None or incoming.gap.start == incoming.expected < incoming.gap.end
    out += incoming.add(start, SENT[start:300])
    assert out == SENT[start:300]
    assert incoming.gap is None


@given(pieces=PIECES, skip=st.integers(0, 200))
def test_giving_up_goes_on_with_what_waits(pieces: list[tuple[int, int]], skip: int) -> None:
    incoming, model = Incoming(), Model()
    for offset, size in pieces:
        incoming.add(offset, SENT[offset : offset + size])
        model.add(offset, size)
    before = incoming.expected
    model.expected = max(before, skip)
    start = model.expected
    model.add(0, 0)
    assert incoming.skip_to(skip) == SENT[start : model.expected]
    assert incoming.expected == model.expected
    assert incoming.gap == model.gap


def test_a_gap_is_told_with_both_ends() -> None:
    incoming = Incoming(10)
    assert incoming.gap is None
    assert incoming.add(20, b"later") == b""
    assert incoming.add(15, b"x") == b""
    assert incoming.gap == Range(10, 15)
    assert incoming.gap.size == 5
    assert incoming.add(10, b"01234") == b"01234x"
    assert incoming.gap == Range(16, 20)


def test_the_longer_of_two_ranges_at_one_offset_is_kept() -> None:
    incoming = Incoming()
    for data in (b"bc", b"bcde", b"b"):
        incoming.add(1, data)
    assert incoming.add(0, b"a") == b"abcde"


def test_the_furthest_is_dropped_when_too_much_waits() -> None:
    incoming = Incoming(max_held_bytes=4)
    incoming.add(10, b"far")
    incoming.add(5, b"near")
    assert incoming.skip_to(5) == b"near"
    assert incoming.gap is None


def relay(rng: random.Random, wire: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Drops a third, repeats some, and shuffles within a window."""
    kept = [event for event in wire if rng.random() > 0.33]
    kept += [event for event in kept if rng.random() < 0.2]
    return sorted(kept, key=lambda event: event[0] + rng.randrange(200))


@pytest.mark.parametrize("seed", range(30))
def test_outgoing_and_incoming_together_deliver_exactly_once_over_a_bad_relay(seed: int) -> None:
    rng = random.Random(seed)
    outgoing, incoming, received, now_s = Outgoing(300), Incoming(max_held_bytes=150), b"", 0.0
    sent, turns = 0, 0
    while len(received) < len(SENT):
        turns += 1
        assert turns < 5000, f"stuck with seed {seed}"
        wire: list[tuple[int, bytes]] = []
        while sent < len(SENT) and outgoing.room and rng.random() < 0.8:
            data = SENT[sent : sent + rng.randrange(1, min(40, outgoing.room) + 1)]
            wire.append((outgoing.put(data, now_s), data))
            sent += len(data)
        if rng.random() < 0.4:
            wire.append(outgoing.unacknowledged())
        for offset, data in relay(rng, wire):
            received += incoming.add(offset, data)
        assert received == SENT[: len(received)], f"wrong bytes with seed {seed}"
        if rng.random() < 0.5:
            outgoing.acknowledge(incoming.expected if rng.random() < 0.9 else rng.randrange(len(received) + 1))
        assert outgoing.pending_bytes <= 300
        assert outgoing.pending_bytes + outgoing.room == 300
    outgoing.acknowledge(len(SENT))
    assert outgoing.unacknowledged() == (len(SENT), b"")
    assert outgoing.oldest_s() is None


def test_bytes_are_numbered_and_kept_until_acknowledged() -> None:
    outgoing = Outgoing(10)
    assert outgoing.put(b"abc", 1.0) == 0
    assert outgoing.put(b"def", 2.0) == 3
    assert (outgoing.room, outgoing.pending_bytes, outgoing.oldest_s()) == (4, 6, 1.0)
    outgoing.acknowledge(2)
    assert outgoing.unacknowledged() == (2, b"cdef")
    assert outgoing.oldest_s() == 1.0
    outgoing.acknowledge(3)
    assert outgoing.unacknowledged() == (3, b"def")
    assert outgoing.oldest_s() == 2.0
    outgoing.acknowledge(1)
    assert outgoing.unacknowledged() == (3, b"def")
    assert (outgoing.room, outgoing.pending_bytes) == (7, 3)


def test_a_peer_cannot_confirm_the_future() -> None:
    outgoing = Outgoing(10)
    outgoing.put(b"abc", 1.0)
    outgoing.acknowledge(4)
    assert outgoing.unacknowledged() == (0, b"abc")


def test_the_window_is_kept() -> None:
    outgoing = Outgoing(3)
    outgoing.put(b"abc", 1.0)
    with pytest.raises(LocalProtocolError, match="window"):
        outgoing.put(b"d", 1.0)
    outgoing.acknowledge(1)
    assert outgoing.put(b"d", 1.0) == 3


def test_no_bytes_leave_nothing_to_confirm() -> None:
    outgoing = Outgoing(3)
    assert outgoing.put(b"", 1.0) == 0
    assert outgoing.oldest_s() is None


def test_a_restart_drops_what_waits_and_numbers_from_zero() -> None:
    outgoing = Outgoing(10)
    outgoing.put(b"abcd", 1.0)
    outgoing.acknowledge(1)
    assert outgoing.restart() == 3
    assert outgoing.unacknowledged() == (0, b"")
    assert outgoing.oldest_s() is None
    assert outgoing.put(b"e", 2.0) == 0
    assert outgoing.room == 9
