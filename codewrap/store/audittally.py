"""Keeps a flood of refusals from filling the audit log: beyond so many lines a second they are counted, and a line has the count.

Or whoever is refused could write gigabytes, and push out of a log that rotates what it shall not tell. No refusal is forgotten:
each has a line, or is in a line's ``count``. Times are arguments; the lines go to a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from codewrap.store.auditlines import Value

MOST_PER_S = 200
# What is counted is written every so often, in so many lines; different ones beside these are counted together.
COUNTED_S = 5.0
MAX_KINDS = 64
# What makes two refusals the same kind; all else of them (sizes are summed up) is not in the line that has their count.
_KIND = ("user", "why", "session", "address")

Kind = tuple[str, tuple[Value, ...]]


class RefusalTally:
    """Used by one thread. ``write`` takes an event, its fields, and when it was (None: now)."""

    def __init__(self, write: Callable[[str, Mapping[str, Value], float | None], object], most_per_s: int = MOST_PER_S) -> None:
        self._write = write
        self._most = most_per_s
        self._second_s = self._counting_s = float("-inf")
        self._written = 0
        self._counted: dict[Kind, tuple[int, int]] = {}

    def refused(self, event: str, fields: Mapping[str, Value], now_s: float, at_s: float | None = None) -> None:
        """Write it, or count it. ``now_s`` is a clock of its own; ``at_s`` is for the line."""
        self.tick(now_s)
        if not 0 <= now_s - self._second_s < 1:
            self._second_s, self._written = now_s, 0
        if self._written < self._most:
            self._written += 1
            self._write(event, fields, at_s)
            return
        if not self._counted:
            self._counting_s = now_s
        kind: Kind = (event, tuple(fields.get(name) for name in _KIND))
        if kind not in self._counted and len(self._counted) >= MAX_KINDS:
            kind = ("refusals", (None,) * len(_KIND))
        count, size = self._counted.get(kind, (0, 0))
        more = fields.get("size")
        self._counted[kind] = (count + 1, size + (more if isinstance(more, int) else 0))

    def tick(self, now_s: float) -> None:
        """To be called now and then, so that a count is written soon after the flood is over."""
        if self._counted and not 0 <= now_s - self._counting_s < COUNTED_S:
            self.flush()

    def flush(self) -> None:
        """Write what was counted."""
        counted, self._counted = self._counted, {}
        for (event, kind), (count, size) in counted.items():
            fields = {name: value for name, value in zip(_KIND, kind, strict=True) if value is not None}
            self._write(event, {"accepted": False, "count": count, "size": size, **fields}, None)
