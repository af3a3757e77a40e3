"""What several copies of `serve-auth` share: revocations, tokens issued, sessions, things that may happen once, counters.

An interface; `server/stores/` has what stands behind it. Times are seconds since 1970 and are arguments: copies' clocks may
differ by a little, the store's own is never asked. Every method raises StateUnavailable where the store does not answer
within ANSWERS_WITHIN_S; what was asked may have been done all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from codewrap.errors import CodewrapError

ANSWERS_WITHIN_S = 1.8  # a request that waits for a store that hangs is refused while its client still listens


class StateUnavailable(CodewrapError):
    """The store at ``where`` (never with a password in it) does not answer: ``reason``."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"the state store {self.where} does not answer: {self.reason}"


@dataclass(frozen=True, slots=True)
class Revocation:
    """``subject``: `token:JTI`, or `user:ID` for all of a user's that were issued by ``at_s``. Kept until ``until_s``."""

    subject: str
    at_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token that was issued: what `token list` shows. Never the token itself."""

    token_id: str
    user: str
    role: str
    sessions: tuple[str, ...]
    issued_at: float
    expires_at: float
    issued_by: str
    kind: str
    """`token`, `share` or `redeemed`."""


@dataclass(frozen=True, slots=True)
class HostedSession:
    """A session that somebody hosts: ``owner`` is a user's id, ``grant`` random per opening."""

    name: str
    owner: str
    grant: str
    opened_at: float
    seen_at: float


class StateStore(Protocol):
    """Owned by the server's event loop."""

    where: str
    """The store as people may be shown it, without a password."""

    async def version(self) -> int:
        """Grows with every revocation, which can be read by then: cheap to ask several times a second.

        Smaller than before: the store was emptied. So whoever keeps a copy reads it again whenever this differs.
        """

    async def revoke(self, revocation: Revocation) -> None:
        """Add it; of two of the same subject the later ``at_s`` and the later ``until_s`` count, in whatever order they come."""

    async def revocations(self, now_s: float) -> list[Revocation]:
        """All that still count; those past ``until_s`` are removed."""

    async def add_token(self, record: TokenRecord) -> None:
        """Note an issued token."""

    async def tokens(self, now_s: float) -> list[TokenRecord]:
        """Those that have not expired, oldest first; expired ones are removed."""

    async def claim(self, key: str, now_s: float, until_s: float) -> bool:
        """True for the first who asks for ``key``, among all copies, until ``until_s``."""

    async def open_session(self, session: HostedSession, *, stale_s: float, most: int) -> str:
        """Take the name, unless another user's session of that name was seen less than ``stale_s`` before ``session.opened_at``.

        Returns `opened`; `taken`; or `too_many` where the owner has ``most`` live ones beside. The same owner replaces their own.
        """

    async def seen(self, name: str, grant: str, now_s: float) -> bool:
        """Note that its host is at work; False where this opening is not the current one (any more)."""

    async def end_session(self, name: str, grant: str | None) -> bool:
        """Forget it (``grant`` None: whatever opening it is); False where there was none such."""

    async def session(self, name: str, now_s: float, *, stale_s: float) -> HostedSession | None:
        """The live session of that name."""

    async def sessions(self, now_s: float, *, stale_s: float) -> list[HostedSession]:
        """All live sessions by name; stale ones are removed."""

    async def count(self, key: str, window_s: int, amount: int, now_s: float) -> tuple[int, float]:
        """Add ``amount`` to a counter that ends ``window_s`` after its first count: its value, and when it ends."""

    async def counted(self, key: str, now_s: float) -> tuple[int, float]:
        """A counter's value and end, (0, ``now_s``) where there is none."""

    async def forget_count(self, key: str) -> None:
        """The counter begins anew."""

    async def close(self) -> None:
        """Release connections. Never raises."""
