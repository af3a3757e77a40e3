"""Publishes from the event loop without blocking it, in order per session.

A few threads, each the only user of one Publisher; a session's events go one request after the other, over whichever is free.
Bound: WAITING requests per session, beyond which the sender is told to wait; a host that follows the protocol has one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from codewrap.server.refusals import too_many
from codewrap.transport.base import Event, Publisher

LANES = 4
WAITING = 16
WAITING_IN_ALL = 1024
MAX_EVENTS = 10  # of one publish, by the Publisher's contract


class _Lane:
    """One thread (or, with ``in_loop``, none) and its Publisher, which is made, used and closed by that thread."""

    def __init__(self, number: int, make: Callable[[], Publisher], *, in_loop: bool) -> None:
        self._executor = None if in_loop else ThreadPoolExecutor(1, thread_name_prefix=f"publish-{number}")
        self._make = make
        self._publisher: Publisher | None = None

    async def publish(self, events: Sequence[Event]) -> None:
        if self._executor is None:
            self._publish(events)
            return
        await asyncio.get_running_loop().run_in_executor(self._executor, self._publish, events)

    async def close(self) -> None:
        if self._executor is None:
            self._close()
            return
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close)
        self._executor.shutdown(wait=False)

    def _publish(self, events: Sequence[Event]) -> None:
        if self._publisher is None:
            self._publisher = self._make()
        self._publisher.publish(events)

    def _close(self) -> None:
        if self._publisher is not None:
            self._publisher.close()


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class Outlets:
    """Owned by the server's event loop. ``make`` builds one Publisher per lane when it is first needed.

    ``in_loop``: what it publishes to is in this loop and never waits (our own hub): two changes of thread per event are saved.
    """

    def __init__(
        self, make: Callable[[], Publisher], *, lanes: int = LANES, waiting: int = WAITING, in_loop: bool = False
    ) -> None:
        self._lanes = [_Lane(number, make, in_loop=in_loop) for number in range(1 if in_loop else lanes)]
        self._free: asyncio.LifoQueue[_Lane] = asyncio.LifoQueue()
        for lane in reversed(self._lanes):
            self._free.put_nowait(lane)
        self._turns: dict[str, _Turn] = {}
        self._waiting = waiting
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Publishes under way or waiting for their turn."""
        return len(self._under_way)

    async def publish(self, session: str, events: Sequence[Event]) -> None:
        """Publish 1 to 10 events of ``session`` after all that was handed over before.

        Raises Refusal (429) when too much waits, and what the Publisher raises. Goes on when the caller is cancelled:
        what was begun must not be overtaken by what comes next.
        """
        turn = self._turns.setdefault(session, _Turn())
        if turn.waiting >= self._waiting or len(self._under_way) >= WAITING_IN_ALL:
            self._leave(session, turn)
            raise too_many("too many events of this session wait for the broker", 1)
        turn.waiting += 1
        task = asyncio.create_task(self._run(session, turn, events), name=f"publish {session}")
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for what is under way, then release the publishers."""
        if self._under_way:
            await asyncio.wait(set(self._under_way))
        for lane in self._lanes:
            await lane.close()

    async def _run(self, session: str, turn: _Turn, events: Sequence[Event]) -> None:
        try:
            async with turn.lock:
                lane = await self._free.get()
                try:
                    await lane.publish(events)
                finally:
                    self._free.put_nowait(lane)
        finally:
            turn.waiting -= 1
            self._leave(session, turn)

    def _leave(self, session: str, turn: _Turn) -> None:
        if turn.waiting == 0 and self._turns.get(session) is turn:
            del self._turns[session]

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # seen here: nobody awaits it after its caller was cancelled
