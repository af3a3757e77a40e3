"""What is to be told arrives, late if it must, or is said to be given up; no target waits for another."""

from __future__ import annotations

import threading

from codewrap.errors import TransportError
from codewrap.uplink.courier import GIVE_UP_S, MAX_WAITING, Courier
from codewrap.uplink.occurrence import Happening, Occurrence

WAIT_S = 30.0


def occurrence(number: int = 1) -> Occurrence:
    return Occurrence(Happening.AWAITING, "build", "Name:", (), 0.0, "codewrap attach build", str(number))


class Target:
    """Fails as often as it is told to, waits while it is told to."""

    def __init__(self, failures: int = 0, *, retry: bool = True) -> None:
        self.failures = failures
        self.retry = retry
        self.tries = 0
        self.brought: list[str] = []
        self.called = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def deliver(self, occurrence: Occurrence) -> None:
        self.tries += 1
        self.called.set()
        assert self.goes_on.wait(WAIT_S)
        if self.failures:
            self.failures -= 1
            raise TransportError("there", "is away", retry=self.retry)
        self.brought.append(occurrence.number)


class Clock:
    """Goes on by so much at each look."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.now_s = 0.0
        self.step_s = step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


class Bench:
    def __init__(self, *targets: Target, step_s: float = 0.0) -> None:
        self.failed: list[str] = []
        self.courier = Courier(targets, self.failed.append, Clock(step_s), retry_first_s=0.0)


def test_close_waits_until_all_is_brought() -> None:
    target = Target(failures=2)
    bench = Bench(target)
    bench.courier.tell(occurrence())
    bench.courier.close()
    assert (target.tries, target.brought, bench.failed) == (3, ["1"], [])


def test_what_will_not_work_is_not_tried_again_and_said_once() -> None:
    target = Target(failures=2, retry=False)
    bench = Bench(target)
    for number in (1, 2, 3):
        bench.courier.tell(occurrence(number))
    bench.courier.close()
    assert (target.tries, target.brought) == (3, ["3"])
    assert bench.failed == ["there: is away"]


def test_after_a_time_it_is_given_up() -> None:
    target = Target(failures=1_000_000)
    bench = Bench(target, step_s=GIVE_UP_S / 4)
    bench.courier.tell(occurrence())
    bench.courier.close()
    assert 1 <= target.tries <= 4
    assert bench.failed == ["there: is away"]


def test_target_that_hangs_holds_no_other_up_and_only_so_much_waits_for_it() -> None:
    hanging, quick = Target(), Target()
    hanging.goes_on.clear()
    bench = Bench(hanging, quick)
    bench.courier.tell(occurrence(0))
    assert hanging.called.wait(WAIT_S)
    for number in range(1, MAX_WAITING + 10):
        bench.courier.tell(occurrence(number))
    hanging.goes_on.set()
    bench.courier.close()
    assert hanging.brought == ["0", *map(str, range(10, MAX_WAITING + 10))]
    assert quick.brought[-1] == str(MAX_WAITING + 9)


def test_without_news_there_is_nothing_to_close() -> None:
    Bench(Target()).courier.close()
    Courier((), lambda _: None).close()
