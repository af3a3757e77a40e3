"""Whether the session's host is there, and when to give it up. Pure; the caller brings the time and the events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from codewrap.errors import EXIT_LOST, EXIT_NOT_ATTACHED
from codewrap.transport.base import Member
from codewrap.viewer.linkstate import LinkState

# Nobody answers for so long after we are connected: there is no such session.
NO_ANSWER_S = 6.0
# No host is on the presence channel: so much for one that is just reconnecting.
NO_HOST_S = 2.5
# The host left the presence channel: it may be reconnecting.
HOST_GONE_S = 30.0
_NOT_ALLOWED = (401, 403)


@dataclass(frozen=True, slots=True)
class Departure:
    """How the attachment ended: exit status and a line for the person."""

    status: int
    text: str
    absent: bool = False
    """Nobody runs it now."""


class Attendance:
    """Who was seen of the session, over the link ``link``, which it tells of the host's absence."""

    def __init__(self, session: str, endpoint: str, link: LinkState, *, encrypted: bool) -> None:
        self._session = session
        self._endpoint = endpoint
        self._link = link
        self._encrypted = encrypted
        self._hosts: set[str] = set()
        self._ready_s: float | None = None
        self.answered = False
        """The host has said something that we could open, and has answered our challenge. Set by who hears it."""
        self.recorded = False
        """Something was said that we could open, by no host that answers. Set by who hears it."""

    def ready(self, members: Iterable[Member], now_s: float) -> None:
        """We are on the presence channel, with these."""
        self._ready_s = now_s
        self._hosts = {member.user_id for member in members if _is_host(member)}

    def added(self, member: Member) -> None:
        """Somebody came."""
        if _is_host(member):
            self._hosts.add(member.user_id)

    def removed(self, member: Member) -> None:
        """Somebody left."""
        self._hosts.discard(member.user_id)

    def disconnected(self) -> None:
        """Nothing is known of anybody until `ready`."""
        self._hosts.clear()
        self._ready_s = None

    def failed(self, reason: str) -> Departure:
        """The broker will not have us at all."""
        return Departure(self._status(), f"{self._endpoint} refuses the connection: {reason}")

    def refused(self, reason: str, status: int | None = None) -> Departure:
        """We may not watch; ``status`` is that of HTTP. Who was let in before has lost the right, not the session."""
        if self.answered and status in _NOT_ALLOWED:
            return Departure(EXIT_NOT_ATTACHED, f"you may not watch {self._session} any more: {reason}")
        return Departure(self._status(), f"{self._endpoint} does not let us watch {self._session}: {reason}")

    def verdict(self, now_s: float) -> Departure | None:
        """Whether to give up by now. Call it every turn: it is what the link hears of the host by."""
        if self._ready_s is None:
            return None
        self._link.host_is(bool(self._hosts), now_s)
        if not self.answered and now_s - self._ready_s > (NO_ANSWER_S if self._hosts else NO_HOST_S):
            advice = "nobody runs it"
            if self.recorded:
                advice = "what comes from this server does not answer: it may be a recording of an earlier session"
            elif self._hosts and self._encrypted:
                advice = "it has another master key than this viewer, or was started with --no-encrypt"
            text = f"no answer from session {self._session}: {advice}"
            return Departure(EXIT_NOT_ATTACHED, text, absent=not self._hosts)
        if self._link.host_away_s(now_s) > HOST_GONE_S:
            return Departure(EXIT_LOST, f"session {self._session} is lost: its host is gone")
        return None

    def too_late(self, now_s: float) -> bool:
        """Where an end is known: what stands before it will not come any more."""
        return max(self._link.host_away_s(now_s), self._link.away_s(now_s)) > NO_ANSWER_S

    def _status(self) -> int:
        return EXIT_LOST if self.answered else EXIT_NOT_ATTACHED


def _is_host(member: Member) -> bool:
    return member.info.get("role") == "host"
