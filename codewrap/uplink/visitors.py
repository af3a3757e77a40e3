"""Who comes to watch and goes, for the session's timeline: each said once, however often the link breaks in between."""

from __future__ import annotations

from collections.abc import Callable, Collection

from codewrap.protocol.hostlink import Kind, Message


class Visitors:
    """Ids are those of presence: the user, a dot, and one for each attachment. ``send`` reaches the host."""

    def __init__(self, send: Callable[[Message], object]) -> None:
        self._send = send
        self._known: set[str] = set()

    def here(self, user_ids: Collection[str]) -> None:
        """All that are here now, be it again after the link was lost."""
        for user_id in sorted(self._known.difference(user_ids)):
            self.went(user_id)
        for user_id in sorted(user_ids):
            self.came(user_id)

    def came(self, user_id: str) -> None:
        """One more."""
        if user_id not in self._known:
            self._known.add(user_id)
            self._mark("join", user_id)

    def went(self, user_id: str) -> None:
        """One less."""
        if user_id in self._known:
            self._known.remove(user_id)
            self._mark("leave", user_id)

    def _mark(self, what: str, user_id: str) -> None:
        self._send(Message(Kind.MARK, {"what": what, "values": [user_id.rpartition(".")[0] or user_id]}))
