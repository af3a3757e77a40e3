"""Challenges of viewers, from the network until they are answered."""

from __future__ import annotations

import pytest

from codewrap.protocol.frames import MAX_ANSWERS
from codewrap.uplink.challenges import MAX_CHALLENGES, Challenges


def added(*challenges: object) -> Challenges:
    made = Challenges()
    for challenge in challenges:
        made.add(challenge)
    return made


def test_each_is_answered_once_in_the_order_in_which_they_came() -> None:
    challenges = added("b", "a", "b")
    assert challenges
    assert challenges.take() == ("b", "a")
    assert not challenges
    assert challenges.take() == ()


def test_who_asks_again_after_an_answer_is_answered_again() -> None:
    challenges = added("a")
    assert challenges.take() == ("a",)
    challenges.add("a")
    assert challenges.take() == ("a",)


@pytest.mark.parametrize("rubbish", [None, 7, "", "a b", "ą", "x" * 65, ["a"], {"a": 1}, "a\n"])
def test_what_is_no_challenge_is_passed_over(rubbish: object) -> None:
    assert added(rubbish, "good").take() == ("good",)


def test_a_frame_answers_as_many_as_it_may_and_the_next_the_others() -> None:
    challenges = added(*(f"c{number}" for number in range(MAX_ANSWERS + 2)))
    assert len(challenges.take()) == MAX_ANSWERS
    assert challenges.take() == (f"c{MAX_ANSWERS}", f"c{MAX_ANSWERS + 1}")


def test_of_too_many_the_oldest_are_forgotten() -> None:
    challenges = added(*(f"c{number}" for number in range(MAX_CHALLENGES + 3)))
    taken = []
    while challenges:
        taken += challenges.take()
    assert taken == [f"c{number}" for number in range(3, MAX_CHALLENGES + 3)]


def test_with_nobody_here_nobody_is_answered() -> None:
    challenges = added("a")
    challenges.clear()
    assert not challenges
