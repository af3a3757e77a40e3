"""Names for sessions that were given none."""

from __future__ import annotations

from codewrap.cli.names import ADJECTIVES, NOUNS, random_name
from codewrap.protocol.channels import is_session_name


def test_every_name_there_can_be_is_a_session_s_name() -> None:
    longest = f"{max(ADJECTIVES, key=len)}-{max(NOUNS, key=len)}-ffff"
    assert is_session_name(longest)
    bad = [f"{a}-{n}" for a in ADJECTIVES for n in NOUNS if not is_session_name(f"{a}-{n}")]
    assert bad == []


def test_words_are_there_once() -> None:
    assert len(set(ADJECTIVES)) == len(ADJECTIVES)
    assert len(set(NOUNS)) == len(NOUNS)


def test_names_differ_and_are_longer_where_others_choose_too() -> None:
    alone = {random_name(shared=False) for _ in range(50)}
    shared = {random_name(shared=True) for _ in range(50)}
    assert len(alone) > 40
    assert len(shared) > 45
    assert {name.count("-") for name in alone} == {1}
    assert {name.count("-") for name in shared} == {2}
    assert all(map(is_session_name, alone | shared))
