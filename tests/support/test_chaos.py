"""The relay does to events what its plan says, never to the protocol's own frames, and nothing before and after."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import threading
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from tests.support.chaos import ChaosRelay
from tests.support.chaosplan import OUTAGES, ChaosPlan, Outage, Rates, SidePlan

EVENTS = [json.dumps({"event": "output", "data": str(number)}) for number in range(50)]
WORDS = [json.dumps({"event": f"pusher:{number}"}) for number in range(5)]
FOREVER_S = 60.0


def echo(connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        for text in connection:
            connection.send(text)


@pytest.fixture(scope="module")
def echoing() -> Iterator[tuple[str, int]]:
    """A WebSocket server that gives everything back."""
    with serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[:2]
        server.shutdown()
        thread.join()


def opened(relay: ChaosRelay) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{relay.port}/app/key", close_timeout=1)


def conversation(relay: ChaosRelay, texts: list[str]) -> list[str]:
    """What comes back of ``texts``, up to a last word that is never dropped."""
    with opened(relay) as client:
        relay.begin()
        # When the plan has begun, the relay has answered this.
        for text in [WORDS[0], *texts, WORDS[-1]]:
            client.send(text)
        found: list[str] = []
        while not found or found[-1] != WORDS[-1]:
            found.append(str(client.recv(timeout=10)))
    return found[1:-1]


def test_the_same_seed_makes_the_same_plan_and_another_one_another() -> None:
    assert ChaosPlan.from_seed(7) == ChaosPlan.from_seed(7)
    assert len({repr(ChaosPlan.from_seed(seed)) for seed in range(50)}) == 50


def test_the_seeds_of_a_usual_run_use_every_kind_of_outage_and_of_fate() -> None:
    sides = [side for seed in range(20) for plan in [ChaosPlan.from_seed(seed)] for side in (plan.host, plan.viewer)]
    assert {outage.what for side in sides for outage in side.outages} == set(OUTAGES)
    for fate in ("drop", "repeat", "reorder", "delay"):
        assert any(getattr(side.up, fate) for side in sides)
        assert any(getattr(side.down, fate) for side in sides)
    for fate in ("drop", "repeat", "refuse", "fail", "cut", "delay"):
        assert any(getattr(side.posts, fate) for side in sides)


def test_no_outage_lasts_longer_than_the_faults() -> None:
    for seed in range(100):
        plan = ChaosPlan.from_seed(seed)
        for side in (plan.host, plan.viewer):
            assert all(outage.at_s + outage.lasts_s <= side.calm_s for outage in side.outages)


def test_everything_passes_without_a_plan(echoing: tuple[str, int]) -> None:
    with ChaosRelay(echoing, SidePlan(calm_s=FOREVER_S)) as relay:
        assert conversation(relay, EVENTS) == EVENTS


def test_events_are_dropped_and_the_protocols_own_frames_are_not(echoing: tuple[str, int]) -> None:
    with ChaosRelay(echoing, SidePlan(up=Rates(drop=1.0), calm_s=FOREVER_S)) as relay:
        assert conversation(relay, [*EVENTS, *WORDS[1:4]]) == WORDS[1:4]
        assert relay.done["drop up"] == len(EVENTS)


def test_events_are_reordered_and_none_is_lost(echoing: tuple[str, int]) -> None:
    with ChaosRelay(echoing, SidePlan("a seed", up=Rates(reorder=0.5), calm_s=FOREVER_S)) as relay, opened(relay) as client:
        relay.begin()
        for text in EVENTS:
            client.send(text)
        found = [client.recv(timeout=10) for _ in EVENTS]
        assert found != EVENTS
        assert sorted(map(str, found)) == sorted(EVENTS)


def test_events_are_repeated(echoing: tuple[str, int]) -> None:
    with ChaosRelay(echoing, SidePlan(down=Rates(repeat=1.0), calm_s=FOREVER_S)) as relay, opened(relay) as client:
        relay.begin()
        for text in EVENTS:
            client.send(text)
        found = [str(client.recv(timeout=10)) for _ in range(2 * len(EVENTS))]
        assert sorted(found) == sorted(2 * EVENTS)


def test_what_becomes_of_each_event_depends_on_the_seed_alone(echoing: tuple[str, int]) -> None:
    found = []
    for seed in ("one", "one", "another"):
        with ChaosRelay(echoing, SidePlan(seed, up=Rates(drop=0.5), calm_s=FOREVER_S)) as relay:
            found.append(conversation(relay, EVENTS))
    assert found[0] == found[1] != found[2]


def test_nothing_happens_once_it_is_calm(echoing: tuple[str, int]) -> None:
    with ChaosRelay(echoing, SidePlan(up=Rates(drop=1.0), calm_s=0.0)) as relay:
        relay.begin()
        assert relay.calm.wait(10)
        with opened(relay) as client:
            for text in EVENTS:
                client.send(text)
            assert [client.recv(timeout=10) for _ in EVENTS] == EVENTS


@pytest.mark.parametrize("what", ["cut", "hang up", "away"])
def test_a_connection_is_ended(echoing: tuple[str, int], what: str) -> None:
    with ChaosRelay(echoing) as relay, opened(relay) as client:
        relay.impose(what)
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=10)


def test_nobody_is_let_in_while_the_broker_is_away(echoing: tuple[str, int]) -> None:
    with ChaosRelay(echoing) as relay:
        relay.impose("away")
        with pytest.raises((OSError, EOFError, WebSocketException)):
            opened(relay)
        relay.relieve()
        with opened(relay) as client:
            client.send(EVENTS[0])
            assert client.recv(timeout=10) == EVENTS[0]


@pytest.mark.parametrize("what", ["stall up", "stall down", "stall"])
def test_what_is_said_while_a_connection_stalls_comes_afterwards(echoing: tuple[str, int], what: str) -> None:
    with ChaosRelay(echoing) as relay, opened(relay) as client:
        relay.impose(what)
        client.send(EVENTS[0])
        with pytest.raises(TimeoutError):
            client.recv(timeout=0.2)
        relay.relieve()
        assert client.recv(timeout=10) == EVENTS[0]


@pytest.mark.parametrize("what", ["half-open up", "half-open down", "half-open"])
def test_a_half_open_connection_is_silent_and_ends_when_the_relay_hears_of_it(echoing: tuple[str, int], what: str) -> None:
    with ChaosRelay(echoing) as relay, opened(relay) as client:
        relay.impose(what)
        client.send(EVENTS[0])
        with pytest.raises(TimeoutError):
            client.recv(timeout=0.2)
        relay.relieve()
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=10)


def test_a_connection_that_is_forgotten_stays_silent_and_a_new_one_does_not(echoing: tuple[str, int]) -> None:
    with ChaosRelay(echoing) as relay, opened(relay) as forgotten:
        relay.forget()
        forgotten.send(EVENTS[0])
        with opened(relay) as fresh:
            fresh.send(EVENTS[1])
            assert fresh.recv(timeout=10) == EVENTS[1]
        with pytest.raises(TimeoutError):
            forgotten.recv(timeout=0.2)


def test_a_throttled_connection_loses_nothing(echoing: tuple[str, int]) -> None:
    with ChaosRelay(echoing) as relay, opened(relay) as client:
        relay.impose("throttle", bytes_per_s=50_000)
        for text in EVENTS:
            client.send(text)
        assert [client.recv(timeout=10) for _ in EVENTS] == EVENTS


class _Counting(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def posts() -> Iterator[http.server.ThreadingHTTPServer]:
    """Counts what is posted, in `bodies`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Counting) as server:
        server.bodies = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("fate", "status", "delivered"),
    [("drop", 200, 0), ("refuse", (429, 503), 0), ("fail", 503, 1), ("repeat", 200, 2), ("delay", 200, 1)],
)
def test_posts_have_fates_of_their_own(
    posts: http.server.ThreadingHTTPServer, fate: str, status: int | tuple[int, ...], delivered: int
) -> None:
    plan = SidePlan(posts=Rates(**{fate: 1.0}, delay_most_s=0.01), calm_s=FOREVER_S)
    with ChaosRelay(posts.server_address[:2], plan) as relay:  # type: ignore[arg-type]
        relay.begin()
        assert post(relay) in (status if isinstance(status, tuple) else (status,))
        assert len(posts.bodies) == delivered  # type: ignore[attr-defined]


