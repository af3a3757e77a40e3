"""A real `serve-auth` that is guessed at, and two copies over one store; asked from several addresses of this machine."""

from __future__ import annotations

import base64
import http.client
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.served import Served
from tests.support.sessions import TOKEN, Relay, through
from tests.support.stores import Place

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is this machine on Linux only"),
]
GUESSER, OTHER = "127.0.0.2", "127.0.0.3"
METRICS_TOKEN = "metrics-token-of-32-characters-xx"


class Answer(NamedTuple):
    status: int
    retry_after: str | None
    body: bytes


def ask(
    served: Served, path: str, *, address: str = "127.0.0.1", token: str = TOKEN, value: object = None, method: str = "GET"
) -> Answer:
    """One request from an address of this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30, source_address=(address, 0))
    body = None if value is None else json.dumps(value).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request("POST" if value is not None else method, path, body, headers)
        reply = connection.getresponse()
        return Answer(reply.status, reply.getheader("Retry-After"), reply.read())
    finally:
        connection.close()


def metrics(served: Served) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by name and by the labels' values, in the order of the labels' names."""
    reply = ask(served, "/metrics", token=METRICS_TOKEN, address=OTHER)
    assert reply.status == 200
    families = text_string_to_metric_families(reply.body.decode())
    return {(sample.name, tuple(sample.labels.values())): sample.value for family in families for sample in family.samples}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    settings = {"AUTH_TOKEN": TOKEN, "CODEWRAP_METRICS_TOKEN": METRICS_TOKEN}
    with Served(tmp_path, settings=settings) as one:
        yield one


@pytest.fixture
def relay(served: Served, tmp_path: Path) -> Iterator[Relay]:
    with through(tmp_path, served, "gateway") as made:
        yield made


@pytest.fixture
def copies(place: Place, tmp_path: Path) -> Iterator[tuple[Served, Served]]:
    """Two of them over one store, each with a directory of its own."""
    settings = {
        "AUTH_TOKEN": TOKEN,
        "CODEWRAP_STATE": place.url,
        "CODEWRAP_SIGNING_KEY": base64.b64encode(bytes(range(32))).decode(),
    }
    directories = [tmp_path / "one", tmp_path / "other"]
    for directory in directories:
        directory.mkdir()
    with Served(directories[0], settings=settings) as one, Served(directories[1], settings=settings) as other:
        yield one, other


def test_who_guesses_waits_and_neither_sessions_nor_other_addresses_do(served: Served, relay: Relay) -> None:
    host = relay.shell()
    viewer = relay.attached()
    guesses = [ask(served, "/api/whoami", address=GUESSER, token=f"guess-{number}") for number in range(15)]
    assert [guess.status for guess in guesses] == [401] * 10 + [429] * 5
    assert all(guess.retry_after is not None and 50 <= int(guess.retry_after) <= 60 for guess in guesses[10:])
    assert ask(served, "/api/whoami", address=GUESSER).status == 429  # not even the right one
    assert ask(served, "/api/whoami", address=OTHER).status == 200
    viewer.send(b"echo still-$((6 * 7))\r")
    viewer.shows("\nstill-42\n")
    host.shows("\nstill-42\n")
    another = relay.attached()
    another.shows("\nstill-42\n")
    found = metrics(served)
    assert found["codewrap_blocks_total", ()] == 1
    assert found["codewrap_authentications_total", ("unknown", "failed")] == 10
    assert found["codewrap_authentications_total", ("address", "blocked")] == 6
    _, _, said = served.stop()
    assert [line for line in said.splitlines() if "too many failed" in line] == [
        f"codewrap: WARNING: too many failed authentications of {GUESSER}: nothing more is tried for 60 s"
    ]


