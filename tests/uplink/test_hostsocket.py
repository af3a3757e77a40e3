"""The uplink's end of the socket to the host."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator

import pytest

from codewrap.errors import LocalProtocolError
from codewrap.protocol.hostlink import Decoder, Kind, Message, encode
from codewrap.uplink.hostsocket import MAX_UNSENT_BYTES, HostSocket

Pair = tuple[HostSocket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    yield HostSocket(ours), theirs
    ours.close()
    theirs.close()


def test_messages_cross_both_ways(pair: Pair) -> None:
    ours, theirs = pair
    assert ours.send(Message(Kind.NOTICE, {"text": "hello"}))
    assert Decoder().feed(theirs.recv(1000)) == [Message(Kind.NOTICE, {"text": "hello"})]
    theirs.sendall(encode(Message(Kind.GROWN)) + encode(Message(Kind.FINISH)))
    assert ours.receive() == [Message(Kind.GROWN), Message(Kind.FINISH)]
    assert ours.receive() == []
    assert not ours.wants_to_write


def test_a_message_that_comes_byte_by_byte_is_one(pair: Pair) -> None:
    ours, theirs = pair
    message = Message(Kind.WRITTEN, {"acks": {"w": 3}})
    found = []
    for byte in encode(message):
        theirs.sendall(bytes((byte,)))
        found += ours.receive() or []
    assert found == [message]


def test_a_host_that_is_gone_is_told_from_one_that_is_silent(pair: Pair) -> None:
    ours, theirs = pair
    assert ours.receive() == []
    theirs.close()
    assert ours.receive() is None


def test_a_host_that_broke_the_connection_is_gone_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        ours = HostSocket(near)
        near.sendall(b"unread")
        select.select([far], [], [], 10)
        far.close()  # with bytes unread: a reset, not an end
        select.select([near], [], [], 10)
        assert ours.receive() is None


def test_nonsense_from_the_host_is_a_bug_of_ours(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"\xff" * 20)
    with pytest.raises(LocalProtocolError):
        ours.receive()


def test_a_host_that_does_not_read_is_never_waited_for_and_gets_all_that_was_taken(pair: Pair) -> None:
    ours, theirs = pair
    body = bytes(100_000)
    taken = 0
    while ours.send(Message(Kind.ANSWER, body=body)):
        taken += 1
        assert taken < 1000, "no bound"
    assert ours.wants_to_write
    assert taken * len(body) > MAX_UNSENT_BYTES
    assert not ours.send(Message(Kind.NOTICE, {"text": "dropped"}))
    decoder, found = Decoder(), []
    while len(found) < taken:
        assert select.select([theirs], [], [], 10)[0], f"only {len(found)} of {taken} came"
        found += decoder.feed(theirs.recv(1_000_000))
        ours.flush()
    assert found == [Message(Kind.ANSWER, body=body)] * taken
    assert not ours.wants_to_write
    assert ours.send(Message(Kind.ARM))
    assert decoder.feed(theirs.recv(100)) == [Message(Kind.ARM)]


def test_sending_to_a_host_that_is_gone_raises_nothing(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    assert ours.send(Message(Kind.ARM))


def test_messages_of_two_threads_do_not_mix(pair: Pair) -> None:
    ours, theirs = pair

    def say(writer: str) -> None:
        for number in range(300):
            assert ours.send(Message(Kind.INPUT, {"writer": writer, "offset": number}, writer.encode() * 50))

    threads = [threading.Thread(target=say, args=(name,), daemon=True) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    decoder, found = Decoder(), []
    while len(found) < 600:
        assert select.select([theirs], [], [], 10)[0], f"only {len(found)} came"
        found += decoder.feed(theirs.recv(65_536))
        ours.flush()
    for thread in threads:
        thread.join(10)
    for name in ("a", "b"):
        mine = [message for message in found if message.header["writer"] == name]
        assert [message.header["offset"] for message in mine] == list(range(300))
        assert {message.body for message in mine} == {name.encode() * 50}
