"""Counters in memory, bounded; and beside a shared storage that comes and goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from limits.aio.storage import Storage

from codewrap.server.counting import LEFT_ALONE_S, MemoryStorage, SteadyStorage
from codewrap.server.state import StateUnavailable

_T = TypeVar("_T")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Shared(MemoryStorage):
    """A storage that others count in too, and that can be away."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.away = False
        self.asked = 0

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        self._ask()
        return await super().incr(key, expiry, amount)

    async def get(self, key: str) -> int:
        self._ask()
        return await super().get(key)

    async def get_expiry(self, key: str) -> float:
        self._ask()
        return await super().get_expiry(key)

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise StateUnavailable("redis://away", "connection refused")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(work)


def test_a_counter_ends_its_seconds_after_its_first_count() -> None:
    clock = Clock()
    storage = MemoryStorage(clock)
    assert run(storage.incr("a", 60)) == 1
    clock.now_s += 59
    assert run(storage.incr("a", 60, 2)) == 3
    assert run(storage.get_expiry("a")) == 1_000_060
    clock.now_s += 1
    assert run(storage.get("a")) == 0
    assert run(storage.get_expiry("a")) == clock.now_s
    assert run(storage.incr("a", 60)) == 1


def test_counters_begin_anew_when_told_so() -> None:
    storage = MemoryStorage(Clock())
    for key in "ab":
        run(storage.incr(key, 60))
    run(storage.clear("a"))
    assert (run(storage.get("a")), run(storage.get("b"))) == (0, 1)
    assert run(storage.reset()) == 1
    assert run(storage.get("b")) == 0
    assert run(storage.check())


def test_memory_is_bounded_whatever_keys_come() -> None:
    storage = MemoryStorage(Clock(), tracked=100)
    for number in range(1000):
        run(storage.incr(f"key-{number}", 60))
    assert len(storage) == 100
    assert run(storage.get("key-999")) == 1


def test_a_count_shared_with_others_is_theirs_and_ours() -> None:
    clock = Clock()
    shared = Shared(clock)
    ours, theirs = SteadyStorage(shared, clock), SteadyStorage(shared, clock)
    assert run(ours.incr("a", 60)) == 1
    assert run(theirs.incr("a", 60)) == 2
    assert run(ours.get("a")) == 2
    run(ours.clear("a"))
    assert run(shared.get("a")) == 0
    assert run(ours.check())


def test_a_storage_that_is_away_is_counted_for_said_once_and_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    shared = Shared(clock)
    storage = SteadyStorage(shared, clock)
    run(storage.incr("a", 600, 5))
    shared.away = True
    with caplog.at_level(logging.WARNING):
        assert run(storage.incr("a", 600)) == 6
        asked = shared.asked
        assert run(storage.incr("a", 600)) == 7
        assert shared.asked == asked
        clock.now_s += LEFT_ALONE_S
        assert run(storage.get("a")) == 7
        assert shared.asked == asked + 1
    assert [record.message.split(":")[0] for record in caplog.records] == ["limits hold for this copy of the server alone"]


def test_a_storage_that_is_back_counts_again_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    shared = Shared(clock)
    storage = SteadyStorage(shared, clock)
    shared.away = True
    assert run(storage.get_expiry("a")) == clock.now_s
    shared.away = False
    clock.now_s += LEFT_ALONE_S
    assert run(storage.incr("a", 60)) == 1
    assert run(shared.get("a")) == 1
    assert caplog.records[-1].message == "limits hold for all copies of the server again"


def test_other_storages_are_not_asked_to_begin_anew_as_a_whole() -> None:
    clock = Clock()
    shared: Storage = Shared(clock)
    storage = SteadyStorage(shared, clock)
    run(storage.incr("a", 60))
    run(storage.reset())
    assert run(storage.get("a")) == 1
