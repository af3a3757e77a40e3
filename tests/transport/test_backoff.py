"""Waits grow, are spread, are forgotten after a stable connection, and never make a loop spin."""

from __future__ import annotations

import random

from codewrap.transport.backoff import AT_ONCE_S, Backoff


def test_ceilings_double_up_to_the_limit() -> None:
    backoff = Backoff(lambda: 1.0, first_s=0.5, limit_s=30)
    assert [backoff.next_s() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_jitter_reaches_over_the_whole_wait() -> None:
    numbers = random.Random(7)
    waits = []
    for _ in range(2000):
        backoff = Backoff(numbers.random, first_s=8, limit_s=8)
        waits.append(backoff.next_s())
    assert min(waits) < 0.1
    assert max(waits) > 7.9
    assert 3.7 < sum(waits) / len(waits) < 4.3


def test_a_short_connection_does_not_reset_the_wait() -> None:
    backoff = Backoff(lambda: 1.0, first_s=1, stable_after_s=10)
    backoff.next_s()
    assert backoff.next_s(connected_for_s=9.9) == 2


def test_a_stable_connection_resets_the_wait() -> None:
    backoff = Backoff(lambda: 1.0, first_s=1, stable_after_s=10)
    for _ in range(5):
        backoff.next_s()
    assert backoff.next_s(connected_for_s=10) == 1


def test_at_once_is_granted_once_until_a_connection_was_stable() -> None:
    backoff = Backoff(lambda: 1.0, first_s=1, stable_after_s=10)
    assert backoff.next_s(at_once=True) == AT_ONCE_S
    assert [backoff.next_s(at_once=True) for _ in range(3)] == [2, 4, 8]
    assert backoff.next_s(connected_for_s=11, at_once=True) == AT_ONCE_S


def test_a_least_wait_is_kept_whatever_the_jitter() -> None:
    assert Backoff(lambda: 0.0).next_s(at_least_s=1.0) == 1.0


def test_a_very_long_outage_overflows_nothing() -> None:
    backoff = Backoff(lambda: 1.0, limit_s=30)
    assert [backoff.next_s() for _ in range(5000)][-1] == 30
