"""The cutter: nothing lost, nothing cut in two, nothing kept without bound."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewrap.protocol.sequences import CSI_LIMIT, SequenceCutter

PIECES = [
    b"plain text\r\n",
    "漢字 é 😀".encode(),
    b"\x1b[1;31m",
    b"\x1b[?1049h",
    b"\x1b(B",
    b"\x1b7",
    b"\x1b]0;a title\x07",
    b"\x1b]2;other\x1b\\",
    b"\x1bP1$r0m\x1b\\",
    b"\x1b_app\x1b\\",
    b"\x1b]0;aborted\x18",
    b"\x1b]0;cut short\x1b[m",
    b"\x1b\x1b[0m",
    b"\x1b[3\n1m",
    b"\xff\xfe\xc2",
    b"\xe2\x82A",
]


def collected(cutter: SequenceCutter, stream: bytes, size: int) -> bytes:
    return b"".join(cutter.feed(stream[at : at + size]) for at in range(0, len(stream), size))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_result_and_pending_together_are_the_input(size: int) -> None:
    for seed in range(50):
        pieces = random.Random(seed).choices(PIECES, k=12)
        stream = b"".join(pieces)[: random.Random(seed).randrange(1, 120)]
        cutter = SequenceCutter()
        assert collected(cutter, stream, size) + cutter.pending == stream, f"seed {seed}"


@pytest.mark.parametrize("piece", PIECES[:10])
def test_a_block_never_ends_inside_a_piece(piece: bytes) -> None:
    cutter = SequenceCutter()
    for at in range(1, len(piece)):
        blocks = [cutter.feed(piece[:at]), cutter.feed(piece[at:])]
        assert b"".join(blocks) == piece
        if piece[0] == 0x1B:
            assert blocks == [b"", piece]
        for block in blocks:
            block.decode()
        assert cutter.pending == b""


@pytest.mark.parametrize(
    "unfinished",
    [
        b"\x1b",
        b"\x1b[",
        b"\x1b[38;2",
        b"\x1b(",
        b"\x1b]",
        b"\x1b]0;ab",
        b"\x1b]0;ab\x1b",
        b"\x1bPq",
        b"\x1bPa\x07b",
        b"\xe2\x82",
    ],
)
def test_an_unfinished_end_is_held_and_told(unfinished: bytes) -> None:
    cutter = SequenceCutter()
    assert cutter.feed(b"text" + unfinished) == b"text"
    assert cutter.pending == unfinished


@pytest.mark.parametrize("size", [1, 64, 4096])
@pytest.mark.parametrize("end", [b"\x07", b"\x1b\\", b"\x18"])
def test_a_string_beyond_the_limit_vanishes_whole(size: int, end: bytes) -> None:
    cutter = SequenceCutter(limit=100)
    stream = b"before\x1b]0;" + b"x" * 5000 + end + b"after"
    whole_only = SequenceCutter(limit=100).feed(stream)
    assert whole_only == stream  # complete in one block: the caller's to judge
    assert collected(cutter, stream, size) in (b"beforeafter", stream)
    assert cutter.pending == b""


def test_a_string_beyond_the_limit_that_a_sequence_cuts_short_gives_way_to_it() -> None:
    cutter = SequenceCutter(limit=100)
    assert cutter.feed(b"\x1b]0;" + b"x" * 5000) == b""
    assert cutter.feed(b"\x1b") == b""
    assert cutter.feed(b"[1mafter") == b"\x1b[1mafter"


def test_a_string_without_an_end_takes_no_memory() -> None:
    cutter = SequenceCutter()
    cutter.feed(b"\x1bP")
    for _ in range(320):
        assert cutter.feed(b"x" * 65536) == b""
        assert len(cutter.pending) <= 1 << 18
    assert cutter.pending == b"\x1bP"
    assert cutter.feed(b"\x1b\\done") == b"done"


def test_a_control_sequence_without_an_end_is_given_up() -> None:
    cutter = SequenceCutter()
    assert cutter.feed(b"\x1b[" + b"1" * CSI_LIMIT) == b""
    assert cutter.feed(b"1") == b"\x1b[" + b"1" * (CSI_LIMIT + 1)
    assert cutter.pending == b""


@given(st.lists(st.sampled_from([*PIECES, b"\x1b", b"[", b"]", b"\\", b"\x07"]), max_size=20), st.data())
def test_any_split_gives_the_same_stream(pieces: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    cutter = SequenceCutter()
    out = b"".join(cutter.feed(stream[a:b]) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True))
    assert out + cutter.pending == stream
    whole = SequenceCutter()
    whole.feed(stream)
    assert whole.pending == cutter.pending
