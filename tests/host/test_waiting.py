"""Waiting for descriptors, on real pipes and sockets."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

import pytest

from codewrap.host.waiting import READ, WRITE, Stream, Waiting
from codewrap.terminal.local import Sink

SOON_S = 10.0


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def test_only_what_is_wanted_is_told(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    there.send(b"x")
    fd = here.fileno()
    assert Waiting({fd: READ}).ready(SOON_S) == [(fd, READ)]
    assert Waiting({fd: WRITE}).ready(SOON_S) == [(fd, WRITE)]
    assert Waiting({fd: READ | WRITE}).ready(SOON_S) == [(fd, READ | WRITE)]
    assert Waiting().ready(0.0) == []


def test_nothing_is_ready_while_nothing_comes(pair: tuple[socket.socket, socket.socket]) -> None:
    fd = pair[0].fileno()
    waiting = Waiting({fd: READ})
    assert waiting.ready(0.0) == []
    assert waiting.ready(0.0001) == []
    assert waiting.ready(-1.0) == []
    pair[1].send(b"x")
    assert waiting.ready(None) == [(fd, READ)]


def test_interests_change_one_by_one(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = (end.fileno() for end in pair)
    pair[0].send(b"x")
    pair[1].send(b"x")
    waiting = Waiting({one: READ})
    waiting.want({one: READ, other: READ | WRITE})
    assert sorted(waiting.ready(SOON_S)) == sorted([(one, READ), (other, READ | WRITE)])
    waiting.want({one: READ, other: WRITE})
    assert sorted(waiting.ready(SOON_S)) == sorted([(one, READ), (other, WRITE)])
    waiting.want({other: WRITE})
    assert waiting.ready(SOON_S) == [(other, WRITE)]
    waiting.want({})
    assert waiting.ready(0.0) == []


def test_what_was_given_may_change_later_without_effect(pair: tuple[socket.socket, socket.socket]) -> None:
    fd = pair[0].fileno()
    wanted = {fd: WRITE}
    waiting = Waiting(wanted)
    wanted.clear()
    assert waiting.ready(SOON_S) == [(fd, WRITE)]


@pytest.mark.parametrize("wanted", [READ, WRITE, READ | WRITE])
def test_one_that_has_hung_up_is_ready_for_all_that_is_wanted(pair: tuple[socket.socket, socket.socket], wanted: int) -> None:
    here, there = pair
    there.close()
    assert Waiting({here.fileno(): wanted}).ready(SOON_S) == [(here.fileno(), wanted)]


def test_a_pipe_whose_reader_has_gone_is_ready_to_be_written() -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    assert Waiting({write_fd: WRITE}).ready(SOON_S) == [(write_fd, WRITE)]
    os.close(write_fd)


def test_one_that_was_closed_is_ready_and_can_be_forgotten() -> None:
    read_fd, write_fd = os.pipe()
    waiting = Waiting({read_fd: READ})
    os.close(read_fd)
    os.close(write_fd)
    assert waiting.ready(SOON_S) == [(read_fd, READ)]
    waiting.want({})
    assert waiting.ready(0.0) == []


def test_directions_are_those_of_poll() -> None:
    assert (READ, WRITE) == (select.POLLIN, select.POLLOUT)


def test_stream_has_more_while_a_read_would_not_be_in_vain(pair: tuple[socket.socket, socket.socket]) -> None:
    stream = Stream(pair[0].fileno(), "stdout", Sink(1))
    assert not stream.has_more(0)
    pair[1].send(b"x")
    assert stream.has_more(0)
    pair[0].recv(1)
    assert not stream.has_more(0)
