"""Where the `limits` library counts: in memory, or in a shared storage that is left alone while it does not answer.

The library's own memory storage looks at every key at each count (2.9 ms of CPU with 20000 keys, which any flood of addresses
makes) and has no bound. This one looks at one key, and forgets the oldest beyond TRACKED.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from limits.aio.storage import Storage

from codewrap.server.state import StateUnavailable

TRACKED = 16_384  # an attacker with more addresses than that is not stopped by address
LEFT_ALONE_S = 5.0
LOGGER = logging.getLogger("codewrap.server")
_T = TypeVar("_T")


class MemoryStorage(Storage):
    """Counters of one process, each from its first count until ``expiry`` seconds later. ``clock`` is seconds since 1970."""

    STORAGE_SCHEME = None  # made by hand, never out of a URL

    def __init__(self, clock: Callable[[], float] = time.time, tracked: int = TRACKED) -> None:
        super().__init__()
        self._clock = clock
        self._tracked = tracked
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add ``amount``; the counter's value."""
        value, ends = self._current(key)
        self._counts[key] = value + amount, ends if value else self._clock() + expiry
        if len(self._counts) > self._tracked:
            self._counts.popitem(last=False)
        return value + amount

    async def get(self, key: str) -> int:
        """The counter's value."""
        return self._current(key)[0]

    async def get_expiry(self, key: str) -> float:
        """When it ends; now, where there is none."""
        return self._current(key)[1]

    async def check(self) -> bool:
        """Memory is always there."""
        return True

    async def clear(self, key: str) -> None:
        """The counter begins anew."""
        self._counts.pop(key, None)

    async def reset(self) -> int:
        """All begin anew."""
        count = len(self._counts)
        self._counts.clear()
        return count

    def _current(self, key: str) -> tuple[int, float]:
        found = self._counts.get(key)
        now_s = self._clock()
        if found is None or found[1] <= now_s:
            self._counts.pop(key, None)
            return 0, now_s
        return found


class SteadyStorage(Storage):
    """``shared`` as long as it answers, memory beside it all the time: an outage neither stops nor forgets anything.

    After an outage is seen ``shared`` is not asked for LEFT_ALONE_S, so that no request but the one waits for it.
    """

    STORAGE_SCHEME = None

    def __init__(self, shared: Storage, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._shared = shared
        self._memory = MemoryStorage(clock)
        self._clock = clock
        self._ask_at_s = float("-inf")
        self._away = False

    @property
    def base_exceptions(self) -> type[Exception]:
        return StateUnavailable

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add ``amount``; the greater of both values."""
        own = await self._memory.incr(key, expiry, amount)
        return max(own, await self._asked(lambda: self._shared.incr(key, expiry, amount), 0))

    async def get(self, key: str) -> int:
        """The greater of both values."""
        own = await self._memory.get(key)
        return max(own, await self._asked(lambda: self._shared.get(key), 0))

    async def get_expiry(self, key: str) -> float:
        """The later of both ends."""
        own = await self._memory.get_expiry(key)
        return max(own, await self._asked(lambda: self._shared.get_expiry(key), 0.0))

    async def check(self) -> bool:
        """Whether the shared one answers."""
        return await self._shared.check()

    async def clear(self, key: str) -> None:
        """The counter begins anew."""
        await self._memory.clear(key)
        await self._asked(lambda: self._shared.clear(key), None)

    async def reset(self) -> int | None:
        """Those in memory begin anew: the shared ones are others' as well."""
        return await self._memory.reset()

    async def _asked(self, ask: Callable[[], Awaitable[_T]], otherwise: _T) -> _T:
        if self._clock() < self._ask_at_s:
            return otherwise
        try:
            answer = await ask()
        except StateUnavailable as error:
            self._ask_at_s = self._clock() + LEFT_ALONE_S
            if not self._away:
                LOGGER.warning("limits hold for this copy of the server alone: %s", error)
            self._away = True
            return otherwise
        if self._away:
            LOGGER.warning("limits hold for all copies of the server again")
        self._away = False
        return answer
