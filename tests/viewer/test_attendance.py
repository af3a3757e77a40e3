"""Who is at the other end, and when a viewer gives up."""

from __future__ import annotations

from codewrap.errors import EXIT_LOST, EXIT_NOT_ATTACHED
from codewrap.transport.base import ConnectionState, Member, StateChanged
from codewrap.viewer.attendance import HOST_GONE_S, NO_ANSWER_S, NO_HOST_S, Attendance
from codewrap.viewer.linkstate import LinkState

HOST = Member("host.1", {"role": "host"})
SOMEBODY = Member("ann.1", {"role": "writer"})


class Room:
    """A viewer that is connected since 0."""

    def __init__(self, *, encrypted: bool = True) -> None:
        self.link = LinkState(0.0)
        self.link.changed(StateChanged(ConnectionState.CONNECTED), 0.0)
        self.seen = Attendance("demo", "broker.example", self.link, encrypted=encrypted)

    def why_given_up(self, now_s: float) -> str:
        departure = self.seen.verdict(now_s)
        return departure.text if departure else ""


def test_before_the_presence_channel_is_there_nothing_is_given_up() -> None:
    assert Room().seen.verdict(1000.0) is None


def test_where_nobody_runs_it_the_wait_is_short() -> None:
    room = Room()
    room.seen.ready([SOMEBODY], 1.0)
    assert room.seen.verdict(1.0 + NO_HOST_S) is None
    departure = room.seen.verdict(1.1 + NO_HOST_S)
    assert departure is not None
    assert departure.status == EXIT_NOT_ATTACHED
    assert "nobody runs it" in departure.text
    assert departure.absent


def test_a_host_that_is_there_and_cannot_be_read_has_perhaps_another_key() -> None:
    for encrypted, advice in ((True, "master key"), (False, "nobody runs it")):
        room = Room(encrypted=encrypted)
        room.seen.ready([HOST], 1.0)
        assert room.seen.verdict(1.0 + NO_ANSWER_S) is None
        departure = room.seen.verdict(1.1 + NO_ANSWER_S)
        assert departure is not None
        assert not departure.absent
        assert advice in room.why_given_up(1.1 + NO_ANSWER_S)


def test_a_host_that_left_is_waited_for_and_lost_in_the_end() -> None:
    room = Room()
    room.seen.answered = True
    room.seen.ready([HOST], 1.0)
    room.seen.removed(HOST)
    assert room.seen.verdict(2.0) is None
    assert room.link.host_away_s(3.0) == 1.0
    assert not room.seen.too_late(2.0 + NO_ANSWER_S)
    assert room.seen.too_late(2.1 + NO_ANSWER_S)
    assert room.seen.verdict(2.0 + HOST_GONE_S) is None
    departure = room.seen.verdict(2.1 + HOST_GONE_S)
    assert departure is not None
    assert departure.status == EXIT_LOST


def test_a_host_that_comes_back_in_time_is_as_if_it_had_never_left() -> None:
    room = Room()
    room.seen.answered = True
    room.seen.ready([], 1.0)
    room.seen.verdict(2.0)
    room.seen.added(SOMEBODY)
    room.seen.verdict(3.0)
    assert room.link.host_away_s(3.0) == 1.0
    room.seen.added(HOST)
    assert room.seen.verdict(1000.0) is None
    assert room.link.host_away_s(1000.0) == 0.0


def test_without_a_connection_no_absence_counts() -> None:
    room = Room()
    room.seen.ready([], 1.0)
    room.seen.disconnected()
    assert room.seen.verdict(1000.0) is None


def test_a_refusal_is_a_loss_only_of_what_one_had() -> None:
    room = Room()
    assert room.seen.refused("not you").status == EXIT_NOT_ATTACHED
    assert room.seen.failed("no app").text == "broker.example refuses the connection: no app"
    room.seen.answered = True
    assert room.seen.refused("not you").status == EXIT_LOST
    assert room.seen.failed("no app").status == EXIT_LOST


def test_who_is_not_let_in_any_more_has_lost_the_right_and_not_the_session() -> None:
    room = Room()
    assert room.seen.refused("not you", 401).text == "broker.example does not let us watch demo: not you"
    room.seen.answered = True
    for status in (401, 403):
        departure = room.seen.refused("this token was revoked", status)
        assert departure.status == EXIT_NOT_ATTACHED
        assert departure.text == "you may not watch demo any more: this token was revoked"
    assert room.seen.refused("it is broken", 500).status == EXIT_LOST
