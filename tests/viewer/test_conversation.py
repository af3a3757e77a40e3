"""What every viewer does with broker and host, with a test for both: who is heard, what is asked, how it ends."""

from __future__ import annotations

import queue

import pytest

from codewrap.errors import EXIT_LOST, EXIT_NOT_ATTACHED
from codewrap.protocol import channels, frames, grants
from codewrap.protocol.frames import Beat, Input, Output
from codewrap.transport.base import (
    ClientEventsRefused,
    ConnectionState,
    Event,
    Member,
    MemberAdded,
    MemberRemoved,
    Received,
    Renewed,
    Silence,
    StateChanged,
    SubscriberEvent,
    SubscriptionFailed,
)
from codewrap.viewer.attendance import Departure
from codewrap.viewer.conversation import Conversation, Terms
from codewrap.viewer.receiver import Effect, Show
from tests.support.subscribers import WAIT_S, ScriptedSubscriber

TERMS = Terms(session="s", encrypted=True, read_only=False, endpoint="https://broker.example", challenge="challenge")
OUTPUT = channels.output_channel("s", encrypted=True)
INPUT = channels.input_channel("s")
PRESENCE = channels.presence_channel("s")
HOST = Member("host.1", {"role": "host"})
GRANT = grants.make_grant(bytes(32), "anna.0123456789ab", 1_800_000_900)


class Talk:
    """One conversation; the test brings the time."""

    def __init__(self, *, wants_bytes: bool = True, members: tuple[Member, ...] = (HOST,)) -> None:
        self.now_s = 0.0
        self.subscriber = ScriptedSubscriber(self.tells)
        self.subscriber.grants[INPUT] = GRANT
        self.notes: list[str] = []
        self.http: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.departure: Departure | None = None
        self.of = Conversation(
            TERMS, self.subscriber, self.http.put, lambda text, _: self.notes.append(text), 0.0, wants_bytes=wants_bytes
        )
        self.of.start()
        self.subscriber.connects(PRESENCE, *members)

    def tells(self, event: SubscriberEvent) -> None:
        self.departure = self.of.happened(event, self.now_s) or self.departure

    def hears(self, frame: frames.HostFrame, name: str = "") -> list[Effect]:
        event = Received(OUTPUT, name or frame.event, frames.encode(frame))
        assert self.of.is_host(event)
        return list(self.of.heard(event, self.now_s))


def test_it_listens_where_the_host_speaks_before_it_is_seen() -> None:
    talk = Talk()
    assert talk.subscriber.channels == [OUTPUT, INPUT, PRESENCE]
    assert talk.subscriber.started
    assert talk.of.is_listening


def test_a_host_that_answers_is_heard_and_one_that_does_not_is_not() -> None:
    talk = Talk()
    assert talk.hears(Output("old", 0, b"what was")) == []
    assert (talk.of.attendance.answered, talk.of.attendance.recorded) == (False, True)
    talk.hears(Beat("run", 0, answers=("challenge",)))
    assert talk.hears(Output("run", 0, b"what is")) == [Show(b"what is", "stdout")]
    assert talk.of.attendance.answered


def test_what_is_no_frame_or_has_another_s_name_is_dropped() -> None:
    talk = Talk()
    assert talk.hears(Beat("run", 0, answers=("challenge",)), name="output") == []
    assert not talk.of.attendance.answered
    assert list(talk.of.heard(Received(OUTPUT, "output", "nothing of ours"), 0.0)) == []


def test_a_client_event_of_a_host_whose_key_is_not_known_is_a_reason_to_ask() -> None:
    talk = Talk()
    talk.hears(Beat("run", 0, answers=("challenge",)))
    event = Received(PRESENCE, channels.EVENT_CLIENT_OUTPUT, "{}")
    assert talk.of.is_host(event)
    assert list(talk.of.heard(event, 0.0)) == []
    assert talk.of.receiver.wait_s(0.0) is not None


