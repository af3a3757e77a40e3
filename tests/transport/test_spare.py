"""A connection opened ahead."""

from __future__ import annotations

import queue
import socket
import threading

from codewrap.transport.spare import SpareConnection

WAIT_S = 10.0


class Opening:
    """Opens socket pairs; the test holds the other ends and may make it wait or fail."""

    def __init__(self) -> None:
        self.others: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self.may_open = threading.Event()
        self.may_open.set()
        self.fails = False
        self.count = 0

    def __call__(self) -> socket.socket:
        self.may_open.wait(WAIT_S)
        self.count += 1
        if self.fails:
            raise ConnectionRefusedError
        ours, other = socket.socketpair()
        self.others.put(other)
        return ours


def is_closed(other: socket.socket) -> bool:
    other.settimeout(WAIT_S)
    with other:
        return other.recv(1) == b""


def test_nothing_is_opened_unasked() -> None:
    opening = Opening()
    spare = SpareConnection(opening)
    assert spare.take(WAIT_S) is None
    spare.close()
    assert opening.count == 0


def test_what_is_being_opened_is_waited_for() -> None:
    opening = Opening()
    opening.may_open.clear()
    spare = SpareConnection(opening)
    spare.prepare()
    threading.Timer(0.05, opening.may_open.set).start()
    stream = spare.take(WAIT_S)
    assert stream is not None
    stream.close()
    opening.others.get(timeout=WAIT_S).close()
    spare.close()


def test_preparing_twice_opens_one() -> None:
    opening = Opening()
    spare = SpareConnection(opening)
    spare.prepare()
    spare.prepare()
    stream = spare.take(WAIT_S)
    assert stream is not None
    assert spare.take(0) is None
    stream.close()
    opening.others.get(timeout=WAIT_S).close()
    spare.close()
    assert opening.count == 1


def test_a_failure_is_none_and_the_next_is_tried() -> None:
    opening = Opening()
    opening.fails = True
    spare = SpareConnection(opening)
    spare.prepare()
    assert spare.take(WAIT_S) is None
    opening.fails = False
    spare.prepare()
    stream = spare.take(WAIT_S)
    assert stream is not None
    stream.close()
    opening.others.get(timeout=WAIT_S).close()
    spare.close()


def test_waiting_is_bounded_and_the_late_one_is_used_next() -> None:
    opening = Opening()
    opening.may_open.clear()
    spare = SpareConnection(opening)
    spare.prepare()
    assert spare.take(0.01) is None
    opening.may_open.set()
    stream = spare.take(WAIT_S)
    assert stream is not None
    stream.close()
    opening.others.get(timeout=WAIT_S).close()
    spare.close()


def test_closing_drops_what_is_ready_and_what_comes_late() -> None:
    opening = Opening()
    ready = SpareConnection(opening)
    ready.prepare()
    other = opening.others.get(timeout=WAIT_S)
    ready.close()
    assert is_closed(other)

    opening.may_open.clear()
    late = SpareConnection(opening)
    late.prepare()
    late.close()
    opening.may_open.set()
    assert is_closed(opening.others.get(timeout=WAIT_S))
    late.prepare()
    assert opening.count == 2
