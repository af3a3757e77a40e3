"""Keystrokes, sizes and requests on their way to the session, by either way."""

from __future__ import annotations

import queue

from codewrap.protocol import channels, frames, sealing
from codewrap.protocol.frames import Input, Resize, Sync
from codewrap.protocol.geometry import Size
from codewrap.transport.base import Event
from codewrap.viewer.sender import EXPIRY_S
from codewrap.viewer.upstream import InputRules, Upstream
from tests.support.subscribers import ScriptedSubscriber

KEY = bytes(range(32))
INPUT, SEALED = channels.input_channel("s"), channels.sealed_input_channel("s")
WAIT_S = 15.0


class Way:
    """One way to a session, and what came out of it."""

    def __init__(self, *, read_only: bool = False, encrypted: bool = True, interval_s: float = 0.0, key: bool = True) -> None:
        self.subscriber = ScriptedSubscriber()
        if key:
            self.subscriber.secrets[SEALED] = KEY
        self.http: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.up = Upstream("s", InputRules(read_only, encrypted, interval_s), self.subscriber, self.http.put)

    def arrived(self) -> list[bytes]:
        """Input that went as client events."""
        found = [frames.decode_viewer(sealing.unseal(sent.data, KEY)) for sent in self.subscriber.sent if sent.channel == INPUT]
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
    way.up.announce(Size(24, 80), "")
    assert way.subscriber.sent == []
    for size in (Size(24, 80), Size(24, 80), Size(5000, 1)):
        way.up.announce(size, "run")
    way.up.begin_anew()
    way.up.announce(Size(5000, 1), "next")
    told = [frames.decode_viewer(sealing.unseal(sent.data, KEY)) for sent in way.subscriber.sent]
    assert [(frame.epoch, frame.size) for frame in told if isinstance(frame, Resize)] == [
        ("run", Size(24, 80)),
        ("run", Size(1000, 2)),
        ("next", Size(1000, 2)),
    ]


def test_who_only_watches_sends_nothing() -> None:
    way = Way(read_only=True)
    way.up.type(b"ls", "run", 0.0)
    way.up.announce(Size(24, 80), "run")
    assert way.subscriber.sent == []
    assert way.up.channels == []


def test_where_client_events_are_refused_all_goes_over_http() -> None:
    way = Way()
    way.up.type(b"ls", "run", 0.0)
    way.up.use_http()
    way.up.send("run", 0.1)
    typed = way.http.get(timeout=WAIT_S)
    assert (typed.channel, typed.name) == (SEALED, channels.EVENT_INPUT)
    again = frames.decode_viewer(sealing.unseal(typed.data, KEY))
    assert isinstance(again, Input)
    assert again.data == b"ls"
    way.up.request("run", 7, "bytes")
    asked = way.http.get(timeout=WAIT_S)
    assert (asked.channel, asked.name) == (channels.presence_channel("s"), channels.EVENT_SYNC)
    assert frames.decode_viewer(asked.data) == Sync("run", 7, "bytes")


def test_a_request_that_the_broker_does_not_take_goes_over_http() -> None:
    way = Way()
    way.up.request("run", 0, "screen")
    assert [sent.name for sent in way.subscriber.sent] == [channels.EVENT_CLIENT_SYNC]
    way.subscriber.takes = False
    way.up.request("run", 0, "screen")
    assert way.http.get(timeout=WAIT_S).name == channels.EVENT_SYNC
