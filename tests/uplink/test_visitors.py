"""Joins and leaves are told once each."""

from __future__ import annotations

from codewrap.protocol.hostlink import Kind, Message
from codewrap.uplink.visitors import RETURN_S, Visitors


def told(sent: list[Message]) -> list[tuple[str, str]]:
    assert all(message.kind is Kind.MARK and len(message.header["values"]) == 1 for message in sent)
    found = [(message.header["what"], message.header["values"][0]) for message in sent]
    sent.clear()
    return found


def test_who_comes_and_goes_is_told_by_user() -> None:
    sent: list[Message] = []
    visitors = Visitors(sent.append)
    visitors.here({"alice.1a", "bob.smith.2b"}, {})
    visitors.came("alice.3c")
    visitors.went("alice.1a")
    assert told(sent) == [("join", "alice"), ("join", "bob.smith"), ("join", "alice"), ("leave", "alice")]


def test_a_link_that_was_lost_makes_nobody_join_again() -> None:
    sent: list[Message] = []
    visitors = Visitors(sent.append)
    visitors.here({"alice.1", "bob.2"}, {})
    sent.clear()
    visitors.here({"bob.2", "carol.3"}, {"alice": 1, "bob": 1})
    visitors.came("bob.2")
    visitors.went("dave.4")
    assert told(sent) == [("leave", "alice"), ("join", "carol")]


def test_an_id_of_another_form_is_told_as_it_is() -> None:
    sent: list[Message] = []
    Visitors(sent.append).came("someone")
    assert told(sent) == [("join", "someone")]


def test_who_was_here_before_the_uplink_was_started_again_does_not_join_again() -> None:
    sent: list[Message] = []
    visitors = Visitors(sent.append)
    visitors.here({"alice.1"}, {"alice": 2, "bob": 1, "carol": 0})
    assert told(sent) == []
    visitors.came("bob.9")
    visitors.came("carol.3")
    visitors.came("bob.10")
    assert told(sent) == [("join", "carol"), ("join", "bob")]
    visitors.went("bob.9")
    assert told(sent) == [("leave", "bob")]


def test_who_does_not_come_back_has_left() -> None:
    sent: list[Message] = []
    now = [100.0]
    visitors = Visitors(sent.append, lambda: now[0])
    assert visitors.wait_s(now[0]) is None
    visitors.here((), {"alice": 2, "bob": 1})
    visitors.came("alice.1")
    assert visitors.wait_s(now[0]) == RETURN_S
    visitors.turn(now[0] + RETURN_S - 1)
    assert told(sent) == []
    visitors.turn(now[0] + RETURN_S)
    assert told(sent) == [("leave", "alice"), ("leave", "bob")]
    assert visitors.wait_s(now[0] + RETURN_S) is None
    visitors.came("bob.2")
    assert told(sent) == [("join", "bob")]


def test_nobody_is_waited_for_where_nobody_was() -> None:
    visitors = Visitors([].append)
    visitors.here({"alice.1"}, {"alice": 1})
    assert visitors.wait_s(0.0) is None
