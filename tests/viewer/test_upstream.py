"""Keystrokes, sizes and requests on their way to the session, by either way."""

from __future__ import annotations

import queue

from codewrap.protocol import channels, frames, grants
from codewrap.protocol.frames import Input, Resize, Sync
from codewrap.protocol.geometry import Size
from codewrap.transport.base import Event
from codewrap.viewer.sender import EXPIRY_S
from codewrap.viewer.upstream import InputRules, Upstream
from tests.support.subscribers import ScriptedSubscriber

KEY = bytes(range(32))
INPUT = channels.input_channel("s")
GRANT = grants.make_grant(KEY, "anna.0123456789ab", 1_800_000_900)
NEXT = grants.make_grant(KEY, "anna.0123456789ab", 1_800_001_500)
WAIT_S = 15.0


def opened(data: str) -> frames.ViewerFrame:
    """As the host does it, which knows no grants but the key that they are made of."""
    envelope = grants.decode(data)
    return frames.decode_viewer(grants.unseal(envelope, grants.writer_key(KEY, envelope.writer, envelope.until)))


class Way:
    """One way to a session, and what came out of it."""

    def __init__(self, *, read_only: bool = False, encrypted: bool = True, interval_s: float = 0.0, key: bool = True) -> None:
        self.subscriber = ScriptedSubscriber()
        if key:
            self.subscriber.grants[INPUT] = GRANT
        self.http: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.up = Upstream("s", InputRules(read_only, encrypted, interval_s), self.subscriber, self.http.put)
        self.up.granted(0.0)

    def arrived(self) -> list[bytes]:
        """Input that went as client events."""
        found = [opened(sent.data) for sent in self.subscriber.sent if sent.channel == INPUT]
        return [frame.data for frame in found if isinstance(frame, Input)]


def test_keys_wait_for_a_run_to_be_known_and_go_sealed() -> None:
    way = Way()
    way.up.type(b"ls", "", 0.0)
    assert way.arrived() == []
    way.up.send("run", 1.0)
    assert way.arrived() == [b"ls"]


def test_without_its_key_nothing_leaves_but_where_encryption_is_off() -> None:
    way = Way(key=False)
    way.up.type(b"secret", "run", 0.0)
    assert way.subscriber.sent == []
    plain = Way(encrypted=False, key=False)
    plain.up.type(b"ls", "run", 0.0)
    assert frames.decode_viewer(plain.subscriber.sent[0].data) == Input("run", plain.up.sender.writer, 0, b"ls")


def test_before_the_server_has_answered_nothing_leaves_be_it_encrypted_or_not() -> None:
    """Else what is typed first would go in clear where the grant comes a moment later."""
    for encrypted in (True, False):
        subscriber = ScriptedSubscriber()
        up = Upstream("s", InputRules(False, encrypted, 0.1), subscriber, lambda _: None)
        up.type(b"secret", "run", 0.0)
        assert subscriber.sent == []
        assert up.wait_s(0.0, connected=True) == 1.0, "and nobody looks again and again"


def test_a_size_that_could_not_be_told_is_told_as_soon_as_it_can() -> None:
    way = Way()
    way.subscriber.takes = False
    way.up.announce(Size(24, 80), "run", 0.0)
    way.subscriber.takes = True
    way.up.send("run", 1.0)
    assert [opened(sent.data) for sent in way.subscriber.sent] == [Resize("run", way.up.sender.writer, Size(24, 80))]


def test_a_grant_is_renewed_when_less_than_a_third_is_left_and_something_is_typed() -> None:
    way = Way()
    way.up.send("run", 899.0)
    way.up.type(b"a", "run", 599.0)
    assert way.subscriber.renewals == []
    way.up.confirm({way.up.sender.writer: 1}, "run", 599.0)
    way.up.type(b"b", "run", 600.0)
    way.up.type(b"c", "run", 600.1)
    assert way.subscriber.renewals == [INPUT]
    assert way.arrived() == [b"a", b"b", b"c"], "the old one still holds"
    way.subscriber.grants[INPUT] = NEXT
    way.up.granted(600.2)
    way.up.type(b"d", "run", 600.3)
    assert grants.decode(way.subscriber.sent[-1].data).until == NEXT.until
    assert way.subscriber.renewals == [INPUT]


