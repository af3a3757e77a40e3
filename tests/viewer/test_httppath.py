"""Input and requests over HTTP: in order, off the loop, refused when too much waits, and told why it fails."""

from __future__ import annotations

import threading

from codewrap.errors import TransportError
from codewrap.transport.base import Event
from codewrap.viewer.httppath import MAX_HTTP_QUEUED, HttpPath

PATIENCE_S = 10.0


def event(number: int) -> Event:
    return Event("private-encrypted-input-s", "input", str(number))


def test_events_are_sent_in_order_from_a_thread_of_their_own() -> None:
    sent: list[tuple[str, str]] = []
    done = threading.Event()

    def send(what: Event) -> None:
        sent.append((what.data, threading.current_thread().name))
        if what.data == "3":
            done.set()

    path = HttpPath(send)
    assert all(path.send(event(number)) for number in (1, 2, 3))
    assert done.wait(PATIENCE_S)
    assert [data for data, _ in sent] == ["1", "2", "3"]
    assert {name for _, name in sent} == {"viewer-http"}


def test_too_much_that_waits_is_refused_and_does_not_block() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def send(_: Event) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)

    path = HttpPath(send)
    assert path.send(event(0))
    assert begun.wait(PATIENCE_S)
    assert all(path.send(event(number)) for number in range(MAX_HTTP_QUEUED))
    assert not path.send(event(-1))
    go_on.set()


def test_failure_is_kept_for_the_person_and_the_next_event_is_sent() -> None:
    fails = [True, False]
    done = threading.Event()

    def send(_: Event) -> None:
        if fails.pop(0):
            raise TransportError("http://127.0.0.1:1", "cannot be reached")
        done.set()

    path = HttpPath(send)
    path.send(event(1))
    path.send(event(2))
    assert done.wait(PATIENCE_S)
    deadline = threading.Event()
    while path.refusal and not deadline.wait(0.01):
        pass
    assert path.refusal == ""
