"""How output becomes events: split by the broker's limit on encoded bytes, batched, paced by what the broker takes and costs.

Pure: sizes and times are arguments. `encode_output` decides how many bytes one event carries, `Pace` when the next may leave.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass

from codewrap.errors import LocalProtocolError
from codewrap.protocol import frames, sealing

MAX_BATCH = 10  # Pusher HTTP API: events per batch
BURST_SHARE = 0.5
# Of what the bucket holds, what each `Priority` must leave to the more urgent ones.
KEPT = (0.2, 0.05, 0.0)
# From here on debts are paid at once.
PLENTY = 0.4
# Ordinary output spends what it may in about this time, ever more slowly: a hundredth of the period, within these bounds.
EASE_LEAST_S, EASE_MOST_S = 5.0, 300.0
# A batch of ordinary output takes no more than a tenth of what it may spend.
TAKES_ONE_OF = 10
# What sums of floats are off by, in seconds and in messages.
_INSTANT_S, _CRUMB = 1e-6, 1e-6


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """What the broker takes: encoded bytes of one event, events of one batch and their bytes."""

    event_bytes: int = 10_240
    batch_events: int = MAX_BATCH
    batch_bytes: int = 1_000_000

    def plain_bytes(self, *, sealed: bool) -> int:
        """The most bytes of frame text in one event."""
        return sealing.largest_plain(self.event_bytes) if sealed else self.event_bytes


def encode_output(frame: frames.Output, plain_limit: int) -> list[tuple[int, str]]:
    """Split ``frame`` into texts of at most ``plain_limit`` encoded bytes: a list of (end offset, text) in order.

    Compressed size cannot be known beforehand, so a piece that turns out too large is halved. Cuts fall between characters
    where they can, so that text stays text. Acknowledgements that leave output too little room go ahead in frames of their
    own. Raises LocalProtocolError where not even one byte fits.
    """
    text = frames.encode(frame)
    if len(text.encode()) <= plain_limit:
        return [(frame.end, text)]
    if frame.acks:
        ahead = frames.Output(frame.epoch, frame.offset, b"", frame.stream, frame.acks)
        if not frame.data:
            return _encode_halves(frame, plain_limit)
        if len(frame.data) == 1 or len(frames.encode(ahead)) > plain_limit // 2:
            rest = frames.Output(frame.epoch, frame.offset, frame.data, frame.stream)
            return encode_output(ahead, plain_limit) + encode_output(rest, plain_limit)
    if len(frame.data) < 2:
        raise LocalProtocolError("an event is too small for one byte of output")
    cut = character_boundary(frame.data, len(frame.data) // 2)
    first = frames.Output(frame.epoch, frame.offset, frame.data[:cut], frame.stream, frame.acks)
    second = frames.Output(frame.epoch, frame.offset + cut, frame.data[cut:], frame.stream)
    return encode_output(first, plain_limit) + encode_output(second, plain_limit)


def _encode_halves(frame: frames.Output, plain_limit: int) -> list[tuple[int, str]]:
    """The same for acknowledgements alone."""
    acks = list(frame.acks.items())
    if len(acks) < 2:
        raise LocalProtocolError("an event is too small for one acknowledgement")
    texts = []
    for half in (acks[: len(acks) // 2], acks[len(acks) // 2 :]):
        part = frames.Output(frame.epoch, frame.offset, b"", frame.stream, dict(half))
        texts += encode_output(part, plain_limit)
    return texts


def character_boundary(data: bytes, near: int) -> int:
    """The offset of a UTF-8 character's first byte at or up to three bytes before ``near``; ``near`` if there is none."""
    for back in range(min(4, near)):
        if data[near - back] & 0xC0 != 0x80:
            return near - back
    return near


class Priority(enum.IntEnum):
    """How urgent it is: what is more urgent may spend what the others must leave."""

    ORDINARY = 0  # output, screens of a flood, what was asked for again
    ECHO = 1  # what follows on a keystroke, or greets somebody new
    LAST = 2  # the end of the session