def test_what_is_typed_after_a_long_rest_waits_for_a_grant_that_the_host_will_take() -> None:
    way = Way()
    way.up.type(b"a", "run", 900.0)
    assert way.subscriber.renewals == [INPUT]
    assert way.subscriber.sent == []
    way.subscriber.grants[INPUT] = NEXT
    way.up.granted(900.5)
    way.up.send("run", 900.5)
    assert way.arrived() == [b"a"]


def test_a_server_that_gives_nothing_new_is_asked_now_and_then() -> None:
    way = Way()
    for tenth in range(100):
        way.up.type(b"a", "run", 900.0 + tenth / 10)
    assert 3 <= len(way.subscriber.renewals) <= 4


def test_where_the_host_leaves_typing_unanswered_the_grant_is_asked_for_anew() -> None:
    """It may know of another input key, or that what was granted before some moment is void."""
    way = Way()
    way.up.type(b"a", "run", 10.0)
    way.up.send("run", 10.9)
    assert way.subscriber.renewals == []
    way.up.send("run", 11.0)
    assert way.subscriber.renewals == [INPUT]
    assert way.arrived() == [b"a", b"a"]
    way.up.send("run", 12.0)
    way.subscriber.grants[INPUT] = NEXT
    way.up.granted(13.0)
    way.up.send("run", 13.0)
    assert grants.decode(way.subscriber.sent[-1].data).until == NEXT.until
    assert way.arrived()[-1] == b"a"


def test_a_host_whose_command_does_not_read_is_no_reason_to_doubt_the_grant() -> None:
    way = Way()
    way.up.type(b"a", "run", 10.0)
    way.up.confirm({way.up.sender.writer: 0}, "run", 10.1)
    way.up.send("run", 15.0)
    assert way.subscriber.renewals == []


def test_who_is_refused_types_no_more_until_the_server_lets_them_again() -> None:
    way = Way()
    assert way.up.refused()
    assert not way.up.refused(), "it is said once"
    way.up.type(b"a", "run", 1.0)
    way.up.announce(Size(24, 80), "run", 1.0)
    assert way.subscriber.sent == []
    assert way.up.expire(1.0 + EXPIRY_S) == 1
    way.up.granted(20.0)
    way.up.type(b"b", "run", 20.0)
    assert way.arrived() == [b"b"]
    assert way.up.refused()


def test_what_a_broken_link_did_not_take_goes_when_it_is_back() -> None:
    way = Way()
    way.subscriber.takes = False
    way.up.type(b"ls", "run", 0.0)
    way.subscriber.takes = True
    way.up.send("run", 0.1)
    assert way.arrived() == [b"ls"]
    way.up.unsent()
    way.up.send("run", 0.2)
    assert way.arrived() == [b"ls", b"ls"]


def test_frames_keep_the_broker_s_distance() -> None:
    way = Way(interval_s=0.1)
    way.up.type(b"a", "run", 5.0)
    way.up.type(b"b", "run", 5.01)
    assert way.arrived() == [b"a"]
    wait_s = way.up.wait_s(5.01, connected=True)
    assert wait_s is not None
    assert 0.08 < wait_s <= 0.1
    way.up.send("run", 5.11)
    assert way.arrived() == [b"a", b"b"]


def test_what_was_confirmed_makes_room_for_more() -> None:
    way = Way()
    way.up.type(b"x" * 400_000, "run", 0.0)
    sent = len(b"".join(way.arrived()))
    assert sent < 400_000
    way.up.confirm({way.up.sender.writer: sent}, "run", 1.0)
    assert len(b"".join(way.arrived())) == 400_000