def test_the_connection_of_a_post_is_cut(posts: http.server.ThreadingHTTPServer) -> None:
    plan = SidePlan(posts=Rates(cut=1.0), calm_s=FOREVER_S)
    with ChaosRelay(posts.server_address[:2], plan) as relay:  # type: ignore[arg-type]
        relay.begin()
        with pytest.raises((OSError, http.client.HTTPException)):
            post(relay)


def test_what_is_not_published_is_never_lost_silently(posts: http.server.ThreadingHTTPServer) -> None:
    plan = SidePlan(posts=Rates(drop=1.0, fail=1.0, repeat=1.0), calm_s=FOREVER_S)
    with ChaosRelay(posts.server_address[:2], plan) as relay:  # type: ignore[arg-type]
        relay.begin()
        assert post(relay, "/pusher/auth") == 200
        assert posts.bodies == ["/pusher/auth"]  # type: ignore[attr-defined]


def post(relay: ChaosRelay, path: str = "/apps/1/events") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=10)
    try:
        connection.request("POST", path, b'{"name":"x"}')
        return connection.getresponse().status
    finally:
        connection.close()


def test_an_outage_concerns_its_direction() -> None:
    assert Outage(0, 0, "stall up").concerns("up")
    assert not Outage(0, 0, "stall up").concerns("down")
    assert all(Outage(0, 0, "half-open").concerns(direction) for direction in ("up", "down"))
