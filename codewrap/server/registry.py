"""Which sessions are hosted through this server, by whom, and whether a host's credentials are still good.

The store has the truth for all copies. What was read from it is believed for half a second, so that a host that publishes
many times a second costs few looks; the revocations (`revocations.py`) are asked every time.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from codewrap.errors import AuthError
from codewrap.server.credentials import SessionCredentials
from codewrap.server.identity import Identity
from codewrap.server.limits import SESSIONS_PER_USER
from codewrap.server.refusals import Refusal, too_many
from codewrap.server.revocations import Revocations
from codewrap.server.state import HostedSession, StateStore

BELIEVED_S = 0.5
NOTED_EVERY_S = 10.0
# A host says that it is there every 45 s (`transport/gateway.py`): one that missed three is taken for gone.
STALE_S = 150.0
KNOWN = 4096
_GRANT = re.compile(r"[0-9a-f]{16}(-[0-9a-f]{32})?")


@dataclass(slots=True)
class _Known:
    session: HostedSession | None
    at_s: float
    noted_s: float = 0.0


class Registry:
    """Owned by the server's event loop. ``clock`` is seconds since 1970."""

    def __init__(
        self,
        state: StateStore,
        revocations: Revocations,
        clock: Callable[[], float],
        *,
        most: int = SESSIONS_PER_USER,
        stale_s: float = STALE_S,
    ) -> None:
        self._state = state
        self._revocations = revocations
        self._clock = clock
        self._most = most
        self._stale_s = stale_s
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def open(self, name: str, owner: Identity) -> HostedSession:
        """Take ``name`` for ``owner``. Raises Refusal: 409 where somebody else hosts it, 429 where they host too many."""
        now_s = self._clock()
        grant = secrets.token_hex(8) + (f"-{owner.token_id}" if _is_token_id(owner.token_id) else "")
        session = HostedSession(name, owner.user, grant, now_s, now_s)
        result = await self._state.open_session(session, stale_s=self._stale_s, most=self._most)
        if result == "taken":
            raise Refusal(409, "taken", "somebody else hosts a session of this name")
        if result == "too_many":
            raise too_many(f"a user may host {self._most} sessions at once", 60)
        self._keep(name, _Known(session, time.monotonic(), now_s))
        return session

    async def renew(self, name: str, grant: str, owner: Identity) -> HostedSession | None:
        """Note that the host is there; None where this opening is not the current one, so that it must open anew."""
        current = await self.find(name, fresh=True)
        if current is None or current.grant != grant or current.owner != owner.user:
            return None
        if not await self._state.seen(name, grant, self._clock()):
            return None
        return current

    async def end(self, name: str, grant: str | None) -> bool:
        """It is over; credentials for it are void. False where there was none."""
        self._known.pop(name, None)
        return await self._state.end_session(name, grant)

    async def find(self, name: str, *, fresh: bool = False) -> HostedSession | None:
        """The live session of that name, as of half a second ago at most."""
        known = self._known.get(name)
        if known is None or fresh or time.monotonic() - known.at_s > BELIEVED_S:
            session = await self._state.session(name, self._clock(), stale_s=self._stale_s)
            known = _Known(session, time.monotonic(), known.noted_s if known else 0.0)
            self._keep(name, known)
        return known.session

    async def require(self, name: str) -> HostedSession:
        """Raises Refusal (404) where nobody hosts it."""
        session = await self.find(name)
        if session is None:
            raise Refusal(404, "no_such_session", "nobody hosts a session of this name")
        return session

    async def all(self) -> list[HostedSession]:
        """All that are live."""
        return await self._state.sessions(self._clock(), stale_s=self._stale_s)

    async def check(self, credentials: SessionCredentials) -> None:
        """Raises AuthError (401) where the session, its opening or what it rests on is over; Refusal (503)."""
        session = await self.find(credentials.session)
        if session is None or session.grant != credentials.grant:
            raise AuthError("serve-auth", "this session has ended, or was opened anew: ask for new credentials", 401)
        token_id = session.grant.partition("-")[2]
        try:
            self._revocations.check_issued(session.owner, token_id, session.opened_at)
        except Refusal as refusal:
            if refusal.status == 401:
                raise AuthError("serve-auth", "the token that opened this session was revoked", 401) from None
            raise
        await self._note(session)

    async def _note(self, session: HostedSession) -> None:
        now_s = self._clock()
        known = self._known.get(session.name)
        if known is not None and now_s - known.noted_s >= NOTED_EVERY_S:
            known.noted_s = now_s
            await self._state.seen(session.name, session.grant, now_s)

    def _keep(self, name: str, known: _Known) -> None:
        self._known.pop(name, None)
        self._known[name] = known
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)


def is_grant(text: str) -> bool:
    """Whether ``text`` can name an opening."""
    return bool(_GRANT.fullmatch(text))


def _is_token_id(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{32}", text))