def test_failed_authentications_at_two_copies_are_one_count(copies: tuple[Served, Served]) -> None:
    guesses = [ask(copies[number % 2], "/api/whoami", address=GUESSER, token="guess").status for number in range(14)]
    # The tenth was at the second copy; the first one hears of the block with the next failure there.
    assert guesses == [401] * 11 + [429] * 3
    assert [ask(served, "/api/whoami", address=GUESSER).status for served in copies] == [429, 429]
    assert [ask(served, "/api/whoami", address=OTHER).status for served in copies] == [200, 200]


def test_requests_at_two_copies_share_a_limit(copies: tuple[Served, Served]) -> None:
    assert ask(copies[0], "/api/sessions", value={"sessionId": "build"}).status == 200
    made = ask(copies[0], "/api/shares", value={"sessionId": "build"})
    token = {"token": json.loads(made.body)["token"]}
    replies = [ask(copies[number % 2], "/api/shares/redeem", address=GUESSER, value=token) for number in range(200)]
    let_through = sum(reply.status == 200 for reply in replies)
    assert {reply.status for reply in replies} == {200, 429}
    assert 120 <= let_through <= 120 + 2 * 15
    assert all(reply.retry_after for reply in replies if reply.status == 429)
    assert ask(copies[1], "/api/shares/redeem", address=OTHER, value=token).status == 200


def test_who_guesses_waits_also_while_the_store_is_away(server_place: Place, tmp_path: Path) -> None:
    server = server_place.server
    assert server is not None
    settings = {
        "AUTH_TOKEN": TOKEN,
        "CODEWRAP_METRICS_TOKEN": METRICS_TOKEN,
        "CODEWRAP_STATE": server_place.url,
        "CODEWRAP_SIGNING_KEY": base64.b64encode(bytes(range(32))).decode(),
    }
    with Served(tmp_path, settings=settings) as served:
        assert ask(served, "/api/whoami", address=GUESSER, token="guess").status == 401
        server.kill()
        try:
            guesses = [ask(served, "/api/whoami", address=GUESSER, token="guess").status for _ in range(11)]
            assert ask(served, "/api/whoami", address=OTHER).status == 200
            found = metrics(served)
        finally:
            server.start()
        _, _, said = served.stop()
    assert guesses == [401] * 9 + [429] * 2
    assert math.isnan(found["codewrap_sessions", ()])
    assert sum(value for (name, _), value in found.items() if name == "codewrap_state_failures_total") >= 1
    assert len([line for line in said.splitlines() if "limits hold for this copy of the server alone" in line]) == 1


def test_metrics_tell_of_a_real_session_and_its_viewer(served: Served, relay: Relay) -> None:
    host = relay.run_piped("sh", "-c", "echo go; read line; echo heard $line; read line", options=["--quiet"])
    viewer = relay.attach_piped("--quiet", stdin=subprocess.PIPE)
    viewer.out.expect(b"go\n")
    viewer.send(b"one\n")
    viewer.out.expect(b"heard one\n")
    found = metrics(served)
    assert found["codewrap_sessions", ()] == 1
    assert found["codewrap_hub_sockets", ()] == 2
    assert found["codewrap_hub_present", ("host",)] == 1
    assert found["codewrap_hub_present", ("writer",)] == 1
    assert found["codewrap_events_published_total", ("output",)] >= 2
    assert found["codewrap_event_bytes_published_total", ("output",)] > 100
    assert found["codewrap_authorizations_total", ("output", "ok")] >= 1
    assert found["codewrap_http_request_seconds_count", ("POST", "/pusher/auth")] >= 5
    routes = {labels[1] for name, labels in found if name == "codewrap_http_request_seconds_count"}
    assert routes & {"/apps/{app_id}/events", "/apps/{app_id}/batch_events"}
    assert found["codewrap_authentications_total", ("session", "ok")] >= 1
    assert found["codewrap_publish_seconds_count", ()] >= 2
    assert found["codewrap_state_seconds_count", ("open_session",)] == 1
    assert found["process_resident_memory_bytes", ()] > 10_000_000
    assert not [name for name, labels in found if relay.name in " ".join((name, *labels))]
    host.send(b"\n")
    assert (host.status(), viewer.status()) == (0, 0)
