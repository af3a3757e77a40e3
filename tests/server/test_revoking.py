"""What is done about a revocation, whatever of it fails."""

from __future__ import annotations

import asyncio
import logging

import pytest

from codewrap.errors import TransportError
from codewrap.server.revoking import Revoker
from codewrap.server.sockets import AuthorizedSockets
from codewrap.server.state import Revocation

REVOCATION = Revocation("user:alice", 100.0, 200.0)


def test_connections_end_and_hosts_are_told() -> None:
    closed: list[str] = []
    terminated: list[str] = []
    told: list[tuple[str, float]] = []

    async def tell(user: str, before_s: float) -> None:
        told.append((user, before_s))

    sockets = AuthorizedSockets(closed.append)
    sockets.note("1.1", "alice")
    asyncio.run(Revoker(sockets, terminated.append, tell).revoked(REVOCATION, "alice"))
    assert (closed, terminated, told) == (["1.1"], ["alice"], [("alice", 100.0)])


def test_a_broker_that_is_away_is_logged_and_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    def terminate(user: str) -> None:
        raise TransportError("broker", "is away")

    with caplog.at_level(logging.WARNING):
        asyncio.run(Revoker(AuthorizedSockets(), terminate).revoked(REVOCATION, "alice"))
    assert "is away" in caplog.text


def test_a_token_of_somebody_unknown_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    terminated: list[str] = []
    with caplog.at_level(logging.WARNING):
        asyncio.run(Revoker(AuthorizedSockets(), terminated.append).revoked(Revocation("token:x", 1, 2), None))
    assert not terminated
    assert "not in the list" in caplog.text
