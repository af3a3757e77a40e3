"""One connection's own small rules."""

from __future__ import annotations

from codewrap.broker.connections import Connection
from tests.support.hub import Recorder


def connection() -> Connection:
    return Connection("1.2", Recorder(), 7, opened_s=0.0, heard_s=0.0)


def test_anything_heard_answers_a_ping() -> None:
    one = connection()
    one.pinged_s = 5.0
    one.heard(6.0)
    assert (one.heard_s, one.pinged_s) == (6.0, None)


def test_client_events_are_counted_within_a_second() -> None:
    one = connection()
    assert [one.may_send_event(10.0, 2) for _ in range(3)] == [True, True, False]
    assert not one.may_send_event(10.9, 2)
    assert one.may_send_event(11.0, 2)


def test_without_a_limit_nothing_is_counted() -> None:
    one = connection()
    assert all(one.may_send_event(0.0, None) for _ in range(1000))


def test_connections_are_told_apart_by_identity() -> None:
    assert len({connection(), connection()}) == 2
