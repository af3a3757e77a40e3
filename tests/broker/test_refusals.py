"""A refusal carries its number and its sentence."""

from __future__ import annotations

from codewrap.broker.refusals import Refusal
from codewrap.errors import RemoteProtocolError


def test_a_refusal_is_the_peers_fault_and_reads_as_its_reason() -> None:
    refusal = Refusal(4009, "not you")
    assert isinstance(refusal, RemoteProtocolError)
    assert (refusal.code, refusal.reason, str(refusal)) == (4009, "not you", "not you")
