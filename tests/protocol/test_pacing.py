"""Output is cut to what an event takes, whatever its bytes; publishes keep their distance."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codewrap.errors import LocalProtocolError
from codewrap.protocol import sealing
from codewrap.protocol.frames import Output, decode_host
from codewrap.protocol.pacing import BrokerLimits, Pace, character_boundary, encode_output

LEAST_LIMIT = 160  # of one byte, or one acknowledgement, with the short names used here
CHARACTERS = st.sampled_from(["a", "é", "☃", "😀", "\x1b[31m", "\x00", '"', "\r\n"])
TEXTS = st.lists(CHARACTERS, max_size=300).map("".join).map(str.encode)
DATA = st.binary(max_size=2000) | TEXTS | st.tuples(TEXTS, st.binary(max_size=3), TEXTS).map(b"".join)
ACKS = st.dictionaries(st.from_regex("[a-z0-9]{1,8}", fullmatch=True), st.integers(0, 1 << 40), max_size=30)


def decoded(texts: list[tuple[int, str]], limit: int) -> list[Output]:
    """The pieces; each within the limit and told with its right end."""
    pieces = []
    for end, text in texts:
        assert len(text.encode()) <= limit
        piece = decode_host(text)
        assert isinstance(piece, Output)
        assert piece.end == end
        pieces.append(piece)
    return pieces


@given(data=DATA, acks=ACKS, limit=st.integers(LEAST_LIMIT, 4000), stream=st.sampled_from(["stdout", "stderr"]))
@example(data=b"\xff" * 5000, acks={}, limit=LEAST_LIMIT, stream="stdout")
@example(data=b"\x00" * 1000, acks={}, limit=LEAST_LIMIT, stream="stdout")
@example(data=random.Random(1).randbytes(20_000), acks={f"w{n}": 1 << 40 for n in range(1000)}, limit=700, stream="stderr")
def test_pieces_fit_and_are_the_output_in_order(data: bytes, acks: dict[str, int], limit: int, stream: str) -> None:
    frame = Output("epoch", 1000, data, stream, acks)
    pieces = decoded(encode_output(frame, limit), limit)
    assert b"".join(piece.data for piece in pieces) == data
    assert [piece.offset for piece in pieces] == [1000, *[piece.end for piece in pieces[:-1]]]
    assert {piece.stream for piece in pieces} == {stream}
    told = [item for piece in pieces for item in piece.acks.items()]
    assert sorted(told) == sorted(acks.items())


@given(text=st.text(min_size=100, max_size=400).filter(lambda text: len(text.encode()) > 150))
def test_cuts_leave_text_whole_characters(text: str) -> None:
    for piece in decoded(encode_output(Output("e", 0, text.encode()), LEAST_LIMIT), LEAST_LIMIT):
        assert piece.data.decode() in text


def test_output_that_fits_is_one_piece() -> None:
    assert [end for end, _ in encode_output(Output("e", 7, b"x" * 100, acks={"w": 1}), 1000)] == [107]


@given(data=st.binary(max_size=50), acks=ACKS, limit=st.integers(-100, 100))
def test_a_limit_below_one_byte_is_an_error_and_no_endless_recursion(data: bytes, acks: dict[str, int], limit: int) -> None:
    try:
        texts = encode_output(Output("epoch", 0, data, "stdout", acks), limit)
    except LocalProtocolError as error:
        assert "too small" in str(error)
    else:
        assert b"".join(piece.data for piece in decoded(texts, limit)) == data


@pytest.mark.parametrize(("data", "acks"), [(b"", {}), (b"x", {}), (b"xy", {}), (b"", {"w": 1}), (b"x", {"w": 1, "v": 2})])
def test_nothing_fits_into_ten_bytes(data: bytes, acks: dict[str, int]) -> None:
    with pytest.raises(LocalProtocolError, match="too small"):
        encode_output(Output("epoch", 0, data, "stdout", acks), 10)


def test_acknowledgements_ride_on_the_first_piece() -> None:
    data = random.Random(2).randbytes(5000)
    pieces = decoded(encode_output(Output("e", 0, data, acks={"w": 7}), 1000), 1000)
    assert len(pieces) > 5
    assert [piece.acks for piece in pieces] == [{"w": 7}, *[{}] * (len(pieces) - 1)]


def test_one_byte_and_one_acknowledgement_that_do_not_fit_together_go_apart() -> None:
    frame = Output("epoch", 0, b"x", "stdout", {"w" * 30: 1})
    limit = len(encode_output(frame, 1000)[0][1]) - 1
    first, second = decoded(encode_output(frame, limit), limit)
    assert (first.data, first.acks) == (b"", {"w" * 30: 1})
    assert (second.data, second.acks) == (b"x", {})


def test_acknowledgements_of_a_thousand_writers_do_not_crowd_out_the_output() -> None:
    acks = {f"writer-{number}": 1 << 40 for number in range(1000)}
    pieces = decoded(encode_output(Output("epoch", 0, b"output", acks=acks), 10_000), 10_000)
    assert len(pieces) < 10
    assert pieces[-1].data == b"output"


@pytest.mark.parametrize(
    ("data", "near", "boundary"),
    [
        (b"abcd", 2, 2),
        ("aé".encode(), 2, 1),
        ("a☃b".encode(), 3, 1),
        ("a😀b".encode(), 4, 1),
        ("a😀b".encode(), 5, 5),
        (b"\x80" * 10, 5, 5),
        (b"\x80\x80", 1, 1),
        (b"ab", 0, 0),
    ],
)
def test_cuts_fall_on_the_first_byte_of_a_character_where_there_is_one(data: bytes, near: int, boundary: int) -> None:
    assert character_boundary(data, near) == boundary


@given(data=st.binary(min_size=2, max_size=20), near=st.integers(1, 19))
def test_a_cut_never_reaches_the_beginning(data: bytes, near: int) -> None:
    near = min(near, len(data) - 1)
    assert max(1, near - 3) <= character_boundary(data, near) <= near


def test_sealing_takes_its_share_of_an_event() -> None:
    limits = BrokerLimits(event_bytes=10_240)
    assert limits.plain_bytes(sealed=False) == 10_240
    assert limits.plain_bytes(sealed=True) == sealing.largest_plain(10_240) < 10_240


def test_the_first_publish_leaves_at_once_and_the_next_after_the_interval() -> None:
    pace = Pace(0.1)
    assert pace.wait_s(50.0) == 0
    pace.published(50.0)
    assert pace.wait_s(50.0) == pytest.approx(0.1)
    assert pace.wait_s(50.05) == pytest.approx(0.05)
    assert pace.wait_s(50.1) == pytest.approx(0)
    assert pace.wait_s(99.0) == 0


def test_a_broker_that_asks_for_quiet_gets_it() -> None:
    pace = Pace(0.1)
    pace.hold_until(60.0)
    pace.hold_until(55.0)
    assert pace.wait_s(50.0) == 10
    pace.published(59.99)
    assert pace.wait_s(60.0) == pytest.approx(0.09)
    assert pace.wait_s(61.0) == 0
