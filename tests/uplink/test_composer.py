"""What is said to those who watch, and that it is said once, in order and within an event's size."""

from __future__ import annotations

import random

import pytest

from codewrap.protocol import frames
from codewrap.protocol.frames import Acked, Beat, Ended, HostFrame, Notice, Output, Resized
from codewrap.protocol.frames import Screen as ScreenFrame
from codewrap.protocol.geometry import Size
from codewrap.protocol.pacing import BrokerLimits
from codewrap.protocol.stream import REPLAY_BYTES
from codewrap.store.sessionlog import HOLE_BYTES
from codewrap.terminal.emulator import Screen
from codewrap.uplink.composer import (
    ACK_DELAY_S,
    ACKS_AT_ONCE,
    BEATS_AFTER_S,
    END_AGAIN_S,
    FLOOD_SCREEN_INTERVAL_S,
    MAX_BACKLOG_BYTES,
    PROMPT_BYTES,
    TAIL_BYTES,
    Batch,
    Composer,
)
from tests.support.sessionlogs import LOSES_HISTORY_AFTER_BYTES, SessionLog

SIZE = Size(rows=6, cols=30)
LIMITS = BrokerLimits()


class Host:
    """A composer on a real log; ``says`` publishes what there is to say."""

    def __init__(self, log: SessionLog, *, pty: bool = True, limits: BrokerLimits = LIMITS) -> None:
        self.log = log
        self.limits = limits
        self.now_s = 100.0
        self.composer = Composer("epoch", log.follower, Screen(SIZE) if pty else None, SIZE, limits, sealed=True)

    def composed(self) -> Batch:
        self.log.follower.refresh()
        return self.composer.compose(self.now_s)

    def says(self) -> list[HostFrame]:
        """One batch, published."""
        batch = self.composed()
        self.composer.published(batch)
        return decoded(batch)

    def says_all(self) -> list[HostFrame]:
        """Until there is nothing to say now."""
        said: list[HostFrame] = []
        self.log.follower.refresh()
        while self.composer.wait_s(self.now_s) == 0.0:
            said += self.says()
            assert len(said) < 10_000, "it never ends"
        return said

    def viewer_comes(self) -> list[HostFrame]:
        """A time after all else."""
        self.says_all()
        if not self.composer.watchers:
            assert self.says() == []
        self.now_s += 1.0
        self.composer.watched_by(self.composer.watchers + 1)
        self.composer.want_screen(joined=True)
        said = self.says_all()
        self.now_s += 1.0
        return said

    def wait_s(self) -> float | None:
        self.log.follower.refresh()
        return self.composer.wait_s(self.now_s)

    def settled(self) -> bool:
        self.log.follower.refresh()
        return self.composer.settled(self.now_s)


def decoded(batch: Batch) -> list[HostFrame]:
    """Frames as a viewer decodes them; each under the event name that it must have."""
    found = [(name, frames.decode_host(text)) for name, text in batch.texts]
    assert all(name == frame.event for name, frame in found)
    return [frame for _, frame in found]


def output(said: list[HostFrame], start: int) -> bytes:
    """The bytes of all output frames, which must follow on from ``start`` without gap or repeat."""
    data = b""
    for frame in said:
        if isinstance(frame, Output):
            assert frame.offset == start + len(data)
            data += frame.data
    return data


def shown(*said: ScreenFrame) -> list[str]:
    """What a terminal shows that draws these parts."""
    assert [frame.part for frame in said] == list(range(said[0].parts))
    screen = Screen(said[0].size)
    screen.feed(b"".join(frame.data for frame in said))
    return screen.text()


def noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def test_nobody_watches_and_nothing_is_said(log: SessionLog) -> None:
    host = Host(log)
    log.out(b"secret")
    log.resized(Size(rows=3, cols=9))
    host.composer.acknowledge({"w": 1}, host.now_s)
    assert host.wait_s() is None
    assert host.says() == []
    log.ended()
    assert host.wait_s() is None
    assert host.says() == []


