"""Who comes to watch and goes, for the session's timeline: each said once, however often the link breaks in between.

Nor does an uplink that was started again say it again: who was here by the timeline has time to come back.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from codewrap.protocol.hostlink import Kind, Message

RETURN_S = 30.0  # as long as viewers wait for a host that is away


class Visitors:
    """Ids are those of presence: the user, a dot, and one for each attachment. ``send`` reaches the host."""

    def __init__(self, send: Callable[[Message], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._clock = clock
        self._known: set[str] = set()
        self._awaited: Counter[str] | None = None
        self._until_s = 0.0

    def here(self, user_ids: Collection[str], before: Mapping[str, int]) -> None:
        """All that are here now, be it again after the link was lost. ``before``: how often each user is, by the timeline."""
        if self._awaited is None:
            self._awaited, self._until_s = +Counter(before), self._clock() + RETURN_S
        for user_id in sorted(self._known.difference(user_ids)):
            self.went(user_id)
        for user_id in sorted(user_ids):
            self.came(user_id)

    def came(self, user_id: str) -> None:
        """One more."""
        if user_id not in self._known:
            self._known.add(user_id)
            if self._awaited and _user(user_id) in self._awaited:
                self._awaited -= Counter((_user(user_id),))
            else:
                self._mark("join", _user(user_id))

    def went(self, user_id: str) -> None:
        """One less."""
        if user_id in self._known:
            self._known.remove(user_id)
            self._mark("leave", _user(user_id))

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until `turn` has something to do."""
        return max(0.0, self._until_s - now_s) if self._awaited else None

    def turn(self, now_s: float) -> None:
        """Who has not come back by now has left."""
        if self._awaited and now_s >= self._until_s:
            for user in sorted(self._awaited.elements()):
                self._mark("leave", user)
            self._awaited.clear()

    def _mark(self, what: str, user: str) -> None:
        self._send(Message(Kind.MARK, {"what": what, "values": [user]}))


def _user(user_id: str) -> str:
    return user_id.rpartition(".")[0] or user_id
