"""What a session costs at its broker, as Pusher counts messages: asks the pace, keeps count, tells when a budget is used up.

An event is one message and one more for each subscriber that gets it. What cannot be held back (typing, requests, people who
come and go) is counted and charged, never refused. Owned by the session's thread, but for `typed`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codewrap.protocol.pacing import Budget, Pace, Priority, RateLimit
from codewrap.store.spent import RECENT_S, BudgetLeft, Spent, read_spent, write_spent

# What follows on a keystroke is its echo, most likely: so many publishes, if they come within this time.
HURRIED_PUBLISHES = 2
HURRIED_S = 1.0
# The file is written no more often.
WRITE_INTERVAL_S = 2.0
# The last minutes are counted in so many pieces.
_SLOTS = 30
_SLOT_S = RECENT_S / _SLOTS


@dataclass(frozen=True, slots=True)
class CostPlan:
    """What a session may spend: messages in a period, events a second. None: as many as it takes; no rate set, and 0 for none."""

    events_per_s: float | None = None
    budget_messages: float | None = None
    budget_period_s: float = 86_400.0
    budget_text: str = ""


@dataclass(slots=True)
class _Present:
    """Who gets what: ``viewers`` hear the output, ``writers`` among them and ``hosts`` also what is typed."""

    viewers: int = 0
    writers: int = 0
    hosts: int = 1

    @property
    def of_output(self) -> int:
        return 1 + self.viewers

    @property
    def all(self) -> int:
        return self.viewers + self.hosts


class Spending:
    """Counts from where an earlier uplink of the session stood. ``directory`` is the session log's; None keeps nothing."""

    def __init__(self, plan: CostPlan, directory: Path | None, now_s: float, wall: Callable[[], float] = time.time) -> None:
        self._plan = plan
        self._directory = directory
        self._wall = wall
        earlier = read_spent(directory) if directory is not None else None
        known = earlier or Spent(since=wall())
        self._since = known.since
        self.events, self._bytes, self._messages, self._refused = known.events, known.bytes, known.messages, known.refused
        self._recent = deque(known.recent, _SLOTS + 1)
        self._budget: Budget | None = None
        if plan.budget_messages is not None:
            self._budget = Budget(plan.budget_messages, plan.budget_period_s, known.budget_left(wall()))
        self._resumed_s = None if earlier is None else now_s
        self._pace = self._paced_by(plan.events_per_s)
        self._present = _Present()
        self._hurried = 0
        self._hurried_until_s = 0.0
        self._ending = self._told = self._changed = False
        self._typed, self._typed_counted = [0, 0], [0, 0]
        self._write_at_s = 0.0

    def _paced_by(self, events_per_s: float | None) -> Pace:
        if not events_per_s:
            return Pace(None, self._budget)
        pace = Pace(RateLimit(events_per_s), self._budget)
        if self._resumed_s is not None:  # what left just before the crash is not known
            pace.hold_until(self._resumed_s + max(1.0, 1 / events_per_s))
        return pace

    def keep_below(self, events_per_s: float) -> None:
        """The broker is one where each event costs: its rate holds where none is set."""
        if self._plan.events_per_s is None:
            self._pace = self._paced_by(events_per_s)

    # -- what happens around us --------------------------------------------------------------------------------

    def watched_by(self, viewers: int, writers: int, hosts: int) -> None:
        """So many are on the presence channel."""
        self._present = _Present(viewers, writers, max(1, hosts))

    def hurry(self, now_s: float) -> None:
        """Somebody typed, or is new: what is said next is waited for."""
        self._hurried, self._hurried_until_s = HURRIED_PUBLISHES, now_s + HURRIED_S

    def ending(self) -> None:
        """What is said from now on are last words."""
        self._ending = True

    def typed(self, *, as_client_event: bool) -> None:
        """Input has come. From the subscriber's thread: counted with the next turn."""
        self._typed[as_client_event] += 1

    def asked(self, now_s: float, *, as_client_event: bool) -> None:
        """A request came on the presence channel."""
        self._charge(self._present.all + (not as_client_event), now_s)

    def somebody_moved(self, now_s: float, *, came: bool) -> None:
        """Somebody is new on the presence channel, or has left it: all others were told. Called after `watched_by`."""
        self._charge(self._present.all - came, now_s)

    def published(self, events: int, size_bytes: int, now_s: float) -> None:
        """Events of output have left."""
        self._pace.published(now_s, events, self._present.of_output)
        self._hurried = max(0, self._hurried - 1)
        self.events += events
        self._bytes += size_bytes
        self._count(events * self._present.of_output)

    def refused(self, retry_after_s: float | None, now_s: float) -> None:
        """A publish failed; the broker may have said for how long it wants no other."""
        if retry_after_s:
            self._pace.hold_until(now_s + min(retry_after_s, RECENT_S))
        self._refused += 1
        self._changed = self._directory is not None

    # -- what may be said --------------------------------------------------------------------------------------

    def wait_s(self, now_s: float) -> float:
        """Seconds until an event may leave."""
        return self._pace.wait_s(now_s, self._present.of_output, self._priority(now_s))

    def affords(self, now_s: float) -> int:
        """How many events may leave now, in one batch."""
        return self._pace.affords(now_s, self._present.of_output, self._priority(now_s))

    def thrifty(self, now_s: float) -> bool:
        """What need not be said is better left unsaid."""
        return self._budget is not None and self._budget.is_low(now_s)

    def news(self, now_s: float) -> str | None:
        """What viewers and the person at the host are to be told: once, when the budget is used up."""
        budget = self._budget
        if budget is None or not self._present.viewers:
            return None
        if not self._told and budget.is_used_up(self._present.of_output, now_s):
            self._told = True
            self.hurry(now_s)
            every_s = self._present.of_output / budget.per_s
            return (
                f"the budget of {self._plan.budget_text} messages is used up for now: "
                f"what is shown changes about every {every_s:.0f} s, nothing is lost"
            )
        if self._told and not budget.is_low(now_s):
            self._told = False
        return None

    def _priority(self, now_s: float) -> Priority:
        if self._ending:
            return Priority.LAST
        return Priority.ECHO if self._hurried and now_s <= self._hurried_until_s else Priority.ORDINARY

    # -- what was spent ----------------------------------------------------------------------------------------

    def report(self, now_s: float) -> dict[str, Any]:
        """For the end of `run`."""
        self._count_typed(now_s)
        return self._spent(now_s).public(self._wall())

    def turn(self, now_s: float) -> None:
        """Called with every step: count what was typed, and keep the file up."""
        self._count_typed(now_s)
        if self._changed and now_s >= self._write_at_s:
            self.keep(now_s)

    def due_s(self, now_s: float) -> float | None:
        """Seconds until `turn` has something to write; None when it has not."""
        return max(0.0, self._write_at_s - now_s) if self._changed else None

    def keep(self, now_s: float) -> None:
        """Write the file now. It is small and not synchronized with the disk: as good as no time."""
        self._changed = False
        self._write_at_s = now_s + WRITE_INTERVAL_S
        if self._directory is not None:
            write_spent(self._directory, self._spent(now_s))

    def _spent(self, now_s: float) -> Spent:
        budget = None
        if self._budget is not None and self._plan.budget_messages is not None:
            of, period_s = self._plan.budget_messages, self._plan.budget_period_s
            budget = BudgetLeft(of, period_s, self._budget.balance(now_s), self._budget.holds, self._budget.per_s)
        return Spent(
            at=self._wall(),
            since=self._since,
            events=self.events,
            bytes=self._bytes,
            messages=self._messages,
            refused=self._refused,
            recent=tuple(self._recent),
            budget=budget,
        )

    def _count_typed(self, now_s: float) -> None:
        for as_client_event in (False, True):
            new = self._typed[as_client_event] - self._typed_counted[as_client_event]
            if new:
                self._typed_counted[as_client_event] += new
                self._charge(new * (self._present.hosts + self._present.writers + (not as_client_event)), now_s)

    def _charge(self, messages: int, now_s: float) -> None:
        if messages > 0:
            if self._budget is not None:
                self._budget.charge(messages, now_s)
            self._count(messages)

    def _count(self, messages: int) -> None:
        self._messages += messages
        self._changed = self._directory is not None
        now = self._wall()
        if self._recent and 0 <= now - self._recent[-1][0] < _SLOT_S:
            began, before = self._recent[-1]
            self._recent[-1] = (began, before + messages)
        else:
            self._recent.append((now, messages))
