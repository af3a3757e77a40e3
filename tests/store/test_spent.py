"""What was spent, on disk and per day: it comes back as it was written, and what makes no sense counts as nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from codewrap.store.spent import DAY_S, FILE_NAME, RECENT_S, BudgetLeft, Spent, read_spent, write_spent

BUDGET = BudgetLeft(messages=50_000, period_s=86_400.0, left=100.0, holds=25_000.0, per_s=0.5)
SPENT = Spent(
    at=2000.0,
    since=1000.0,
    events=7,
    bytes=900,
    messages=15,
    refused=1,
    recent=((1500.0, 5), (1990.0, 10)),
    budget=BUDGET,
)


@pytest.mark.parametrize("spent", [SPENT, Spent(), replace(SPENT, budget=None)])
def test_it_comes_back_and_is_private(tmp_path: Path, spent: Spent) -> None:
    write_spent(tmp_path, Spent(events=1))
    write_spent(tmp_path, spent)
    assert read_spent(tmp_path) == spent
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_nothing_written_is_nothing_known(tmp_path: Path) -> None:
    assert read_spent(tmp_path) is None
    assert read_spent(tmp_path / "gone") is None


def test_a_directory_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    write_spent(tmp_path / "gone", SPENT)
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "garbage",
        json.dumps(asdict(SPENT))[:-9],
        json.dumps(asdict(SPENT) | {"events": "7"}),
        json.dumps(asdict(SPENT) | {"recent": [1]}),
        json.dumps(asdict(SPENT) | {"budget": {"messages": 1}}),
        json.dumps(asdict(SPENT) | {"budget": asdict(BUDGET) | {"left": float("nan")}}),
        json.dumps(asdict(SPENT) | {"unknown": 1}),
    ],
)
def test_what_makes_no_sense_is_nothing_known(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert read_spent(tmp_path) is None


def test_a_day_at_this_rate_is_that_of_the_last_minutes() -> None:
    assert SPENT.per_day(2000.0) == round(10 * DAY_S / RECENT_S)
    assert SPENT.per_day(1990.0 + RECENT_S) == 0
    assert SPENT.mean_per_day(2000.0) == round(15 * DAY_S / 1000)


def test_a_young_session_is_counted_as_a_minute_old() -> None:
    spent = Spent(at=1001.0, since=1000.0, messages=6, recent=((1000.0, 6),))
    assert spent.per_day(1001.0) == spent.mean_per_day(1001.0) == 6 * 24 * 60
    assert spent.per_day(1120.0) == 3 * 24 * 60


def test_the_budget_goes_on_filling_after_it_was_written() -> None:
    assert SPENT.budget_left(2000.0) == 100
    assert SPENT.budget_left(2010.0) == 105
    assert SPENT.budget_left(1990.0) == 100
    assert SPENT.budget_left(9e9) == 25_000
    assert Spent().budget_left(5.0) is None


def test_programs_are_told_in_whole_numbers() -> None:
    assert SPENT.public(2001.0) == {
        "events": 7,
        "bytes": 900,
        "messages": 15,
        "refused": 1,
        "messages_per_day_estimate": 2880,
        "messages_per_day_mean": 1295,
        "budget": {"messages": 50_000, "period_s": 86_400.0, "left": 100},
    }
    in_debt = replace(SPENT, budget=replace(BUDGET, left=-5.0))
    assert in_debt.public(2000.0)["budget"]["left"] == 0
    assert Spent().public(0.0)["budget"] is None
