"""Ranges of one stream under any interleaving of loss, repetition, reordering and giving up."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from codewrap.protocol.stream import Incoming, Outgoing

SOURCE = bytes(range(256)) * 4
ranges = st.tuples(st.integers(0, len(SOURCE)), st.integers(0, 120)).map(lambda pair: (pair[0], pair[0] + pair[1]))
events = st.lists(st.tuples(st.just("add"), ranges) | st.tuples(st.just("skip"), ranges), max_size=40)


@settings(max_examples=300)
@given(events, st.integers(0, 400))
def test_bytes_come_out_once_and_in_order_whatever_arrives(arriving: list[tuple[str, tuple[int, int]]], room: int) -> None:
    incoming = Incoming(max_held_bytes=room)
    shown = bytearray()
    lost = 0
    for kind, (start, end) in arriving:
        before = incoming.expected
        if kind == "skip":
            given_up = max(0, start - before)
            out = incoming.skip_to(start)
            lost += given_up
            begin = before + given_up
        else:
            out, begin = incoming.add(start, SOURCE[start:end]), before
        assert out == SOURCE[begin : begin + len(out)]
        assert incoming.expected == begin + len(out)
        assert incoming._held_bytes == sum(map(len, incoming._held.values())) <= room
        assert incoming.gap is None or incoming.gap.start == incoming.expected < incoming.gap.end
        shown += out
    rest = incoming.add(incoming.expected, SOURCE[incoming.expected :])
    assert len(shown) + lost + len(rest) >= len(SOURCE)
    assert incoming.gap is None or incoming.gap.start >= len(SOURCE)


@settings(max_examples=200)
@given(st.permutations(range(20)), st.lists(st.integers(0, 19), max_size=10), st.integers(1, 51))
def test_any_order_and_any_repetition_give_the_whole(order: list[int], again: list[int], size: int) -> None:
    pieces = [(number * size, SOURCE[number * size : (number + 1) * size]) for number in range(20)]
    incoming = Incoming()
    shown = b"".join(incoming.add(*pieces[number]) for number in [*order, *again])
    assert shown == SOURCE[: 20 * size]
    assert incoming.gap is None


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.just("put"), st.integers(0, 60))
        | st.tuples(st.just("acknowledge"), st.integers(0, 400))
        | st.tuples(st.just("restart"), st.just(0)),
        max_size=40,
    ),
    st.integers(1, 200),
)
def test_what_is_not_acknowledged_is_kept_and_nothing_else(what: list[tuple[str, int]], window: int) -> None:
    outgoing = Outgoing(window)
    put, acknowledged = bytearray(), 0
    for turn, (kind, number) in enumerate(what):
        if kind == "put":
            data = SOURCE[:number][: outgoing.room]
            assert outgoing.put(data, float(turn)) == len(put)
            put += data
        elif kind == "acknowledge":
            outgoing.acknowledge(number)
            acknowledged = max(acknowledged, number if number <= len(put) else 0)
        else:
            assert outgoing.restart() == len(put) - acknowledged
            put, acknowledged = bytearray(), 0
        assert outgoing.unacknowledged() == (acknowledged, bytes(put[acknowledged:]))
        assert outgoing.pending_bytes == len(put) - acknowledged
        assert outgoing.room == window - outgoing.pending_bytes >= 0
        assert (outgoing.oldest_s() is None) == (acknowledged == len(put))
