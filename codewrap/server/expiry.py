"""Ends connections whose token has expired: whoever is let in for an hour does not stay for longer by staying connected.

At our own hub the very sockets are closed; at other brokers all connections of the user, who comes back with what is still good.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from codewrap.errors import CodewrapError
from codewrap.server.revoking import TerminateUser
from codewrap.server.sockets import AuthorizedSockets

LOOK_EVERY_S = 1.0
LOGGER = logging.getLogger("codewrap.server")


class Expiry:
    """Owned by the server's event loop. ``clock`` is seconds since 1970."""

    def __init__(self, sockets: AuthorizedSockets, terminate: TerminateUser | None, clock: Callable[[], float]) -> None:
        self._sockets = sockets
        self._terminate = terminate
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.create_task(self._look_for_ever(), name="codewrap-expiry")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Close what is over. Never raises: what fails is logged."""
        for user in self._sockets.expire(self._clock()):
            if self._terminate is None:
                continue
            try:
                await asyncio.to_thread(self._terminate, user)
            except CodewrapError as error:
                LOGGER.warning("connections whose token has expired could not be ended: %s", error)

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except Exception:
                LOGGER.exception("connections whose token has expired could not be looked for")
