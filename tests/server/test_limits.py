"""How often somebody may, with the clock as an argument."""

from __future__ import annotations

import asyncio

import pytest
from limits import RateLimitItemPerSecond

from codewrap.server.limits import Kind, Limits, authorizations, new_sockets
from codewrap.server.refusals import Refusal
from tests.server.test_counting import Clock, Shared

KIND = Kind("inputs", "inputs", session=RateLimitItemPerSecond(3, 2), address=RateLimitItemPerSecond(5, 2))
MANY = Kind("inputs", "inputs", token=RateLimitItemPerSecond(80, 60))


def take(limits: Limits, kind: Kind = KIND, **by: str) -> int | None:
    """Seconds to wait, None where it may."""
    try:
        asyncio.run(limits.take(kind, **by))
    except Refusal as refusal:
        assert (refusal.status, refusal.code) == (429, "too_many")
        return refusal.retry_after_s
    return None


def test_so_many_are_let_through_until_the_window_is_over() -> None:
    clock = Clock()
    limits = Limits(clock=clock)
    assert [take(limits, session="s") for _ in range(4)] == [None, None, None, 2]
    assert take(limits, session="other") is None
    clock.now_s += 1.5
    assert take(limits, session="s") == 1
    clock.now_s += 0.5
    assert take(limits, session="s") is None


def test_each_that_is_named_counts_for_itself_and_what_is_not_named_does_not() -> None:
    limits = Limits(clock=Clock())
    assert [take(limits, session=f"s{number}", address="192.0.2.1") for number in range(6)] == [None] * 5 + [2]
    assert [take(limits, session="s9", token="any") for _ in range(2)] == [None, None]
    assert take(limits, session="s8", address="192.0.2.2") is None


def test_addresses_count_by_network() -> None:
    limits = Limits(clock=Clock())
    assert [take(limits, address=f"2001:db8::{number}") for number in range(6)] == [None] * 5 + [2]
    assert take(limits, address="2001:db8:0:1::1") is None


def test_a_refusal_is_reported_by_kind_and_what_it_was_counted_by() -> None:
    hits: list[tuple[str, str]] = []
    limits = Limits(on_hit=lambda *hit: hits.append(hit), clock=Clock())
    for _ in range(4):
        take(limits, session="s")
    assert hits == [("inputs", "session")]


def test_ordinary_use_asks_no_store() -> None:
    clock = Clock()
    shared = Shared(clock)
    limits = Limits(shared, clock=clock)
    for _ in range(9):
        assert take(limits, MANY, token="t") is None
    assert shared.asked == 0


@pytest.mark.parametrize("copies", [1, 2, 4])
def test_copies_share_a_limit_to_within_an_eighth_each(copies: int) -> None:
    clock = Clock()
    shared = Shared(clock)
    servers = [Limits(shared, clock=clock) for _ in range(copies)]
    for _ in range(3):  # windows, one after the other
        let_through = sum(take(servers[number % copies], MANY, token="t") is None for number in range(200))
        assert 80 <= let_through <= 80 + 9 * (copies if copies > 1 else 0)
        clock.now_s += 60


def test_a_flood_costs_eight_questions() -> None:
    clock = Clock()
    shared = Shared(clock)
    limits = Limits(shared, clock=clock)
    assert sum(take(limits, MANY, token="t") is None for _ in range(1000)) == 80
    assert shared.asked == 8


def test_what_the_others_used_up_is_refused_without_asking_again_until_it_is_over() -> None:
    clock = Clock()
    shared = Shared(clock)
    one, other = Limits(shared, clock=clock), Limits(shared, clock=clock)
    for _ in range(80):
        assert take(one, MANY, token="t") is None
    clock.now_s += 20
    assert [take(other, MANY, token="t") for _ in range(10)] == [None] * 9 + [40]
    asked = shared.asked
    clock.now_s += 1
    assert take(other, MANY, token="t") == 39
    assert shared.asked == asked
    clock.now_s += 39
    assert take(other, MANY, token="t") is None


def test_memory_is_bounded_whatever_names_come() -> None:
    clock = Clock()
    limits = Limits(Shared(clock), clock=clock, tracked=100)
    for number in range(1000):
        take(limits, session=f"name-{number}")
    assert len(limits) == 100


def test_all_sockets_of_a_user_can_come_back_at_once() -> None:
    for sockets in (1, 100, 5000):
        by_token, by_address = authorizations(sockets).token, authorizations(sockets).address
        assert by_token is not None and by_address is not None
        assert by_token.amount >= 12 * sockets
        assert by_address.amount >= by_token.amount
        rate = new_sockets(sockets).user
        assert rate is not None and rate.amount == sockets
