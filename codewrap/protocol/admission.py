"""Who may type into a session: the host's own decision, at every frame, whatever a server has signed. Pure.

`run --share` is the rule for those of whom nothing is known; what somebody at the host (or an administrator) has said of a user
goes before it. Times are seconds since 1970, as those that keys of writers carry. Source: `docs/protocol.md`, "Leave to type".
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

# Who has gone to fetch somebody comes back within it; what stands longer nobody will answer.
REQUEST_S = 300.0
# Who was denied may ask again: a slip of the hand is not for ever, and nagging is slow.
DENIED_S = 60.0
# A key that a server gave out before it revoked its bearer opens frames for so long (`input_until`, and the leeway of clocks).
KEY_LIFE_S = 900.0 + 60.0
# No user's id: a viewer of this account on this very machine, as the kernel says.
HERE = ""
# Whoever types where there is no key that could tell who it is.
ANYBODY = "anybody"
MAX_REQUESTS = 32
MAX_USERS = 1000


class Share(enum.Enum):
    """What holds for users of whom nothing was said."""

    VIEW = "view"
    WRITE = "write"
    ASK = "ask"


class Decision(enum.Enum):
    """What becomes of a frame. All but WRITTEN are consumed: never written, also when leave is given later."""

    WRITTEN = "written"
    ASKED = "asked"
    REFUSED = "refused"


class Said(enum.Enum):
    """What is known of a user."""

    APPROVED = "approved"
    ASKING = "asking"
    DENIED = "denied"
    REVOKED = "revoked"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` is "" where it is written. ``new``: with this frame a request begins to stand."""

    decision: Decision
    reason: str = ""
    new: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """``user`` wants to type since ``since_s``; ``code`` is what their screen shows too."""

    user: str
    code: str
    since_s: float


@dataclass(slots=True)
class _Entry:
    """What was said of a user, and until when it holds."""

    said: Said
    since_s: float
    until_s: float = math.inf
    code: str = ""


_WRITTEN = Verdict(Decision.WRITTEN)
_ASKED = Verdict(Decision.ASKED, "asked")
_VERDICTS: dict[tuple[Share, Said], Verdict] = {
    **{(Share.VIEW, said): Verdict(Decision.REFUSED, "view") for said in Said},
    **{(share, Said.APPROVED): _WRITTEN for share in (Share.WRITE, Share.ASK)},
    **{(share, Said.DENIED): Verdict(Decision.REFUSED, "denied") for share in (Share.WRITE, Share.ASK)},
    **{(share, Said.REVOKED): Verdict(Decision.REFUSED, "revoked") for share in (Share.WRITE, Share.ASK)},
    (Share.WRITE, Said.NOTHING): _WRITTEN,
    (Share.WRITE, Said.ASKING): _WRITTEN,  # never so: nobody asks there
    (Share.ASK, Said.ASKING): _ASKED,
    (Share.ASK, Said.NOTHING): Verdict(Decision.ASKED, "asked", new=True),
}
_CROWDED = Verdict(Decision.REFUSED, "crowded")
# Of whom it costs least to forget, first: who was denied may ask a little sooner, who was approved asks once more.
_FORGET_FIRST = {Said.DENIED: 0, Said.APPROVED: 1, Said.ASKING: 2, Said.REVOKED: 3}


