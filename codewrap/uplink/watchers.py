"""Who is on the session's presence channel: viewers, and hosts (one, unless two sessions have taken one name)."""

from __future__ import annotations

from dataclasses import dataclass, field

from codewrap.protocol.roles import TAKES_CLIENT_OUTPUT


@dataclass(slots=True)
class Watchers:
    """Who is on the presence channel, hosts apart from viewers."""

    viewers: set[str] = field(default_factory=set)
    writers: set[str] = field(default_factory=set)
    """Those of the viewers who may type: they hear what others type."""
    quick: set[str] = field(default_factory=set)
    """Viewers that understand output in client events."""
    hosts: set[str] = field(default_factory=set)

    def add(self, user_id: str, info: dict[str, object]) -> bool:
        """True when it is a viewer we did not know."""
        known = self.hosts if info.get("role") == "host" else self.viewers
        if info.get("role") == "writer":
            self.writers.add(user_id)
        new = user_id not in known
        known.add(user_id)
        if known is self.viewers and info.get(TAKES_CLIENT_OUTPUT) is True:
            self.quick.add(user_id)
        return new and known is self.viewers

    @property
    def all_quick(self) -> bool:
        """Somebody is here, and everybody understands output in client events."""
        return bool(self.viewers) and self.quick == self.viewers

    def remove(self, user_id: str) -> bool:
        """True when it was a viewer."""
        known = user_id in self.viewers
        self.viewers.discard(user_id)
        self.writers.discard(user_id)
        self.quick.discard(user_id)
        self.hosts.discard(user_id)
        return known

    def clear(self) -> None:
        self.viewers.clear()
        self.writers.clear()
        self.quick.clear()
        self.hosts.clear()
