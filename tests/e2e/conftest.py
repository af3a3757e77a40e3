"""The relays that sessions are tried over: each kind of server, with machines of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.served import Served
from tests.support.sessions import TOKEN, Machine, Relay, cloud, direct, embedded, soketi_settings, through
from tests.support.soketi import SoketiServer

BOTH = ("hub", "soketi")
# Pusher's hosted service, as far as our hub's profile is like it: 10 KB events, ten client events a second, 100 members.
CLOUD = "cloud"
GATEWAYS = ("gateway", "gateway-soketi", "gateway-cloud")
EVERY = (*BOTH, CLOUD, *GATEWAYS)


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


@pytest.fixture(scope="session")
def gateway_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`serve-auth` alone, with no more room than the hosted service has; hosts and viewers may also know its secret."""
    settings = {"AUTH_TOKEN": TOKEN, "CODEWRAP_HUB_PROFILE": "pusher-cloud"}
    with Served(tmp_path_factory.mktemp("gateway-cloud"), settings=settings) as served:
        yield served


def _relay(request: pytest.FixtureRequest, root: Path) -> Iterator[Relay]:
    match request.param:
        case "hub":
            made = embedded(root)
        case "soketi":
            made = direct(root, request.getfixturevalue("soketi"))
        case "gateway":
            made = through(root, request.getfixturevalue("gateway"), "gateway")
        case "cloud":
            made = cloud(root, request.getfixturevalue("gateway_cloud"))
        case "gateway-cloud":
            made = through(root, request.getfixturevalue("gateway_cloud"), "gateway-cloud")
        case _:
            made = through(root, request.getfixturevalue("gateway_soketi"), "gateway-soketi")
    with made as relay:
        yield relay


@pytest.fixture(params=(*BOTH, CLOUD))
def relay(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Relay]:
    """A broker reached directly: nothing configured, Soketi, and what the hosted service allows."""
    yield from _relay(request, tmp_path)


@pytest.fixture(params=EVERY)
def any_relay(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Relay]:
    """All of them."""
    yield from _relay(request, tmp_path)


@pytest.fixture(params=GATEWAYS)
def gateway_relay(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Relay]:
    """The kinds of gateway."""
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
