"""How often somebody may ask for what: by session, by token and by address. Counts with the `limits` library.

Each copy of the server counts for itself, in memory. Whenever it has counted another eighth of a limit it tells the shared
storage and hears what the others counted: so ordinary use costs no question to a store, a flood costs eight, and copies together
let through no more than the limit and an eighth of it for each copy.
"""

from __future__ import annotations

import functools
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter

from codewrap.server.counting import TRACKED, MemoryStorage
from codewrap.server.guessing import address_group
from codewrap.server.refusals import too_many

PARTS = 8
SOCKETS_PER_USER = 100
SESSIONS_PER_USER = 200
AUTHORIZATIONS_PER_SOCKET = 12  # a viewer has six, and all again when it reconnects


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many of something one user may have at once."""

    sockets_per_user: int = SOCKETS_PER_USER
    sessions_per_user: int = SESSIONS_PER_USER


@dataclass(frozen=True, slots=True)
class Kind:
    """What is asked for, and how often one session, token, user and address may; None: any number. ``name`` is for programs."""

    name: str
    what: str
    session: RateLimitItem | None = None
    token: RateLimitItem | None = None
    address: RateLimitItem | None = None
    user: RateLimitItem | None = None


def _times(amount: int, seconds: int) -> RateLimitItem:
    return RateLimitItemPerSecond(amount, seconds, namespace="codewrap")


# Windows of two seconds where somebody types: who is told to wait waits for the window's end.
INPUTS = Kind("inputs", "inputs", _times(120, 2), _times(240, 2), _times(1200, 2))
SYNCS = Kind("syncs", "requests for screens or bytes", _times(40, 2), _times(80, 2), _times(400, 2))
# Each is a viewer that comes, unless the same user's last look at that session was a moment ago.
LOOKS = Kind("looks", "looks at screens", _times(20, 2), _times(20, 2), _times(100, 2))
OPENINGS = Kind("openings", "openings of sessions", token=_times(600, 60), address=_times(1200, 60))
# A host stores a piece every five seconds, and what is left at the end; who reads a long recording asks for each MiB of it.
STORINGS = Kind("storings", "pieces of recordings stored", token=_times(1200, 60), address=_times(2400, 60))
RECALLS = Kind("recalls", "pieces of recordings read", token=_times(1200, 60), address=_times(2400, 60))
# A host tells of a prompt once; who has a link answers once.
ANSWER_LINKS = Kind("answer_links", "links to answer prompts", token=_times(600, 60), address=_times(1200, 60))
ANSWERS = Kind("answers", "answers to prompts", address=_times(120, 60))
REDEEMINGS = Kind("redeemings", "links redeemed", address=_times(120, 60))


@functools.cache
def authorizations(sockets_per_user: int = SOCKETS_PER_USER) -> Kind:
    """Of channels and sign-ins: enough for all of a user's sockets to come back at once."""
    by_token = max(1200, AUTHORIZATIONS_PER_SOCKET * sockets_per_user)
    return Kind("authorizations", "authorizations", token=_times(by_token, 60), address=_times(max(6000, by_token), 60))


@functools.cache
def new_sockets(sockets_per_user: int = SOCKETS_PER_USER) -> Kind:
    """Of a user, where the broker is another one, which is not asked how many of them are open still."""
    return Kind("sockets", "new sockets", user=_times(sockets_per_user, 60))


@dataclass(slots=True)
class _Told:
    amount: int = 0
    barred_until: float = 0.0


class Limits:
    """Owned by the server's event loop. ``clock`` is seconds since 1970; ``on_hit`` is told of each refusal: kind and by what."""

    def __init__(
        self,
        shared: Storage | None = None,
        on_hit: Callable[[str, str], None] = lambda _kind, _by: None,
        clock: Callable[[], float] = time.time,
        tracked: int = TRACKED,
    ) -> None:
        self._own = FixedWindowRateLimiter(MemoryStorage(clock, tracked))
        self._shared = FixedWindowRateLimiter(shared) if shared is not None else None
        self._on_hit = on_hit
        self._clock = clock
        self._tracked = tracked
        self._told: OrderedDict[str, _Told] = OrderedDict()

    async def take(self, kind: Kind, *, session: str = "", token: str = "", user: str = "", address: str = "") -> None:
        """Count one by each that is named. Raises Refusal (429) with the seconds to wait."""
        for item, by, subject in (
            (kind.session, "session", session),
            (kind.token, "token", token),
            (kind.user, "user", user),
            (kind.address, "address", address_group(address) if address else ""),
        ):
            if item is not None and subject:
                wait_s = await self._wait_s(item, kind.name, by, subject)
                if wait_s is not None:
                    self._on_hit(kind.name, by)
                    raise too_many(f"too many {kind.what} by this {by}", wait_s)

    def __len__(self) -> int:
        return len(self._told)

    async def _wait_s(self, item: RateLimitItem, *names: str) -> int | None:
        if not await self._own.hit(item, *names):
            return self._left_s((await self._own.get_window_stats(item, *names)).reset_time)
        if self._shared is None:
            return None
        used = item.amount - (await self._own.get_window_stats(item, *names)).remaining
        return await self._tell(self._shared, item, names, used)

    async def _tell(self, shared: FixedWindowRateLimiter, item: RateLimitItem, names: tuple[str, ...], used: int) -> int | None:
        """Tell of what was not told yet, where it is worth it; the wait that others' counts make necessary."""
        told = self._told_of("/".join(names))
        if told.barred_until > self._clock():
            return self._left_s(told.barred_until)
        if used < told.amount:  # a new window of ours
            told.amount = 0
        untold = used - told.amount
        if untold * PARTS < item.amount:
            return None
        told.amount = used
        if await shared.hit(item, *names, cost=untold):
            return None
        told.barred_until = (await shared.get_window_stats(item, *names)).reset_time
        return self._left_s(told.barred_until)

    def _told_of(self, name: str) -> _Told:
        told = self._told.pop(name, None) or _Told()
        self._told[name] = told
        if len(self._told) > self._tracked:
            self._told.popitem(last=False)
        return told

    def _left_s(self, until: float) -> int:
        return max(1, math.ceil(until - self._clock()))