def test_whoever_has_no_screen_yet_asks_with_the_challenge() -> None:
    talk = Talk(wants_bytes=False)
    talk.of.ask(10.0)
    asked = frames.decode_viewer(talk.subscriber.wait_sent(lambda sent: sent.channel == PRESENCE).data)
    assert asked == frames.Sync("", 0, "screen", "challenge")


def test_nothing_is_asked_while_nothing_can_be_heard() -> None:
    talk = Talk(wants_bytes=False)
    talk.tells(StateChanged(ConnectionState.RECONNECTING, retry_in_s=1.0))
    talk.of.ask(10.0)
    assert not talk.of.is_listening
    assert talk.subscriber.sent == []


def test_a_connection_that_is_lost_has_all_that_is_not_confirmed_sent_again() -> None:
    talk = Talk()
    talk.hears(Beat("run", 0, answers=("challenge",)))
    talk.of.upstream.type(b"ls\r", "run", 0.0)
    talk.tells(StateChanged(ConnectionState.RECONNECTING, retry_in_s=1.0))
    talk.subscriber.connects(PRESENCE, HOST)
    talk.of.upstream.send("run", 0.1)
    sent = [sent for sent in talk.subscriber.sent if sent.channel == INPUT]
    typed = [frames.decode_viewer(grants.unseal(grants.decode(one.data), GRANT.key)) for one in sent]
    assert [(frame.offset, frame.data) for frame in typed if isinstance(frame, Input)] == [(0, b"ls\r")] * 2


@pytest.mark.parametrize(("answered", "status"), [(False, EXIT_NOT_ATTACHED), (True, EXIT_LOST)])
def test_a_broker_that_will_not_have_us_ends_it(answered: bool, status: int) -> None:
    talk = Talk()
    if answered:
        talk.hears(Beat("run", 0, answers=("challenge",)))
    talk.tells(StateChanged(ConnectionState.FAILED, "no such app"))
    assert talk.departure == Departure(status, "https://broker.example refuses the connection: no such app")


def test_a_channel_that_is_refused_ends_it_and_that_of_input_does_not() -> None:
    talk = Talk()
    talk.tells(SubscriptionFailed(INPUT, 403, "viewers may not type"))
    talk.tells(SubscriptionFailed(INPUT, 403, "viewers may not type"))
    assert (talk.departure, talk.notes) == (None, ["you may not type here: viewers may not type"])
    talk.tells(Renewed(INPUT))
    talk.tells(SubscriptionFailed(INPUT, 500, "out of order"))
    assert len(talk.notes) == 1
    talk.tells(SubscriptionFailed(OUTPUT, 403, "not yours"))
    assert talk.departure is not None
    assert talk.departure.status == EXIT_NOT_ATTACHED


def test_it_knows_whether_the_host_is_there() -> None:
    talk = Talk(members=())
    talk.tells(MemberAdded(PRESENCE, HOST))
    talk.of.attendance.verdict(1.0)
    assert talk.of.link.host_away_s(2.0) == 0
    talk.tells(MemberRemoved(PRESENCE, HOST))
    talk.of.attendance.verdict(3.0)
    assert talk.of.link.host_away_s(5.0) == 2.0


def test_a_broker_that_refuses_client_events_or_falls_silent_is_noticed() -> None:
    talk = Talk()
    talk.hears(Beat("run", 0, answers=("challenge",)))
    talk.tells(Silence(3.0))
    assert talk.of.link.unheard_s(0.0) == 3.0
    talk.tells(ClientEventsRefused(INPUT, 4301, "off"))
    talk.of.upstream.request("run", 0, "bytes", "")
    assert talk.http.get(timeout=WAIT_S).name == channels.EVENT_SYNC


def test_it_says_that_it_leaves_and_is_due_while_nobody_has_answered() -> None:
    talk = Talk()
    assert talk.of.wait_s(0.0) is not None
    talk.hears(Beat("run", 0, answers=("challenge",)))
    talk.of.leave()
    assert frames.decode_viewer(talk.subscriber.wait_sent().data) == frames.Sync("run", 0, "nothing")