def test_what_is_too_old_and_what_was_for_another_run_never_arrives() -> None:
    way = Way()
    way.up.type(b"old", "", 0.0)
    assert way.up.wait_s(0.0, connected=False) == EXPIRY_S
    assert way.up.expire(EXPIRY_S) == 3
    way.up.type(b"for another", "", 11.0)
    way.up.begin_anew()
    way.up.type(b"new", "run", 12.0)
    assert way.arrived() == [b"new"]


def test_a_size_is_told_once_and_to_each_run() -> None:
    way = Way()
    way.up.announce(Size(24, 80), "", 0.0)
    assert way.subscriber.sent == []
    for size in (Size(24, 80), Size(24, 80), Size(5000, 1)):
        way.up.announce(size, "run", 0.0)
    way.up.begin_anew()
    way.up.announce(Size(5000, 1), "next", 0.0)
    told = [opened(sent.data) for sent in way.subscriber.sent]
    assert [(frame.epoch, frame.size) for frame in told if isinstance(frame, Resize)] == [
        ("run", Size(24, 80)),
        ("run", Size(1000, 2)),
        ("next", Size(1000, 2)),
    ]


def test_who_only_watches_sends_nothing() -> None:
    way = Way(read_only=True)
    way.up.type(b"ls", "run", 0.0)
    way.up.announce(Size(24, 80), "run", 0.0)
    assert way.subscriber.sent == []
    assert way.up.channels == []


def test_where_client_events_are_refused_all_goes_over_http() -> None:
    way = Way()
    way.up.type(b"ls", "run", 0.0)
    way.up.use_http()
    way.up.send("run", 0.1)
    typed = way.http.get(timeout=WAIT_S)
    assert (typed.channel, typed.name) == (INPUT, channels.EVENT_INPUT)
    again = opened(typed.data)
    assert isinstance(again, Input)
    assert again.data == b"ls"
    way.up.request("run", 7, "bytes", "challenge")
    asked = way.http.get(timeout=WAIT_S)
    assert (asked.channel, asked.name) == (channels.presence_channel("s"), channels.EVENT_SYNC)
    assert frames.decode_viewer(asked.data) == Sync("run", 7, "bytes", "challenge")


def test_a_request_that_the_broker_does_not_take_goes_over_http() -> None:
    way = Way()
    way.up.request("run", 0, "screen", "")
    assert [sent.name for sent in way.subscriber.sent] == [channels.EVENT_CLIENT_SYNC]
    way.subscriber.takes = False
    way.up.request("run", 0, "screen", "")
    assert way.http.get(timeout=WAIT_S).name == channels.EVENT_SYNC


def test_who_has_no_leave_drops_what_is_pending_and_begins_a_new_stream() -> None:
    way = Way()
    way.up.type(b"ls", "run", 0.0)
    stream = way.up.sender.writer
    code = grants.check_code(GRANT.key, stream)
    assert way.up.told("asked", "text", stream, 0.1) == f"waiting for leave to type; say this code: {code}"
    assert way.up.sender.pending_bytes == 0
    assert way.up.sender.writer != stream
    way.up.type(b"more", "run", 0.2)
    second = way.up.sender.writer
    assert way.up.told("asked", "text", second, 0.3) == ""
    assert code in way.up.leave_to_type.text(0.3)
    way.up.type(b"now", "run", 0.4)
    assert way.up.told("approved", "text", second, 0.5) == "you may type now; what you typed before was not passed on"
    assert way.arrived() == [b"ls", b"more", b"now"]
    assert way.up.sender.pending_bytes == 3, "what goes by the stream of now may still arrive"


def test_what_is_said_of_others_streams_is_not_for_us() -> None:
    way = Way()
    way.up.type(b"ls", "run", 0.0)
    assert way.up.told("denied", "text", "another", 0.1) is None
    assert way.up.sender.pending_bytes == 2


def test_without_a_grant_there_is_no_code_to_say() -> None:
    plain = Way(encrypted=False, key=False)
    assert plain.up.told("asked", "text", plain.up.sender.writer, 0.1) == "waiting for leave to type"
