"""Who has to be waited for after the end, and for how long."""

from __future__ import annotations

import pytest

from codewrap.uplink.farewell import ABSENT_S, Farewell


def watched(viewers: int = 1) -> Farewell:
    farewell = Farewell()
    farewell.connected()
    farewell.came(viewers)
    return farewell


def test_nobody_ever_watched_and_nobody_is_waited_for() -> None:
    assert Farewell().is_over(5.0, 5.0)


def test_who_heard_the_end_and_left_is_not_waited_for() -> None:
    farewell = watched()
    farewell.left(6.0, heard=True)
    assert farewell.is_over(5.0, 6.0)


@pytest.mark.parametrize("gone_s", [10.0, 15.0, 19.0])
def test_who_went_away_just_before_may_come_back(gone_s: float) -> None:
    """A connection that was cut looks like somebody who leaves."""
    farewell = watched(2)
    farewell.left(gone_s, heard=False)
    farewell.left(21.0, heard=True)
    assert not farewell.is_over(20.0, gone_s + ABSENT_S - 0.1)
    assert farewell.is_over(20.0, gone_s + ABSENT_S)


def test_somebody_new_is_not_taken_for_one_who_is_away() -> None:
    """It was once, and the one who came back late had missed the end."""
    farewell = watched()
    farewell.left(4.0, heard=False)
    farewell.came(1)
    farewell.goodbye()
    farewell.left(6.0, heard=False)
    assert not farewell.is_over(5.0, 6.0)
    assert farewell.is_over(5.0, 4.0 + ABSENT_S)


def test_after_a_lost_link_of_our_own_nobody_is_known_to_have_heard() -> None:
    farewell = watched()
    farewell.disconnected(1, 4.0)
    assert not farewell.is_over(5.0, 6.0)
    farewell.connected()
    assert not farewell.is_over(5.0, 6.0), "connected, and the viewer is not back"


def test_who_watched_before_this_uplink_is_waited_for() -> None:
    farewell = Farewell(2, 4.0)
    farewell.connected()
    assert not farewell.is_over(5.0, 6.0)
    assert farewell.is_over(5.0, 4.0 + ABSENT_S)


def test_nobody_is_waited_for_for_ever() -> None:
    farewell = watched()
    farewell.disconnected(1, 30.0)
    assert farewell.is_over(5.0, 5.0 + ABSENT_S)


def test_who_said_goodbye_is_not_waited_for() -> None:
    farewell = watched(2)
    farewell.goodbye()
    farewell.left(4.0, heard=False)
    assert farewell.is_over(5.0, 5.0)
    farewell.left(4.0, heard=False)
    assert not farewell.is_over(5.0, 5.0), "the other said nothing"
