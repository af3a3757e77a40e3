"""Output is cut to what an event takes, whatever its bytes; publishes keep within rate and budget, whatever is wished."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codewrap.errors import LocalProtocolError
from codewrap.protocol import sealing
from codewrap.protocol.frames import Output, decode_host
from codewrap.protocol.pacing import (
    KEPT,
    MAX_BATCH,
    BrokerLimits,
    Budget,
    Pace,
    Priority,
    RateLimit,
    character_boundary,
    encode_output,
)

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


# -- the rate --------------------------------------------------------------------------------------------------

PRIORITIES = st.sampled_from(Priority)
# What somebody wants to say: so long after the last attempt, so many events, so urgent.
WISHES = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30), PRIORITIES), max_size=60)


def most_within(times: list[tuple[float, float]], window_s: float) -> float:
    """The largest sum of amounts in any window."""
    most = 0.0
    for at, (start_s, _) in enumerate(times):
        most = max(most, sum(amount for time_s, amount in times[at:] if time_s - start_s < window_s - 1e-5))
    return most


def test_without_limits_nothing_waits_and_batches_are_full() -> None:
    pace = Pace()
    pace.published(50.0, 10)
    assert pace.wait_s(50.0) == 0
    assert pace.affords(50.0) == MAX_BATCH


def test_the_first_events_leave_at_once_and_the_next_keep_their_distance() -> None:
    pace = Pace(RateLimit(10))
    assert pace.affords(50.0) == 5
    pace.published(50.0, 5)
    assert pace.affords(50.0) == 0
    assert pace.wait_s(50.0) == pytest.approx(1 / 8)
    assert pace.wait_s(50.1) == pytest.approx(1 / 8 - 0.1)
    assert pace.affords(50.125) == 1
    assert pace.wait_s(99.0) == 0


def test_the_echo_of_a_keystroke_keeps_no_distance_and_finds_its_share_of_the_rate() -> None:
    limit = RateLimit(5)
    now_s = 0.0
    for _ in range(100):
        now_s += limit.wait_s(now_s, Priority.ORDINARY)
        limit.left(1, now_s)
    assert limit.wait_s(now_s, Priority.ORDINARY) > 0.1
    assert limit.wait_s(now_s, Priority.ECHO) == 0


@pytest.mark.parametrize("per_s", [0.1, 0.5, 1, 1.5, 4, 10, 100])
def test_a_flood_comes_close_to_the_rate_and_no_second_has_more(per_s: float) -> None:
    limit = RateLimit(per_s)
    now_s, left = 1000.0, []
    while now_s < 1000.0 + 100 / per_s:
        now_s += limit.wait_s(now_s, Priority.ORDINARY)
        events = limit.affords(now_s, Priority.ORDINARY)
        assert events > 0
        limit.left(events, now_s)
        left.append((now_s, float(events)))
    assert most_within(left, max(1.0, 1 / per_s)) <= max(1.0, per_s * 1.5 if per_s < 2 else per_s)
    assert sum(amount for _, amount in left) > 75


@given(per_s=st.floats(0.05, 50), wishes=WISHES)
def test_no_pattern_of_wishes_exceeds_the_rate(per_s: float, wishes: list[tuple[float, int, Priority]]) -> None:
    limit = RateLimit(per_s)
    now_s, left = 500.0, []
    for pause_s, wanted, priority in wishes:
        now_s += pause_s
        events = min(wanted, limit.affords(now_s, priority))
        assert (events > 0) == (limit.wait_s(now_s, priority) == 0)
        limit.left(events, now_s)
        left.append((now_s, float(events)))
    most = max(1, int(per_s))
    assert most_within(left, most / per_s) <= most


def test_a_broker_that_asks_for_quiet_gets_it() -> None:
    pace = Pace(RateLimit(10))
    pace.hold_until(60.0)
    pace.hold_until(55.0)
    assert pace.wait_s(50.0) == 10
    assert pace.affords(59.9) == 0
    assert pace.wait_s(60.0) == 0


# -- the budget ------------------------------------------------------------------------------------------------


@given(
    budget=st.integers(40, 5000),
    period_s=st.sampled_from([60.0, 3600.0, 86400.0]),
    wishes=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 20), st.integers(1, 30), PRIORITIES), max_size=80),
)
def test_no_pattern_of_wishes_exceeds_the_budget_in_any_period(
    budget: int, period_s: float, wishes: list[tuple[float, int, int, Priority]]
) -> None:
    """An event that costs more than the bucket holds cannot be had at all without an exception; it has its own test."""
    pace = Pace(budget=Budget(budget, period_s))
    now_s, spent = 0.0, []
    for pause, cost, wanted, priority in wishes:
        now_s += pause * period_s / 10
        cost = min(cost, budget // 2)
        now_s += pace.wait_s(now_s, cost, priority) * (pause > 0.5)
        events = min(wanted, pace.affords(now_s, cost, priority))
        assert (events > 0) == (pace.wait_s(now_s, cost, priority) == 0)
        if events:
            pace.published(now_s, events, cost)
            spent.append((now_s, float(events * cost)))
    assert most_within(spent, period_s) <= budget + 1e-3


def drained(budget: Budget, cost: float, until_s: float, priority: Priority = Priority.ORDINARY) -> list[float]:
    """When a flood's events leave, one at a time, until then."""
    pace = Pace(budget=budget)
    now_s, left = 0.0, []
    while (now_s := now_s + pace.wait_s(now_s, cost, priority)) < until_s:
        pace.published(now_s, 1, cost)
        left.append(now_s)
        now_s += 0.02
    return left


