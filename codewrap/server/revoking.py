"""What a revocation does beside the next request's 401: connections end, hosts hear that somebody may not type any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from codewrap.errors import CodewrapError
from codewrap.server.sockets import AuthorizedSockets
from codewrap.server.state import Revocation

LOGGER = logging.getLogger("codewrap.server")
# Ends the connections of a user who signed in at the broker. Blocks; raises AuthError or TransportError.
TerminateUser = Callable[[str], None]
# Tells the hosts of all live sessions that what was granted to a user before then (seconds since 1970) does not count any more.
TellHosts = Callable[[str, float], Awaitable[None]]


class Revoker:
    """Carries out revocations, whichever copy they were asked of. Owned by the server's event loop.

    Set ``tell_hosts`` before anything is revoked: it is made of what itself asks whether something was revoked.
    """

    def __init__(self, sockets: AuthorizedSockets, terminate: TerminateUser | None, tell_hosts: TellHosts | None = None) -> None:
        self._sockets = sockets
        self._terminate = terminate
        self.tell_hosts = tell_hosts

    async def revoked(self, revocation: Revocation, user: str | None) -> None:
        """``user``: whose it was, where that is known. Never raises: what fails is logged."""
        if user is None:
            LOGGER.warning("a revoked token is not in the list: its connections end with its next authorization")
            return
        self._sockets.close_of(user)
        try:
            if self.tell_hosts is not None:
                await self.tell_hosts(user, revocation.at_s)
            if self._terminate is not None:
                # All of the user's connections: with another good token they come back at once.
                await asyncio.to_thread(self._terminate, user)
        except CodewrapError as error:
            LOGGER.warning("a revocation reached the broker in part only: %s", error)
