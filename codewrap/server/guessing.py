"""Slows down whoever guesses: after FREE failures within a minute nothing more is tried, for longer each time.

Blocks are kept where the limits are counted, so that all copies of the server know them: one that was told of a right answer
meanwhile has tried one guess more. Reports each block once.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from limits import RateLimitItemPerDay, RateLimitItemPerMinute
from limits.aio.storage import Storage

from codewrap.server.counting import TRACKED, MemoryStorage

FREE = 10
FIRST_BLOCK_S = 60
LONGEST_BLOCK_S = 900
_FAILURES = RateLimitItemPerMinute(FREE, namespace="codewrap/failures")
_BLOCKS = RateLimitItemPerDay(1, namespace="codewrap/blocks")  # how often somebody was blocked is forgotten after a day
_BLOCKED = "codewrap/blocked"
LOGGER = logging.getLogger("codewrap.server")


@dataclass(frozen=True, slots=True)
class Block:
    """``subject`` guessed too often, for the ``number``-th time today: nothing of it is tried for ``length_s``."""

    subject: str
    length_s: int
    number: int


class Guessing:
    """Owned by the server's event loop. ``clock`` is seconds since 1970."""

    def __init__(
        self,
        storage: Storage | None = None,
        report: Callable[[Block], None] = lambda _block: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._storage = storage if storage is not None else MemoryStorage(clock)
        self._report = report
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, subject: str) -> int | None:
        """Whole seconds until ``subject`` may try again; None where it may now. Asks nobody: every request comes by here."""
        until = self._until.get(subject)
        if until is None:
            return None
        left_s = until - self._clock()
        if left_s <= 0:
            del self._until[subject]
            return None
        return math.ceil(left_s)

    async def failed(self, subject: str) -> None:
        """One more failure."""
        until = await self._storage.get_expiry(_key(_BLOCKED, subject))
        now_s = self._clock()  # read after: where there is no block, a storage answers with its own now
        if until > now_s:  # blocked by another copy
            self._block(subject, until)
            return
        failures = await self._storage.incr(_FAILURES.key_for(subject), _FAILURES.get_expiry())
        if failures > FREE:  # another copy is about to say so
            self._block(subject, now_s + FIRST_BLOCK_S)
        elif failures == FREE:
            number = await self._storage.incr(_BLOCKS.key_for(subject), _BLOCKS.get_expiry())
            length_s = min(LONGEST_BLOCK_S, FIRST_BLOCK_S * 2 ** min(number - 1, 10))
            self._block(subject, now_s + length_s)
            await self._storage.incr(_key(_BLOCKED, subject), length_s)
            LOGGER.warning("too many failed authentications of %s: nothing more is tried for %d s", subject, length_s)
            self._report(Block(subject, length_s, number))

    def _block(self, subject: str, until: float) -> None:
        self._until[subject] = max(until, self._until.pop(subject, until))
        if len(self._until) > TRACKED:
            self._until.popitem(last=False)

    def __len__(self) -> int:
        return len(self._until)


def address_group(address: str) -> str:
    """Addresses that one customer of a provider has: a whole /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "".join(character if character.isalnum() or character in ".:-_" else "?" for character in address[:64])
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)


def _key(namespace: str, subject: str) -> str:
    return f"{namespace}/{subject}"
