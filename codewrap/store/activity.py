"""What a session does: working, idle, or awaiting input, with the evidence. One small file in its directory.

The uplink writes it, whole; `ls`, `show` and `wait` read it. It says what was true of ``offset`` bytes of output: where there are
more by now, it is being looked at again.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codewrap.store.files import write_private

FILE_NAME = "activity.json"
_MAX_FILE_BYTES = 64 * 1024
STATES = ("working", "idle", "awaiting input")


@dataclass(frozen=True, slots=True)
class Activity:
    """``state`` is one of STATES, ``since`` seconds since 1970, ``prompt`` what it asks, as far as it stands on the screen."""

    state: str
    since: float
    evidence: tuple[str, ...] = ()
    prompt: str = ""
    offset: int = 0
    told: bool = False
    """Whoever is to be told of this prompt was told: an uplink after this one need not."""

    def public(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "state": self.state,
            "since": self.since,
            "evidence": list(self.evidence),
            "prompt": self.prompt,
            "offset": self.offset,
            "told": self.told,
        }


def write_activity(directory: Path, activity: Activity) -> None:
    """Replace what is there. Raises StoreError."""
    write_private(directory / FILE_NAME, json.dumps(activity.public()).encode() + b"\n")


def read_activity(directory: Path) -> Activity | None:
    """None where there is none, or none that can be read."""
    try:
        fd = os.open(directory / FILE_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            said = json.loads(os.read(fd, _MAX_FILE_BYTES))
        finally:
            os.close(fd)
        state, prompt = said["state"], said["prompt"]
        if state not in STATES or not isinstance(prompt, str):
            return None
        evidence = tuple(str(words) for words in said["evidence"])
        return Activity(state, float(said["since"]), evidence, prompt, int(said["offset"]), said["told"] is True)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
