"""Viewers on the same machine: keystrokes in, small output out, and the host waits for none of them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from codewrap.host.lanes import MAX_LANES, Lanes
from codewrap.protocol.hostlink import Kind, Message
from codewrap.transport.lane import Lane, connect, listen


class Door:
    """A session's lanes and those who come."""

    def __init__(self) -> None:
        self.name = secrets.token_hex(8)
        self.lanes = Lanes(listen(self.name), "run")
        self._guests: list[Lane] = []

    def comes(self) -> Lane:
        guest = connect(self.name)
        assert guest is not None
        self._guests.append(guest)
        self.lanes.ready(self.lanes.descriptors()[0])
        return guest

    def says(self, *messages: Message, guest: Lane) -> list[Message]:
        for message in messages:
            guest.send(message)
        return [heard for fd in self.lanes.descriptors()[1:] for _ in messages for heard in self.lanes.ready(fd)]

    def close(self) -> None:
        self.lanes.close()
        for guest in self._guests:
            guest.close()


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.close()


def test_who_comes_is_told_which_run_this_is(door: Door) -> None:
    assert door.comes().receive() == [Message(Kind.GREETING, {"epoch": "run"})]


def test_keystrokes_come_through(door: Door) -> None:
    keys = Message(Kind.INPUT, {"writer": "w", "offset": 0}, b"ls\r")
    assert door.says(keys, guest=door.comes()) == [keys]


def test_output_goes_to_all_with_what_was_acknowledged_since(door: Door) -> None:
    guests = [door.comes(), door.comes()]
    for guest in guests:
        guest.receive()
    door.lanes.written({"w": 3})
    door.lanes.written({"w": 4, "v": 1})
    door.lanes.output(7, b"echo", "stdout")
    door.lanes.output(11, b"more", "stderr")
    for guest in guests:
        assert guest.receive() == [Message(Kind.OUTPUT, {"offset": 7, "stream": "stdout", "acks": {"w": 4, "v": 1}}, b"echo")]
        assert guest.receive() == [Message(Kind.OUTPUT, {"offset": 11, "stream": "stderr", "acks": {}}, b"more")]


def test_one_that_does_not_read_holds_nobody_up(door: Door) -> None:
    stuck, reading = door.comes(), door.comes()
    reading.receive()
    for number in range(200):
        door.lanes.output(number * 5000, bytes(5000), "stdout")
        assert [message.header["offset"] for message in reading.receive() or []] == [number * 5000]
    assert stuck.receive() == [Message(Kind.GREETING, {"epoch": "run"})]


def test_who_leaves_or_talks_nonsense_is_let_go(door: Door) -> None:
    guest = door.comes()
    guest.close()
    assert len(door.lanes.descriptors()) == 2
    assert door.lanes.ready(door.lanes.descriptors()[1]) == []
    assert len(door.lanes.descriptors()) == 1


def test_there_is_room_for_so_many(door: Door) -> None:
    guests = [door.comes() for _ in range(MAX_LANES + 1)]
    assert len(door.lanes.descriptors()) == 1 + MAX_LANES
    assert guests[-1].receive() is None


def test_without_a_listener_there_are_none() -> None:
    lanes = Lanes(None, "run")
    assert lanes.descriptors() == []
    lanes.written({"w": 1})
    lanes.output(0, b"x", "stdout")
    lanes.close()


def test_closed_lanes_tell_their_viewers(door: Door) -> None:
    guest = door.comes()
    guest.receive()
    door.lanes.close()
    assert guest.receive() is None
    assert door.lanes.descriptors() == []
