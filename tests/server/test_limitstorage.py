"""The `limits` library counts in each kind of store, for all copies together."""

from __future__ import annotations

import asyncio

import pytest
from limits import RateLimitItemPerMinute
from limits.aio.strategies import FixedWindowRateLimiter

from codewrap.server.limitstorage import StateStorage
from codewrap.server.state import StateStore, StateUnavailable
from tests.support.stores import Place, opened_store

THREE = RateLimitItemPerMinute(3)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_limit_holds_for_two_copies_together_and_ends_with_its_window(place: Place) -> None:
    clock = Clock()

    async def use(store: StateStore) -> None:
        async with opened_store(place) as other:
            one, two = (FixedWindowRateLimiter(StateStorage(each, clock)) for each in (store, other))
            assert [await one.hit(THREE, "alice"), await two.hit(THREE, "alice"), await one.hit(THREE, "alice")] == [True] * 3
            clock.now_s += 10
            assert not await two.hit(THREE, "alice")
            assert not await one.test(THREE, "alice")
            assert await two.hit(THREE, "bob")
            stats = await one.get_window_stats(THREE, "alice")
            assert (stats.reset_time, stats.remaining) == (clock.now_s + 50, 0)
            clock.now_s += 50
            assert await two.test(THREE, "alice")
            assert await two.hit(THREE, "alice", cost=3)

    place.play(use)


def test_a_cleared_limit_begins_anew(place: Place) -> None:
    async def use(store: StateStore) -> None:
        limiter = FixedWindowRateLimiter(StateStorage(store, Clock()))
        assert await limiter.hit(THREE, "alice", cost=3)
        await limiter.clear(THREE, "alice")
        assert await limiter.hit(THREE, "alice")
        assert (await limiter.get_window_stats(THREE, "alice")).remaining == 2

    place.play(use)


def test_nothing_of_the_store_is_removed_by_a_reset(place: Place) -> None:
    async def use(store: StateStore) -> None:
        storage = StateStorage(store, Clock())
        await storage.incr("key", 60)
        assert await storage.reset() is None
        assert await storage.get("key") == 1

    place.play(use)


@pytest.mark.debian
def test_a_store_that_does_not_answer_comes_through_and_is_no_limit(server_place: Place) -> None:
    server = server_place.server
    assert server is not None

    async def use(store: StateStore) -> None:
        storage = StateStorage(store)
        limiter = FixedWindowRateLimiter(storage)
        assert await storage.check()
        with server.stopped():
            answers = await asyncio.gather(limiter.hit(THREE, "a"), storage.check(), return_exceptions=True)
        assert isinstance(answers[0], StateUnavailable)
        assert answers[1] is False
        assert await storage.check()

    server_place.play(use)