class RateLimit:
    """At most ``per_s`` events a second, in any second; below one a second, one in so many seconds.

    After silence up to half of them leave at once, then they keep their distance. From five a second on, a fifth is left to
    what is urgent, which keeps no distance.
    """

    def __init__(self, per_s: float) -> None:
        self._most = max(1, math.floor(per_s))
        self._period_s = self._most / per_s
        self._at_once = max(1, self._most // 2)
        self._times: deque[float] = deque(maxlen=self._most)

    def wait_s(self, now_s: float, priority: Priority) -> float:
        """Seconds until one more event may leave."""
        self._forget(now_s)
        most = self._most_of(priority)
        due_s = now_s
        if len(self._times) >= most:
            due_s = self._times[-most] + self._period_s
        if priority is Priority.ORDINARY and len(self._times) >= self._at_once:
            due_s = max(due_s, self._times[-1] + self._period_s / most)
        return _at_least(due_s - now_s)

    def affords(self, now_s: float, priority: Priority) -> int:
        """How many events may leave at once."""
        if self.wait_s(now_s, priority):
            return 0
        if priority is Priority.ORDINARY:
            return max(1, self._at_once - len(self._times))
        return self._most - len(self._times)

    def left(self, events: int, now_s: float) -> None:
        """So many have left."""
        self._times.extend([now_s] * events)

    def _most_of(self, priority: Priority) -> int:
        return self._most - self._most // 5 if priority is Priority.ORDINARY else self._most

    def _forget(self, now_s: float) -> None:
        while self._times and now_s - self._times[0] >= self._period_s - _INSTANT_S:
            self._times.popleft()


class Budget:
    """A token bucket of messages: in no window of ``period_s`` does more than ``messages`` leave by `wait_s` and `spend`.

    Half of them (BURST_SHARE) may go at once, the other half comes back evenly over the period: together they are never more
    than the whole. As the bucket empties, ordinary output keeps growing distances; its last fifth is for what is urgent. An
    event that alone costs more than the bucket holds waits until that is full.

    What cannot be held back (typing, requests, people who come) is charged: at once while there is plenty, else as a debt, paid
    by half of what comes back. So output slows down and never stops: viewers who ask until they are answered would otherwise
    use up all there is to answer them with.
    """

    def __init__(self, messages: float, period_s: float, left: float | None = None) -> None:
        self.holds = messages * BURST_SHARE
        self.per_s = (messages - self.holds) / period_s
        self._plenty = PLENTY * self.holds
        self._ease_s = min(max(period_s / 100, EASE_LEAST_S), EASE_MOST_S)
        self._left = self.holds if left is None else min(max(0.0, left), self.holds)
        self._debt = 0.0 if left is None else min(max(0.0, -left), self.holds)
        self._at_s: float | None = None
        self._eased_until_s = 0.0

    def left(self, now_s: float) -> float:
        """What may be spent at once."""
        since_s = now_s if self._at_s is None else max(self._at_s, now_s)
        if self._at_s is not None:
            back = self.per_s * (since_s - self._at_s)
            self._debt -= (paid := min(self._debt, back / 2))
            self._left = min(self.holds, self._left + back - paid)
            self._pay()
        self._at_s = since_s
        return self._left

    def balance(self, now_s: float) -> float:
        """The same less what is owed; with it another one goes on."""
        return self.left(now_s) - self._debt

    def is_low(self, now_s: float) -> bool:
        """Most is spent."""
        return self.balance(now_s) < self._plenty

    def is_used_up(self, cost: float, now_s: float) -> bool:
        """Ordinary output has spent its share: it goes on with little more than what comes back."""
        spare = self.left(now_s) - KEPT[Priority.ORDINARY] * self.holds
        return spare < max(cost, self.per_s * self._ease_s)

    def wait_s(self, cost: float, now_s: float, priority: Priority) -> float:
        """Seconds until ``cost`` messages may be spent."""
        needed = min(cost + KEPT[priority] * self.holds, self.holds)
        short = needed - self.left(now_s)
        debt = self._debt if needed > self._plenty else min(short, self._debt)
        wait_s = (short + debt) / self.per_s if short > _CRUMB else 0.0
        if priority is Priority.ORDINARY:
            wait_s = max(wait_s, self._eased_until_s - now_s)
        return _at_least(wait_s)

    def affords(self, cost: float, now_s: float, priority: Priority) -> int:
        """How many events of ``cost`` messages each may leave at once: of ordinary ones not all that is left."""
        if self.wait_s(cost, now_s, priority):
            return 0
        spare = self.left(now_s) - KEPT[priority] * self.holds
        return max(1, int(spare / cost / (TAKES_ONE_OF if priority is Priority.ORDINARY else 1)))

    def spend(self, cost: float, now_s: float) -> None:
        """So many have left."""
        self._left = self.left(now_s) - cost
        spare = max(0.0, self._left - KEPT[Priority.ORDINARY] * self.holds)
        self._eased_until_s = now_s + cost / (self.per_s + spare / self._ease_s)

    def charge(self, messages: float, now_s: float) -> None:
        """So many were spent without our having a say."""
        self.left(now_s)
        self._debt += messages
        self._pay()
        self._debt = min(self.holds, self._debt)

    def _pay(self) -> None:
        """What is owed, as far as there is plenty."""
        paid = min(self._debt, max(0.0, self._left - self._plenty))
        self._debt -= paid
        self._left -= paid


class Pace:
    """Says when the next events may leave, and how many: by the rate, by the budget, and by what the broker asked for."""

    def __init__(self, rate: RateLimit | None = None, budget: Budget | None = None) -> None:
        self._rate = rate
        self._budget = budget
        self._held_until_s = 0.0

    def wait_s(self, now_s: float, cost: float = 2.0, priority: Priority = Priority.ORDINARY) -> float:
        """Seconds to wait before an event that costs so many messages; 0 when it may leave at once."""
        wait_s = _at_least(self._held_until_s - now_s)
        if self._rate is not None:
            wait_s = max(wait_s, self._rate.wait_s(now_s, priority))
        if self._budget is not None:
            wait_s = max(wait_s, self._budget.wait_s(cost, now_s, priority))
        return wait_s

    def affords(self, now_s: float, cost: float = 2.0, priority: Priority = Priority.ORDINARY) -> int:
        """How many events of ``cost`` messages each may leave together now; at most a batch of them."""
        if self.wait_s(now_s, cost, priority):
            return 0
        most = MAX_BATCH
        if self._rate is not None:
            most = min(most, self._rate.affords(now_s, priority))
        if self._budget is not None:
            most = min(most, self._budget.affords(cost, now_s, priority))
        return most

    def published(self, now_s: float, events: int = 1, cost: float = 2.0) -> None:
        """So many events have left, of ``cost`` messages each."""
        if self._rate is not None:
            self._rate.left(events, now_s)
        if self._budget is not None:
            self._budget.spend(events * cost, now_s)

    def hold_until(self, until_s: float) -> None:
        """The broker asked for quiet (429, Retry-After): nothing leaves before."""
        self._held_until_s = max(self._held_until_s, until_s)


def _at_least(wait_s: float) -> float:
    """Never less than nothing, and never so little that a clock does not show it."""
    return wait_s if wait_s > _INSTANT_S else 0.0
