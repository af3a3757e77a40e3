"""A broker that dies, an authorization server that is away for half a minute, viewers that are suspended for as long,
connections that nobody ends: in a flood.

The sessions run side by side, since they mostly wait.
"""

from __future__ import annotations

import concurrent.futures
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codewrap.protocol.geometry import Size
from tests.chaos.conftest import gateway_settings, soketi_broker
from tests.chaos.pictures import Pictures
from tests.chaos.scenario import Told
from tests.chaos.stage import DEADLINE_S, Broker, Sizes, Stage
from tests.support.chaosplan import SidePlan
from tests.support.node import Node
from tests.support.ptydriver import eventually
from tests.support.served import Served
from tests.support.sessions import TOKEN, soketi_settings
from tests.support.soketi import SoketiServer

pytestmark = [pytest.mark.soketi, pytest.mark.timeout(300)]

AWAY_S = 30.0
SIZES = Sizes(Size(30, 100), Size(30, 100), Size(24, 80))
TYPED_EVERY_S = 0.1
Futures = dict[str, concurrent.futures.Future[Told]]


class Typist:
    """Types a numbered line every now and then, until it is told to stop."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stop = threading.Event()
        self._number = 0
        self._thread = threading.Thread(target=self._type, name="typist", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """After the line that is being typed."""
        self._stop.set()
        self._thread.join(DEADLINE_S)

    def _type(self) -> None:
        while not self._stop.wait(TYPED_EVERY_S):
            self._stage.type(b"%05d line\r" % self._number)
            self._number += 1


def grows(stage: Stage, more_bytes: int, what: str) -> None:
    """Wait until the command has written so much more."""
    enough = len(stage.written) + more_bytes
    eventually(lambda: len(stage.written) >= enough, f"the command goes on {what}", DEADLINE_S)


def session(
    broker: Broker,
    root: Path,
    pictures: Pictures,
    seed: int,
    mistreat: Callable[[Stage], None],
    *,
    typed: bool = True,
    relayed: bool = False,
) -> Told:
    """A flood, in which ``mistreat`` does its worst; then rest, and all that must hold."""
    with Stage(broker, root, pictures, SIZES, (SidePlan(), SidePlan()) if relayed else None) as stage:
        stage.start(seed, "floods")
        typist = Typist(stage) if typed else None
        stage.order("go")
        grows(stage, 500_000, "at first")
        mistreat(stage)
        if typist is not None:
            typist.stop()
        stage.settle()
        stage.check_rest()
        stage.order("quit")
        stage.check_end()
        return Told(stage.wrong, stage.story())


def through_a_dead_broker(node: Node, root: Path, pictures: Pictures) -> Told:
    """It is killed, and started again after some seconds."""
    with SoketiServer(node) as server:

        def kill_and_start(stage: Stage) -> None:
            server.kill()
            stage.writer.terminal.expect(b"link lost")
            grows(stage, 500_000, "while its broker is dead")
            server.start()
            grows(stage, 500_000, "when its broker is back")

        return session(soketi_broker("soketi", server), root, pictures, 1, kill_and_start)


def without_authorization(node: Node, root: Path, pictures: Pictures) -> Told:
    """`serve-auth` is killed, and started again half a minute later; Soketi behind it is there all the time."""
    with SoketiServer(node) as soketi:
        settings = {**soketi_settings(soketi), "AUTH_TOKEN": TOKEN}
        (root / "served").mkdir(parents=True)
        with Served(root / "served", settings=settings) as first:
            broker = Broker("gateway-soketi", ("127.0.0.1", first.port), gateway_settings)

            def leave_and_return(stage: Stage) -> None:
                first.process.kill()
                first.process.wait(DEADLINE_S)
                threading.Event().wait(AWAY_S)
                grows(stage, 500_000, "without an authorization server")
                running = [each.process.poll() for each in (stage.host.terminal, stage.writer.terminal, stage.keeper)]
                assert running == [None, None, None], f"somebody has left: {running}"
                second = Served(root / "served", "--port", str(first.port), settings=settings)
                stage.keep(second)
                grows(stage, 500_000, "when the authorization server is back")

            return session(broker, root / "session", pictures, 2, leave_and_return)


def while_suspended(node: Node, root: Path, pictures: Pictures) -> Told:
    """Both viewers are stopped for half a minute; the command must not notice."""
    with SoketiServer(node) as server:

        def stop_and_continue(stage: Stage) -> None:
            viewers = (stage.writer.terminal, stage.keeper)
            for viewer in viewers:
                viewer.signal(signal.SIGSTOP)
            threading.Event().wait(AWAY_S)
            grows(stage, 500_000, "though nobody reads")
            for viewer in viewers:
                viewer.signal(signal.SIGCONT)
            grows(stage, 500_000, "when somebody reads again")

        return session(soketi_broker("soketi", server), root, pictures, 3, stop_and_continue, typed=False)


def over_forgotten_connections(node: Node, root: Path, pictures: Pictures) -> Told:
    """Every connection is dead at once, and nobody closes it: both sides must find out."""
    with SoketiServer(node) as server:

        def forget(stage: Stage) -> None:
            before = [relay.done["websocket"] for relay in stage.relays]
            for relay in stage.relays:
                relay.forget()
            for relay, count, wanted in zip(stage.relays, before, (1, 2), strict=True):
                enough = count + wanted
                eventually(lambda relay=relay, enough=enough: relay.done["websocket"] >= enough, "they connect anew", 2 * AWAY_S)
            grows(stage, 500_000, "over new connections")

        return session(soketi_broker("soketi", server), root, pictures, 4, forget, relayed=True)


STORIES = (through_a_dead_broker, without_authorization, while_suspended, over_forgotten_connections)


@pytest.fixture(scope="module")
def stories(node: Node, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Futures]:
    """All of them, begun at once."""
    root = tmp_path_factory.mktemp("outages")
    with concurrent.futures.ThreadPoolExecutor(len(STORIES), "outage") as pool:
        yield {story.__name__: pool.submit(story, node, root / story.__name__, pictures) for story in STORIES}


@pytest.mark.parametrize("story", STORIES, ids=[story.__name__ for story in STORIES])
def test_a_flood_and_its_viewers_come(story: Callable[..., Told], stories: Futures) -> None:
    told = stories[story.__name__].result()
    assert not told.wrong, told.story
