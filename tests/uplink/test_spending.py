"""What is spent, as Pusher counts it: who gets how much, what is told of a budget, and that a crash resets nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from codewrap.protocol.pacing import MAX_BATCH
from codewrap.store.spent import Spent, read_spent
from codewrap.uplink.spending import HURRIED_PUBLISHES, HURRIED_S, WRITE_INTERVAL_S, CostPlan, Spending

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


# -- what may leave --------------------------------------------------------------------------------------------


def flood(spending: Spending, clock: Clock, seconds: float) -> list[tuple[float, int]]:
    """Say as much as may be said; when how many events left."""
    left, until_s = [], clock.now_s + seconds
    while (clock.now_s + (wait_s := spending.wait_s(clock.now_s))) < until_s:
        clock.now_s += wait_s
        events = spending.affords(clock.now_s)
        if events:  # none where what was hurried for has become ordinary meanwhile
            spending.published(events, 100 * events, clock.now_s)
            left.append((clock.now_s, events))
        clock.now_s += 0.01
    return left


def test_without_limits_there_is_no_waiting(clock: Clock) -> None:
    spending = clock.spending()
    spending.watched_by(1, writers=1, hosts=1)
    for _ in range(100):
        assert (spending.wait_s(clock.now_s), spending.affords(clock.now_s)) == (0, MAX_BATCH)
        spending.published(MAX_BATCH, 1000, clock.now_s)
    assert not spending.thrifty(clock.now_s)
    assert spending.news(clock.now_s) is None


@pytest.mark.parametrize(("rate", "most"), [(None, 10), (5.0, 5), (0.0, None)])
def test_a_hosted_broker_has_a_rate_unless_another_or_none_is_set(clock: Clock, rate: float | None, most: int | None) -> None:
    spending = clock.spending(CostPlan(events_per_s=rate))
    spending.keep_below(10.0)
    spending.watched_by(1, writers=1, hosts=1)
    events = sum(count for _, count in flood(spending, clock, 0.99))
    assert events <= most if most else events > 100


def test_what_follows_on_a_keystroke_does_not_wait_behind_a_flood(clock: Clock) -> None:
    spending = clock.spending(CostPlan(events_per_s=5.0))
    spending.watched_by(1, writers=1, hosts=1)
    flood(spending, clock, 3.0)
    clock.now_s += spending.wait_s(clock.now_s)
    spending.published(1, 100, clock.now_s)
    assert spending.wait_s(clock.now_s) > 0
    spending.hurry(clock.now_s)
    assert spending.wait_s(clock.now_s) == 0


def test_a_keystroke_without_an_echo_hurries_nothing_later(clock: Clock) -> None:
    spending = clock.spending(PER_MINUTE)
    spending.watched_by(1, writers=1, hosts=1)
    flood(spending, clock, 60.0)
    spending.hurry(clock.now_s)
    assert spending.wait_s(clock.now_s) == 0
    clock.now_s += HURRIED_S + 0.01
    assert spending.wait_s(clock.now_s) > 0


def test_only_the_next_events_are_hurried(clock: Clock) -> None:
    spending = clock.spending(CostPlan(events_per_s=10.0))
    spending.watched_by(1, writers=1, hosts=1)
    spending.published(5, 100, clock.now_s)
    spending.hurry(clock.now_s)
    for _ in range(HURRIED_PUBLISHES):
        assert spending.wait_s(clock.now_s) == 0
        spending.published(1, 100, clock.now_s)
    assert spending.wait_s(clock.now_s) > 0


def test_a_broker_that_asks_for_patience_has_it_but_not_for_ever(clock: Clock) -> None:
    spending = clock.spending()
    spending.refused(None, clock.now_s)
    assert spending.wait_s(clock.now_s) == 0
    spending.refused(7.0, clock.now_s)
    assert spending.wait_s(clock.now_s) == 7
    spending.refused(1e9, clock.now_s)
    assert spending.wait_s(clock.now_s) == 300
    assert spending.report(clock.now_s)["refused"] == 3


# -- the budget ------------------------------------------------------------------------------------------------


def test_a_budget_that_is_used_up_is_told_once_and_again_when_it_had_recovered(clock: Clock) -> None:
    spending = clock.spending(PER_MINUTE)
    spending.watched_by(1, writers=1, hosts=1)
    assert spending.news(clock.now_s) is None
    flood(spending, clock, 60.0)
    assert spending.thrifty(clock.now_s)
    told = spending.news(clock.now_s)
    assert told is not None
    assert "60/min" in told
    assert "every 4 s" in told
    assert spending.wait_s(clock.now_s) == 0  # it is told at once
    flood(spending, clock, 60.0)
    assert spending.news(clock.now_s) is None
    clock.now_s += 120.0
    assert spending.news(clock.now_s) is None
    assert not spending.thrifty(clock.now_s)
    flood(spending, clock, 60.0)
    assert spending.news(clock.now_s) is not None


def test_nobody_is_told_of_a_budget_when_nobody_watches(clock: Clock) -> None:
    spending = clock.spending(PER_MINUTE)
    spending.watched_by(1, writers=1, hosts=1)
    flood(spending, clock, 60.0)
    spending.watched_by(0, writers=0, hosts=1)
    assert spending.news(clock.now_s) is None


def test_typing_is_charged_and_output_waits_for_it_but_not_for_ever(clock: Clock) -> None:
    spending = clock.spending(PER_MINUTE)
    spending.watched_by(1, writers=1, hosts=1)
    for _ in range(50):
        spending.typed(as_client_event=True)
    spending.turn(clock.now_s)
    assert messages(spending, clock) == 100
    assert spending.report(clock.now_s)["budget"]["left"] == 0
    flood(spending, clock, 60.0)
    clock.now_s += 0.01
    assert spending.wait_s(clock.now_s) > 4
    assert len(flood(spending, clock, 60.0)) > 5


def test_the_end_is_said_out_of_what_was_kept_for_it(clock: Clock) -> None:
    spending = clock.spending(PER_MINUTE)
    spending.watched_by(1, writers=1, hosts=1)
    flood(spending, clock, 60.0)
    assert spending.affords(clock.now_s) == 0
    spending.ending()
    assert spending.affords(clock.now_s) > 1


# -- the file --------------------------------------------------------------------------------------------------


def test_the_numbers_are_written_seldom_and_only_when_they_have_changed(clock: Clock, tmp_path: Path) -> None:
    spending = clock.spending(PER_MINUTE, tmp_path)
    spending.watched_by(1, writers=1, hosts=1)
    spending.turn(clock.now_s)
    assert spending.due_s(clock.now_s) is None
    assert read_spent(tmp_path) is None
    spending.published(1, 100, clock.now_s)
    assert spending.due_s(clock.now_s) == 0
    spending.turn(clock.now_s)
    first = read_spent(tmp_path)
    assert first is not None
    assert (first.events, first.bytes, first.messages) == (1, 100, 2)
    clock.now_s += WRITE_INTERVAL_S / 2
    spending.published(1, 100, clock.now_s)
    spending.turn(clock.now_s)
    assert read_spent(tmp_path) == first
    assert spending.due_s(clock.now_s) == pytest.approx(WRITE_INTERVAL_S / 2)
    clock.now_s += WRITE_INTERVAL_S / 2
    spending.turn(clock.now_s)
    second = read_spent(tmp_path)
    assert second is not None
    assert second.messages == 4
    assert second.budget is not None
    assert second.budget.left == pytest.approx(27.0)  # of 30, and one has come back


def test_without_a_place_nothing_is_due(clock: Clock) -> None:
    spending = clock.spending()
    spending.published(1, 100, clock.now_s)
    spending.turn(clock.now_s)
    assert spending.due_s(clock.now_s) is None


def test_a_disk_that_refuses_harms_nobody(clock: Clock, tmp_path: Path) -> None:
    spending = clock.spending(PER_MINUTE, tmp_path / "gone")
    spending.published(1, 100, clock.now_s)
    spending.turn(clock.now_s)
    assert messages(spending, clock) == 1


def test_an_uplink_that_takes_over_goes_on_counting_with_the_same_budget(clock: Clock, tmp_path: Path) -> None:
    first = clock.spending(PER_MINUTE, tmp_path)
    first.watched_by(1, writers=1, hosts=1)
    flood(first, clock, 60.0)
    first.keep(clock.now_s)
    before = first.report(clock.now_s)
    second = clock.spending(PER_MINUTE, tmp_path)
    second.watched_by(1, writers=1, hosts=1)
    assert second.report(clock.now_s) == before
    assert second.thrifty(clock.now_s)
    assert second.affords(clock.now_s) == 0
    clock.now_s += 120.0
    assert second.affords(clock.now_s) > 0


def test_an_uplink_that_takes_over_does_not_begin_a_second_anew(clock: Clock, tmp_path: Path) -> None:
    clock.spending(CostPlan(4.0), tmp_path).keep(clock.now_s)
    assert read_spent(tmp_path) == Spent(at=clock.wall(), since=clock.wall())
    assert clock.spending(CostPlan(4.0), tmp_path).wait_s(clock.now_s) == 1
    assert clock.spending(CostPlan(0.5), tmp_path).wait_s(clock.now_s) == 2
