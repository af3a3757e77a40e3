"""The official JavaScript client watches a session through a real `serve-auth`, over Soketi and over the server's own hub.

The host's side is the official Python server library with session credentials: what it sends is what any Pusher program would.
"""

from __future__ import annotations

import base64
import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pusher
import pytest
from pusher.errors import PusherForbidden

from codewrap.errors import AuthError
from codewrap.protocol import frames, grants, sealing
from codewrap.protocol.frames import Output
from codewrap.transport.authorize import HttpAuthorizer
from codewrap.transport.base import Event
from codewrap.transport.gateway import GatewayClient
from codewrap.transport.publish import PusherPublisher
from tests.support.node import SOURCE, Node
from tests.support.served import Served
from tests.support.soketi import SoketiServer

pytestmark = pytest.mark.soketi
DEADLINE_S = 30.0
MASTER_KEY = bytes(range(32))
TOKEN = "a-token-that-is-long-enough"
CHANNEL = "private-encrypted-command-build"


@contextmanager
def in_front_of(server: SoketiServer, directory: Path) -> Iterator[Served]:
    """`serve-auth` with this Soketi configured."""
    settings = {
        "SOKETI_HOST": server.host,
        "SOKETI_PORT": str(server.port),
        "SOKETI_SERVICE_USER": server.app_id,
        "SOKETI_SERVICE_KEY": server.key,
        "SOKETI_SERVICE_SECRET": server.secret,
        "SOKET_ENCRYPTION_MASTER_KEY_BASE64": base64.b64encode(MASTER_KEY).decode(),
        "AUTH_TOKEN": TOKEN,
    }
    with Served(directory, settings=settings) as served:
        yield served


