"""What a session has spent at its broker: one small file in the session's log directory, which goes with the session.

The uplink writes it, at most every few seconds; `ls`, `run` at its end, and the next uplink after a crash read it. It stands
there and not in the session's record, because that is the host's to write and the host waits for no disk on behalf of a number.
"""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codewrap.errors import StoreError
from codewrap.store.files import write_private

FILE_NAME = "spent"
# "At this rate" is that of the last minutes; the first minute of a session counts as a whole one.
RECENT_S = 300.0
LEAST_S = 60.0
DAY_S = 86_400.0
_MAX_FILE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """A budget of ``messages`` in ``period_s``; ``left`` may go at once, up to ``holds``, and ``per_s`` come back."""

    messages: float
    period_s: float
    left: float
    holds: float
    per_s: float


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent until ``at``, since ``since`` (seconds since 1970). ``recent``: (when, messages) of the last minutes."""

    at: float = 0.0
    since: float = 0.0
    events: int = 0
    bytes: int = 0
    messages: int = 0
    refused: int = 0
    recent: tuple[tuple[float, int], ...] = ()
    budget: BudgetLeft | None = None

    def per_day(self, now: float) -> int:
        """Messages a day at the rate of the last five minutes."""
        messages = sum(count for when, count in self.recent if now - when < RECENT_S)
        return round(messages * DAY_S / min(RECENT_S, max(LEAST_S, now - self.since)))

    def mean_per_day(self, now: float) -> int:
        """Messages a day at the mean rate since the session began."""
        return round(self.messages * DAY_S / max(LEAST_S, now - self.since))

    def budget_left(self, now: float) -> float | None:
        """Messages that may go at once by now; None without a budget."""
        budget = self.budget
        return None if budget is None else min(budget.holds, budget.left + budget.per_s * max(0.0, now - self.at))

    def public(self, now: float) -> dict[str, Any]:
        """What `ls --json` shows."""
        left = self.budget_left(now)
        budget = None
        if self.budget is not None and left is not None:
            budget = {"messages": self.budget.messages, "period_s": self.budget.period_s, "left": max(0, math.floor(left))}
        return {
            "events": self.events,
            "bytes": self.bytes,
            "messages": self.messages,
            "refused": self.refused,
            "messages_per_day_estimate": self.per_day(now),
            "messages_per_day_mean": self.mean_per_day(now),
            "budget": budget,
        }


def write_spent(directory: Path, spent: Spent) -> None:
    """Replace what stands there. A disk that refuses is no reason to stop anything: then it is not known."""
    with contextlib.suppress(StoreError):
        write_private(directory / FILE_NAME, json.dumps(asdict(spent)).encode())


def read_spent(directory: Path) -> Spent | None:
    """What was written last; None where there is nothing, or nothing that makes sense."""
    try:
        with (directory / FILE_NAME).open("rb") as file:
            fields = json.loads(file.read(_MAX_FILE_BYTES))
        budget = fields.pop("budget")
        recent = tuple((float(when), int(count)) for when, count in fields.pop("recent"))
        spent = Spent(**fields, recent=recent, budget=None if budget is None else BudgetLeft(**budget))
        return spent if _makes_sense(spent) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _makes_sense(spent: Spent) -> bool:
    numbers = [spent.at, spent.since, spent.events, spent.bytes, spent.messages, spent.refused]
    if spent.budget is not None:
        numbers += asdict(spent.budget).values()
    return all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
