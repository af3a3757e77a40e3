"""Who is away is told once of each prompt and once of the end; who watches is not."""

from __future__ import annotations

import math

import pytest

from codewrap.uplink.attention import State, Verdict
from codewrap.uplink.notifier import LATELY_S, SETTLE_S, Notifier
from codewrap.uplink.occurrence import Happening, Occurrence

ASKS = Verdict(State.AWAITING, ("it reads the terminal",), "Name:\x1b[31m")
WORKS = Verdict(State.WORKING, ("it writes",))


class Bench:
    def __init__(self) -> None:
        self.told: list[Occurrence] = []
        self.notifier = Notifier("build", "run", self.told.append, lambda: 1_800_000_000.0)

    def asks(self, now_s: float, prompt: int = 1) -> list[Happening]:
        self.notifier.judged(ASKS, prompt, now_s)
        return [each.event for each in self.told]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_prompt_that_stands_is_told_once(bench: Bench) -> None:
    assert bench.notifier.due_s() == math.inf
    assert bench.asks(10.0) == []
    assert bench.notifier.due_s() == 10.0 + SETTLE_S
    assert not bench.notifier.has_told
    assert bench.asks(10.0 + SETTLE_S) == [Happening.AWAITING]
    assert bench.notifier.has_told
    assert bench.notifier.due_s() == math.inf
    assert bench.asks(1000.0) == [Happening.AWAITING]
    said = bench.told[0]
    assert (said.session, said.text, said.attach) == ("build", "Name:\\x1b[31m", "codewrap attach build")
    assert said.at == 1_800_000_000.0


def test_next_prompt_is_told_too_and_has_another_number(bench: Bench) -> None:
    bench.asks(10.0)
    bench.asks(20.0)
    bench.asks(21.0, prompt=2)
    assert bench.asks(21.0 + SETTLE_S, prompt=2) == [Happening.AWAITING] * 2


def test_prompt_that_is_answered_soon_is_not_told(bench: Bench) -> None:
    bench.asks(10.0)
    bench.notifier.judged(WORKS, 1, 11.0)
    assert bench.notifier.due_s() == math.inf
    assert bench.asks(13.0, prompt=2) == []


def test_prompt_is_held_back_while_somebody_watches(bench: Bench) -> None:
    bench.notifier.watched_by(1)
    bench.asks(10.0)
    assert bench.asks(100.0) == []
    assert bench.notifier.due_s() == math.inf
    bench.notifier.watched_by(0)
    assert bench.notifier.due_s() <= 100.0
    assert bench.asks(100.0) == [Happening.AWAITING]


def test_prompt_is_held_back_while_somebody_types_at_the_host(bench: Bench) -> None:
    bench.notifier.typed_here(9.0)
    bench.asks(10.0)
    assert bench.asks(20.0) == []
    assert bench.notifier.due_s() == 9.0 + LATELY_S
    bench.notifier.typed_here(30.0)
    assert bench.asks(9.0 + LATELY_S) == []
    assert bench.asks(30.0 + LATELY_S) == [Happening.AWAITING]


def test_terminal_in_the_background_holds_nothing_back(bench: Bench) -> None:
    bench.notifier.typed_here(9.0)
    bench.notifier.typed_here(None)
    bench.asks(10.0)
    assert bench.asks(10.0 + SETTLE_S) == [Happening.AWAITING]


@pytest.mark.parametrize(
    ("code", "signal", "event", "text"),
    [
        (0, None, Happening.ENDED, "exit 0"),
        (1, None, Happening.FAILED, "exit 1"),
        (None, 9, Happening.FAILED, "killed by signal 9"),
    ],
)
def test_end_is_told_once(bench: Bench, code: int | None, signal: int | None, event: Happening, text: str) -> None:
    bench.asks(10.0)
    bench.notifier.ended(code, signal, 11.0)
    bench.notifier.ended(code, signal, 11.0)
    assert [(each.event, each.text) for each in bench.told] == [(event, text)]
    assert bench.notifier.due_s() == math.inf


def test_host_that_is_gone_is_a_failure_unless_the_end_was_known(bench: Bench) -> None:
    bench.notifier.ended(None, None, 10.0)
    assert bench.told == []
    bench.notifier.lost(11.0)
    bench.notifier.lost(11.0)
    assert [(each.event, each.text) for each in bench.told] == [(Happening.FAILED, "lost: its host process is gone")]
    known = Bench()
    known.notifier.ended(0, None, 10.0)
    known.notifier.lost(11.0)
    assert [each.event for each in known.told] == [Happening.ENDED]


def test_who_is_here_sees_the_end(bench: Bench) -> None:
    bench.notifier.watched_by(1)
    bench.notifier.ended(0, None, 10.0)
    bench.notifier.watched_by(0)
    bench.notifier.ended(0, None, 10.0)
    assert bench.told == []
    here = Bench()
    here.notifier.typed_here(9.0)
    here.notifier.ended(1, None, 10.0)
    assert here.told == []
    away = Bench()
    away.notifier.typed_here(9.0)
    away.notifier.ended(1, None, 9.0 + LATELY_S)
    assert [each.event for each in away.told] == [Happening.FAILED]


def test_what_an_uplink_before_has_told_is_not_told_again(bench: Bench) -> None:
    bench.notifier.resume()
    bench.asks(10.0)
    assert bench.asks(100.0) == []
    bench.asks(101.0, prompt=2)
    assert bench.asks(110.0, prompt=2) == [Happening.AWAITING]
