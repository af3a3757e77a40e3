"""Lets the `limits` library count in a `StateStore`, so that what is counted holds for all copies of the server.

For its fixed window: one that begins with the first count of a key. What the library would do with a database of its own
(another connection, another setting, other time limits) is not used.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from limits.aio.storage import Storage

from codewrap.server.state import StateStore, StateUnavailable


class StateStorage(Storage):
    """For `limits.aio.strategies.FixedWindowRateLimiter`. Where the store does not answer, StateUnavailable comes through."""

    STORAGE_SCHEME = None  # made by hand, never out of a URL

    def __init__(self, store: StateStore, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._store = store
        self._clock = clock

    @property
    def base_exceptions(self) -> type[Exception]:
        return StateUnavailable

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add ``amount``; the counter's value, those counts that came too late included."""
        value, _ = await self._store.count(key, expiry, amount, self._clock())
        return value

    async def get(self, key: str) -> int:
        """The counter's value."""
        value, _ = await self._store.counted(key, self._clock())
        return value

    async def get_expiry(self, key: str) -> float:
        """When it ends, in seconds since 1970; now, where there is none."""
        _, ends = await self._store.counted(key, self._clock())
        return ends

    async def check(self) -> bool:
        """Whether the store answers."""
        try:
            await self._store.version()
        except StateUnavailable:
            return False
        return True

    async def clear(self, key: str) -> None:
        """The counter begins anew."""
        await self._store.forget_count(key)

    async def reset(self) -> int | None:
        """Nothing: the store is not for counters alone, and other copies count in it."""
        return None
