"""What the broker takes: the largest event, measured by publishing, and a batch. A handful of requests, counted.

A size counts only when both clients have the event: a server may accept what it then drops.
"""

from __future__ import annotations

import secrets
import time

from codewrap.doctor.access import Broker
from codewrap.doctor.conversation import EVENT, Conversation, Patience
from codewrap.doctor.report import Check, Checking, all_skipped, failed, passed, skipped, words
from codewrap.errors import CodewrapError, TransportError
from codewrap.protocol import channels
from codewrap.protocol.pacing import MAX_BATCH
from codewrap.transport.base import Event

HOSTED_EVENT_BYTES = 10_240
# Pusher's limit, Soketi's default, and one that most servers refuse.
STEPS = (HOSTED_EVENT_BYTES, 102_400, 204_800)
CHECKS = ("event size", "batch of 10")


def sizes_to_try(event_bytes: int, *, metered: bool, bounded: bool) -> list[int]:
    """Increasing, at most four, with ``event_bytes``, which codewrap would send. ``bounded``: nothing beyond it is of use."""
    if metered:
        return [min(event_bytes, HOSTED_EVENT_BYTES)]
    return sorted({size for size in (*STEPS, event_bytes) if not bounded or size <= event_bytes})


class Limits:
    """Measures over a conversation that works."""

    def __init__(self, broker: Broker, conversation: Conversation, session: str, patience: Patience) -> None:
        self._broker = broker
        self._conversation = conversation
        self._channel = channels.output_channel(session, encrypted=False)
        self._patience = patience

    def run(self, *, works: bool) -> Checking[None]:
        """Both checks; skipped where publishing does not work."""
        if not works:
            yield from all_skipped(CHECKS, "needs the private channel")
            return
        yield self._event_size("event size")
        yield skipped("batch of 10", "no time left") if self._patience.is_over else self._batch("batch of 10")

    def _event_size(self, name: str) -> Check:
        wanted = self._broker.event_bytes
        taken, refused, why = 0, None, ""
        for size in sizes_to_try(wanted, metered=self._broker.is_metered, bounded=self._broker.is_behind_gateway):
            why = self._refusal(size)
            if why:
                refused = size
                break
            taken = size
        if refused is not None and refused <= wanted:
            where = " for serve-auth" if self._broker.is_behind_gateway else ""
            advice = f"set CODEWRAP_MAX_EVENT_BYTES={taken}{where}" if taken else "see the server's log"
            return failed(name, f"{refused} bytes do not pass ({why}), and codewrap sends up to {wanted}", advice)
        beyond = f", not {refused}" if refused is not None else ""
        return passed(name, f"{taken} bytes pass{beyond}; codewrap sends up to {wanted}")

    def _refusal(self, size: int) -> str:
        """Why an event of ``size`` bytes does not pass; empty when both clients have it."""
        data = secrets.token_hex(8).ljust(size, "x")
        try:
            self._conversation.publish([Event(self._channel, EVENT, data)])
        except CodewrapError as error:
            if isinstance(error, TransportError) and error.status == 413:
                return "too large for the server"
            return words(error)
        heard_s = self._conversation.heard_by_both(self._channel, data, self._patience.until_s())
        return "" if heard_s is not None else "accepted, and not delivered in time"

    def _batch(self, name: str) -> Check:
        events = [Event(self._channel, EVENT, secrets.token_hex(8)) for _ in range(MAX_BATCH)]
        started_s = time.monotonic()
        try:
            self._conversation.publish(events)
        except CodewrapError as error:
            return failed(name, words(error), "the server must take batches of ten (SOKETI_EVENT_MAX_BATCH_SIZE)")
        until_s = self._patience.until_s()
        times = [self._conversation.heard_by_both(self._channel, event.data, until_s) for event in events]
        heard = [time_s for time_s in times if time_s is not None]
        if len(heard) < len(events):
            advice = "the server drops events; see its log"
            return failed(name, f"{len(events) - len(heard)} of {len(events)} events did not arrive", advice)
        if heard != sorted(heard):
            return failed(name, "the events came in another order", "see the server's log; several servers need one order")
        return passed(name, "all arrive in order", (heard[-1] - started_s) * 1000)
