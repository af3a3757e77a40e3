"""The whole examination: which part comes after which, and what is skipped when one fails. Checks nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from codewrap.doctor import conversation, limits
from codewrap.doctor.access import Broker, Spelling
from codewrap.doctor.conversation import Conversation, Patience
from codewrap.doctor.limits import Limits
from codewrap.doctor.report import Check, Checking, all_skipped, passed

TOTAL_CHECKS = 6  # so many checks may run out their time before the rest is skipped


class Door(Protocol):
    """The way to a broker; `access.DirectDoor` and `access.GatewayDoor`."""

    def open(self) -> Checking[Broker | None]:
        """Its checks; then the broker, None where there is none."""

    def close(self) -> None:
        """Release what was opened. Never raises."""


@dataclass(frozen=True, slots=True)
class Examination:
    """``session`` is a throwaway name: nobody's session is touched. ``before`` are checks that need no server."""

    session: str
    door: Door
    before: Sequence[Check]
    spelling: Spelling
    timeout_s: float

    def run(self) -> Iterator[Check]:
        """Each finding as soon as it is there."""
        patience = Patience(self.timeout_s, self.timeout_s * TOTAL_CHECKS)
        yield from self.before
        with ExitStack() as stack:
            stack.callback(self.door.close)
            broker = yield from self.door.open()
            if broker is None:
                yield from all_skipped((*conversation.CHECKS, *limits.CHECKS), "needs the server")
                return
            talk = Conversation(broker, self.session, self.spelling, patience)
            stack.callback(talk.close)
            works = yield from talk.run()
            yield from Limits(broker, talk, self.session, patience).run(works=works)
            if broker.is_metered:
                yield passed("messages spent", f"about {patience.messages} of the account's daily ones")
