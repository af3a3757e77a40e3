"""Viewers' challenges that wait for an answer: by it they know that this run is of now, and not a recording of an earlier one.

Source: `docs/protocol.md`, "Which run is of now".
"""

from __future__ import annotations

from codewrap.protocol.frames import ID, MAX_ANSWERS

# Whose challenge is not among so many asks again.
MAX_CHALLENGES = 64


class Challenges:
    """In the order in which they came, each once."""

    def __init__(self) -> None:
        self._waiting: dict[str, None] = {}

    def __bool__(self) -> bool:
        """Whether any waits."""
        return bool(self._waiting)

    def add(self, challenge: object) -> None:
        """``challenge`` is as it came from the network; what is none is passed over."""
        if not isinstance(challenge, str) or not ID.fullmatch(challenge):
            return
        self._waiting[challenge] = None
        if len(self._waiting) > MAX_CHALLENGES:
            del self._waiting[next(iter(self._waiting))]

    def take(self) -> tuple[str, ...]:
        """As many as one frame answers; they wait no longer."""
        taken = tuple(self._waiting)[:MAX_ANSWERS]
        for challenge in taken:
            del self._waiting[challenge]
        return taken

    def clear(self) -> None:
        """Nobody is here who asked."""
        self._waiting.clear()
