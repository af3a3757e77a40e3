"""Pusher's own client and server libraries against the embedded hub: they must not be able to tell."""

from __future__ import annotations

import base64
import http.server
import itertools
import json
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pusher
import pytest
from pusher.errors import PusherBadAuth, PusherBadRequest

from codewrap.broker.apps import Webhook
from codewrap.broker.serving import HubServer
from tests.support.hubclient import APP, WITHIN_S, running_hub, wire_client
from tests.support.node import SOURCE, Node

MASTER_KEY = base64.b64encode(bytes(range(32))).decode()
SCRIPT = SOURCE / "official-clients.js"
Line = dict[str, Any]


class Official:
    """The Node process: ``do`` runs one action and gives its result; ``hear`` waits for something that happens."""

    def __init__(self, node: Node, port: int) -> None:
        arguments = [str(port), APP.key, APP.secret, APP.app_id, MASTER_KEY]
        self._process = subprocess.Popen(
            [str(node.binary), str(SCRIPT), *arguments],
            env={**node.environment(), "NODE_PATH": str(node.modules)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[Line] = queue.Queue()
        self._seen: list[Line] = []
        self._ids = itertools.count()
        self._reader = threading.Thread(target=self._read, name="official-clients")
        self._reader.start()

    def do(self, action: str, **fields: object) -> Any:
        number = next(self._ids)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": action, "id": number, **fields}) + "\n")
        self._process.stdin.flush()
        line = self._first(lambda line: line.get("id") == number)
        return line.get("result", line)

    def hear(self, **wanted: object) -> Line:
        return self._first(lambda line: all(line.get(name) == value for name, value in wanted.items()))

    def connect(self, who: str, user: str = "") -> None:
        self.do("open", who=who, user=user or who)
        self.hear(who=who, state="connected")

    def subscribe(self, who: str, channel: str) -> Line:
        self.do("subscribe", who=who, channel=channel)
        return self.hear(who=who, channel=channel, event="pusher:subscription_succeeded")

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(WITHIN_S)
        self._reader.join(WITHIN_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                self._lines.put(json.loads(line))

    def _first(self, matches: Callable[[Line], bool]) -> Line:
        """The first line that matches, which is then forgotten; others stay for later."""
        while True:
            for line in self._seen:
                if matches(line):
                    self._seen.remove(line)
                    return line
            try:
                self._seen.append(self._lines.get(timeout=WITHIN_S))
            except queue.Empty:
                pytest.fail(f"it did not happen; what did: {self._seen}")


@pytest.fixture
def server() -> Iterator[HubServer]:
    with running_hub(replace(APP, subscription_counts=True)) as hub:
        yield hub


@pytest.fixture
def official(node: Node, server: HubServer) -> Iterator[Official]:
    process = Official(node, server.port)
    try:
        yield process
    finally:
        process.stop()


class InProcess:
    """A backend for the `pusher` package that asks the hub without a socket."""

    def __init__(self, _client: object, hub: HubServer) -> None:
        self._hub = hub

    def send_request(self, request: Any) -> Any:
        status, body = self._hub.request(request.method, request.signed_path, request.body)
        from pusher.http import process_response

        return process_response(status, body.decode())


@pytest.fixture(params=["in process", "over http"])
def python_library(request: pytest.FixtureRequest, server: HubServer) -> Iterator[pusher.Pusher]:
    arguments = {"app_id": APP.app_id, "key": APP.key, "secret": APP.secret, "ssl": False}
    if request.param == "in process":
        yield pusher.Pusher(**arguments, backend=InProcess, hub=server)
        return
    library = pusher.Pusher(**arguments, host="127.0.0.1", port=server.port)
    sessions = [library._pusher_client.http.session, library._authentication_client.http.session]
    for session in sessions:
        session.trust_env = False
    yield library
    for session in sessions:
        session.close()


def test_events_reach_every_kind_of_channel(official: Official) -> None:
    official.connect("ann")
    for channel in ("a", "private-a", "presence-a", "private-encrypted-a", "private-cache-a"):
        official.subscribe("ann", channel)
        answer = official.do("trigger", channels=[channel], event="news", data={"text": "é\u001b[0m"})
        assert (answer["status"], answer["body"]) == (200, "{}")
        assert official.hear(channel=channel, event="news")["data"] == {"text": "é\u001b[0m"}


def test_client_events_and_members_come_and_go(official: Official) -> None:
    official.connect("ann")
    official.connect("bob")
    joined = official.subscribe("ann", "presence-a")
    assert (joined["data"], joined["me"]) == ({"ann": {"name": "ann"}}, "ann")
    official.subscribe("bob", "presence-a")
    added = official.hear(who="ann", event="pusher:member_added")
    assert added["data"] == {"id": "bob", "info": {"name": "bob"}}
    official.do("send", who="bob", channel="presence-a", event="client-x", data={"k": 1})
    assert official.hear(who="ann", event="client-x")["data"] == {"k": 1}
    official.do("unsubscribe", who="bob", channel="presence-a")
    assert official.hear(who="ann", event="pusher:member_removed")["data"]["id"] == "bob"


def test_counts_and_caches_are_understood(official: Official) -> None:
    official.connect("ann")
    official.subscribe("ann", "cache-a")
    official.hear(who="ann", event="pusher:cache_miss")
    assert official.hear(who="ann", event="pusher:subscription_count")["count"] == 1
    official.do("trigger", channels=["cache-a"], event="kept", data="text")
    official.connect("bob")
    official.subscribe("bob", "cache-a")
    assert official.hear(who="bob", event="kept")["data"] == "text"
    assert official.hear(who="ann", event="pusher:subscription_count")["count"] == 2
    state = official.do("get", path="/channels/cache-a", params={"info": "subscription_count,cache"})
    assert json.loads(state["body"])["subscription_count"] == 2
    assert json.loads(state["body"])["cache"]["data"] == "text"


def test_users_sign_in_hear_what_is_for_them_and_are_put_out(official: Official) -> None:
    official.connect("ann", "user-1")
    official.do("signin", who="ann")
    official.hear(who="ann", event="pusher:signin_success")
    answer = official.do("sendToUser", user="user-1", event="for-you", data={"a": 1})
    assert answer["status"] == 200
    assert official.hear(who="ann", user=True, event="for-you")["data"] == {"a": 1}
    assert official.do("terminate", user="user-1")["status"] == 200
    assert official.hear(who="ann", error={"code": 4009, "message": "You got disconnected by the app"})
    official.hear(who="ann", state="disconnected")


def test_batches_and_questions_are_answered(official: Official) -> None:
    official.connect("ann")
    official.subscribe("ann", "presence-a")
    batch = [{"channel": "presence-a", "name": f"n{number}", "data": "x"} for number in range(3)]
    assert official.do("batch", batch=batch)["body"] == "{}"
    for number in range(3):
        official.hear(who="ann", event=f"n{number}")
    listed = official.do("get", path="/channels", params={"filter_by_prefix": "presence-", "info": "user_count"})
    assert json.loads(listed["body"]) == {"channels": {"presence-a": {"user_count": 1}}}
    users = official.do("get", path="/channels/presence-a/users", params={})
    assert json.loads(users["body"]) == {"users": [{"id": "ann"}]}
    refused = official.do("get", path="/channels/a/users", params={})
    assert refused["failed"] == 400


def test_the_server_going_away_is_survived(official: Official, server: HubServer) -> None:
    official.connect("ann")
    server.stop()
    official.hear(who="ann", state="connecting")


def test_the_python_library_publishes_and_asks(server: HubServer, python_library: pusher.Pusher) -> None:
    with wire_client(server) as client:
        client.subscribe("private-a")
        client.hear()  # the subscription count
        assert python_library.trigger("private-a", "news", {"a": 1}) == {}
        assert json.loads(client.hear()["data"]) == {"a": 1}
        assert python_library.trigger_batch([{"channel": "private-a", "name": "two", "data": "x"}]) == {}
        assert client.hear()["event"] == "two"
        assert python_library.channels_info("private-") == {"channels": {"private-a": {}}}
        assert python_library.channel_info("private-a", ["subscription_count"])["subscription_count"] == 1
        assert python_library.users_info("presence-a") == {"users": []}
        client.sign_in("ann")
        python_library.send_to_user("ann", "for-you", "x")
        assert client.hear()["channel"] == "#server-to-user-ann"
        with pytest.raises(PusherBadRequest):
            python_library.channels_info("private-", ["user_count"])


def test_the_python_library_is_refused_with_another_secret(server: HubServer) -> None:
    library = pusher.Pusher(APP.app_id, APP.key, "other", backend=InProcess, hub=server)
    with pytest.raises(PusherBadAuth, match="Invalid signature"):
        library.trigger("a", "news", "x")


def test_the_node_library_accepts_our_webhooks(node: Node) -> None:
    received: queue.Queue[tuple[dict[str, str], str]] = queue.Queue()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            received.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        app = replace(APP, webhooks=(Webhook(f"http://127.0.0.1:{receiver.server_port}/"),))
        try:
            with running_hub(app) as server, wire_client(server) as client:
                client.subscribe("a")
                headers, body = received.get(timeout=WITHIN_S)
                process = Official(node, server.port)
                try:
                    answer = process.do("webhook", headers=headers, rawBody=body)
                finally:
                    process.stop()
                assert answer == {"valid": True, "names": ["channel_occupied"]}
        finally:
            receiver.shutdown()
            thread.join(WITHIN_S)
