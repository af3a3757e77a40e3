"""What was revoked, as every copy of the server knows it within half a second; and what follows from that.

The store is asked for its version several times a second, and for the (small) set when that has changed. A store that does not
answer is forgiven for a while; then nobody's token can be trusted any more but AUTH_TOKEN, which is not in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from codewrap.server.identity import Identity
from codewrap.server.refusals import Refusal
from codewrap.server.state import Revocation, StateStore, StateUnavailable
from codewrap.server.tokens import MAX_LIFETIME_S

POLL_S = 0.3
FORGIVEN_S = 10.0
FRESH_S = 60.0
LOGGER = logging.getLogger("codewrap.server")

# With whose it was, where that is known.
OnRevoked = Callable[[Revocation, str | None], Awaitable[None]]


class Revocations:
    """Owned by the server's event loop. ``on_revoked`` is called once among all copies for each revocation."""

    def __init__(self, state: StateStore, on_revoked: OnRevoked, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._on_revoked = on_revoked
        self._clock = clock
        self._version: int | None = None
        self._tokens: dict[str, float] = {}
        self._users: dict[str, float] = {}
        self._read_at_s = -FORGIVEN_S
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many there are."""
        return len(self._tokens) + len(self._users)

    async def start(self) -> None:
        """Read the set and keep it current. Raises StateUnavailable."""
        await self._read()
        self._task = asyncio.create_task(self._keep_current(), name="codewrap-revocations")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def revoke_token(self, token_id: str, until_s: float) -> None:
        """One token, to be remembered until it would expire. Raises StateUnavailable."""
        await self._add(Revocation(f"token:{token_id}", self._clock(), until_s))

    async def revoke_user(self, user: str) -> None:
        """All tokens of ``user`` that were issued up to now. Raises StateUnavailable."""
        now_s = self._clock()
        await self._add(Revocation(f"user:{user}", now_s, now_s + MAX_LIFETIME_S))

    def check(self, identity: Identity) -> None:
        """Raises Refusal: 401 where the token was revoked, 503 where that cannot be known."""
        self.check_issued(identity.user, identity.token_id, identity.issued_at)

    def check_issued(self, user: str, token_id: str, issued_at: float) -> None:
        """As `check`, for what was issued to ``user`` then."""
        if time.monotonic() - self._read_at_s > FORGIVEN_S:
            raise Refusal(503, "state_unavailable", "whether this token was revoked cannot be known now", retry_after_s=2)
        if token_id in self._tokens or issued_at <= self._users.get(user, -1.0):
            raise Refusal(401, "unauthorized", "this token was revoked")

    async def _add(self, revocation: Revocation) -> None:
        await self._state.revoke(revocation)
        await self._refresh()

    async def _keep_current(self) -> None:
        failed = False
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._refresh()
                failed = False
            except StateUnavailable as error:
                if not failed:
                    LOGGER.error("%s", error)
                failed = True
            except Exception:
                LOGGER.exception("revocations could not be read")

    async def _refresh(self) -> None:
        version = await self._state.version()
        if version != self._version:
            await self._read()
        self._read_at_s = time.monotonic()

    async def _read(self) -> None:
        # The version first: what is added in between is read again, never missed.
        version = await self._state.version()
        now_s = self._clock()
        current = await self._state.revocations(now_s)
        self._tokens = {name: r.at_s for r in current if (name := r.subject.removeprefix("token:")) != r.subject}
        self._users = {name: r.at_s for r in current if (name := r.subject.removeprefix("user:")) != r.subject}
        first, self._version = self._version is None, version
        self._read_at_s = time.monotonic()
        for revocation in current:
            if not first or now_s - revocation.at_s < FRESH_S:
                await self._act(revocation, now_s)

    async def _act(self, revocation: Revocation, now_s: float) -> None:
        key = f"revoked:{revocation.subject}:{revocation.at_s}"
        if now_s - revocation.at_s < FRESH_S and await self._state.claim(key, now_s, now_s + 2 * FRESH_S):
            await self._on_revoked(revocation, await self._user_of(revocation))

    async def _user_of(self, revocation: Revocation) -> str | None:
        kind, _, name = revocation.subject.partition(":")
        if kind == "user":
            return name
        records = await self._state.tokens(self._clock())
        return next((record.user for record in records if record.token_id == name), None)
