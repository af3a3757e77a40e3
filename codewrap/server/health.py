"""Whether the broker answers: asked seldom, told without details."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable

TIMEOUT_S = 2.0
KEPT_S = 5.0  # nobody needs a token to ask us: without this each question would be one to the broker

Probe = Callable[[], Awaitable[bool]]


class Health:
    """The last verdict, kept for KEPT_S. Owned by the event loop."""

    def __init__(self, probe: Probe, clock: Callable[[], float] = time.monotonic) -> None:
        self._probe = probe
        self._clock = clock
        self._lock = asyncio.Lock()
        self._known: tuple[float, bool] | None = None

    async def broker_answers(self) -> bool:
        """Never raises."""
        async with self._lock:
            now_s = self._clock()
            if self._known is None or now_s - self._known[0] >= KEPT_S:
                self._known = (now_s, await self._probe())
            return self._known[1]


async def always() -> bool:
    """The probe of a hub in this very process."""
    return True


def http_probe(host: str, port: int, *, tls: bool) -> Probe:
    """A probe that says whether ``host`` speaks HTTP: whatever its answer is, it is one."""

    async def probe() -> bool:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await _speaks_http(host, port, tls)
        except (OSError, TimeoutError, ValueError):
            return False

    return probe


async def _speaks_http(host: str, port: int, tls: bool) -> bool:
    context = ssl.create_default_context() if tls else None
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        name = f"[{host}]" if ":" in host else host
        writer.write(f"GET / HTTP/1.1\r\nHost: {name}:{port}\r\nConnection: close\r\n\r\n".encode("ascii"))
        await writer.drain()
        return (await reader.read(5)).startswith(b"HTTP")
    finally:
        writer.close()
