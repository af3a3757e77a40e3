"""The uplink's session, step by step: who watches, what is published, what the host is told. The clock is turned by hand."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codewrap.errors import AuthError, TransportError
from codewrap.protocol import channels, frames, grants, sealing
from codewrap.protocol.frames import Acked, Beat, Ended, HostFrame, Input, Notice, Output, Sync
from codewrap.protocol.frames import Screen as ScreenFrame
from codewrap.protocol.geometry import Size
from codewrap.protocol.hostlink import Decoder, Kind, Message, encode
from codewrap.protocol.pacing import BrokerLimits
from codewrap.protocol.roles import CHALLENGE
from codewrap.store.activity import read_activity
from codewrap.store.spent import read_spent
from codewrap.terminal.emulator import Screen
from codewrap.transport.base import (
    ConnectionState,
    Member,
    MemberAdded,
    MemberRemoved,
    Received,
    StateChanged,
    Subscribed,
    SubscriptionFailed,
)
from codewrap.uplink.attendant import Attendant, Senses
from codewrap.uplink.attention import PAUSE_S
from codewrap.uplink.composer import ACK_DELAY_S, BEATS_AFTER_S, Composer
from codewrap.uplink.hostsocket import HostSocket
from codewrap.uplink.inputpath import UplinkPlan
from codewrap.uplink.session import (
    IDLE_FEED_S,
    LINGER_S,
    LINGER_WATCHED_S,
    REFUSED_RETRY_S,
    RETRY_FIRST_S,
    UNWATCHED_LOOK_S,
    UplinkSession,
)
from codewrap.uplink.spending import CostPlan, Spending
from tests.support.publishing import RecordingPublisher
from tests.support.sessionlogs import SessionLog
from tests.support.subscribers import ScriptedSubscriber

SIZE = Size(rows=6, cols=30)
KEY = bytes(range(32))
OUTPUT = channels.output_channel("s", encrypted=True)
PRESENCE = channels.presence_channel("s")
HOST = Member("host.1", {"role": "host"})
ANNA = Member("anna.1", {"role": "writer"})
BOB = Member("bob.1", {"role": "viewer"})


class Bench:
    """A session and everything around it."""

    def __init__(
        self,
        log: SessionLog,
        *,
        pty: bool = True,
        encrypted: bool = True,
        answers_queries: bool = False,
        watched: int = 0,
        cost: CostPlan | None = None,
        limits: BrokerLimits | None = None,
        directory: Path | None = None,
        attended: Path | None = None,
    ) -> None:
        self.log = log
        self.ours, self.host = socket.socketpair()
        self.host.setblocking(False)
        self._decoder = Decoder()
        self.publisher = RecordingPublisher()
        self.subscriber = ScriptedSubscriber()
        self.now_s = 1000.0
        self.woken = 0
        self.key: bytes | Exception | None = KEY
        self._read = 0
        self.plan = UplinkPlan("s", "run", encrypted, read_only=False, answers_queries=answers_queries, watched=watched)
        host = HostSocket(self.ours)
        spending = Spending(cost or CostPlan(), directory, self.now_s, lambda: self.now_s)
        attendant = None
        if attended is not None:
            attendant = Attendant(attended, Senses(host.send, lambda: self.now_s), None)
        self.session = UplinkSession(self.plan, host, log.follower, self._wake, lambda: self.now_s, spending, attendant)
        self.subscriber.deliver = self.session.deliver
        limits = limits or BrokerLimits()
        engine = Screen(SIZE) if pty else None
        self.composer = Composer("run", log.follower, engine, SIZE, limits, sealed=encrypted)
        if attendant is not None:
            attendant.begin(self.composer, engine)
        self.session.begin(self.composer, self.publisher, self.subscriber, self._secret, engine=engine)

    def close(self) -> None:
        self.ours.close()
        self.host.close()

    def _wake(self) -> None:
        self.woken += 1

    def _secret(self, channel: str) -> bytes | None:
        assert channel == OUTPUT
        if isinstance(self.key, Exception):
            raise self.key
        return self.key

    # -- what happens ------------------------------------------------------------------------------------------

    def connects(self, *members: Member) -> None:
        self.subscriber.connects(PRESENCE, HOST, *members)
        assert self.steps()

    def steps(self, seconds: float = 0.0) -> bool:
        """Time goes by, the session is called as a driver would, until it has nothing to do now; its last answer."""
        self.now_s += seconds
        going_on = self.session.step()
        for _ in range(100):
            if not going_on or self.session.timeout_s() != 0.0:
                return going_on
            going_on = self.session.step()
        raise AssertionError("it wants to be called for ever")

    def says(self, *messages: Message) -> None:
        """The host writes."""
        self.host.sendall(b"".join(map(encode, messages)))
        self.session.hear_host()

    def asks(self, offset: int, want: str, epoch: str = "run", name: str = channels.EVENT_CLIENT_SYNC) -> None:
        self.subscriber.tells(Received(PRESENCE, name, frames.encode(Sync(epoch, offset, want))))

    # -- what came of it ---------------------------------------------------------------------------------------

    def heard(self, kind: Kind | None = None) -> list[Message]:
        """What the host was told since the last call."""
        try:
            messages = self._decoder.feed(self.host.recv(1_000_000))
        except BlockingIOError:
            return []
        return [message for message in messages if kind in (None, message.kind)]

    def published(self) -> list[HostFrame]:
        """Frames since the last call, opened."""
        found: list[HostFrame] = []
        for event in self.publisher.events[self._read :]:
            self._read += 1
            assert event.channel == channels.output_channel("s", encrypted=self.plan.encrypted)
            frame = frames.decode_host(sealing.unseal(event.data, KEY) if self.plan.encrypted else event.data)
            assert frame.event == event.name
            found.append(frame)
        return found


@pytest.fixture
def bench(log: SessionLog) -> Iterator[Bench]:
    bench = Bench(log)
    yield bench
    bench.close()


@pytest.fixture
def on_pipes(log: SessionLog) -> Iterator[Bench]:
    bench = Bench(log, pty=False)
    yield bench
    bench.close()


# -- who watches -----------------------------------------------------------------------------------------------


def test_it_listens_for_input_and_presence_and_asks_the_host_for_news(bench: Bench) -> None:
    assert bench.subscriber.channels == ["private-encrypted-input-s", "private-input-s", PRESENCE]
    assert bench.subscriber.started
    assert bench.heard() == [Message(Kind.ARM)]


def test_nobody_watches_and_nothing_is_published(bench: Bench) -> None:
    bench.connects()
    bench.log.out(b"secret")
    bench.says(Message(Kind.GROWN))
    bench.steps(1.0)
    assert bench.published() == []
    assert bench.session.timeout_s() is None


def test_the_first_viewer_gets_a_screen_and_then_what_follows(bench: Bench) -> None:
    bench.connects()
    bench.log.out(b"hello")
    bench.steps()
    bench.subscriber.tells(MemberAdded(PRESENCE, ANNA))
    bench.steps()
    (screen,) = bench.published()
    assert isinstance(screen, ScreenFrame)
    assert screen.offset == 5
    bench.log.out(b" world")
    bench.says(Message(Kind.GROWN))
    bench.steps()
    assert bench.published() == [Output("run", 5, b" world")]


def test_viewers_that_were_there_first_get_a_screen_when_we_come(bench: Bench) -> None:
    bench.connects(ANNA, BOB)
    assert [type(frame) for frame in bench.published()] == [ScreenFrame]
    assert bench.heard(Kind.WATCHERS) == [Message(Kind.WATCHERS, {"count": 2})]


def test_viewers_are_answered_what_only_a_run_of_now_can_know(bench: Bench) -> None:
    bench.connects(Member("anna.1", {"role": "writer", CHALLENGE: "of-anna"}))
    (screen,) = bench.published()
    assert isinstance(screen, ScreenFrame)
    bench.subscriber.tells(MemberAdded(PRESENCE, Member("bob.1", {"role": "viewer", CHALLENGE: "of-bob"})))
    bench.steps()
    (another,) = bench.published()
    assert isinstance(another, ScreenFrame)
    assert (screen.answers, another.answers) == (("of-anna",), ("of-bob",))
    asked = frames.encode(Sync("run", 0, "bytes", "of-carl"))
    bench.subscriber.tells(Received(PRESENCE, channels.EVENT_CLIENT_SYNC, asked))
    bench.steps()
    (beat,) = bench.published()
    assert isinstance(beat, Beat)
    assert beat.answers == ("of-carl",)


def test_the_host_is_told_how_many_watch(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.subscriber.tells(MemberAdded(PRESENCE, BOB), MemberRemoved(PRESENCE, ANNA), MemberRemoved(PRESENCE, BOB))
    bench.steps()
    assert [message.header["count"] for message in bench.heard(Kind.WATCHERS)] == [1, 2, 1, 0]
    bench.log.out(b"unseen")
    bench.steps(1.0)
    assert {type(frame) for frame in bench.published()} == {ScreenFrame}


def test_joins_and_leaves_are_told_to_the_host_once_each(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.subscriber.tells(MemberAdded(PRESENCE, BOB), MemberAdded(PRESENCE, Member("host.9", {"role": "host"})))
    bench.subscriber.tells(StateChanged(ConnectionState.UNAVAILABLE, "gone"))
    bench.steps()
    bench.connects(ANNA)
    bench.subscriber.tells(MemberRemoved(PRESENCE, ANNA), MemberRemoved(PRESENCE, ANNA))
    bench.steps()
    marks = [(message.header["what"], *message.header["values"]) for message in bench.heard(Kind.MARK)]
    users = [member.user_id.rpartition(".")[0] for member in (ANNA, BOB)]
    assert marks == [("join", users[0]), ("join", users[1]), ("leave", users[1]), ("leave", users[0])]


def test_a_link_that_is_lost_has_no_viewers(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.published()
    bench.subscriber.tells(StateChanged(ConnectionState.UNAVAILABLE, "gone"))
    bench.steps()
    bench.log.out(b"meanwhile")
    bench.steps()
    assert bench.published() == []
    bench.connects(ANNA)
    (screen,) = bench.published()
    assert isinstance(screen, ScreenFrame)
    assert screen.offset == 9


def test_a_second_host_of_the_name_is_told_to_the_person(bench: Bench) -> None:
    bench.connects(Member("host.2", {"role": "host"}))
    (notice,) = bench.heard(Kind.NOTICE)
    assert "--name" in notice.header["text"]


def test_a_refusal_is_told_once(bench: Bench) -> None:
    refused = SubscriptionFailed(PRESENCE, 403, "not you")
    bench.subscriber.tells(refused, refused, StateChanged(ConnectionState.FAILED, "no such app"))
    bench.steps()
    texts = [message.header["text"] for message in bench.heard(Kind.NOTICE)]
    assert len(texts) == 2
    assert "not you" in texts[0]
    assert "no such app" in texts[1]


# -- requests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [channels.EVENT_SYNC, channels.EVENT_CLIENT_SYNC])
def test_bytes_are_said_again_or_a_screen_where_that_is_less(bench: Bench, name: str) -> None:
    bench.connects(ANNA)
    bench.log.out(b"abcdef")
    bench.steps()
    bench.published()
    bench.asks(2, "screen", name=name)
    bench.steps()
    assert bench.published() == [Output("run", 2, b"cdef")]
    bench.asks(2, "screen", epoch="another", name=name)
    bench.steps()
    assert [type(frame) for frame in bench.published()] == [ScreenFrame]


def test_a_reader_of_another_run_gets_this_one_from_the_beginning(on_pipes: Bench) -> None:
    on_pipes.log.out(b"abcdef")
    on_pipes.connects(ANNA)
    on_pipes.published()
    on_pipes.asks(4, "bytes", epoch="")
    on_pipes.steps()
    assert on_pipes.published() == [Output("run", 0, b"abcdef")]


@pytest.mark.parametrize("text", ["garbage", "{}", '{"v":1,"type":"sync","epoch":"run","from":-1,"want":"screen"}'])
def test_a_request_that_makes_no_sense_is_dropped(bench: Bench, text: str) -> None:
    bench.connects(ANNA)
    bench.published()
    bench.subscriber.tells(Received(PRESENCE, channels.EVENT_CLIENT_SYNC, text), Received(PRESENCE, "client-other", text))
    bench.steps()
    assert bench.published() == []


def test_many_requests_are_one_answer(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.published()
    for _ in range(50):
        bench.asks(0, "screen", epoch="")
    bench.steps()
    assert len(bench.published()) == 1


# -- publishing ------------------------------------------------------------------------------------------------


def test_a_publish_that_failed_is_repeated_the_same_after_a_while(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.published()
    bench.log.out(b"one")
    bench.publisher.failure = TransportError("broker", "away")
    bench.steps()
    bench.log.out(b"two")
    assert bench.session.timeout_s() == pytest.approx(RETRY_FIRST_S)
    bench.publisher.failure = None
    bench.steps(RETRY_FIRST_S / 2)
    assert bench.published() == []
    bench.steps(RETRY_FIRST_S)
    assert bench.published() == [Output("run", 0, b"one"), Output("run", 3, b"two")]


def test_a_broker_that_stays_away_is_tried_less_and_less_often(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.log.out(b"one")
    bench.publisher.failure = TransportError("broker", "away")
    waits = []
    bench.steps()
    for _ in range(9):
        wait_s = bench.session.timeout_s()
        assert wait_s is not None
        waits.append(wait_s)
        bench.steps(wait_s)
    assert waits == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0])


def test_credentials_that_are_refused_are_told_once_and_tried_seldom(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.heard()
    bench.log.out(b"one")
    bench.publisher.failure = AuthError("broker", "wrong key", 401)
    bench.steps()
    assert bench.session.timeout_s() == pytest.approx(REFUSED_RETRY_S)
    bench.steps(REFUSED_RETRY_S)
    (notice,) = bench.heard(Kind.NOTICE)
    assert "wrong key" in notice.header["text"]


@pytest.mark.parametrize("key", [None, TransportError("gateway", "away")])
def test_without_a_key_nothing_is_published_in_clear(bench: Bench, key: Exception | None) -> None:
    bench.key = key
    bench.connects(ANNA)
    bench.log.out(b"secret")
    bench.steps()
    assert bench.publisher.events == []
    bench.key = KEY
    bench.steps(RETRY_FIRST_S)
    assert [type(frame) for frame in bench.published()] == [ScreenFrame, Output]


def test_each_event_has_a_nonce_of_its_own(bench: Bench) -> None:
    bench.connects(ANNA)
    for _ in range(50):
        bench.log.out(b"x")
        bench.steps()
    sealed = [event.data for event in bench.publisher.events]
    assert len(sealed) == 51
    assert len({text.partition('"ciphertext"')[0] for text in sealed}) == 51


def test_a_session_without_encryption_publishes_plain_frames(log: SessionLog) -> None:
    bench = Bench(log, encrypted=False)
    bench.connects(ANNA)
    log.out(b"open")
    bench.steps()
    assert bench.published()[-1] == Output("run", 0, b"open")
    bench.close()


def test_no_publish_has_more_events_than_a_batch_may(on_pipes: Bench) -> None:
    on_pipes.connects(ANNA)
    data = os.urandom(300_000)
    on_pipes.log.out(data)
    on_pipes.steps()
    assert max(len(events) for events in on_pipes.publisher.published) == 10
    assert b"".join(frame.data for frame in on_pipes.published() if isinstance(frame, Output)) == data


def test_acknowledgements_go_out_with_the_echo_or_alone(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.published()
    bench.says(Message(Kind.WRITTEN, {"acks": {"w": 1}}))
    bench.log.out(b"a")
    bench.steps()
    assert bench.published() == [Output("run", 0, b"a", "stdout", {"w": 1})]
    bench.says(Message(Kind.WRITTEN, {"acks": {"w": 2}}))
    bench.steps()
    assert bench.published() == []
    wait_s = bench.session.timeout_s()
    assert wait_s is not None
    assert wait_s <= ACK_DELAY_S
    bench.steps(ACK_DELAY_S)
    assert bench.published() == [Acked("run", {"w": 2})]


def test_the_host_is_told_whose_session_it_is(bench: Bench) -> None:
    bench.subscriber.tells(Subscribed(PRESENCE, (HOST, ANNA), "anna.0123456789ab"))
    bench.steps()
    assert [message.header for message in bench.heard(Kind.OWN_USER)] == [{"user": "anna"}]


def test_a_notice_for_one_writer_goes_out_at_once_and_to_nobody_who_comes_later(bench: Bench) -> None:
    bench.says(Message(Kind.NOTIFY, {"kind": "asked", "text": "wait", "writer": "w"}))
    bench.connects(ANNA)
    assert [frame for frame in bench.published() if isinstance(frame, Notice)] == []
    bench.says(Message(Kind.NOTIFY, {"kind": "asked", "text": "wait", "writer": "w"}))
    bench.steps()
    assert bench.published() == [Notice("run", 0, "asked", "wait", writer="w")]


def test_the_host_is_told_what_its_terminal_shows(bench: Bench) -> None:
    bench.log.out(b"hello")
    bench.says(Message(Kind.REDRAW))
    (told,) = bench.heard(Kind.PICTURE)
    assert (told.header["offset"], told.header["top"]) == (5, "hello\x1b[m")


def test_on_pipes_there_is_no_picture(on_pipes: Bench) -> None:
    on_pipes.says(Message(Kind.REDRAW))
    assert on_pipes.heard(Kind.PICTURE) == []


def test_a_keystroke_passes_while_a_publish_hangs(bench: Bench) -> None:
    """In the subscriber's thread, onto the socket: no step of the session is needed."""
    bench.connects(ANNA)
    bench.heard()
    bench.subscriber.secrets["private-encrypted-input-s"] = KEY
    grant = grants.make_grant(KEY, "anna.http", int(time.time()) + 900)
    text = grants.seal(frames.encode(Input("run", "w", 0, b"\x03")), grant, os.urandom(sealing.NONCE_BYTES))
    woken = bench.woken
    bench.subscriber.tells(Received("private-input-s", channels.EVENT_CLIENT_INPUT, text))
    [typed] = bench.heard()
    assert (typed.kind, typed.body) == (Kind.INPUT, b"\x03")
    assert (typed.header["writer"], typed.header["offset"], typed.header["user"]) == ("w", 0, "anna")
    assert bench.woken == woken


