"""Fixtures that several folders of tests share; `tests/conftest.py` makes them known to pytest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.node import Node, installed_node
from tests.support.postgresserver import PostgresServer
from tests.support.redisserver import RedisServer
from tests.support.soketi import SoketiServer


@pytest.fixture(scope="session")
def node() -> Node:
    """Node with the packages of `tests/node`."""
    return installed_node()


@pytest.fixture(scope="session")
def soketi(node: Node) -> Iterator[SoketiServer]:
    """A running Soketi that relays client events. Shared: a test that kills a server starts its own."""
    with SoketiServer(node) as server:
        yield server


@pytest.fixture(scope="session")
def soketi_without_client_events(node: Node) -> Iterator[SoketiServer]:
    """A running Soketi as it comes: client events are refused."""
    with SoketiServer(node, client_events=False) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A running Redis. Shared: what a test wants of it begins with `fresh()`."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL. Shared: each test has tables of its own by `fresh()`."""
    with PostgresServer() as server:
        yield server
