"""Decides what is said next: turns the log, requests and acknowledgements into frames, and frames into texts that fit.

No thread, no socket, no clock: the caller passes the time, publishes what `compose` returns and confirms by `published`.
Nobody watches: nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from codewrap.protocol import frames, pacing
from codewrap.protocol.frames import Acked, Beat, Ended, HostFrame, Notice, Output, Resized, Screen
from codewrap.protocol.geometry import Size
from codewrap.protocol.stream import REPLAY_BYTES
from codewrap.uplink.challenges import Challenges
from codewrap.uplink.follower import LogFollower, Piece

# A terminal viewer that lacks more than this gets a screen: it could not read what rushes by.
MAX_BACKLOG_BYTES = 128 * 1024
# The same in events, where these are small: output of programs is deflated to a third, most often.
BACKLOG_EVENTS = 2
DEFLATED_TO = 3
# So many requests far apart are kept; who is not among them asks again.
MAX_REPLAYS = 64
# After the last word, viewers are told once more where the session stands, so that a lost event is missed also where none
# follows. Few, since each is a message for every viewer.
BEATS_AFTER_S = (1.5, 12.0, 90.0)
# The end too, ever more rarely, until those who watch have gone.
END_AGAIN_S = 0.7
# Writers whose input is confirmed in one event: ids are at most 64 characters, offsets 16 digits.
ACKS_AT_ONCE = 50
# What a viewer of a session without a terminal is shown of the past.
TAIL_BYTES = 32 * 1024
# An acknowledgement waits so long for output to ride on (the echo, most often).
ACK_DELAY_S = 0.03
# That of a paste does not: its writer waits for room in its window.
PROMPT_BYTES = 16 * 1024
FEED_BYTES = 256 * 1024
# Under a flood nobody reads more screens than this, and each costs a message for every viewer.
FLOOD_SCREEN_INTERVAL_S = 0.05
SCROLLBACK_LINES = (200, 50, 0)
# No piece need be larger than an event can ever carry, compressed well.
PIECE_BYTES = 64 * 1024


class ScreenState(Protocol):
    """The terminal's state, as `terminal/emulator.py` keeps it."""

    def feed(self, data: bytes) -> object: ...
    def resize(self, size: Size) -> None: ...
    def snapshot(self, scrollback_lines: int = 0) -> bytes: ...


