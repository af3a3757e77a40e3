"""Who may speak as the host: the broker's app on the output channel, and whoever signs with the host's key."""

from __future__ import annotations

import pytest

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import frames, sealing
from codewrap.protocol.frames import Acked, Ended, HostFrame, Output
from codewrap.transport.base import Received
from codewrap.viewer.hearing import Hearing

OUTPUT, PRESENCE, CLEAR = "private-encrypted-command-s", "presence-command-s", "private-command-s"
KEY = bytes(range(32))
HOST, VIEWER = sealing.SigningKey(bytes(32)), sealing.SigningKey(b"v" * 32)
ECHO = Output("e", 5, b"x")


def hearing(*, encrypted: bool = True, key: bytes | None = KEY) -> Hearing:
    return Hearing("s", {OUTPUT: key}.get, encrypted=encrypted)


def client_output(frame: HostFrame, *, by: sealing.SigningKey = HOST, key: bytes = KEY, channel: str = OUTPUT) -> Received:
    signed = by.sign(frames.encode(frame), channel)
    return Received(PRESENCE, "client-output", sealing.seal(signed, key, bytes(24)))


def test_output_events_are_the_host_s() -> None:
    event = Received(OUTPUT, "output", frames.encode(ECHO))
    assert hearing().is_host(event)
    assert hearing().frame(event, None) == ECHO


def test_an_event_of_another_name_than_its_frame_is_none() -> None:
    with pytest.raises(RemoteProtocolError):
        hearing().frame(Received(OUTPUT, "screen", frames.encode(ECHO)), None)


def test_other_events_on_the_presence_channel_are_not_the_host_s() -> None:
    assert not hearing().is_host(Received(PRESENCE, "client-sync", ""))
    assert not hearing().is_host(Received("private-input-s", "client-output", ""))


@pytest.mark.parametrize("frame", [ECHO, Acked("e", {"w": 3})])
def test_client_events_that_the_host_signed_are_heard(frame: HostFrame) -> None:
    event = client_output(frame)
    assert hearing().is_host(event)
    assert hearing().frame(event, HOST.public) == frame


def test_without_encryption_they_are_signed_all_the_same() -> None:
    signed = HOST.sign(frames.encode(ECHO), CLEAR)
    event = Received(PRESENCE, "client-output", signed)
    assert hearing(encrypted=False).frame(event, HOST.public) == ECHO
    with pytest.raises(RemoteProtocolError):
        hearing(encrypted=False).frame(Received(PRESENCE, "client-output", frames.encode(ECHO)), HOST.public)


@pytest.mark.parametrize(
    ("event", "key"),
    [
        (client_output(ECHO, by=VIEWER), HOST.public),
        (client_output(ECHO, key=b"k" * 32), HOST.public),
        (client_output(ECHO, channel="private-encrypted-command-t"), HOST.public),
        (client_output(Ended("e", 5, 0, None)), HOST.public),
        (Received(PRESENCE, "client-output", HOST.sign(frames.encode(ECHO), OUTPUT)), HOST.public),
        (Received(PRESENCE, "client-output", "nonsense"), HOST.public),
    ],
    ids=["by a viewer", "sealed by a stranger", "of another session", "the end", "not sealed", "nonsense"],
)
def test_all_else_is_refused(event: Received, key: bytes | None) -> None:
    with pytest.raises(RemoteProtocolError):
        hearing().frame(event, key)


def test_before_the_host_told_its_key_what_it_signs_is_not_known() -> None:
    assert hearing().frame(client_output(ECHO), None) is None


def test_nothing_is_opened_without_the_channel_s_key() -> None:
    with pytest.raises(RemoteProtocolError):
        hearing(key=None).frame(client_output(ECHO), HOST.public)