# -- what it may cost ------------------------------------------------------------------------------------------


def passes(bench: Bench, seconds: float) -> list[tuple[float, int]]:
    """Time goes by as a driver lets it; when how many events left."""
    left, until_s = [], bench.now_s + seconds
    while True:
        before = len(bench.publisher.events)
        going_on = bench.steps()
        if len(bench.publisher.events) > before:
            left.append((bench.now_s, len(bench.publisher.events) - before))
        wait_s = bench.session.timeout_s() if going_on else None
        if wait_s is None or bench.now_s + wait_s > until_s:
            bench.now_s = until_s
            return left
        bench.now_s += max(wait_s, 1e-4)


def test_a_flood_keeps_within_the_rate_and_its_end_is_right(log: SessionLog) -> None:
    bench = Bench(log, cost=CostPlan(events_per_s=4.0))
    bench.connects(ANNA)
    left: list[tuple[float, int]] = []
    for number in range(200):
        log.out(os.urandom(20_000) + b"\r\n\x1bcline %d" % number)
        left += passes(bench, 0.05)
    left += passes(bench, 5.0)
    for at, _ in left:
        assert sum(count for time_s, count in left if at <= time_s < at + 0.999) <= 4
    assert len(left) > 25
    frames_said = bench.published()
    last = next(frame for frame in reversed(frames_said) if isinstance(frame, ScreenFrame))
    shown = Screen(SIZE)
    shown.feed(last.data)
    for frame in frames_said[frames_said.index(last) + 1 :]:
        if isinstance(frame, Output) and frame.end > last.offset:
            shown.feed(frame.data[max(0, last.offset - frame.offset) :])
    assert shown.text()[0] == "line 199"
    bench.close()


