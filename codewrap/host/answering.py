"""Answers to a prompt, made by way of a link: typed where that prompt stands, or not at all.

A place is said by both streams: so much output, so much input taken. What has been answered, by anybody, has taken input, so
that no answer fits a second time. Nothing here asks whether somebody may type: `door.py` does.
"""

from __future__ import annotations

from typing import Any

from codewrap.host.door import Door
from codewrap.host.inputs import PendingInput

TYPED, GONE, REFUSED = "typed", "gone", "refused"


class Answering:
    """One session's, in the host's loop."""

    def __init__(self, door: Door, inputs: PendingInput) -> None:
        self._door = door
        self._inputs = inputs

    def take(self, header: dict[str, Any], end: int | None) -> tuple[str, str]:
        """The id of a server's "answer" and what became of it: TYPED, GONE or REFUSED.

        ``end``: so much output there is; None where there is more, not read yet, or where that cannot be said.
        """
        place = header["only_at"]
        stands = place is not None and not self._inputs and (place["offset"], place["typed"]) == (end, self._inputs.taken)
        why = "" if stands else "the prompt has gone"
        written = self._door.answered(header["id"], header["text"].encode(), why)
        outcome = TYPED if written else GONE if why else REFUSED
        return header["id"], outcome