@dataclass(slots=True)
class Batch:
    """Texts to publish in this order as (event name, text); ``confirm`` is what becomes true once they are."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    live_to: int = 0
    notices: int = 0
    replayed: tuple[int, int] | None = None
    ended: bool = False
    again: bool = False
    """Nothing but what was said before."""
    live: bool = False
    """Nothing but new output and acknowledgements: nobody has asked for it, and nobody waits for it to arrive for certain."""


@dataclass(slots=True)
class _Beats:
    """When the next beat is due, counted from the last word."""

    since_s: float = 0.0
    done: int = len(BEATS_AFTER_S)

    def restart(self, now_s: float) -> None:
        self.since_s, self.done = now_s, 0

    def next_s(self) -> float | None:
        return self.since_s + BEATS_AFTER_S[self.done] if self.done < len(BEATS_AFTER_S) else None


class Composer:
    """One session's side of the conversation. ``screen`` is None for a session on pipes."""

    def __init__(
        self,
        epoch: str,
        follower: LogFollower,
        screen: ScreenState | None,
        size: Size,
        limits: pacing.BrokerLimits,
        *,
        sealed: bool,
        feed_from: int = 0,
    ) -> None:
        self._epoch = epoch
        self._follower = follower
        self._screen = screen
        self._size = size
        self._sizes_seen = 0
        self._fed = feed_from
        self._live = 0
        self._plain_limit = limits.plain_bytes(sealed=sealed)
        self._batch_events = limits.batch_events
        self._most_events: int | None = None
        self._screen_wanted = self._scrollback_wanted = False
        self._replays: list[tuple[int, int]] = []
        self._beat_wanted = False
        self._beats = _Beats()
        self._size_news: list[Resized] = []
        self._acks: dict[str, int] = {}
        self._acks_told: dict[str, int] = {}
        self._ack_due_s: float | None = None
        self._notices: list[Notice] = []
        self.challenges = Challenges()
        self.end_said = False
        """The end has left, after everything else."""
        self._end_again_s = self._end_wait_s = 0.0
        self._flood_screen_due_s = 0.0
        self.watchers = 0
        self.key: bytes | None = None
        """What output that comes as client events is signed with (the public part), once there is such output."""
        self.thrifty = False
        """Every message counts: the first beat is left out."""

    def limited_by(self, limits: pacing.BrokerLimits, *, sealed: bool) -> None:
        """What the server takes, once it is known."""
        self._plain_limit = limits.plain_bytes(sealed=sealed)
        self._batch_events = limits.batch_events

    # -- what happens around us --------------------------------------------------------------------------------

    def watched_by(self, count: int) -> None:
        """So many viewers are here. With none, everything up to now counts as said."""
        self.watchers = count
        if count == 0:
            self._screen_wanted = False
            self._replays.clear()
            self._beat_wanted = False
            self._beats = _Beats()
            self._acks.clear()
            self._ack_due_s = None
            self.challenges.clear()

    def want_screen(self, *, joined: bool = False) -> None:
        """Somebody is new, or lost the thread."""
        self._screen_wanted = True
        self._scrollback_wanted = self._scrollback_wanted or joined
        self._beat_wanted = self._beat_wanted or (joined and self.key is not None)
        self.end_said = False

    def want_bytes(self, offset: int) -> None:
        """Somebody lacks the bytes from ``offset`` on. Requests that overlap become one answer."""
        self.end_said = False  # the event that said so may be what is lacking
        end = min(offset + REPLAY_BYTES, self._live)
        if end <= offset:
            self._beat_wanted = True
            return
        joined = [known for known in self._replays if known[0] <= end and offset <= known[1]]
        apart = [known for known in self._replays if known not in joined]
        whole = (min([offset, *(known[0] for known in joined)]), max([end, *(known[1] for known in joined)]))
        self._replays = [*apart, whole][:MAX_REPLAYS]

    def want_beat(self) -> None:
        """Something that was said may not have arrived: viewers are told where the session stands."""
        self._beat_wanted = self.watchers > 0

    def can_repeat(self, offset: int) -> bool:
        """Whether the bytes from ``offset`` to now are few enough, and still held, to be said again instead of a screen."""
        return self._follower.start <= offset <= self._live and self._live - offset <= MAX_BACKLOG_BYTES

    def acknowledge(self, acks: dict[str, int], now_s: float) -> None:
        """Input was written to the child."""
        if not self.watchers:
            return
        self._acks.update(acks)
        if self._ack_due_s is None:
            self._ack_due_s = now_s + ACK_DELAY_S
        if any(offset - self._acks_told.get(writer, 0) >= PROMPT_BYTES for writer, offset in acks.items()):
            self._ack_due_s = now_s

    def notify(self, kind: str, text: str, writer: str = "") -> None:
        """A line for those who watch; for the one alone who types as ``writer``, which nobody else hears of later."""
        if self.watchers or not writer:
            self._notices.append(Notice(self._epoch, self._live, kind, text, writer=writer))

    # -- the terminal's state ----------------------------------------------------------------------------------

    @property
    def lag_bytes(self) -> int:
        """How far the terminal's state is behind the log."""
        return self._follower.end - self._fed if self._screen is not None else 0

    @property
    def fed_to(self) -> int:
        """Where the terminal's state stands."""
        return self._fed

    def catch_up(self, most_bytes: int) -> bool:
        """Feed the terminal's state from the log, at most so many bytes; True when there is more."""
        follower = self._follower
        self._take_sizes(self._fed)
        if self._screen is None:
            self._fed = follower.end
            self._take_sizes(self._fed)
            return False
        target = min(follower.end, self._fed + most_bytes)
        while self._fed < target:
            stop = self._next_size_offset(target)
            for piece in follower.pieces(self._fed, stop, FEED_BYTES):
                self._screen.feed(piece.data)
                self._fed = piece.end
            if self._fed < stop:
                break
            self._take_sizes(self._fed)
        return self._fed < follower.end

    def _next_size_offset(self, target: int) -> int:
        upcoming = self._follower.sizes(self._sizes_seen)
        return min(target, upcoming[0].offset) if upcoming and upcoming[0].offset > self._fed else target

    def _sizes_due(self) -> bool:
        """A size changed where the terminal's state is already: no feeding will take it up."""
        upcoming = self._follower.sizes(self._sizes_seen)
        return bool(upcoming) and (self._screen is None or upcoming[0].offset <= self._fed)

    def _take_sizes(self, offset: int) -> None:
        for change in self._follower.sizes(self._sizes_seen):
            if change.offset > offset:
                return
            self._sizes_seen += 1
            self._size = change.size
            self._size_news.append(Resized(self._epoch, change.offset, change.size, self._sizes_seen))
            if self._screen is not None:
                self._screen.resize(change.size)
                self._screen_wanted = self._screen_wanted or self.watchers > 0  # terminals reflow differently

    # -- what to say -------------------------------------------------------------------------------------------

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until `compose` has something to say; None when nothing is in sight."""
        again_s = self._end_again_s if self.end_said else self._beats.next_s()
        waits = [self._news_wait_s(now_s), None if again_s is None else max(0.0, again_s - now_s)]
        return min((wait_s for wait_s in waits if wait_s is not None), default=None) if self.watchers else None

    def settled(self, now_s: float) -> bool:
        """All that is new was said to those who are here."""
        return not self.watchers or self._news_wait_s(now_s) is None

    def _news_wait_s(self, now_s: float) -> float | None:
        asked = self._screen_wanted or self._replays or self._beat_wanted or self.challenges
        if asked or self._notices or self._sizes_due():
            return 0.0
        ended = self._follower.ending is not None and not self.end_said
        if self._too_far_behind() and not ended:
            return max(0.0, self._flood_screen_due_s - now_s)
        if self._size_news or self._live < self._follower.end or ended:
            return 0.0
        return None if self._ack_due_s is None else max(0.0, self._ack_due_s - now_s)

    def compose(self, now_s: float, most_events: int | None = None) -> Batch:
        """The next batch, empty when there is nothing to say. Publish it until it has left, then call `published`.

        ``most_events``: output takes no more than so many; what belongs together (a screen in parts) is said all the same.
        """
        self._most_events = most_events
        batch = Batch(live_to=self._live)
        if self._sizes_due():
            self._take_sizes(self._follower.end if self._screen is None else self._fed)
        if not self.watchers:
            batch.live_to = self._follower.end
            self._size_news.clear()
            return batch
        self._say_acknowledgements(batch, now_s)
        if self._screen_wanted or self._too_far_behind():
            self._say_screen(batch)
            self._say_answers(batch)  # where there were too many for it
            self._flood_screen_due_s = now_s + FLOOD_SCREEN_INTERVAL_S
        else:
            batch.live = not self._notices and not self._size_news and not self.challenges
            self._say_answers(batch)
            self._say_sizes(batch)
            self._say_live(batch)
        for notice in self._notices:  # behind the output, which would scroll it away
            self._say(batch, notice)
        batch.notices = len(self._notices)
        self._say_replay(batch)
        self._say_end(batch, now_s)
        self._say_beat(batch, now_s)
        return batch

    def published(self, batch: Batch) -> None:
        """``batch`` has left: what it said need not be said again."""
        self._live = max(self._live, batch.live_to)
        del self._notices[: batch.notices]
        if batch.replayed is not None:
            self._forget_replayed(*batch.replayed)
        self.end_said = self.end_said or batch.ended

    def _say(self, batch: Batch, frame: HostFrame) -> None:
        batch.texts.append((frame.event, frames.encode(frame)))

    def _say_answers(self, batch: Batch) -> None:
        """Ahead of what those who asked will not take before."""
        while self.challenges:
            self._say(batch, Beat(self._epoch, batch.live_to, self._sizes_seen, self.key, self.challenges.take()))
            self._beat_wanted = False

    def _say_acknowledgements(self, batch: Batch, now_s: float) -> None:
        if not self._acks:
            self._ack_due_s = None
            return
        riding = self._live < self._follower.end and not self._screen_wanted and not self._too_far_behind()
        if not riding and self._ack_due_s is not None and now_s >= self._ack_due_s:
            acks = list(self._acks.items())
            for at in range(0, len(acks), ACKS_AT_ONCE):
                self._say(batch, Acked(self._epoch, dict(acks[at : at + ACKS_AT_ONCE])))
            self._forget_acknowledgements()

    def _forget_acknowledgements(self) -> None:
        self._acks_told, self._acks = self._acks, {}
        self._ack_due_s = None

    def _too_far_behind(self) -> bool:
        """Whether to go on with a screen: one event, nearly always, where the bytes would take several."""
        if self._screen is None:
            return self._live < self._follower.start
        events = BACKLOG_EVENTS if self._most_events is None else min(BACKLOG_EVENTS, self._most_events)
        most_bytes = min(MAX_BACKLOG_BYTES, events * DEFLATED_TO * self._plain_limit)
        return self._follower.end - self._live > most_bytes

    def _say_sizes(self, batch: Batch) -> None:
        for resized in self._size_news:
            self._say(batch, resized)
        self._size_news.clear()

    def _say_screen(self, batch: Batch) -> None:
        """All that is needed to go on from here, without what came before."""
        if self._screen is None:
            self._say_tail(batch)
            return
        while self.catch_up(1 << 62):
            pass
        # Where events are counted, the bytes before it are left out unless they are few: it makes them unnecessary.
        if self._follower.end - self._live <= (MAX_BACKLOG_BYTES if self._most_events is None else self._plain_limit):
            self._say_live(batch, everything=True)
        batch.live_to = self._fed
        self._size_news.clear()
        # What scrolled by is for those who join: to the others it would scroll by again with each screen.
        self._say_fitting(batch, self._screen.snapshot, SCROLLBACK_LINES if self._scrollback_wanted else (0,))
        self._screen_wanted = self._scrollback_wanted = False

    def _say_fitting(self, batch: Batch, snapshot: Callable[[int], bytes], scrollback: tuple[int, ...]) -> None:
        """A screen that fits into an event, with as much of the past as fits; at worst in several parts."""
        answers = self.challenges.take()
        for lines in scrollback:
            text = self._screen_text(snapshot(lines), batch.live_to, answers=answers)
            if self._fits(text):
                batch.texts.append((Screen.event, text))
                return
        if answers:
            self._say(batch, Beat(self._epoch, batch.live_to, self._sizes_seen, self.key, answers))
        self._say_in_parts(batch, snapshot(0), batch.live_to)

    def _say_in_parts(self, batch: Batch, data: bytes, offset: int) -> None:
        size = len(data) // 2
        while True:
            pieces = [data[at : at + size] for at in range(0, len(data), size)]
            texts = [self._screen_text(piece, offset, number, len(pieces)) for number, piece in enumerate(pieces)]
            if all(map(self._fits, texts)):
                batch.texts.extend((Screen.event, text) for text in texts)
                return
            size = size * 2 // 3

    def _screen_text(self, data: bytes, offset: int, part: int = 0, parts: int = 1, answers: tuple[str, ...] = ()) -> str:
        plain = self._screen is None
        return frames.encode(Screen(self._epoch, offset, self._size, data, part, parts, plain, self._sizes_seen, answers))

    def _fits(self, text: str) -> bool:
        return len(text.encode()) <= self._plain_limit

    def _say_tail(self, batch: Batch) -> None:
        """A session on pipes has no screen: its last lines stand for it."""
        follower = self._follower
        start = max(follower.start, self._live - TAIL_BYTES)
        if self._live < follower.start:
            lost = (self._live, follower.start)
            self._say(batch, Notice(self._epoch, self._live, "gap", "output went by faster than it can be sent", lost))
            batch.live_to = start = follower.start
        elif self._screen_wanted:
            data = b"".join(piece.data for piece in follower.pieces(start, self._live, PIECE_BYTES))
            if start > 0:
                data = data[data.find(b"\n") + 1 :]
            self._say_fitting(batch, lambda _: data, (0,))
        self._screen_wanted = False

    def _say_live(self, batch: Batch, *, everything: bool = False) -> None:
        offset = batch.live_to
        for piece in self._follower.pieces(offset, self._follower.end, PIECE_BYTES):
            if self._is_full(batch) and not everything:
                break
            batch.live_to = self._say_piece(batch, piece)
            if batch.live_to < piece.end:
                break

    def _is_full(self, batch: Batch) -> bool:
        return len(batch.texts) >= min(self._batch_events, self._most_events or self._batch_events)

    def _say_piece(self, batch: Batch, piece: Piece) -> int:
        """As much of it as may be said now; where that ends."""
        acks = dict(self._acks)
        self._forget_acknowledgements()
        frame = Output(self._epoch, piece.offset, piece.data, piece.stream, acks)
        texts = pacing.encode_output(frame, self._plain_limit)
        if self._most_events is not None:
            texts = texts[: max(1, self._most_events - len(batch.texts))]
        batch.texts.extend((frame.event, text) for _, text in texts)
        return texts[-1][0]

    def _say_replay(self, batch: Batch) -> None:
        """The first of the ranges that were asked for, as far as it goes."""
        if not self._replays:
            return
        batch.live = False
        start, end = at, _ = self._replays[0]
        held = self._follower.start
        if at < held:
            self._say(batch, Notice(self._epoch, at, "gap", "this output is no longer held", (at, held)))
            at = min(held, end)
        for piece in self._follower.pieces(at, end, PIECE_BYTES):
            if self._is_full(batch):
                break
            at = self._say_piece(batch, piece)
            if at < piece.end:
                break
        batch.replayed = (start, at)

    def _forget_replayed(self, start: int, end: int) -> None:
        """What was asked for again meanwhile begins elsewhere, and stays."""
        left = []
        for known_start, known_end in self._replays:
            begun = known_start == start
            if not begun:
                left.append((known_start, known_end))
            elif end < known_end:
                left.append((end, known_end))
        self._replays = left

    def _sizes_to_come(self) -> bool:
        """A size changed behind where the terminal's state is, maybe with the last byte: it has to be told before the end is."""
        if self._follower.sizes(self._sizes_seen):
            while self.catch_up(1 << 62):
                pass
        return bool(self._size_news)

    def _say_beat(self, batch: Batch, now_s: float) -> None:
        """By itself when nothing was said for a while; beside a screen for who joins, to give the key."""
        due_s = self._beats.next_s()
        due = due_s is not None and now_s >= due_s
        wanted = self._beat_wanted and (not batch.texts or self.key is not None)
        if (wanted or (due and not batch.texts)) and not batch.ended and not self.end_said:
            batch.again = not batch.texts
            batch.live = False
            self._say(batch, Beat(self._epoch, batch.live_to, self._sizes_seen, self.key))
            self._beats.done += due
        if batch.texts and not batch.again:
            self._beats.restart(now_s)
            self._beats.done = int(self.thrifty)
        self._beat_wanted = False

    def _say_end(self, batch: Batch, now_s: float) -> None:
        ending = self._follower.ending
        if ending is None or batch.live_to < self._follower.end or batch.replayed is not None or self._sizes_to_come():
            return
        if self.end_said and (batch.texts or now_s < self._end_again_s):
            return
        batch.live = False
        batch.again = self.end_said
        batch.ended = True
        self._end_wait_s = 2 * self._end_wait_s if self.end_said else END_AGAIN_S
        self._end_again_s = now_s + self._end_wait_s
        self._say(batch, Ended(self._epoch, ending.offset, ending.code, ending.signal))
