"""Joins and leaves are told once each."""

from __future__ import annotations

from codewrap.protocol.hostlink import Kind, Message
from codewrap.uplink.visitors import Visitors


def told(sent: list[Message]) -> list[tuple[str, str]]:
    assert all(message.kind is Kind.MARK and len(message.header["values"]) == 1 for message in sent)
    found = [(message.header["what"], message.header["values"][0]) for message in sent]
    sent.clear()
    return found


def test_who_comes_and_goes_is_told_by_user() -> None:
    sent: list[Message] = []
    visitors = Visitors(sent.append)
    visitors.here({"alice.1a", "bob.smith.2b"})
    visitors.came("alice.3c")
    visitors.went("alice.1a")
    assert told(sent) == [("join", "alice"), ("join", "bob.smith"), ("join", "alice"), ("leave", "alice")]


def test_a_link_that_was_lost_makes_nobody_join_again() -> None:
    sent: list[Message] = []
    visitors = Visitors(sent.append)
    visitors.here({"alice.1", "bob.2"})
    sent.clear()
    visitors.here({"bob.2", "carol.3"})
    visitors.came("bob.2")
    visitors.went("dave.4")
    assert told(sent) == [("leave", "alice"), ("join", "carol")]


def test_an_id_of_another_form_is_told_as_it_is() -> None:
    sent: list[Message] = []
    Visitors(sent.append).came("someone")
    assert told(sent) == [("join", "someone")]
