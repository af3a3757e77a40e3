"""How often somebody may, with the clock as an argument."""

from __future__ import annotations

from codewrap.server.limits import Failures, Rate


def test_guessing_stops_after_the_limit_until_the_window_is_over() -> None:
    failures = Failures(limit=3, window_s=60)
    for _ in range(3):
        assert failures.wait_s("192.0.2.1", 0) is None
        failures.add("192.0.2.1", 0)
    assert failures.wait_s("192.0.2.1", 10) == 50
    assert failures.wait_s("192.0.2.2", 10) is None
    assert failures.wait_s("192.0.2.1", 59.9) == 1
    assert failures.wait_s("192.0.2.1", 60) is None


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    failures = Failures(limit=1)
    failures.add("2001:db8:1:2::1", 0)
    assert failures.wait_s("2001:db8:1:2:ffff::9", 0) is not None
    assert failures.wait_s("2001:db8:1:3::1", 0) is None


def test_mapped_ipv4_is_the_same_address_and_not_one_network() -> None:
    failures = Failures(limit=1)
    failures.add("::ffff:192.0.2.1", 0)
    assert failures.wait_s("192.0.2.1", 0) is not None
    assert failures.wait_s("::ffff:192.0.2.2", 0) is None


def test_memory_is_bounded_whatever_addresses_come() -> None:
    failures = Failures(tracked=100)
    rate = Rate(1, 1, tracked=100)
    for number in range(1000):
        failures.add(f"name-{number}" * 1000, 0)
        rate.take(f"name-{number}", 0)
    assert len(failures) == len(rate) == 100


def test_a_burst_is_let_through_and_then_the_rate() -> None:
    rate = Rate(per_s=2, burst=3)
    assert [rate.take("s", 0) for _ in range(4)] == [None, None, None, 1]
    assert rate.take("other", 0) is None
    assert rate.take("s", 0.5) is None
    assert rate.take("s", 0.5) == 1
    assert [rate.take("s", 100) for _ in range(4)] == [None, None, None, 1]


def test_a_clock_that_steps_back_gives_nothing_and_takes_nothing() -> None:
    rate = Rate(per_s=1, burst=1)
    assert rate.take("s", 100) is None
    assert rate.take("s", 50) == 1
    assert rate.take("s", 51) is None