class Admission:
    """One session's. ``own_user`` runs it, and asks nobody but where nobody may type; None: not known yet."""

    def __init__(self, share: Share, own_user: str | None = None) -> None:
        self.share = share
        self.own_user = own_user
        self._entries: dict[str, _Entry] = {}
        self._crowd: dict[str, None] = {}
        self._shut_until_s = -math.inf

    def verdict(self, user: str, code: str, now_s: float) -> Verdict:
        """Of one frame of ``user``. The first one of somebody who has to ask makes a request; ``code`` is shown with it."""
        said = self._said(user, now_s)
        verdict = _VERDICTS[self.share, said]
        if not verdict.new:
            return verdict
        if len(self.requests(now_s)) >= MAX_REQUESTS:
            if len(self._crowd) < MAX_USERS:
                self._crowd[user] = None
            return _CROWDED
        self._put(user, _Entry(Said.ASKING, now_s, now_s + REQUEST_S, code), now_s)
        self._crowd.pop(user, None)
        return verdict

    def admits(self, user: str, now_s: float) -> bool:
        """Whether ``user`` may do what is no typing and needs the same leave. Nobody asks by it."""
        return _VERDICTS[self.share, self._said(user, now_s)].decision is Decision.WRITTEN

    def approve(self, user: str, now_s: float) -> bool:
        """``user`` may type from now on. False where nobody may."""
        if self.share is Share.VIEW:
            return False
        self._put(user, _Entry(Said.APPROVED, now_s), now_s)
        return True

    def deny(self, user: str, now_s: float) -> None:
        """``user`` may not type from now on; where one asks for leave, they may ask again after DENIED_S."""
        self._shut(user, Said.DENIED, now_s + DENIED_S if self.share is Share.ASK else math.inf, now_s)

    def revoke(self, user: str, before_s: float, now_s: float) -> None:
        """What ``user`` was given before ``before_s`` is void: no frame is taken as long as a key from then may open one."""
        known = self._entries.get(user)
        if known is not None and known.said is Said.APPROVED:
            del self._entries[user]  # an approval does not outlive what it was given for
        self._shut(user, Said.REVOKED, min(before_s, now_s) + KEY_LIFE_S, now_s)

    def requests(self, now_s: float) -> list[Request]:
        """Those that stand, oldest first."""
        return [
            Request(user, entry.code, entry.since_s)
            for user, entry in self._entries.items()
            if entry.said is Said.ASKING and now_s < entry.until_s
        ]

    def turned_away(self, now_s: float) -> int:
        """So many more users wanted to ask while too many requests stood; at most MAX_USERS are counted."""
        if not self.requests(now_s):
            self._crowd.clear()
        return len(self._crowd)

    def due_s(self, now_s: float) -> float | None:
        """When the next request fades; None while none stands."""
        return min((request.since_s + REQUEST_S for request in self.requests(now_s)), default=None)

    def _said(self, user: str, now_s: float) -> Said:
        entry = self._entries.get(user)
        if entry is not None and now_s < entry.until_s:
            return entry.said
        if now_s < self._shut_until_s and user != HERE:
            return Said.REVOKED
        return Said.APPROVED if user in (self.own_user, HERE) else Said.NOTHING

    def _shut(self, user: str, said: Said, until_s: float, now_s: float) -> None:
        known = self._entries.get(user)
        longer = known is not None and known.said in (Said.DENIED, Said.REVOKED) and known.until_s > until_s
        if until_s > now_s and not longer:
            self._put(user, _Entry(said, now_s, until_s), now_s)

    def _put(self, user: str, entry: _Entry, now_s: float) -> None:
        self._entries.pop(user, None)
        if len(self._entries) >= MAX_USERS:
            self._make_room(now_s)
        self._entries[user] = entry

    def _make_room(self, now_s: float) -> None:
        over = [user for user, entry in self._entries.items() if now_s >= entry.until_s]
        for user in over:
            del self._entries[user]
        if over:
            return
        forgotten = min(self._entries, key=lambda user: self._harm(self._entries[user]))
        entry = self._entries.pop(forgotten)
        if self._shuts_out(entry):  # it fails closed: whoever is not known is now taken for the one that was forgotten
            self._shut_until_s = max(self._shut_until_s, entry.until_s)

    def _shuts_out(self, entry: _Entry) -> bool:
        return entry.said is Said.REVOKED or (entry.said is Said.DENIED and self.share is Share.WRITE)

    def _harm(self, entry: _Entry) -> tuple[bool, int, float]:
        return self._shuts_out(entry), _FORGET_FIRST[entry.said], entry.since_s
