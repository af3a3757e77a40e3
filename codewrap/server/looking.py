"""What a session shows and typing that is waited for, over HTTP: how many at once, and what becomes an answer.

The viewer behind it is handed in by `cli`, and blocks: each look has a thread of a bounded number. Owned by the event loop.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from codewrap.errors import (
    AuthError,
    ConfigError,
    NotAttached,
    SessionEnded,
    SessionLost,
    SessionNotFound,
    TransportError,
    TypingRefused,
    WaitTimeout,
)
from codewrap.protocol.channels import printable
from codewrap.server.identity import Identity
from codewrap.server.refusals import Refusal, bad_request, too_many

if TYPE_CHECKING:
    from codewrap.terminal.shown import Shown

MOST: Final = 16
"""Looks at once, of everybody: each has a connection to the broker and a few threads."""
MOST_EACH: Final = 4
TEXT_CHARACTERS: Final = 4096
MOST_KEYS: Final = 100
KEY_CHARACTERS: Final = 32
TIMEOUT_S: Final = 30.0
MOST_TIMEOUT_S: Final = 60
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Place:
    """Who looks at what. ``name`` is how others see them, ``user`` is who they are; good until ``expires_at``."""

    session: str
    user: str
    name: str
    encrypted: bool
    may_type: bool
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """What it showed when ``offset`` bytes of the run ``epoch`` were drawn."""

    session: str
    epoch: str
    offset: int
    shown: Shown

    def document(self) -> dict[str, Any]:
        """As `codewrap screen --json`."""
        return {"session": self.session, "epoch": self.epoch, "offset": self.offset, **self.shown.document()}


@dataclass(frozen=True, slots=True)
class Typing:
    """``text``, then ``keys`` by their names; and what is waited for then."""

    text: str
    keys: tuple[str, ...]
    paste: bool
    pattern: re.Pattern[str] | None
    timeout_s: float


class Result(Enum):
    """What came of typing."""

    TYPED = "typed"
    MATCHED = "matched"
    ENDED = "ended"
    TIMED_OUT = "timedOut"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``typed``: its command was given all of it. ``status``: of a session that has ended; ``reason``: what was waited for."""

    result: Result
    typed: bool
    epoch: str
    offset: int
    match: str | None = None
    groups: tuple[str | None, ...] = ()
    status: int | None = None
    reason: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        found = None if self.match is None else {"text": self.match, "groups": list(self.groups)}
        return {
            "result": self.result.value,
            "typed": self.typed,
            "epoch": self.epoch,
            "offset": self.offset,
            "match": found,
            "status": self.status,
            "reason": self.reason,
        }


class Looks(Protocol):
    """A viewer without a terminal. Its methods block, and may be called from several threads."""

    def check_keys(self, names: tuple[str, ...]) -> None:
        """Raises ConfigError for what is no name of a key."""

    def look(self, place: Place) -> Sight:
        """Raises NotAttached, SessionLost, WaitTimeout, AuthError, TransportError."""

    def type(self, place: Place, typing: Typing) -> Outcome:
        """As `look`; raises TypingRefused too."""

    def stop(self) -> None:
        """Leave all sessions: whoever waits gets NotAttached."""


class Looking:
    """Asks ``looks`` for users; None: this server cannot look."""

    def __init__(self, looks: Looks | None, *, most: int = MOST, most_each: int = MOST_EACH) -> None:
        self._looks = looks
        self._most = most
        self._most_each = most_each
        self._busy: Counter[str] = Counter()
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="codewrap-look")

    def check_keys(self, names: tuple[str, ...]) -> None:
        """Raises Refusal (400)."""
        try:
            self._required().check_keys(names)
        except ConfigError as error:
            raise bad_request(f"keys: {error.problem}") from None

    async def look(self, identity: Identity, place: Place, draw: Callable[[Sight], bytes]) -> bytes:
        """What ``draw`` makes of it, in a thread as well. Raises Refusal."""
        looks = self._required()
        return await self._run(identity, lambda: draw(looks.look(place)))

    async def type(self, identity: Identity, place: Place, typing: Typing) -> Outcome:
        """Raises Refusal."""
        looks = self._required()
        return await self._run(identity, lambda: looks.type(place, typing))

    async def close(self) -> None:
        """End them all."""
        if self._looks is not None:
            await asyncio.to_thread(self._looks.stop)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _required(self) -> Looks:
        if self._looks is None:
            raise Refusal(503, "not_offered", "this server cannot look at sessions", retry_after_s=3600)
        return self._looks

    async def _run(self, identity: Identity, work: Callable[[], _Value]) -> _Value:
        user = identity.user
        if self._busy.total() >= self._most:
            raise Refusal(503, "busy", f"{self._most} looks are under way already", retry_after_s=1)
        # AUTH_TOKEN is everybody's who has no other.
        if identity.counted_as and self._busy[user] >= self._most_each:
            raise too_many(f"a user may have {self._most_each} looks under way", 1)
        self._busy[user] += 1
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        running.add_done_callback(lambda _: self._done(user))  # whoever asked may have gone by then
        try:
            return await asyncio.shield(running)
        except _PROBLEMS as error:
            raise _refusal(error) from error

    def _done(self, user: str) -> None:
        self._busy[user] -= 1
        if not self._busy[user]:
            del self._busy[user]


_PROBLEMS = (
    AuthError,
    NotAttached,
    SessionEnded,
    SessionLost,
    SessionNotFound,
    TransportError,
    TypingRefused,
    WaitTimeout,
)


def _refusal(error: Exception) -> Refusal:
    """Without what the error says of this server's own way to the broker."""
    if isinstance(error, TypingRefused):
        return Refusal(403, "typing_refused", f"nothing may be typed: {printable(error.advice, 200)}")
    if isinstance(error, AuthError | TransportError):
        return Refusal(503, "broker_unavailable", "the broker does not let this server look", retry_after_s=1)
    if isinstance(error, SessionEnded):
        return Refusal(404, "no_such_session", "the session has ended")
    if isinstance(error, SessionLost):
        return Refusal(504, "no_answer", "the session's host does not answer any more: what was typed may be lost")
    hint = "if it was started with --no-encrypt, ask with encrypted false"
    return Refusal(504, "no_answer", f"the session's host does not answer ({hint})")
