"""The relays that sessions are tried over: each kind of server, with machines of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.served import Served
from tests.support.sessions import TOKEN, Machine, Relay, direct, embedded, soketi_settings, through
from tests.support.soketi import SoketiServer

BOTH = ("hub", "soketi")
EVERY = (*BOTH, "gateway", "gateway-soketi")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs Soketi says so."""
    for item in items:
        if "soketi" in item.nodeid.rpartition("[")[2]:
            item.add_marker(pytest.mark.soketi)


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`serve-auth` alone."""
    with Served(tmp_path_factory.mktemp("gateway"), settings={"AUTH_TOKEN": TOKEN}) as served:
        yield served


@pytest.fixture(scope="session")
def gateway_soketi(soketi: SoketiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`serve-auth` in front of Soketi."""
    settings = {**soketi_settings(soketi), "AUTH_TOKEN": TOKEN}
    with Served(tmp_path_factory.mktemp("gateway-soketi"), settings=settings) as served:
        yield served


def _relay(request: pytest.FixtureRequest, root: Path) -> Iterator[Relay]:
    match request.param:
        case "hub":
            made = embedded(root)
        case "soketi":
            made = direct(root, request.getfixturevalue("soketi"))
        case "gateway":
            made = through(root, request.getfixturevalue("gateway"), "gateway")
        case _:
            made = through(root, request.getfixturevalue("gateway_soketi"), "gateway-soketi")
    with made as relay:
        yield relay


@pytest.fixture(params=BOTH)
def relay(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Relay]:
    """Nothing configured, and Soketi directly."""
    yield from _relay(request, tmp_path)


@pytest.fixture(params=EVERY)
def any_relay(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Relay]:
    """All four."""
    yield from _relay(request, tmp_path)


@pytest.fixture(params=EVERY[2:])
def gateway_relay(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Relay]:
    """The two kinds of gateway."""
    yield from _relay(request, tmp_path)


@pytest.fixture(params=["hub"])
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Relay]:
    """Nothing configured."""
    yield from _relay(request, tmp_path)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """An account with nothing configured."""
    with Machine(tmp_path / "machine") as made:
        yield made