def test_bytes_for_a_file_arrive_in_order_whatever_the_rate(log: SessionLog) -> None:
    bench = Bench(log, pty=False, cost=CostPlan(events_per_s=4.0))
    bench.connects(ANNA)
    data = os.urandom(300_000)
    log.out(data)
    passes(bench, 60.0)
    assert b"".join(frame.data for frame in bench.published() if isinstance(frame, Output)) == data
    bench.close()


def screen_in_parts(log: SessionLog) -> Bench:
    """A session at one event a second whose screen takes several, and a viewer who has the first of them."""
    bench = Bench(log, cost=CostPlan(events_per_s=1.0), limits=BrokerLimits(event_bytes=1024))
    bench.connects()
    log.out(b"".join(b"\x1b[38;2;%d;%d;%dm%c" % (*os.urandom(3), 97 + n % 26) for n in range(29 * 5)))
    bench.subscriber.tells(MemberAdded(PRESENCE, ANNA))
    bench.steps()
    return bench


def test_a_screen_in_parts_leaves_one_by_one_and_nothing_gets_between(log: SessionLog) -> None:
    bench = screen_in_parts(log)
    log.out(b"more")
    passes(bench, 10.0)
    said = bench.published()
    parts = [frame for frame in said if isinstance(frame, ScreenFrame)]
    assert len(parts) == parts[0].parts > 1
    assert said[: len(parts)] == parts
    assert isinstance(said[len(parts)], Output)
    bench.close()


