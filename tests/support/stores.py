"""The three kinds of state store, real, for tests that must hold for each of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from codewrap.server.state import StateStore
from codewrap.server.stores.opening import open_store
from tests.support.postgresserver import PostgresServer
from tests.support.redisserver import RedisServer

T = TypeVar("T")
KINDS = [
    "sqlite",
    pytest.param("redis", marks=pytest.mark.debian),
    pytest.param("postgresql", marks=pytest.mark.debian),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an empty store is. ``server`` is None for a file."""

    kind: str
    url: str
    where: str
    server: RedisServer | PostgresServer | None

    def open(self) -> StateStore:
        """One more copy's store."""
        return open_store(self.url, Path())

    def play(self, use: Callable[[StateStore], Awaitable[T]]) -> T:
        """What ``use`` makes of an open store, in an event loop of its own."""

        async def opened() -> T:
            async with opened_store(self) as store:
                return await use(store)

        return asyncio.run(opened())


@contextlib.asynccontextmanager
async def opened_store(place: Place):  # type: ignore[no-untyped-def]
    store = place.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty store of each kind."""
    return _place(request, tmp_path)


@pytest.fixture(params=KINDS[1:])
def server_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty store of each kind that is a server."""
    return _place(request, tmp_path)


def _place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        return Place("redis", redis.fresh(), redis.where, redis)
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        return Place("postgresql", postgres.fresh(), postgres.where, postgres)
    path = tmp_path / "own" / "state.sqlite"
    return Place("sqlite", f"sqlite:///{path}", f"sqlite:///{path}", None)
