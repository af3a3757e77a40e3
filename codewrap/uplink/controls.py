"""A server's words to the host, each once: what a relay kept is not heard again. Pure.

They are sealed with the session's input key, which the server and the host have and nobody else: who could make one is known
before this. Source: `docs/protocol.md`, "Control".
"""

from __future__ import annotations

from codewrap.protocol.frames import Control

# As brokers do with signatures: clocks differ, and what is older was kept by somebody.
MADE_WITHIN_S = 600.0
MAX_HEARD = 4096


class Heard:
    """What was heard lately, by id."""

    def __init__(self) -> None:
        self._made_s: dict[str, int] = {}
        self._floor_s = float("-inf")

    def is_new(self, control: Control, now_s: float) -> bool:
        """True once for each, if it was made just now."""
        if abs(now_s - control.at) > MADE_WITHIN_S or control.at <= self._floor_s or control.id in self._made_s:
            return False
        if len(self._made_s) >= MAX_HEARD:
            self._forget(now_s)
        self._made_s[control.id] = control.at
        return True

    def _forget(self, now_s: float) -> None:
        """What is too old is refused by its age. Where that makes no room, what is as old as the oldest half is refused too."""
        self._made_s = {known: at for known, at in self._made_s.items() if now_s - at <= MADE_WITHIN_S}
        if len(self._made_s) >= MAX_HEARD:
            self._floor_s = sorted(self._made_s.values())[MAX_HEARD // 2]
            self._made_s = {known: at for known, at in self._made_s.items() if at > self._floor_s}
