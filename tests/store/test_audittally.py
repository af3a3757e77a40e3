"""A flood of refusals in the audit log: every one is in a line or in a count, and the lines are few."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from codewrap.store.audittally import COUNTED_S, MAX_KINDS, RefusalTally


class Written:
    """What was written: (event, fields), and when each was."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.times: list[float | None] = []

    def __call__(self, event: str, fields: Mapping[str, Any], at_s: float | None) -> None:
        self.lines.append((event, dict(fields)))
        self.times.append(at_s)


def test_few_refusals_are_lines_of_their_own() -> None:
    written = Written()
    tally = RefusalTally(written, 3)
    for second in range(4):
        for number in range(3):
            tally.refused("input", {"user": "eve", "offset": number}, float(second), 1000.0 + second)
    tally.flush()
    assert written.lines == [("input", {"user": "eve", "offset": number}) for _ in range(4) for number in range(3)]
    assert written.times == [1000.0 + second for second in range(4) for _ in range(3)]


def test_a_flood_is_counted_by_who_and_why_and_written_when_it_is_over() -> None:
    written = Written()
    tally = RefusalTally(written, 2)
    for number in range(100):
        tally.refused("input", {"user": "eve" if number % 2 else "mallory", "why": "read-only", "size": 3}, 0.5)
    assert len(written.lines) == 2
    tally.tick(0.5 + COUNTED_S / 2)
    assert len(written.lines) == 2
    tally.tick(0.5 + COUNTED_S)
    assert written.lines[2:] == [
        ("input", {"accepted": False, "count": 49, "size": 147, "user": user, "why": "read-only"}) for user in ("mallory", "eve")
    ]
    tally.tick(100.0)
    tally.flush()
    assert len(written.lines) == 4


def test_kinds_beyond_a_bound_are_counted_together() -> None:
    written = Written()
    tally = RefusalTally(written, 0)
    for number in range(MAX_KINDS + 10):
        tally.refused("authentication", {"address": f"192.0.2.{number}"}, 0.0)
    tally.flush()
    assert len(written.lines) == MAX_KINDS + 1
    assert written.lines[-1] == ("refusals", {"accepted": False, "count": 10, "size": 0})


@given(
    st.lists(st.tuples(st.floats(-1, 3), st.sampled_from("abc"), st.integers(0, 9), st.booleans()), max_size=200),
    st.integers(0, 5),
)
def test_no_refusal_is_forgotten(steps: list[tuple[float, str, int, bool]], most: int) -> None:
    written = Written()
    tally = RefusalTally(written, most)
    now_s = 0.0
    for pause_s, user, size, with_tick in steps:
        now_s += pause_s  # a clock that goes back included
        tally.refused("input", {"user": user, "size": size}, now_s)
        if with_tick:
            tally.tick(now_s)
    tally.flush()
    for user in "abc":
        lines = [fields for _, fields in written.lines if fields["user"] == user]
        assert sum(fields.get("count", 1) for fields in lines) == sum(step[1] == user for step in steps)
        assert sum(fields["size"] for fields in lines) == sum(step[2] for step in steps if step[1] == user)