def test_the_rest_of_a_batch_is_not_said_to_nobody(log: SessionLog) -> None:
    bench = screen_in_parts(log)
    assert len(bench.published()) == 1
    bench.subscriber.tells(MemberRemoved(PRESENCE, ANNA))
    passes(bench, 10.0)
    assert bench.published() == []
    bench.subscriber.tells(MemberAdded(PRESENCE, BOB))
    passes(bench, 10.0)
    said = bench.published()
    assert len([frame for frame in said if isinstance(frame, ScreenFrame)]) == said[0].parts  # type: ignore[union-attr]
    bench.close()


def test_a_publish_that_fails_in_the_middle_of_a_batch_goes_on_there(log: SessionLog) -> None:
    bench = screen_in_parts(log)
    bench.publisher.failure = TransportError("broker", "away")
    passes(bench, 3.0)
    bench.publisher.failure = None
    passes(bench, 30.0)
    parts = [frame.part for frame in bench.published() if isinstance(frame, ScreenFrame)]
    assert parts == list(range(len(parts)))
    bench.close()


def test_a_budget_that_is_used_up_is_told_to_viewers_and_host_once_and_nothing_is_lost(log: SessionLog) -> None:
    bench = Bench(log, pty=False, cost=CostPlan(None, 60, 60.0, "60/min"))
    bench.connects(ANNA)
    data = os.urandom(400_000)
    log.out(data)
    left = passes(bench, 600.0)
    said = bench.published()
    (notice,) = [frame for frame in said if isinstance(frame, Notice)]
    assert notice.kind == "budget"
    assert "60/min" in notice.text
    assert [message.header["text"] for message in bench.heard(Kind.NOTICE)] == [notice.text]
    assert b"".join(frame.data for frame in said if isinstance(frame, Output)) == data
    for at, _ in left:
        assert 2 * sum(count for time_s, count in left if at <= time_s < at + 60.0) <= 60 + 1
    bench.close()


