"""Every frame of input passes here: what the rule admits goes on to the child, all else is consumed and its writer told.

A stream of which anything was consumed is closed for good: nothing that was typed before leave was given is ever written, however
often it is sent again. Knows nothing of terminals and sockets.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol, TypeVar

from codewrap.host.inputs import PendingInput
from codewrap.protocol.admission import HERE, Admission, Decision, Share

MAX_CLOSED = 1000  # of one user
MAX_CLOSED_USERS = 1000
MAX_OPEN = 1000
# A writer may have come back, and have more than one terminal: so many of its streams hear of what was decided.
TOLD_STREAMS = 4
# Each notice is a message for everybody who watches, and may cost money: so many at once, then one in so many seconds.
NOTICES_AT_ONCE = 20
NOTICE_EVERY_S = 1.0
USER_EVERY_S = 0.5
# Until the server has said whose session this is, so many frames wait for the word.
MAX_EARLY = 64
_WORDS = {
    "asked": ("asked", "typing needs leave here, which is being asked for"),
    "denied": ("denied", "you may not type: it was denied"),
    "revoked": ("revoked", "you may not type any more: leave was withdrawn"),
    "view": ("denied", "nobody may type into this session"),
    "crowded": ("denied", "too many are asking to type: try again later"),
    "approved": ("approved", "you may type now; what you typed before was not passed on"),
}

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
Tell = Callable[[str, str, str], None]
"""Of kind, text and the stream whose writer is meant."""


class Audit(Protocol):
    """Where it is written down what became of each frame, and what was decided: `InputAudit`."""

    def accepted(self, *, writer: str, user: str, role: str, offset: int, size: int) -> None: ...
    def refused(self, *, writer: str, user: str, role: str, offset: int, size: int, why: str) -> None: ...
    def decided(self, what: str, *, user: str, by: str, writer: str = "") -> None: ...


class Door:
    """One session's. ``admission`` knows whose it is, or `own_user` tells it later."""

    def __init__(
        self,
        admission: Admission,
        inputs: PendingInput,
        tell: Tell,
        audit: Audit | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.admission = admission
        self._inputs = inputs
        self._tell = tell
        self._audit = audit
        self._clock = clock
        self._open: OrderedDict[str, str] = OrderedDict()
        self._closed: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        """By user: nobody can push out another's."""
        self._told_s: OrderedDict[str, float] = OrderedDict()
        self._room, self._room_s = float(NOTICES_AT_ONCE), clock()
        self.news = False
        """A request stands that did not when this was taken back last."""
        self._early: deque[tuple[str, str, str, int, bytes]] = deque(maxlen=MAX_EARLY)

    def own_user(self, user: str) -> None:
        """Whose session this is. What came before it was known is decided now."""
        if self.admission.own_user is None:
            self.admission.own_user = user
            while self._early:
                self.typed(*self._early.popleft())

    def typed(self, user: str, code: str, writer: str, offset: int, data: bytes) -> bool:
        """A frame of ``user``'s stream ``writer``; HERE: it came by a lane. True when something is to be written."""
        if self.admission.own_user is None and user != HERE:
            self._early.append((user, code, writer, offset, data))
            return False
        verdict = self.admission.verdict(user, code, self._clock())
        user = user or self.admission.own_user or HERE  # a stream that comes by the lane comes by the broker too
        reason = verdict.reason
        if verdict.decision is Decision.WRITTEN:
            if not self._is_closed(user, writer):
                taken = self._inputs.put_remote(writer, offset, data, user)
                self._note(user, writer, offset, data, "" if taken else "not this user's stream")
                if taken:
                    _remember(self._open, writer, user, MAX_OPEN)
                return taken
            reason = "approved"
        if verdict.new:
            self.news = True
            self._decided("asked", user, user, writer)
        self._note(user, writer, offset, data, "typed before leave was given" if reason == "approved" else reason)
        self._close(user, writer)
        self._say(reason, user, writer)
        return False

    def answered(self, link: str, data: bytes, why: str) -> bool:
        """An answer by way of a link that the session's own host had made: by their leave, while they may type themselves.

        ``why`` it comes too late, "" where it does not. True when it is to be written.
        """
        if not why and not self.admits(self.admission.own_user or HERE):
            why = "nobody may type" if self.admission.share is Share.VIEW else "revoked"
        if not why:
            self._inputs.put_local(data)
        if self._audit is not None:
            known = {"writer": "", "user": f"link:{link}", "role": "answer"}
            if why:
                self._audit.refused(**known, offset=0, size=len(data), why=why)
            else:
                self._audit.accepted(**known, offset=0, size=len(data))
        return not why

    def admits(self, user: str) -> bool:
        """Whether what ``user`` says of a terminal's size counts."""
        return self.admission.own_user is not None and self.admission.admits(user, self._clock())

    def approve(self, user: str, by: str) -> bool:
        """``user`` may type from now on, and hears of it. ``by`` says who decided. False where nobody may."""
        if not self.admission.approve(user, self._clock()):
            return False
        self._decided("approved", user, by)
        self._say_to_all("approved", user)
        return True

    def deny(self, user: str, by: str) -> None:
        """``user`` may not type; what is not written yet never will be."""
        self.admission.deny(user, self._clock())
        self._decided("denied", user, by)
        self._withdraw("denied", user)

    def revoke(self, user: str, before_s: float, by: str) -> None:
        """What ``user`` was given before is void; what is not written yet never will be."""
        self.admission.revoke(user, before_s, self._clock())
        self._decided("revoked", user, by)
        self._withdraw("revoked", user)

    def _withdraw(self, reason: str, user: str) -> None:
        for writer in self._inputs.withdraw({writer for writer, owner in self._open.items() if owner == user}):
            self._close(user, writer)
        self._say_to_all(reason, user)

    def _close(self, user: str, writer: str) -> None:
        _remember(self._closed.setdefault(user, OrderedDict()), writer, None, MAX_CLOSED)
        if len(self._closed) > MAX_CLOSED_USERS:
            self._closed.popitem(last=False)

    def _is_closed(self, user: str, writer: str) -> bool:
        return writer in self._closed.get(user, ())

    def _say_to_all(self, reason: str, user: str) -> None:
        streams = [*reversed(self._closed.get(user, {}))]
        kind, text = _WORDS[reason]
        for writer in streams[:TOLD_STREAMS]:
            self._tell(kind, text, writer)

    def _say(self, reason: str, user: str, writer: str) -> None:
        """Unless too much was said lately: who was not answered sends again, and is answered then."""
        now_s = self._clock()
        self._room = min(NOTICES_AT_ONCE, self._room + max(0.0, now_s - self._room_s) / NOTICE_EVERY_S)
        self._room_s = now_s
        if self._room < 1 or 0 <= now_s - self._told_s.get(user, float("-inf")) < USER_EVERY_S:
            return
        self._room -= 1
        _remember(self._told_s, user, now_s, NOTICES_AT_ONCE)
        self._tell(*_WORDS[reason], writer)

    def _note(self, user: str, writer: str, offset: int, data: bytes, why: str = "") -> None:
        if self._audit is None:
            return
        role = "host" if user in (HERE, self.admission.own_user) else "writer"
        user = user or self.admission.own_user or ""
        if why:
            self._audit.refused(writer=writer, user=user, role=role, offset=offset, size=len(data), why=why)
        else:
            self._audit.accepted(writer=writer, user=user, role=role, offset=offset, size=len(data))

    def _decided(self, what: str, user: str, by: str, writer: str = "") -> None:
        if self._audit is not None:
            self._audit.decided(what, user=user, by=by, writer=writer)


def _remember(known: OrderedDict[_Key, _Value], key: _Key, value: _Value, most: int) -> None:
    """As the latest; beyond ``most`` the oldest is forgotten."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > most:
        known.popitem(last=False)
