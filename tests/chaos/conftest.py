"""Brokers that all seeds share, and the few sessions that run side by side."""

from __future__ import annotations

import concurrent.futures
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.pictures import Pictures
from tests.chaos.scenario import Scenario, Told
from tests.chaos.stage import Broker
from tests.support.node import Node
from tests.support.served import Served
from tests.support.sessions import TOKEN, cloud_settings, soketi_settings
from tests.support.soketi import SoketiServer

SEEDS = "20"
LIES = "4"
# The last is our hub with what Pusher's hosted service allows, reached as that is.
KINDS = ("soketi", "gateway", "soketi-without-client-events", "cloud")
# Most of a session's time is waiting; more at once would make each of them late.
AT_ONCE = 3
Play = Callable[[int], Told]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos-seeds", default=SEEDS, help="how many seeds of tests/chaos to play, or which: FIRST:AFTER")
    parser.addoption("--lies", default=LIES, help="how many seeds of tests/chaos/test_lies.py to play, or which: FIRST:AFTER")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, option, count in (("seed", "chaos_seeds", SEEDS), ("lying", "lies", LIES)):
        if fixture in metafunc.fixturenames:
            first, _, after = str(metafunc.config.getoption(option, default=count)).rpartition(":")
            seeds = range(int(first or 0), int(after))
            metafunc.parametrize(fixture, seeds, ids=[f"seed{seed}-{kind_of(seed)}" for seed in seeds])


def kind_of(seed: int) -> str:
    """The broker that a seed is played over."""
    return KINDS[seed % len(KINDS)]


@pytest.fixture(scope="session")
def pictures(node: Node) -> Iterator[Pictures]:
    with Pictures(node) as made:
        yield made


@pytest.fixture(scope="session")
def brokers(
    soketi: SoketiServer, soketi_without_client_events: SoketiServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Broker]]:
    """All kinds, each one server."""
    of_cloud = {"AUTH_TOKEN": TOKEN, "CODEWRAP_HUB_PROFILE": "pusher-cloud"}
    with (
        Served(tmp_path_factory.mktemp("gateway"), settings={"AUTH_TOKEN": TOKEN}) as served,
        Served(tmp_path_factory.mktemp("cloud"), settings=of_cloud) as cloud,
    ):
        yield {
            "soketi": soketi_broker("soketi", soketi),
            "gateway": Broker("gateway", ("127.0.0.1", served.port), gateway_settings),
            "soketi-without-client-events": soketi_broker("soketi-without-client-events", soketi_without_client_events),
            "cloud": Broker("cloud", ("127.0.0.1", cloud.port), lambda port: cloud_settings(cloud) | {"PUSHER_PORT": str(port)}),
        }


def soketi_broker(kind: str, server: SoketiServer) -> Broker:
    return Broker(kind, (server.host, server.port), lambda port: {**soketi_settings(server), "SOKETI_PORT": str(port)})


def gateway_settings(port: int) -> dict[str, str]:
    return {"CODEWRAP_URL": f"http://127.0.0.1:{port}", "CODEWRAP_TOKEN": TOKEN}


@pytest.fixture(scope="session")
def played(
    request: pytest.FixtureRequest, brokers: dict[str, Broker], pictures: Pictures, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Play]:
    """Tells of a seed. All seeds of this test run are begun at the first question, a few at a time."""
    root = tmp_path_factory.mktemp("chaos")
    seeds = [item.callspec.params["seed"] for item in request.session.items if "played" in getattr(item, "fixturenames", ())]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE, "chaos") as pool:
        futures = {seed: pool.submit(_play, seed, brokers[kind_of(seed)], root / str(seed), pictures) for seed in seeds}
        yield lambda seed: futures[seed].result()
        for future in futures.values():
            future.cancel()


def _play(seed: int, broker: Broker, root: Path, pictures: Pictures) -> Told:
    told = Scenario(seed, broker, root, pictures).play()
    if not told.wrong:
        shutil.rmtree(root)
    return told
