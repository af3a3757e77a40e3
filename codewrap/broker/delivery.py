"""Posts webhook events: one task and one bounded queue per webhook, so that a dead one delays no other.

Runs in the hub's event loop. A request has a deadline as a whole; what is not taken (2xx) is tried again for five minutes,
then dropped. A full queue drops the newest event and says so in the log.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from codewrap.broker import webhooks
from codewrap.broker.apps import App, Webhook
from codewrap.broker.webhooks import HookEvent

QUEUED_EVENTS = 1000
EVENTS_PER_REQUEST = 100
REQUEST_TIMEOUT_S = 10.0
_STATUS_LINE_BYTES = 4096

_log = logging.getLogger(__name__)
Sleep = Callable[[float], Awaitable[None]]


class HookDelivery:
    """All webhooks of an app. ``put`` may be called once ``start`` was, from the event loop only."""

    def __init__(self, app: App, wall_clock: Callable[[], float], sleep: Sleep = asyncio.sleep) -> None:
        self._app = app
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._queues: list[tuple[Webhook, asyncio.Queue[HookEvent]]] = []
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin delivering."""
        for hook in self._app.webhooks:
            queue: asyncio.Queue[HookEvent] = asyncio.Queue(QUEUED_EVENTS)
            self._queues.append((hook, queue))
            self._tasks.append(asyncio.create_task(self._deliver(hook, queue), name="codewrap-webhook"))

    def put(self, event: HookEvent) -> None:
        """Queue the event for every webhook that wants it."""
        for hook, queue in self._queues:
            if hook.wants(str(event["name"]), str(event["channel"])):
                try:
                    queue.put_nowait(event)
                except asyncio.QueueFull:
                    _log.warning("a webhook does not keep up: %s is dropped", event["name"])

    async def stop(self) -> None:
        """End at once; what is still queued is dropped."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._queues.clear()

    async def _deliver(self, hook: Webhook, queue: asyncio.Queue[HookEvent]) -> None:
        while True:
            events = [await queue.get()]
            while len(events) < EVENTS_PER_REQUEST and not queue.empty():
                events.append(queue.get_nowait())
            body, headers = webhooks.signed_request(self._app, events, int(self._wall_clock() * 1000))
            if not await self._posted(hook.url, body, headers):
                _log.warning("a webhook refused %d events for five minutes: they are dropped", len(events))

    async def _posted(self, url: str, body: bytes, headers: dict[str, str]) -> bool:
        for delay in (*webhooks.retry_delays_s(), None):
            try:
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    status = await post(url, body, headers)
            except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as problem:
                _log.info("a webhook cannot be reached: %s", type(problem).__name__)
                status = 0
            if status // 100 == 2:
                return True
            if delay is not None:
                await self._sleep(delay)
        return False


async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """One POST on a connection of its own; its status. Raises OSError, ValueError or IncompleteReadError."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    context = ssl.create_default_context() if secure else None
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context, limit=_STATUS_LINE_BYTES)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"POST {target} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}", "Connection: close"]
        lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        answer = await reader.readuntil(b"\n")
        return int(answer.split()[1]) if len(answer.split()) > 1 else 0
    finally:
        writer.close()
