"""What is told to who is not watching: one event of a session, as a value and as JSON. Pure."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field


class Happening(enum.Enum):
    """Why somebody is told."""

    AWAITING = "awaiting"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a prompt stands: after ``offset`` bytes of output and ``typed`` of input. ``reads``: LINE, SECRET (no echo), KEYS."""

    offset: int
    typed: int
    reads: str


LINE, SECRET, KEYS = "line", "secret", "keys"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """``text`` is a line for people, free of control characters; ``number`` is the same wherever and however often it is told.

    ``answer_url``, where there is one, takes one answer to the prompt that stands at ``place``: who has it can give it.
    """

    event: Happening
    session: str
    text: str
    evidence: tuple[str, ...]
    at: float
    attach: str
    number: str
    place: Place | None = None
    answer_url: str = field(default="", repr=False)

    def to_json(self) -> bytes:
        """As a webhook's body and a command's stdin."""
        said = {
            "event": self.event.value,
            "session": self.session,
            "text": self.text,
            "evidence": list(self.evidence),
            "at": self.at,
            "attach": self.attach,
            "id": self.number,
        }
        if self.answer_url:
            said["answer_url"] = self.answer_url
        return json.dumps(said, ensure_ascii=False).encode(errors="replace")

    @property
    def headline(self) -> str:
        """In a few words."""
        what = {Happening.AWAITING: "waits for you", Happening.ENDED: "has ended", Happening.FAILED: "has failed"}[self.event]
        return f"{self.session} {what}"
