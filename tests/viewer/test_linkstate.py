"""What the status line says of the link, over time."""

from __future__ import annotations

from codewrap.transport.base import ConnectionState, StateChanged
from codewrap.viewer.linkstate import LinkState

CONNECTED = StateChanged(ConnectionState.CONNECTED)
CONNECTING = StateChanged(ConnectionState.CONNECTING)
RETRY = StateChanged(ConnectionState.RECONNECTING, "gone", 4.0)


def connected(now_s: float = 0.0) -> LinkState:
    link = LinkState(now_s)
    assert not link.changed(CONNECTED, now_s)
    return link


def test_a_short_break_is_not_worth_a_word() -> None:
    link = connected()
    assert link.changed(RETRY, 10.0)
    assert link.text(10.9) == ""
    assert not link.changed(CONNECTED, 10.95)
    assert link.text(100.0) == ""


def test_a_longer_break_is_told_with_the_time_to_the_next_attempt() -> None:
    link = connected()
    link.changed(RETRY, 10.0)
    assert link.text(12.0) == "reconnecting in 2 s, link lost 2 s ago"
    assert link.text(20.0) == "reconnecting in 0 s, link lost 10 s ago"
    assert not link.changed(CONNECTING, 20.0)
    assert link.text(21.0) == "connecting, link lost 11 s ago"
    assert link.away_s(21.0) == 11.0


def test_an_absent_host_is_told_until_it_is_back() -> None:
    link = connected()
    link.host_is(False, 5.0)
    link.host_is(False, 8.0)
    assert link.host_away_s(9.0) == 4.0
    assert link.text(9.0) == "the host is away for 4 s"
    link.host_is(True, 9.5)
    assert link.text(20.0) == ""


def test_without_a_connection_nothing_is_known_of_the_host() -> None:
    link = connected()
    link.host_is(False, 5.0)
    link.changed(RETRY, 6.0)
    assert link.host_away_s(60.0) == 0.0


def test_an_answer_that_is_late_is_told_until_anything_is_heard() -> None:
    link = connected()
    assert link.wait_s(1.0) is None
    link.asked(10.0)
    link.asked(12.0)
    assert link.wait_s(11.0) == 2.0
    assert link.text(12.9) == ""
    assert link.text(13.0) == "last heard 3 s ago"
    assert link.text(20.0) == "last heard 10 s ago"
    assert link.wait_s(20.0) == 1.0
    link.heard()
    assert link.text(20.0) == ""
    assert link.wait_s(20.0) is None


def test_a_slow_link_is_given_two_round_trips() -> None:
    link = connected()
    link.asked(10.0, round_trip_s=4.0)
    assert link.text(17.9) == ""
    assert link.text(18.0) == "last heard 8 s ago"


def test_a_silent_broker_is_told_though_nothing_was_asked() -> None:
    link = connected()
    link.silence(23.0, 100.0)
    assert link.text(101.0) == "last heard 24 s ago"
    link.silence(None, 102.0)
    assert link.text(102.0) == ""


def test_of_two_silences_the_longer_counts() -> None:
    link = connected()
    link.asked(98.0)
    link.silence(23.0, 100.0)
    assert link.text(102.0) == "last heard 25 s ago"


def test_a_lost_link_or_an_absent_host_says_more() -> None:
    link = connected()
    link.asked(0.0)
    link.host_is(False, 5.0)
    assert link.text(9.0) == "the host is away for 4 s"
    link.changed(RETRY, 10.0)
    assert link.text(12.0).endswith("link lost 2 s ago")
    link.changed(CONNECTED, 13.0)
    assert link.text(13.0) == ""


def test_the_first_connection_counts_from_the_start() -> None:
    assert LinkState(3.0).away_s(5.0) == 2.0
