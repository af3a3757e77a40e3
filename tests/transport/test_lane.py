"""Packets between processes of one user: whole, in order, never waiting, and to nobody else."""

from __future__ import annotations

import os
import secrets
import socket

import pytest

from codewrap.protocol.hostlink import Kind, Message
from codewrap.transport import lane
from codewrap.transport.lane import Lane, accept, connect, listen

HELLO = Message(Kind.GREETING, {"epoch": "e"})


def joined() -> tuple[Lane, Lane]:
    """Both ends."""
    name = secrets.token_hex(8)
    listener = listen(name)
    assert listener is not None
    with listener:
        near = connect(name)
        far = accept(listener)
    assert near is not None
    assert far is not None
    return near, far


def test_packets_arrive_whole_and_in_order_both_ways() -> None:
    near, far = joined()
    packets = [Message(Kind.INPUT, {"offset": number}, bytes(1000 * number)) for number in range(10)]
    for packet in packets:
        assert near.send(packet)
    assert [message for _ in packets for message in far.receive() or []] == packets
    assert far.receive() == []
    assert far.send(HELLO)
    assert near.receive() == [HELLO]
    near.close()
    assert far.receive() is None
    far.close()


def test_what_the_other_end_does_not_take_is_dropped_without_waiting() -> None:
    near, far = joined()
    sent = 0
    while near.send(Message(Kind.OUTPUT, {"offset": sent}, bytes(10_000))):
        sent += 1
        assert sent < 10_000
    assert sent > 0
    assert [message.header["offset"] for _ in range(sent) for message in far.receive() or []] == list(range(sent))
    assert near.send(HELLO), "there is room again"
    near.close()
    far.close()


def test_sending_to_one_who_is_gone_is_no_error() -> None:
    near, far = joined()
    far.close()
    assert not near.send(HELLO)
    near.close()
    near.close()


def test_nonsense_ends_it() -> None:
    name = secrets.token_hex(8)
    listener = listen(name)
    assert listener is not None
    stranger = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stranger.connect(f"\0codewrap-{name}")
    far = accept(listener)
    assert far is not None
    stranger.send(b"\xff" * 50)
    assert far.receive() is None
    stranger.close()
    far.close()
    listener.close()


def test_a_name_that_is_taken_or_nobody_s_gives_none() -> None:
    name = secrets.token_hex(8)
    with listen(name) or pytest.fail("cannot listen"):
        assert listen(name) is None
    assert connect(name) is None


def test_another_user_is_not_let_in() -> None:
    """By the kernel's word, not by the name it knows."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    name = secrets.token_hex(8)
    listener = listen(name)
    assert listener is not None
    os.seteuid(65534)
    try:
        stranger = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stranger.connect(f"\0codewrap-{name}")
    finally:
        os.seteuid(0)
    assert accept(listener) is None
    stranger.close()
    listener.close()


def test_a_system_without_such_sockets_goes_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(lane.socket, "SO_PEERCRED")
    assert listen("name") is None
    assert connect("name") is None
