"""Who is on the session's presence channel: viewers, and hosts (one, unless two sessions have taken one name)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Watchers:
    """Who is on the presence channel, hosts apart from viewers."""

    viewers: set[str] = field(default_factory=set)
    writers: set[str] = field(default_factory=set)
    """Those of the viewers who may type: they hear what others type."""
    hosts: set[str] = field(default_factory=set)

    def add(self, user_id: str, info: dict[str, object]) -> bool:
        """True when it is a viewer we did not know."""
        known = self.hosts if info.get("role") == "host" else self.viewers
        if info.get("role") == "writer":
            self.writers.add(user_id)
        new = user_id not in known
        known.add(user_id)
        return new and known is self.viewers

    def remove(self, user_id: str) -> None:
        self.viewers.discard(user_id)
        self.writers.discard(user_id)
        self.hosts.discard(user_id)

    def clear(self) -> None:
        self.viewers.clear()
        self.writers.clear()
        self.hosts.clear()
