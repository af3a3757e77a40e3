"""From a sealed event to the host: what is passed on, and what never is."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from codewrap.protocol import channels, frames, sealing
from codewrap.protocol.frames import Input, Resize, Sync
from codewrap.protocol.geometry import Size
from codewrap.protocol.hostlink import Decoder, Kind, Message
from codewrap.transport.base import Received
from codewrap.uplink.hostsocket import HostSocket
from codewrap.uplink.inputpath import InputPath, UplinkPlan

KEY = bytes(range(32))
TYPED = Input("epoch", "writer", 7, b"ls\r")
CLIENT_CHANNEL = channels.input_channel("s")
SEALED_CHANNEL = channels.sealed_input_channel("s")


class Bench:
    """An input path and the host that it leads to."""

    def __init__(self) -> None:
        self.ours, self.host = socket.socketpair()
        self.host.setblocking(False)
        self.key: bytes | None = KEY
        self.asked_for: list[str] = []

    def path(self, *, encrypted: bool = True, read_only: bool = False) -> InputPath:
        plan = UplinkPlan("s", "epoch", encrypted, read_only, answers_queries=False)
        return InputPath(plan, HostSocket(self.ours), self._secret, clock=lambda: 1_000_000.0)

    def heard(self) -> list[Message]:
        """What the host got."""
        try:
            return Decoder().feed(self.host.recv(65_536))
        except BlockingIOError:
            return []

    def _secret(self, channel: str) -> bytes | None:
        self.asked_for.append(channel)
        return self.key


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.ours.close()
    bench.host.close()


def sealed(frame: frames.ViewerFrame, key: bytes = KEY) -> Received:
    text = sealing.seal(frames.encode(frame), key, os.urandom(sealing.NONCE_BYTES))
    return Received(CLIENT_CHANNEL, channels.EVENT_CLIENT_INPUT, text)


def in_clear(frame: frames.ViewerFrame, channel: str = CLIENT_CHANNEL) -> Received:
    return Received(channel, channels.EVENT_CLIENT_INPUT, frames.encode(frame))


def test_sealed_keystrokes_reach_the_host_with_writer_and_offset(bench: Bench) -> None:
    assert bench.path().take(sealed(TYPED))
    assert bench.heard() == [Message(Kind.INPUT, {"writer": "writer", "offset": 7}, b"ls\r")]
    assert bench.asked_for == [SEALED_CHANNEL]


def test_a_writers_size_reaches_the_host(bench: Bench) -> None:
    bench.path().take(sealed(Resize("epoch", "writer", Size(rows=10, cols=40))))
    assert bench.heard() == [Message(Kind.RESIZE, {"rows": 10, "cols": 40})]


def test_input_over_http_was_opened_by_the_subscriber(bench: Bench) -> None:
    assert bench.path().take(in_clear(TYPED, SEALED_CHANNEL))
    assert bench.heard() == [Message(Kind.INPUT, {"writer": "writer", "offset": 7}, b"ls\r")]


def test_a_session_without_encryption_takes_input_as_it_comes(bench: Bench) -> None:
    bench.key = None
    assert bench.path(encrypted=False).take(in_clear(TYPED))
    assert [message.body for message in bench.heard()] == [b"ls\r"]


def test_an_encrypted_session_takes_nothing_in_clear_not_even_before_it_has_its_key(bench: Bench) -> None:
    """A relay could type into the session in the moment before the input channel is authorized."""
    for key in (None, KEY):
        bench.key = key
        assert bench.path().take(in_clear(TYPED))
        assert bench.heard() == [], key


@pytest.mark.parametrize(
    "event",
    [
        sealed(TYPED, bytes(32)),
        sealed(Input("another", "writer", 0, b"x")),
        sealed(Sync("epoch", 0, "screen")),
        Received(CLIENT_CHANNEL, "client-input", "garbage"),
        Received(CLIENT_CHANNEL, "client-input", '{"nonce":"","ciphertext":""}'),
        Received(CLIENT_CHANNEL, "client-input", "[" * 100_000),
        Received(SEALED_CHANNEL, "input", "garbage"),
        Received(SEALED_CHANNEL, "input", '{"v":1,"type":"input","epoch":"epoch","writer":"w","offset":-1,"data":"x"}'),
    ],
    ids=["wrong key", "another run", "not input", "garbage", "empty box", "deep", "not a frame", "bad offset"],
)
def test_what_cannot_be_opened_or_is_not_for_us_is_dropped(bench: Bench, event: Received) -> None:
    assert bench.path().take(event)
    assert bench.heard() == []


def test_an_altered_event_is_dropped(bench: Bench) -> None:
    event = sealed(TYPED)
    at = event.data.index("ciphertext") + 20
    other = "A" if event.data[at] != "A" else "B"
    bench.path().take(Received(event.channel, event.name, event.data[:at] + other + event.data[at + 1 :]))
    assert bench.heard() == []


def test_a_read_only_session_takes_none_and_still_deals_with_the_event(bench: Bench) -> None:
    path = bench.path(read_only=True)
    assert path.take(sealed(TYPED))
    assert path.take(in_clear(TYPED, SEALED_CHANNEL))
    assert bench.heard() == []


@pytest.mark.parametrize(
    "channel", [channels.presence_channel("s"), channels.input_channel("s2"), channels.output_channel("s", encrypted=True)]
)
def test_other_channels_are_left_to_the_session(bench: Bench, channel: str) -> None:
    assert not bench.path().take(in_clear(TYPED, channel))
    assert bench.heard() == []


def test_what_a_program_posts_without_knowing_the_run_reaches_the_host(bench: Bench) -> None:
    posted = Input(frames.ANY_EPOCH, f"http-{1_000_000 - 500}-{'0a' * 16}", 0, b"make\n")
    bench.path().take(in_clear(posted, SEALED_CHANNEL))
    assert [message.body for message in bench.heard()] == [b"make\n"]


@pytest.mark.parametrize(
    "writer",
    [f"http-{1_000_000 - 700}-{'0a' * 16}", f"http-{1_000_000 + 700}-{'0a' * 16}", "http-1000000", "writer"],
    ids=["old", "from the future", "not random", "of nobody"],
)
def test_posted_input_that_somebody_kept_is_dropped(bench: Bench, writer: str) -> None:
    bench.path().take(in_clear(Input(frames.ANY_EPOCH, writer, 0, b"make\n"), SEALED_CHANNEL))
    assert bench.heard() == []
