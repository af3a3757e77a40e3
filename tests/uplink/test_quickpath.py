"""Small output goes as a client event: signed by the host, one at a time, and never where the broker refused it."""

from __future__ import annotations

import pytest

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import frames, sealing
from codewrap.protocol.frames import Acked, Beat, HostFrame, Output
from codewrap.uplink.quickpath import APART_S, MAX_TEXT_CHARS, REFUSED_FOR_S, QuickPath

CHANNEL = "private-encrypted-command-s"
ECHO = Output("e", 5, b"x")


class Wire:
    """Takes client events, or does not."""

    def __init__(self, *, up: bool = True) -> None:
        self.up = up
        self.sent: list[tuple[str, str, str]] = []

    def send(self, channel: str, name: str, data: str) -> bool:
        if self.up:
            self.sent.append((channel, name, data))
        return self.up


def quick_path(wire: Wire) -> QuickPath:
    return QuickPath("s", CHANNEL, wire.send, bytes(sealing.SEED_BYTES))


def said(frame: HostFrame) -> tuple[str, str]:
    return frame.event, frames.encode(frame)


def test_echo_is_sent_sealed_and_signed() -> None:
    wire = Wire()
    path = quick_path(wire)
    size = path.take(said(ECHO), lambda text: f"sealed {text}", 0.0)
    [(channel, name, data)] = wire.sent
    assert (channel, name, size) == ("presence-command-s", "client-output", len(data))
    text = sealing.verified(data.removeprefix("sealed "), path.key, CHANNEL)
    assert frames.decode_host(text) == ECHO
    with pytest.raises(RemoteProtocolError):
        sealing.verified(data.removeprefix("sealed "), path.key, "private-encrypted-command-t")


def test_what_follows_close_is_left_to_publishing() -> None:
    path = quick_path(Wire())
    assert path.take(said(ECHO), str, 0.0)
    assert not path.take(said(ECHO), str, APART_S / 2)
    assert not path.take(said(ECHO), str, APART_S), "counted from whatever was said last"
    assert path.take(said(Acked("e", {"w": 1})), str, APART_S * 2)


@pytest.mark.parametrize("frame", [Beat("e", 1), Output("e", 0, b"x" * MAX_TEXT_CHARS), frames.Ended("e", 1, 0, None)])
def test_what_is_large_or_must_arrive_is_left_to_publishing(frame: HostFrame) -> None:
    wire = Wire()
    assert not quick_path(wire).take(("output", "x" * (MAX_TEXT_CHARS + 1)), str, 0.0)
    if not isinstance(frame, Output):
        assert not quick_path(wire).take(said(frame), str, 0.0)
    assert wire.sent == []


def test_a_link_that_is_down_leaves_it_to_publishing() -> None:
    assert not quick_path(Wire(up=False)).take(said(ECHO), str, 0.0)


def test_a_broker_that_refused_is_not_tried_for_a_while() -> None:
    path = quick_path(Wire())
    path.refused(5.0)
    assert not path.take(said(ECHO), str, 4.0 + REFUSED_FOR_S)
    assert path.take(said(ECHO), str, 5.0 + REFUSED_FOR_S)