def test_distances_grow_smoothly_as_the_budget_runs_low_and_never_end() -> None:
    left = drained(Budget(2000, 3600.0), 2.0, 3600.0)
    gaps = [after - before for before, after in itertools.pairwise(left)]
    assert gaps[0] < 0.1
    assert gaps[-1] == pytest.approx(2 / (1000 / 3600), rel=0.01)
    assert all(after >= before - 1e-6 for before, after in itertools.pairwise(gaps))
    assert max(after / before for before, after in itertools.pairwise(gaps[1:])) < 1.6
    assert len(left) * 2 == pytest.approx(1000 * (1 - KEPT[Priority.ORDINARY]) + 1000, rel=0.02)


def test_echo_goes_on_where_output_waits_and_the_end_where_echo_waits() -> None:
    budget = Budget(2000, 3600.0)
    pace = Pace(budget=budget)
    drained(budget, 2.0, 600.0)
    assert pace.wait_s(600.0, 2.0) > 1
    assert pace.wait_s(600.0, 2.0, Priority.ECHO) == 0
    pace.published(600.0, 1, budget.left(600.0) - 10)
    assert pace.wait_s(600.0, 2.0, Priority.ECHO) > 1
    assert pace.wait_s(600.0, 2.0, Priority.LAST) == 0
    assert pace.affords(600.0, 2.0, Priority.LAST) == 5


def test_a_full_budget_delays_nothing_that_comes_alone() -> None:
    pace = Pace(budget=Budget(50_000, 86_400.0))
    assert pace.affords(0.0) == MAX_BATCH
    for second in range(60):
        assert pace.wait_s(float(second)) == 0
        pace.published(float(second))


def test_what_could_not_be_held_back_is_waited_for() -> None:
    budget = Budget(60, 60.0)
    budget.charge(30, 0.0)
    assert (budget.left(0.0), budget.balance(0.0)) == (12, 0)  # of 18 that were there at once; twelve are owed
    assert budget.wait_s(6.0, 0.0, Priority.ORDINARY) == 0
    budget.spend(6.0, 0.0)
    for cost in (3.0, 6.0, 9.0, 20.0):
        wait_s = budget.wait_s(cost, 0.0, Priority.ECHO)
        later = Budget(60, 60.0)
        later.charge(30, 0.0)
        later.spend(6.0, 0.0)
        assert wait_s == 0 or later.wait_s(cost, wait_s - 0.01, Priority.ECHO) > 0
        assert later.wait_s(cost, wait_s, Priority.ECHO) == 0
    assert budget.wait_s(6.0, 0.0, Priority.ECHO) == pytest.approx(1.5 / 0.25)
    assert budget.wait_s(20.0, 0.0, Priority.ECHO) == pytest.approx((15.5 + 12) / 0.5)
    assert budget.balance(1000.0) == 30


def test_viewers_who_ask_and_ask_do_not_use_up_what_they_are_answered_with() -> None:
    """Found by a session at the end of its budget: each request was charged, none was answered, so the next one came."""
    pace = Pace(budget=(budget := Budget(60, 60.0)))
    left = 0
    for second in range(600):
        budget.charge(3, float(second))
        if pace.wait_s(float(second)) == 0:
            pace.published(float(second))
            left += 1
    assert left * 2 >= 600 * budget.per_s / 2


def test_an_event_that_costs_more_than_the_bucket_holds_waits_until_that_is_full() -> None:
    budget = Budget(60, 60.0)
    assert budget.affords(50.0, 0.0, Priority.LAST) == 1
    budget.spend(50.0, 0.0)
    assert budget.wait_s(50.0, 0.0, Priority.LAST) == pytest.approx(100.0)
    assert budget.affords(50.0, 99.0, Priority.LAST) == 0


def test_it_is_low_before_ordinary_output_has_spent_its_share() -> None:
    budget = Budget(200, 3600.0)
    assert not budget.is_low(0.0)
    budget.spend(61.0, 0.0)
    assert budget.is_low(0.0)
    assert budget.wait_s(10.0, 0.0, Priority.ECHO) == 0


def test_it_is_used_up_when_output_lives_on_what_comes_back() -> None:
    budget = Budget(2000, 3600.0)
    left = drained(budget, 2.0, 600.0)
    gap_s = left[-1] - left[-2]
    assert budget.is_used_up(2.0, 600.0)
    assert 2 / budget.per_s / 2 < gap_s <= 2 / budget.per_s + 1e-6
    assert not budget.is_used_up(2.0, 1200.0)


def test_a_budget_goes_on_where_another_one_stood_and_never_above_full() -> None:
    assert Budget(100, 60.0, left=7.0).left(5.0) == 7
    assert Budget(100, 60.0, left=-7.0).balance(5.0) == -7
    assert Budget(100, 60.0, left=-7.0).left(5.0) == 0
    assert Budget(100, 60.0, left=700.0).left(5.0) == 50


def test_a_clock_that_goes_back_gives_nothing() -> None:
    budget = Budget(100, 60.0, left=0.0)
    budget.left(100.0)
    assert budget.left(50.0) == 0
    assert budget.left(100.0) == 0
