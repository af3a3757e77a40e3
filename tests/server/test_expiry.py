"""Connections end with the token that let them in."""

from __future__ import annotations

import asyncio
import logging

import pytest

from codewrap.errors import TransportError
from codewrap.server.app import MountedHub
from codewrap.server.expiry import Expiry
from codewrap.server.sockets import AuthorizedSockets
from tests.support.serve_auth import ServeAuth


def test_what_is_over_is_closed_once_and_nothing_else() -> None:
    closed: list[str] = []
    terminated: list[str] = []
    sockets = AuthorizedSockets(closed.append)
    sockets.note("1.1", "alice", 100.0)
    sockets.note("1.2", "alice", 200.0)
    sockets.note("1.3", "admin")
    now_s = [99.9]
    expiry = Expiry(sockets, terminated.append, lambda: now_s[0])
    asyncio.run(expiry.look())
    assert closed == []
    now_s[0] = 100.0
    asyncio.run(expiry.look())
    asyncio.run(expiry.look())
    assert (closed, terminated, len(sockets)) == (["1.1"], ["alice"], 2)


def test_who_comes_with_a_newer_token_stays() -> None:
    closed: list[str] = []
    sockets = AuthorizedSockets(closed.append)
    sockets.note("1.1", "alice", 100.0)
    sockets.note("1.1", "alice", 200.0)
    asyncio.run(Expiry(sockets, None, lambda: 150.0).look())
    assert closed == []


def test_a_broker_that_is_away_is_logged_and_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    def terminate(user: str) -> None:
        raise TransportError("broker", "is away")

    sockets = AuthorizedSockets()
    sockets.note("1.1", "alice", 1.0)
    with caplog.at_level(logging.WARNING):
        asyncio.run(Expiry(sockets, terminate, lambda: 2.0).look())
    assert "is away" in caplog.text


def test_the_server_looks_by_itself() -> None:
    closed: asyncio.Queue[str] = asyncio.Queue()

    async def scenario(server: ServeAuth) -> str:
        headers = await server.token_of("alice", "viewer", lifetimeS=1)
        await server.stranger.post_form("/pusher/user-auth", headers, socket_id="1.2")
        return await asyncio.wait_for(closed.get(), 30)

    assert ServeAuth(MountedHub([], close_socket=closed.put_nowait)).run(scenario) == "1.2"