@pytest.fixture(params=["soketi", "own hub"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """A running `serve-auth`, in front of Soketi and alone."""
    if request.param == "soketi":
        with in_front_of(request.getfixturevalue("soketi"), tmp_path) as running:
            yield running
    else:
        with Served(tmp_path, settings={"AUTH_TOKEN": TOKEN}) as running:
            yield running


class Watcher:
    """pusher-js in Node, watching one channel; what happens comes as (what, data)."""

    def __init__(self, node: Node, served: Served, channel: str = CHANNEL, **wanted: Any) -> None:
        broker = GatewayClient(served.url, TOKEN)
        endpoint = broker.config().broker
        broker.close()
        arguments = {
            "key": endpoint.key,
            "host": endpoint.host,
            "port": endpoint.port,
            "url": served.url,
            "token": TOKEN,
            "channel": channel,
            "event": "output",
        } | wanted
        self._process = subprocess.Popen(
            [str(node.binary), str(SOURCE / "watch_session.js"), json.dumps(arguments)],
            cwd=node.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._said: queue.Queue[tuple[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="watcher")
        self._reader.start()

    def next(self, what: str) -> Any:
        """The data of the next thing that happens, which must be ``what``."""
        said = self._said.get(timeout=DEADLINE_S)
        assert said is not None, "the client has ended"
        assert said[0] == what, said
        return said[1]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            self._said.put((said["what"], said.get("data")))
        self._said.put(None)

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


def official_publisher(served: Served, session: str = "build") -> Any:
    """The `pusher` package with the session's credentials, told nothing but the server's address."""
    client = GatewayClient(served.url, TOKEN)
    opened = client.open_session(session)
    client.close()
    given = opened.credentials
    return pusher.Pusher(given.app_id, given.key, given.secret, ssl=False, host="127.0.0.1", port=served.port)


def closed(publisher: Any) -> None:
    for client in (publisher._pusher_client, publisher._authentication_client):
        client.http.session.close()


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        threading.Event().wait(0.02)


def channel_key(served: Served, channel: str = CHANNEL) -> bytes:
    """The channel's key, as `serve-auth` gives it to whoever may have it."""
    authorizer = HttpAuthorizer(served.url, TOKEN, role="host", name="test")
    key = authorizer.authorize(channel, "1.2").shared_secret
    authorizer.close()
    assert key is not None
    return key


def test_the_official_client_decrypts_what_the_official_library_publishes_with_session_credentials(
    node: Node, served: Served
) -> None:
    key = channel_key(served)
    text = frames.encode(Output("epoch", 0, "héllo ┌─┐ 🎈\x1b[0m".encode()))
    publisher = official_publisher(served)
    with Watcher(node, served, until=3) as watcher:
        watcher.next("subscribed")
        publisher.trigger(CHANNEL.replace("encrypted-", ""), "output", "to another channel")
        for _ in range(2):
            sealed = json.loads(sealing.seal(text, key, b"n" * 24))
            publisher.trigger_batch([{"channel": CHANNEL, "name": "output", "data": json.dumps(sealed)}], already_encoded=True)
        sealed_event = Event(CHANNEL, "output", sealing.seal(text, key, b"m" * 24))
        _publish_with_ours(served, sealed_event)
        for _ in range(3):
            assert watcher.next("event") == json.loads(text)
    closed(publisher)


def _publish_with_ours(served: Served, event: Event) -> None:
    client = GatewayClient(served.url, TOKEN)
    opened = client.open_session("build")
    ours = PusherPublisher(opened.credentials, opened.endpoint)
    ours.publish([event])
    ours.close()
    client.close()


def test_events_of_many_requests_arrive_in_order(node: Node, served: Served) -> None:
    key = channel_key(served)
    publisher = official_publisher(served)
    with Watcher(node, served, until=60) as watcher:
        watcher.next("subscribed")
        for number in range(0, 60, 10):
            batch = [
                {"channel": CHANNEL, "name": "output", "data": sealing.seal(json.dumps({"n": n}), key, n.to_bytes(24))}
                for n in range(number, number + 10)
            ]
            publisher.trigger_batch(batch, already_encoded=True)
        assert [watcher.next("event")["n"] for _ in range(60)] == list(range(60))
    closed(publisher)


def test_session_credentials_do_not_reach_another_session(served: Served) -> None:
    publisher = official_publisher(served)
    with pytest.raises(PusherForbidden):
        publisher.trigger("private-command-other", "output", "x")
    publisher.trigger("private-command-build", "output", "x")
    closed(publisher)


def test_without_a_token_the_official_client_is_refused(node: Node, served: Served) -> None:
    with Watcher(node, served, token="") as watcher:
        assert watcher.next("refused") == {"status": 401}


@pytest.mark.parametrize(
    ("channel", "role"),
    [
        ("private-encrypted-other", "viewer"),
        ("private-input-build", "viewer"),
        ("private-encrypted-input-build", "viewer"),
        ("private-encrypted-input-build", "writer"),
    ],
)
def test_the_official_client_is_refused_what_its_role_may_not_have(node: Node, served: Served, channel: str, role: str) -> None:
    with Watcher(node, served, channel, params={"role": role}) as watcher:
        assert watcher.next("refused") == {"status": 403}


def test_presence_shows_who_is_there_as_the_server_says(node: Node, served: Served) -> None:
    with Watcher(node, served, "presence-command-build", params={"role": "viewer", "name": "Ada\u0007"}) as watcher:
        said = watcher.next("subscribed")
        [(member, info)] = said["members"].items()
        assert member.startswith("admin.")
        assert info == {"name": "Ada", "role": "viewer"}


def test_input_over_http_arrives_where_only_the_host_can_read_it(node: Node, served: Served) -> None:
    client = GatewayClient(served.url, TOKEN)
    with Watcher(node, served, "private-input-build", event="input") as watcher:
        watcher.next("subscribed")
        client.send_text("build", "make\n")
        envelope = grants.decode(json.dumps(watcher.next("event")))
    assert envelope.writer == "admin.http"
    key = grants.writer_key(channel_key(served, "private-encrypted-input-build"), envelope.writer, envelope.until)
    frame = frames.decode_viewer(grants.unseal(envelope, key))
    assert isinstance(frame, frames.Input)
    assert frame.data == b"make\n"
    client.close()


def test_sync_over_http_arrives(node: Node, served: Served) -> None:
    client = GatewayClient(served.url, TOKEN)
    asked = json.loads(frames.encode(frames.Sync("", 5, "screen")))
    with Watcher(node, served, "presence-command-build", event="sync") as watcher:
        watcher.next("subscribed")
        client.sync("build", asked)
        assert watcher.next("event") == asked
    client.close()


def test_the_official_client_signs_in(node: Node, tmp_path: Path) -> None:
    # Soketi answers no sign-in unless it is configured to; the own hub does.
    with (
        Served(tmp_path, settings={"AUTH_TOKEN": TOKEN}) as served,
        Watcher(node, served, "presence-command-build", signIn=True) as watcher,
    ):
        seen = {}
        for _ in range(2):
            said = watcher._said.get(timeout=DEADLINE_S)
            assert said is not None
            seen[said[0]] = said[1]
        assert json.loads(seen["signed in"]["user_data"]) == {"id": "admin"}


def test_a_restart_of_the_server_locks_nobody_out(tmp_path: Path, node: Node) -> None:
    with Served(tmp_path, settings={"AUTH_TOKEN": TOKEN}) as first:
        publisher = official_publisher(first)
        key = channel_key(first)
        port = first.port
        assert first.stop()[0] == 0
    with Served(tmp_path, "--port", str(port), settings={"AUTH_TOKEN": TOKEN}) as second:
        assert channel_key(second) == key
        with Watcher(node, second) as watcher:
            watcher.next("subscribed")
            publisher.trigger_batch(
                [{"channel": CHANNEL, "name": "output", "data": sealing.seal('{"n":1}', key, b"n" * 24)}], already_encoded=True
            )
            assert watcher.next("event") == {"n": 1}
    closed(publisher)


def test_a_broker_that_comes_back_is_published_to_again(node: Node, tmp_path: Path) -> None:
    with SoketiServer(node) as server, in_front_of(server, tmp_path) as served:
        client = GatewayClient(served.url, TOKEN)
        client.send_text("build", "x")
        server.kill()
        status, headers, _ = served.request("POST", "/api/commands/input", {"sessionId": "build", "input": "x"})
        assert status == 503
        assert headers["retry-after"] == "1"
        server.start()
        eventually(lambda: served.request("POST", "/api/commands/input", {"sessionId": "build", "input": "x"})[0] == 202)
        client.close()


def test_our_own_clients_are_told_when_the_token_is_wrong(served: Served) -> None:
    client = GatewayClient(served.url, "another-token")
    with pytest.raises(AuthError):
        client.open_session("build")
    client.close()
