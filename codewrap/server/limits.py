"""How often somebody may: failed authentications by address, events by session. In memory and bounded; time is an argument.

One copy of `serve-auth` counts for itself. A store shared by several copies takes the place of these two classes.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass

MAX_FAILURES = 10
FAILURE_WINDOW_S = 60.0
TRACKED = 4096  # the oldest is forgotten beyond it: an attacker with more addresses than that is not stopped by address


@dataclass(slots=True)
class _Count:
    failures: int
    since_s: float


class Failures:
    """Counts failed authentications by address: MAX_FAILURES within FAILURE_WINDOW_S, then none is tried until it is over."""

    def __init__(self, limit: int = MAX_FAILURES, window_s: float = FAILURE_WINDOW_S, tracked: int = TRACKED) -> None:
        self._limit = limit
        self._window_s = window_s
        self._tracked = tracked
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def wait_s(self, address: str, now_s: float) -> int | None:
        """Whole seconds until ``address`` may try again; None where it may now."""
        count = self._current(_group(address), now_s)
        if count is None or count.failures < self._limit:
            return None
        return max(1, math.ceil(count.since_s + self._window_s - now_s))

    def add(self, address: str, now_s: float) -> None:
        """One more failure."""
        group = _group(address)
        count = self._current(group, now_s)
        if count is None:
            self._counts[group] = _Count(1, now_s)
            if len(self._counts) > self._tracked:
                self._counts.popitem(last=False)
            return
        count.failures += 1

    def __len__(self) -> int:
        return len(self._counts)

    def _current(self, group: str, now_s: float) -> _Count | None:
        count = self._counts.get(group)
        if count is not None and now_s - count.since_s >= self._window_s:
            del self._counts[group]
            return None
        return count


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Rate:
    """Token buckets by name: ``burst`` at once, then ``per_s`` a second."""

    def __init__(self, per_s: float, burst: int, tracked: int = TRACKED) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tracked = tracked
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str, now_s: float) -> int | None:
        """Take one. None where there was one, else whole seconds until there is."""
        bucket = self._buckets.pop(name, None) or _Bucket(self._burst, now_s)
        self._buckets[name] = bucket
        if len(self._buckets) > self._tracked:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._burst, bucket.tokens + max(0.0, now_s - bucket.at_s) * self._per_s)
        bucket.at_s = now_s
        if bucket.tokens < 1:
            return max(1, math.ceil((1 - bucket.tokens) / self._per_s))
        bucket.tokens -= 1
        return None

    def __len__(self) -> int:
        return len(self._buckets)


def _group(address: str) -> str:
    """Addresses that one customer of a provider has: a whole /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)
