"""How slow a link is taken to be."""

from __future__ import annotations

from codewrap.viewer.roundtrip import FAST_S, SLOW_S, RoundTrip


def after(trip: RoundTrip, samples_s: list[float]) -> RoundTrip:
    for number, sample_s in enumerate(samples_s):
        trip.typed(number + 1, 100.0 * number)
        trip.confirmed(number + 1, 100.0 * number + sample_s)
    return trip


def test_nothing_is_known_before_the_first_key_is_confirmed() -> None:
    trip = RoundTrip()
    trip.typed(1, 0.0)
    trip.confirmed(0, 5.0)
    assert trip.smoothed_s is None
    assert not trip.slow


def test_the_first_key_tells_and_those_after_it_move_it_by_an_eighth() -> None:
    trip = after(RoundTrip(), [0.080])
    assert trip.smoothed_s == 0.080
    assert trip.slow
    assert after(trip, [0.0]).smoothed_s == 0.070


def test_between_the_two_limits_it_stays_as_it_was() -> None:
    between_s = (SLOW_S + FAST_S) / 2
    assert not after(RoundTrip(), [between_s]).slow
    assert after(RoundTrip(), [SLOW_S + 0.001, *[between_s] * 50]).slow
    assert not after(RoundTrip(), [SLOW_S + 0.001, *[FAST_S - 0.001] * 50]).slow


def test_keys_that_are_confirmed_together_count_once_by_the_last() -> None:
    trip = RoundTrip()
    trip.typed(1, 0.0)
    trip.typed(2, 0.5)
    trip.confirmed(2, 1.0)
    assert trip.smoothed_s == 0.5


def test_what_will_not_be_confirmed_is_not_waited_for() -> None:
    trip = RoundTrip()
    trip.typed(1, 0.0)
    trip.forget()
    trip.confirmed(1, 9.0)
    assert trip.smoothed_s is None


def test_a_paste_is_timed_by_its_beginning() -> None:
    trip = RoundTrip()
    for number in range(1, 1001):
        trip.typed(number, 0.0)
    trip.confirmed(1, 0.5)
    trip.confirmed(1000, 9.0)
    trip.confirmed(1000, 90.0)
    assert trip.smoothed_s is not None
    assert trip.smoothed_s < 2.0
