"""What is spent, as Pusher counts it: who gets how much, what is told of a budget, and that a crash resets nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from codewrap.uplink.spending import CostPlan, Spending

PER_MINUTE = CostPlan(budget_messages=60, budget_period_s=60.0, budget_text="60/min")


class Clock:
    """Both clocks, turned by hand: seconds since whatever, and seconds since 1970."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def wall(self) -> float:
        return self.now_s + 1e9

    def spending(self, plan: CostPlan | None = None, directory: Path | None = None) -> Spending:
        return Spending(plan or CostPlan(), directory, self.now_s, self.wall)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def messages(spending: Spending, clock: Clock) -> int:
    """How many were counted by now."""
    return int(spending.report(clock.now_s)["messages"])


# -- counting --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("viewers", "cost"), [(1, 2), (5, 6)])
def test_an_event_of_output_is_a_message_and_one_for_each_viewer(clock: Clock, viewers: int, cost: int) -> None:
    spending = clock.spending()
    spending.watched_by(viewers, writers=1, hosts=1)
    spending.published(3, 450, clock.now_s)
    said = spending.report(clock.now_s)
    assert (said["events"], said["bytes"], said["messages"], said["refused"]) == (3, 450, 3 * cost, 0)


def test_a_keystroke_is_a_message_and_one_for_the_host_and_each_other_writer(clock: Clock) -> None:
    spending = clock.spending()
    spending.watched_by(5, writers=3, hosts=1)
    spending.typed(as_client_event=True)
    spending.typed(as_client_event=True)
    assert messages(spending, clock) == 2 * (1 + 1 + 2)
    spending.typed(as_client_event=False)  # over HTTP it goes to its writer too
    assert messages(spending, clock) == 2 * (1 + 1 + 2) + (1 + 1 + 3)


def test_a_request_goes_to_all_others_who_are_present(clock: Clock) -> None:
    spending = clock.spending()
    spending.watched_by(3, writers=3, hosts=1)
    spending.asked(clock.now_s, as_client_event=True)
    assert messages(spending, clock) == 1 + 3
    spending.asked(clock.now_s, as_client_event=False)
    assert messages(spending, clock) == 1 + 3 + 1 + 4


def test_coming_and_going_is_told_to_all_others(clock: Clock) -> None:
    spending = clock.spending()
    spending.somebody_moved(clock.now_s, came=True)
    assert messages(spending, clock) == 0  # the host alone
    spending.watched_by(2, writers=2, hosts=1)
    spending.somebody_moved(clock.now_s, came=True)
    assert messages(spending, clock) == 2
    spending.watched_by(1, writers=1, hosts=1)
    spending.somebody_moved(clock.now_s, came=False)
    assert messages(spending, clock) == 4


def test_the_last_minutes_make_the_rate_and_older_ones_only_the_mean(clock: Clock) -> None:
    spending = clock.spending()
    spending.watched_by(1, writers=1, hosts=1)
    for _ in range(100):
        spending.published(1, 100, clock.now_s)
        clock.now_s += 1.0
    assert spending.report(clock.now_s)["messages_per_day_estimate"] == 2 * 86_400
    clock.now_s += 400.0
    said = spending.report(clock.now_s)
    assert (said["messages_per_day_estimate"], said["messages_per_day_mean"]) == (0, round(200 * 86_400 / 500))