def test_the_first_viewer_gets_a_screen_and_output_goes_on_exactly_behind_it(log: SessionLog) -> None:
    host = Host(log)
    log.out(b"hello\r\nworld")
    (screen,) = host.viewer_comes()
    assert isinstance(screen, ScreenFrame)
    assert (screen.epoch, screen.offset, screen.size) == ("epoch", 12, SIZE)
    assert shown(screen)[:2] == ["hello", "world"]
    log.out(b"!")
    log.out(b"?", "stderr")
    assert host.says_all() == [Output("epoch", 12, b"!"), Output("epoch", 13, b"?", "stderr")]
    assert host.settled()


def test_who_comes_later_gets_a_screen_and_the_others_lose_nothing(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(b"one")
    host.composer.want_screen()
    first, screen = host.says_all()
    assert first == Output("epoch", 0, b"one")
    assert isinstance(screen, ScreenFrame)
    assert screen.offset == 3


def test_output_while_nobody_watches_is_in_the_next_screen_only(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    host.composer.watched_by(0)
    log.out(b"unseen")
    assert host.says_all() == []
    assert host.says() == []
    (screen,) = host.viewer_comes()
    assert isinstance(screen, ScreenFrame)
    assert (screen.offset, shown(screen)[0]) == (6, "unseen")


def test_what_scrolled_by_is_for_those_who_join(log: SessionLog) -> None:
    host = Host(log)
    log.out(b"".join(b"line %d\r\n" % n for n in range(40)))
    (screen,) = host.viewer_comes()
    assert isinstance(screen, ScreenFrame)
    assert b"line 3\r\n" in screen.data
    assert shown(screen)[0] == "line 35"


def test_a_large_past_is_left_out_rather_than_the_screen_cut(log: SessionLog) -> None:
    host = Host(log, limits=BrokerLimits(event_bytes=2048))
    text = noise(20_000).hex().encode()
    log.out(b"".join(text[at : at + 29] + b"\r\n" for at in range(0, len(text), 29)))
    (screen,) = host.viewer_comes()
    assert isinstance(screen, ScreenFrame)
    assert screen.parts == 1
    assert text[:29] not in screen.data


def test_output_is_cut_to_what_an_event_carries(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    data = noise(100_000)
    log.out(data)
    batch = host.composed()
    assert len(batch.texts) > 10
    assert all(len(text.encode()) <= LIMITS.plain_bytes(sealed=True) for _, text in batch.texts)
    host.composer.published(batch)
    said = decoded(batch) + host.says_all()
    assert output(said, 0) == data


@pytest.mark.parametrize("most_events", [1, 3])
def test_output_takes_no_more_events_than_there_is_room_for(log: SessionLog, most_events: int) -> None:
    host = Host(log, pty=False)
    host.viewer_comes()
    data = noise(100_000)
    log.out(data)
    host.composer.want_bytes(0)
    said: list[HostFrame] = []
    while host.wait_s() == 0.0:
        batch = host.composer.compose(host.now_s, most_events)
        assert len(batch.texts) <= most_events
        host.composer.published(batch)
        said += decoded(batch)
    assert output(said, 0) == data
    host.composer.want_bytes(0)
    again = host.composer.compose(host.now_s, most_events)
    assert len(again.texts) == most_events


def test_where_events_are_counted_a_screen_comes_without_the_bytes_before_it_unless_they_are_few(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(noise(LIMITS.event_bytes + 1).hex().encode())
    host.composer.want_screen()
    log.follower.refresh()
    (screen,) = decoded(many := host.composer.compose(host.now_s, 3))
    assert isinstance(screen, ScreenFrame)
    host.composer.published(many)
    log.out(b"few")
    host.composer.want_screen()
    log.follower.refresh()
    assert [type(frame) for frame in decoded(host.composer.compose(host.now_s, 3))] == [Output, ScreenFrame]


def test_a_flood_becomes_screens_at_a_pace(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(b"x" * MAX_BACKLOG_BYTES + b"\r\nnow")
    (screen,) = host.says_all()
    assert isinstance(screen, ScreenFrame)
    assert (screen.offset, shown(screen)[-1]) == (log.writer.end, "now")
    log.out(b"y" * MAX_BACKLOG_BYTES + b"\r\nthen")
    assert host.wait_s() == pytest.approx(FLOOD_SCREEN_INTERVAL_S)
    host.now_s += FLOOD_SCREEN_INTERVAL_S
    assert host.wait_s() == 0.0
    (screen,) = host.says_all()
    assert isinstance(screen, ScreenFrame)
    assert shown(screen)[-1] == "then"


def test_a_screen_in_a_flood_does_not_scroll_the_past_by_again(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(b"".join(b"line %6d\r\n" % n for n in range(MAX_BACKLOG_BYTES // 10)))
    (screen,) = host.says_all()
    assert isinstance(screen, ScreenFrame)
    assert screen.data.count(b"line ") == SIZE.rows - 1


def test_where_events_are_small_a_screen_comes_sooner(log: SessionLog) -> None:
    """It takes one event where the bytes would take several, and events are what is paid for."""
    for limits, whole in ((BrokerLimits(event_bytes=100_000), True), (BrokerLimits(event_bytes=10_240), False)):
        host = Host(log, limits=limits)
        host.viewer_comes()
        log.out(noise(60_000))
        said = host.says_all()
        assert (not any(isinstance(frame, ScreenFrame) for frame in said)) is whole


def test_who_may_say_little_says_a_screen_sooner(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(b"line of output\r\n" * 2_000)
    log.follower.refresh()
    batch = host.composer.compose(host.now_s, 1)
    assert [name for name, _ in batch.texts] == ["screen"]


def test_just_at_the_bound_bytes_are_said(log: SessionLog) -> None:
    host = Host(log, limits=BrokerLimits(event_bytes=100_000))
    host.viewer_comes()
    log.out(b"x" * MAX_BACKLOG_BYTES)
    said = host.says_all()
    assert not any(isinstance(frame, ScreenFrame) for frame in said)
    assert output(said, 0) == b"x" * MAX_BACKLOG_BYTES


def test_a_screen_larger_than_an_event_comes_in_parts(log: SessionLog) -> None:
    host = Host(log, limits=BrokerLimits(event_bytes=1024))
    rows = [bytes(33 + n % 90 for n in noise(29 * 6)[at : at + 29]) for at in range(0, 29 * 6, 29)]
    colours = b"".join(b"\x1b[38;2;%d;%d;%dm%c" % (*noise(600)[n * 3 : n * 3 + 3], b"".join(rows)[n]) for n in range(29 * 5))
    log.out(colours)
    assert host.says() == []
    host.composer.watched_by(1)
    host.composer.want_screen()
    log.follower.refresh()
    batch = host.composer.compose(host.now_s, 1)  # and all of them, whatever there is room for
    assert all(len(text.encode()) <= host.limits.plain_bytes(sealed=True) for _, text in batch.texts)
    said = [frame for frame in decoded(batch) if isinstance(frame, ScreenFrame)]
    assert len(said) == len(batch.texts) > 1
    assert {frame.offset for frame in said} == {log.writer.end}
    direct = Screen(SIZE)
    direct.feed(colours)
    assert shown(*said) == direct.text()


def challenged(host: Host, count: int) -> list[str]:
    """So many viewers come at once, after all that is there."""
    assert host.says() == []
    challenges = [f"challenge-{number}" for number in range(count)]
    host.composer.watched_by(count)
    for challenge in challenges:
        host.composer.challenges.add(challenge)
    return challenges


@pytest.mark.parametrize("pty", [True, False])
def test_the_screen_for_those_who_come_answers_their_challenges_and_costs_no_more(log: SessionLog, pty: bool) -> None:
    host = Host(log, pty=pty)
    log.out(b"hello")
    challenges = challenged(host, 3)
    host.composer.want_screen(joined=True)
    (screen,) = host.says_all()
    assert isinstance(screen, ScreenFrame)
    assert screen.answers == tuple(challenges)
    log.out(b"more")
    (more,) = host.says_all()
    assert isinstance(more, Output)


def test_a_screen_in_parts_comes_behind_the_answer(log: SessionLog) -> None:
    host = Host(log, limits=BrokerLimits(event_bytes=1024))
    log.out(b"".join(b"\x1b[38;2;%d;%d;%dm*" % tuple(noise(600)[n * 3 : n * 3 + 3]) for n in range(29 * 5)))
    (challenge,) = challenged(host, 1)
    host.composer.want_screen(joined=True)
    first, *parts = host.says_all()
    assert isinstance(first, Beat)
    assert first.answers == (challenge,)
    assert [part.parts for part in parts if isinstance(part, ScreenFrame)] == [len(parts)] * len(parts)
    assert len(parts) > 1


def test_more_challenges_than_a_frame_answers_are_answered_by_several(log: SessionLog) -> None:
    host = Host(log)
    challenges = challenged(host, frames.MAX_ANSWERS + 1)
    host.composer.want_screen(joined=True)
    screen, beat = host.says_all()
    assert isinstance(screen, ScreenFrame)
    assert isinstance(beat, Beat)
    assert (*screen.answers, *beat.answers) == tuple(challenges)


def test_who_wants_bytes_is_answered_ahead_of_them(log: SessionLog) -> None:
    host = Host(log)
    log.out(b"hello")
    host.viewer_comes()
    host.composer.challenges.add("challenge")
    host.composer.want_bytes(0)
    beat, replayed = host.says_all()
    assert (beat, output([replayed], 0)) == (Beat("epoch", 5, answers=("challenge",)), b"hello")


def test_a_challenge_alone_is_answered_at_once_and_by_nothing_that_may_be_lost(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    host.composer.challenges.add("challenge")
    assert host.wait_s() == 0.0
    batch = host.composed()
    host.composer.published(batch)
    assert decoded(batch) == [Beat("epoch", 0, answers=("challenge",))]
    assert not batch.live


def test_a_size_comes_at_its_place_with_a_screen_drawn_for_it(log: SessionLog) -> None:
    host = Host(log)
    log.out(b"x" * 30)
    host.viewer_comes()
    log.resized(Size(rows=6, cols=10))
    log.out(b"\r\nsmall")
    log.follower.refresh()
    host.composer.catch_up(1 << 20)
    said = host.says_all()
    screens = [frame for frame in said if isinstance(frame, ScreenFrame)]
    assert [frame.size for frame in screens] == [Size(rows=6, cols=10)]
    direct = Screen(SIZE)
    direct.feed(b"x" * 30)
    direct.resize(Size(rows=6, cols=10))
    direct.feed(b"\r\nsmall")
    assert shown(*screens) == direct.text()


def test_sizes_take_effect_between_the_bytes_where_they_stood(log: SessionLog) -> None:
    host = Host(log)
    sizes = [Size(rows=6, cols=12), Size(rows=4, cols=20), Size(rows=6, cols=15)]
    direct = Screen(SIZE)
    for number, size in enumerate(sizes):
        text = b"%d" % number * 17 + b"\r\n"
        log.resized(size)
        log.out(text)
        direct.resize(size)
        direct.feed(text)
    (screen,) = host.viewer_comes()
    assert isinstance(screen, ScreenFrame)
    assert screen.size == sizes[-1]
    assert shown(screen) == direct.text()


def test_a_size_without_output_is_told_too(log: SessionLog) -> None:
    """A command that says nothing when its window changes left viewers with the old size until its next output."""
    host = Host(log)
    host.viewer_comes()
    log.resized(Size(rows=3, cols=9))
    assert host.wait_s() == 0.0
    said = host.says_all()
    assert [frame.size for frame in said if isinstance(frame, ScreenFrame)] == [Size(rows=3, cols=9)]


def test_sizes_of_a_session_on_pipes_are_told_in_order(log: SessionLog) -> None:
    host = Host(log, pty=False)
    host.viewer_comes()
    for cols in (40, 50):
        log.resized(Size(rows=9, cols=cols))
    sizes = [frame.size.cols for frame in host.says_all() if isinstance(frame, Resized)]
    assert sizes == [40, 50]


def test_the_terminal_s_state_is_kept_up_a_block_at_a_time(log: SessionLog) -> None:
    host = Host(log)
    log.out(b"x" * 1000)
    log.follower.refresh()
    assert host.composer.lag_bytes == 1000
    assert host.composer.catch_up(600)
    assert host.composer.lag_bytes == 400
    assert not host.composer.catch_up(600)
    assert host.composer.lag_bytes == 0
    assert not host.composer.catch_up(600)


def test_a_session_on_pipes_never_lags(log: SessionLog) -> None:
    host = Host(log, pty=False)
    log.out(b"x" * 1000)
    log.follower.refresh()
    assert host.composer.lag_bytes == 0
    assert not host.composer.catch_up(1)


# -- acknowledgements ------------------------------------------------------------------------------------------


def test_an_acknowledgement_rides_on_output(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    host.composer.acknowledge({"w": 3}, host.now_s)
    log.out(b"echo")
    assert host.says_all() == [Output("epoch", 0, b"echo", "stdout", {"w": 3})]
    log.out(b"more")
    assert host.says_all() == [Output("epoch", 4, b"more")]
    assert host.settled()


def test_an_acknowledgement_without_output_comes_alone_after_the_delay(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    host.composer.acknowledge({"w": 3, "v": 1}, host.now_s)
    assert host.says() == []
    assert host.wait_s() == pytest.approx(ACK_DELAY_S)
    host.now_s += ACK_DELAY_S / 2
    host.composer.acknowledge({"w": 5}, host.now_s)
    host.now_s += ACK_DELAY_S / 2
    assert host.says_all() == [Acked("epoch", {"w": 5, "v": 1})]
    assert host.settled()


def test_an_acknowledgement_in_a_flood_does_not_wait_for_its_end(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    host.composer.acknowledge({"w": 3}, host.now_s)
    log.out(b"x" * MAX_BACKLOG_BYTES * 2)
    host.now_s += ACK_DELAY_S
    said = host.says_all()
    assert Acked("epoch", {"w": 3}) in said


# -- repeating -------------------------------------------------------------------------------------------------


def test_bytes_are_said_again_from_an_offset(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(b"abcdef")
    host.says_all()
    assert host.composer.can_repeat(2)
    host.composer.want_bytes(2)
    assert host.says_all() == [Output("epoch", 2, b"cdef")]


def test_requests_that_overlap_are_one_answer(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(b"abcdef")
    host.says_all()
    for offset in (4, 2, 3):
        host.composer.want_bytes(offset)
    assert host.says_all() == [Output("epoch", 2, b"cdef")]


def test_a_long_replay_comes_by_request(log: SessionLog) -> None:
    host = Host(log, pty=False)
    data = noise(REPLAY_BYTES + 1000)
    log.out(data)
    host.says()
    host.composer.watched_by(1)
    host.composer.want_bytes(0)
    assert output(host.says_all(), 0) == data[:REPLAY_BYTES]
    host.composer.want_bytes(REPLAY_BYTES)
    assert output(host.says_all(), REPLAY_BYTES) == data[REPLAY_BYTES:]


def test_who_lacks_nothing_is_told_so(log: SessionLog) -> None:
    """A viewer that asks after a reconnect would ask for ever if silence were the answer."""
    host = Host(log)
    host.viewer_comes()
    log.out(b"abc")
    host.says_all()
    host.composer.want_bytes(3)
    assert host.says_all() == [Beat("epoch", 3)]
    assert host.settled()


def test_too_much_or_the_future_is_not_repeated(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(b"x" * (MAX_BACKLOG_BYTES + 1))
    host.says_all()
    assert not host.composer.can_repeat(0)
    assert host.composer.can_repeat(1)
    assert not host.composer.can_repeat(MAX_BACKLOG_BYTES + 2)


def test_streams_stay_apart_in_a_replay(log: SessionLog) -> None:
    host = Host(log, pty=False)
    log.out(b"out")
    log.out(b"err", "stderr")
    host.says()
    host.composer.watched_by(1)
    host.composer.want_bytes(1)
    assert host.says_all() == [Output("epoch", 1, b"ut"), Output("epoch", 3, b"err", "stderr")]


# -- sessions on pipes -----------------------------------------------------------------------------------------


def test_who_joins_a_session_on_pipes_gets_its_last_lines(log: SessionLog) -> None:
    host = Host(log, pty=False)
    lines = b"".join(b"line %d\n" % n for n in range(20_000))
    log.out(lines)
    parts = [frame for frame in host.viewer_comes() if isinstance(frame, ScreenFrame)]
    assert {(frame.offset, frame.plain) for frame in parts} == {(len(lines), True)}
    tail = b"".join(frame.data for frame in parts)
    assert lines.endswith(tail)
    assert tail.startswith(b"line ")
    assert TAIL_BYTES // 2 < len(tail) <= TAIL_BYTES
    log.out(b"next")
    assert host.says_all() == [Output("epoch", len(lines), b"next")]


def test_a_short_session_on_pipes_is_shown_whole(log: SessionLog) -> None:
    host = Host(log, pty=False)
    log.out(b"no newline yet")
    (tail,) = host.viewer_comes()
    assert isinstance(tail, ScreenFrame)
    assert tail.data == b"no newline yet"


def test_on_pipes_a_backlog_is_said_whole(log: SessionLog) -> None:
    host = Host(log, pty=False)
    host.viewer_comes()
    data = noise(MAX_BACKLOG_BYTES * 2)
    log.out(data)
    said = host.says_all()
    assert {type(frame) for frame in said} == {Output}
    assert output(said, 0) == data


def lose_history(log: SessionLog) -> None:
    for _ in range(LOSES_HISTORY_AFTER_BYTES // (1024 * 1024) + 1):
        log.out(bytes(1024 * 1024))


def test_on_pipes_what_is_no_longer_held_is_a_stated_gap(short_log: SessionLog) -> None:
    host = Host(short_log, pty=False)
    host.viewer_comes()
    lose_history(short_log)
    notice, *rest = host.says()
    assert isinstance(notice, Notice)
    assert (notice.kind, notice.missing) == ("gap", (0, 2 * HOLE_BYTES))
    assert rest == []
    assert output(host.says_all(), 2 * HOLE_BYTES) == bytes(1024 * 1024)


def test_a_replay_of_what_is_no_longer_held_begins_with_the_gap(short_log: SessionLog) -> None:
    host = Host(short_log, pty=False)
    lose_history(short_log)
    host.says()
    host.composer.watched_by(1)
    host.composer.want_bytes(10)
    notice, *_ = host.says_all()
    assert isinstance(notice, Notice)
    assert (notice.kind, notice.missing) == ("gap", (10, short_log.follower.start))  # whole, however much was asked for
    host.composer.want_bytes(short_log.follower.start)
    assert output(host.says_all(), short_log.follower.start)


# -- the end ---------------------------------------------------------------------------------------------------


def test_the_end_is_said_once_when_everything_is_said(log: SessionLog) -> None:
    host = Host(log, pty=False)
    host.viewer_comes()
    data = noise(100_000)
    log.out(data)
    log.ended(3)
    said = host.says_all()
    assert output(said, 0) == data
    assert [frame for frame in said if isinstance(frame, Ended)] == [said[-1]]
    assert said[-1] == Ended("epoch", 100_000, 3, None)
    assert host.settled()
    assert host.says() == []


def test_the_end_waits_for_a_replay(log: SessionLog) -> None:
    host = Host(log, pty=False)
    data = noise(200_000)
    log.out(data)
    host.says()
    host.composer.watched_by(1)
    host.composer.want_bytes(0)
    log.ended()
    said = host.says_all()
    assert output(said, 0) == data
    assert isinstance(said[-1], Ended)


def test_who_joins_after_the_end_is_told_of_it(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(b"bye")
    log.ended(None, 9)
    host.says_all()
    screen, end = host.viewer_comes()
    assert isinstance(screen, ScreenFrame)
    assert shown(screen)[0] == "bye"
    assert end == Ended("epoch", 3, None, 9)


@pytest.mark.parametrize("offset", [0, 3])
def test_who_asks_after_the_end_is_told_of_it(log: SessionLog, offset: int) -> None:
    """The event that said so may have been lost on the way."""
    host = Host(log, pty=False)
    host.viewer_comes()
    log.out(b"bye")
    log.ended()
    host.says_all()
    host.composer.want_bytes(offset)
    said = host.says_all()
    assert output(said, offset) == b"bye"[offset:]
    assert said[-1] == Ended("epoch", 3, 0, None)


def test_the_end_in_a_flood_comes_at_once_with_the_last_screen(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(b"x" * MAX_BACKLOG_BYTES * 2)
    host.says_all()
    log.out(b"y" * MAX_BACKLOG_BYTES * 2)
    log.ended()
    screen, end = host.says_all()
    assert isinstance(screen, ScreenFrame)
    assert isinstance(end, Ended)


# -- a publish that fails --------------------------------------------------------------------------------------


def test_what_was_not_published_is_not_taken_for_said(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(b"abc")
    batch = host.composed()
    assert decoded(batch) == [Output("epoch", 0, b"abc")]
    host.composer.published(batch)
    log.out(b"def")
    assert host.says_all() == [Output("epoch", 3, b"def")]


def test_a_notice_that_comes_while_another_is_under_way_is_said_next(log: SessionLog) -> None:
    """The host's death was not told when a gap's notice was just being published."""
    host = Host(log)
    host.viewer_comes()
    host.composer.notify("word", "one")
    batch = host.composed()
    host.composer.notify("lost", "two")
    host.composer.published(batch)
    said = host.says_all()
    assert [frame.text for frame in decoded(batch) + said if isinstance(frame, Notice)] == ["one", "two"]


def test_a_request_that_comes_while_a_batch_is_under_way_is_answered(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(b"abc")
    batch = host.composed()
    host.composer.want_screen()
    host.composer.published(batch)
    (screen,) = host.says_all()
    assert isinstance(screen, ScreenFrame)
    assert screen.offset == 3


def test_screen_for_somebody_who_lost_the_thread_scrolls_nothing_by_again(log: SessionLog) -> None:
    host = Host(log)
    log.out(b"".join(b"line %d\r\n" % n for n in range(40)))
    host.viewer_comes()
    host.composer.want_screen()
    (screen,) = host.says_all()
    assert isinstance(screen, ScreenFrame)
    assert b"line 3\r\n" not in screen.data
    assert b"line 39\r\n" in screen.data


# -- where the session stands ----------------------------------------------------------------------------------


def beats_until(host: Host, seconds: float) -> list[tuple[float, HostFrame]]:
    """What is said by itself within ``seconds``, and when."""
    began_s = host.now_s
    said: list[tuple[float, HostFrame]] = []
    while (wait_s := host.wait_s()) is not None and host.now_s + wait_s <= began_s + seconds:
        host.now_s += wait_s
        said += [(round(host.now_s - began_s, 3), frame) for frame in host.says()]
    return said


def test_after_the_last_word_viewers_are_told_some_times_where_the_session_stands(log: SessionLog) -> None:
    """An event that is lost, with none after it, would be missed by nobody."""
    host = Host(log)
    host.viewer_comes()
    log.out(b"abc")
    host.says_all()
    assert beats_until(host, 3600) == [(after_s, Beat("epoch", 3)) for after_s in BEATS_AFTER_S]
    assert host.wait_s() is None


def test_whatever_is_said_begins_the_count_anew(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(b"abc")
    host.says_all()
    host.now_s += BEATS_AFTER_S[0] * 0.9
    log.out(b"def")
    host.says_all()
    assert beats_until(host, BEATS_AFTER_S[0])[-1] == (BEATS_AFTER_S[0], Beat("epoch", 6))


def test_who_must_save_leaves_out_the_first_beat(log: SessionLog) -> None:
    host = Host(log)
    host.composer.thrifty = True
    host.viewer_comes()
    log.out(b"abc")
    host.says_all()
    assert [after_s for after_s, _ in beats_until(host, 3600)] == list(BEATS_AFTER_S[1:])


def test_nobody_hears_a_beat_when_nobody_is_here(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(b"abc")
    host.says_all()
    host.composer.watched_by(0)
    assert host.wait_s() is None


def test_a_beat_counts_the_changes_of_size(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    for rows in (10, 12, 14):
        log.resized(Size(rows=rows, cols=40))
    said = host.says_all()
    assert [frame.resizes for frame in said if isinstance(frame, Resized | ScreenFrame)][-1] == 3
    assert beats_until(host, BEATS_AFTER_S[0]) == [(BEATS_AFTER_S[0], Beat("epoch", 0, 3))]


def test_who_joins_is_given_the_key_that_client_events_are_signed_with(log: SessionLog) -> None:
    host = Host(log)
    host.composer.key = bytes(32)
    assert [type(frame) for frame in host.viewer_comes()] == [ScreenFrame, Beat]
    host.composer.want_screen()
    assert [type(frame) for frame in host.says_all()] == [ScreenFrame]


def test_a_doubt_is_resolved_by_a_beat(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    host.composer.want_beat()
    assert host.says_all() == [Beat("epoch", 0)]


def test_the_end_is_said_again_until_viewers_have_gone(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.ended(3)
    host.says_all()
    again = beats_until(host, 20 * END_AGAIN_S)
    assert {frame for _, frame in again} == {Ended("epoch", 0, 3, None)}
    assert [when for when, _ in again] == pytest.approx([END_AGAIN_S * n for n in (1, 3, 7, 15)])
    host.composer.watched_by(0)
    assert host.wait_s() is None


def test_what_was_said_before_is_known_as_such(log: SessionLog) -> None:
    """A host stays while it has news for somebody; that is none."""
    host = Host(log)
    host.viewer_comes()
    log.ended(3)
    assert not host.composed().again
    host.says_all()
    host.now_s += END_AGAIN_S
    assert host.composed().again


def test_confirmations_of_very_many_writers_come_in_several_events(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    acks = {f"{number:064}": (1 << 53) - 1 for number in range(5 * ACKS_AT_ONCE // 2)}
    host.composer.acknowledge(acks, host.now_s)
    host.now_s += ACK_DELAY_S
    batch = host.composed()
    assert all(len(text) <= LIMITS.plain_bytes(sealed=True) for _, text in batch.texts)
    said = decoded(batch)
    assert {writer: at for frame in said if isinstance(frame, Acked) for writer, at in frame.acks.items()} == acks


def test_requests_far_apart_are_answered_apart(log: SessionLog) -> None:
    """One viewer lacks the beginning, another the end: what lies between is nobody's."""
    host = Host(log, pty=False)
    host.viewer_comes()
    data = noise(2_000_000)
    log.out(data)
    host.says_all()
    host.composer.want_bytes(0)
    host.composer.want_bytes(1_900_000)
    said = [frame for frame in host.says_all() if isinstance(frame, Output)]
    told = {offset for frame in said for offset in range(frame.offset, frame.end)}
    assert told == {*range(REPLAY_BYTES), *range(1_900_000, 2_000_000)}


def test_a_size_that_changed_with_the_last_byte_is_told_before_the_end(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    log.out(b"line\r\n")
    log.resized(Size(rows=2, cols=4))
    log.ended(0)
    said = host.says_all()
    screen, end = (frame for frame in said if not isinstance(frame, Output))
    assert isinstance(screen, ScreenFrame)
    assert screen.size == Size(rows=2, cols=4)
    assert isinstance(end, Ended)


@pytest.mark.parametrize("pty", [True, False])
def test_only_what_nobody_asked_for_counts_as_live(log: SessionLog, pty: bool) -> None:
    """It may go a way on which nothing is confirmed."""
    host = Host(log, pty=pty)
    host.viewer_comes()
    log.out(b"abc")
    assert host.composed().live
    host.says_all()
    host.composer.want_bytes(0)
    assert not host.composed().live
    host.says_all()
    host.composer.want_bytes(3)
    assert not host.composed().live
    host.says_all()
    host.composer.notify("kind", "text")
    log.out(b"d")
    assert not host.composed().live
    host.says_all()
    log.ended(0)
    assert not host.composed().live


def test_a_paste_is_acknowledged_without_delay(log: SessionLog) -> None:
    host = Host(log)
    host.viewer_comes()
    host.composer.acknowledge({"w": PROMPT_BYTES}, host.now_s)
    assert host.says() == [Acked("epoch", {"w": PROMPT_BYTES})]
    host.composer.acknowledge({"w": PROMPT_BYTES + 1}, host.now_s)
    assert host.says() == []


def test_what_an_event_may_hold_counts_once_the_server_is_known(log: SessionLog) -> None:
    host = Host(log)
    host.composer.watched_by(1)
    host.says_all()
    host.composer.limited_by(BrokerLimits(event_bytes=2000), sealed=False)
    log.out(bytes(random.Random(1).randbytes(3000)))
    batch = host.composed()
    assert len(batch.texts) > 1
    assert all(len(text) <= 2000 for _, text in batch.texts)