def test_an_end_that_the_budget_delays_is_waited_for(log: SessionLog) -> None:
    bench = Bench(log, pty=False, cost=CostPlan(None, 60, 60.0, "60/min"))
    bench.connects(ANNA)
    data = os.urandom(300_000)
    log.out(data)
    finish(bench)
    passes(bench, 300.0)
    said = bench.published()
    assert b"".join(frame.data for frame in said if isinstance(frame, Output)) == data
    assert Ended("run", len(data), 3, None) in said
    bench.close()


def test_what_was_spent_is_in_the_report_and_in_the_file(log: SessionLog, tmp_path: Path) -> None:
    bench = Bench(log, directory=tmp_path)
    bench.connects(ANNA)
    bench.subscriber.tells(Received("private-input-s", channels.EVENT_CLIENT_INPUT, "whatever"))
    log.out(b"bye")
    finish(bench)
    bench.steps()
    (done,) = bench.heard(Kind.DONE)
    events = len(bench.publisher.events)
    assert done.header["messages"] == 2 * events + 2 + 1  # the keystroke, and our coming, which was told to the viewer
    spent = read_spent(tmp_path)
    assert spent is not None
    assert (spent.events, spent.messages) == (events, done.header["messages"])
    bench.close()


# -- looking at the log ----------------------------------------------------------------------------------------


def test_the_host_is_asked_for_news_at_once_while_somebody_watches_and_seldom_otherwise(bench: Bench) -> None:
    bench.connects()
    bench.heard()
    bench.says(Message(Kind.GROWN))
    bench.steps()
    assert bench.heard(Kind.ARM) == []
    assert bench.session.timeout_s() == pytest.approx(UNWATCHED_LOOK_S)
    bench.steps(UNWATCHED_LOOK_S)
    assert bench.heard(Kind.ARM) == [Message(Kind.ARM)]
    bench.subscriber.tells(MemberAdded(PRESENCE, ANNA))
    bench.steps()
    bench.says(Message(Kind.GROWN))
    bench.steps()
    assert bench.heard(Kind.ARM) == [Message(Kind.ARM)]


def test_the_terminal_s_state_is_fed_when_output_pauses(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.log.out(b"x" * 100)
    bench.says(Message(Kind.GROWN))
    bench.steps()
    assert bench.composer.lag_bytes == 100
    assert bench.session.timeout_s() == pytest.approx(IDLE_FEED_S)
    bench.steps(IDLE_FEED_S)
    assert bench.composer.lag_bytes == 0
    assert bench.session.timeout_s() == pytest.approx(BEATS_AFTER_S[0] - IDLE_FEED_S)


def test_questions_are_answered_without_delay(log: SessionLog) -> None:
    bench = Bench(log, answers_queries=True)
    bench.connects(ANNA)
    log.out(b"x" * 100)
    bench.says(Message(Kind.GROWN))
    bench.steps()
    assert bench.composer.lag_bytes == 0
    bench.close()


# -- the end ---------------------------------------------------------------------------------------------------


def finish(bench: Bench) -> None:
    bench.log.ended(3)
    bench.says(Message(Kind.FINISH))


def test_the_end_is_said_the_host_has_its_report_and_the_session_leaves_in_time(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.log.out(b"bye")
    finish(bench)
    assert bench.session.over
    assert bench.steps()
    assert bench.published()[-1] == Ended("run", 3, 3, None)
    (done,) = bench.heard(Kind.DONE)
    assert (done.header["events"], done.header["peak_watchers"]) == (3, 1)
    assert done.header["bytes"] == sum(len(event.data) for event in bench.publisher.events)
    assert bench.steps(LINGER_WATCHED_S / 2)
    assert not bench.steps(LINGER_WATCHED_S)


def test_who_comes_in_the_last_moment_is_told_of_the_end_too(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.log.out(b"bye")
    finish(bench)
    bench.steps()
    bench.published()
    bench.subscriber.tells(MemberAdded(PRESENCE, BOB))
    bench.steps(0.01)
    screen, end = bench.published()
    assert isinstance(screen, ScreenFrame)
    assert end == Ended("run", 3, 3, None)


def test_nobody_ever_watched_and_it_leaves_at_once(bench: Bench) -> None:
    bench.connects()
    finish(bench)
    assert not bench.steps()
    assert bench.heard(Kind.DONE)


def test_a_broker_that_never_answers_does_not_hold_it_up(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.publisher.failure = TransportError("broker", "away")
    bench.log.out(b"bye")
    finish(bench)
    assert bench.steps()
    assert bench.steps(LINGER_S / 2)
    assert not bench.steps(LINGER_S)


def test_viewers_whose_link_is_just_being_restored_are_waited_for(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.subscriber.tells(StateChanged(ConnectionState.RECONNECTING, "", 1.0))
    finish(bench)
    assert bench.steps(LINGER_S * 2)
    bench.published()
    bench.connects(ANNA)
    assert bench.published()[-1] == Ended("run", 0, 3, None)
    assert not bench.steps(LINGER_WATCHED_S)


def test_viewers_of_an_uplink_that_died_are_told_of_the_end_by_the_next(log: SessionLog) -> None:
    bench = Bench(log, watched=1)
    log.out(b"bye")
    finish(bench)
    assert bench.steps(), "it is not connected, and does not know who is here"
    bench.connects(ANNA)
    assert bench.published()[-1] == Ended("run", 3, 3, None)
    bench.close()


def test_viewers_of_a_host_that_died_are_told(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.published()
    bench.host.close()
    bench.session.hear_host()
    assert bench.session.host is None
    assert bench.session.over
    bench.steps()
    (notice,) = bench.published()
    assert isinstance(notice, Notice)
    assert notice.kind == "lost"
    assert not bench.steps(LINGER_WATCHED_S)


def test_a_host_that_left_after_the_end_is_not_called_lost(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.log.ended(0)
    bench.host.close()
    bench.session.hear_host()
    bench.steps()
    assert bench.published()[-1] == Ended("run", 0, 0, None)
    assert not any(isinstance(frame, Notice) for frame in bench.published())


def test_nonsense_from_the_host_ends_it(bench: Bench) -> None:
    bench.host.sendall(b"\xff" * 50)
    bench.session.hear_host()
    assert bench.session.host is None


def test_the_queue_is_bounded_and_keeps_the_newest(bench: Bench, tmp_path: Path) -> None:
    for number in range(12_000):
        bench.subscriber.tells(MemberRemoved(PRESENCE, Member(f"m{number}", {})))
    bench.subscriber.tells(Subscribed(PRESENCE, (HOST, ANNA)))
    bench.steps()
    assert bench.heard(Kind.WATCHERS) == [Message(Kind.WATCHERS, {"count": 1})]


def test_viewers_are_told_when_the_log_takes_no_more(bench: Bench) -> None:
    bench.connects(ANNA)
    bench.published()
    bench.says(Message(Kind.LOG_ENDED, {"reason": "No space left on device"}))
    bench.steps()
    (notice,) = bench.published()
    assert isinstance(notice, Notice)
    assert notice.kind == "log"
    assert "No space left on device" in notice.text


# -- what the command does -------------------------------------------------------------------------------------


def test_host_is_asked_how_its_terminal_stands_when_output_has_paused(log: SessionLog, tmp_path: Path) -> None:
    bench = Bench(log, attended=tmp_path)
    bench.connects()
    log.out(b"Password: ")
    bench.says(Message(Kind.GROWN))
    bench.steps()
    assert bench.heard(Kind.LOOK) == []
    due_s = bench.session.timeout_s()
    assert due_s is not None
    assert due_s <= PAUSE_S
    bench.steps(PAUSE_S)
    assert bench.heard(Kind.LOOK) == [Message(Kind.LOOK)]
    header = {"here": False, "typed_s": 0.0, "canonical": True, "echo": False, "pid": os.getpid(), "group": 2**22 + 1}
    bench.says(Message(Kind.LOOKED, header))
    said = read_activity(tmp_path)
    assert said is not None
    assert (said.state, said.prompt) == ("awaiting input", "Password:")
    bench.close()


def test_host_that_is_gone_is_asked_nothing(log: SessionLog, tmp_path: Path) -> None:
    bench = Bench(log, attended=tmp_path)
    bench.connects()
    bench.host.shutdown(socket.SHUT_RDWR)
    bench.session.hear_host()
    log.out(b"Password: ")
    bench.steps(PAUSE_S)
    bench.steps(PAUSE_S)
    said = read_activity(tmp_path)
    assert said is not None
    assert said.state == "working"
    bench.close()
