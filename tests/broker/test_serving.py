"""The hub in its thread: starting, stopping, and the two ways in without a socket."""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import sys
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed

from codewrap.broker import serving, signatures
from codewrap.broker.app import HubRuntime
from codewrap.broker.limits import Limits
from codewrap.broker.serving import HubServer, LocalConnection
from codewrap.errors import LocalProtocolError, TransportError
from tests.support.hubclient import APP, WITHIN_S, eventually, running_hub, sign, wire_client


class Local:
    """A local client that keeps what it hears."""

    def __init__(self, server: HubServer) -> None:
        self.heard: queue.Queue[str] = queue.Queue()
        self.ends: queue.Queue[tuple[int, str]] = queue.Queue()
        self.link: LocalConnection = server.open_local(self.heard.put, lambda code, reason: self.ends.put((code, reason)))
        self.socket_id = json.loads(self.hear()["data"])["socket_id"]

    def hear(self) -> dict[str, str]:
        frame: dict[str, str] = json.loads(self.heard.get(timeout=WITHIN_S))
        return frame

    def subscribe(self, channel: str) -> None:
        auth = signatures.channel_auth(APP, self.socket_id, channel)
        frame = {"event": "pusher:subscribe", "data": {"channel": channel, "auth": auth}}
        assert self.link.send(json.dumps(frame))
        assert self.hear()["event"] == "pusher_internal:subscription_succeeded"


def publish(server: HubServer, channel: str) -> tuple[int, bytes]:
    body = json.dumps({"name": "news", "channel": channel, "data": "d"}).encode()
    return server.request("POST", sign("POST", "/apps/7/events", body), body)


def test_the_hub_accepts_once_it_is_started_and_ends_within_a_second() -> None:
    server = HubServer(HubRuntime(APP))
    with pytest.raises(LocalProtocolError):
        assert server.port
    server.start()
    with wire_client(server) as client:
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 1.5
        with pytest.raises(ConnectionClosed) as caught:
            client.hear()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4200
    server.stop()
    assert "codewrap-hub" not in [thread.name for thread in threading.enumerate()]


def test_a_bound_socket_can_be_handed_in() -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = HubServer(HubRuntime(APP), listener=listener)
    server.start()
    try:
        assert server.port == port
        with wire_client(server) as client:
            assert client.socket_id
    finally:
        server.stop()


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("192.0.2.1", 0)])
def test_an_impossible_address_is_a_transport_error(host: str, port: int) -> None:
    with pytest.raises(TransportError):
        HubServer(HubRuntime(APP), host=host, port=port).start()


def test_a_closed_socket_cannot_be_listened_on() -> None:
    listener = socket.socket()
    listener.close()
    with pytest.raises(TransportError):
        HubServer(HubRuntime(APP), listener=listener).start()


def test_a_server_that_does_not_come_up_is_a_transport_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = HubRuntime(APP)

    def fail() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(runtime, "running", fail)
    with pytest.raises(TransportError, match="did not start"):
        HubServer(runtime).start()


def test_a_request_is_answered_without_a_socket_and_checked_alike() -> None:
    with running_hub() as server, wire_client(server) as client:
        client.subscribe("private-a")
        assert publish(server, "private-a") == (200, b"{}")
        assert client.hear()["event"] == "news"
        assert server.request("GET", "/apps/7/channels?auth_key=app-key", b"")[0] == 401


def test_requests_come_from_many_threads_at_once() -> None:
    with running_hub() as server:
        statuses: queue.SimpleQueue[int] = queue.SimpleQueue()

        def ask() -> None:
            for _ in range(50):
                statuses.put(publish(server, "a")[0])

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WITHIN_S)
        assert [statuses.get_nowait() for _ in range(200)] == [200] * 200


def test_a_hub_that_is_not_running_answers_nothing() -> None:
    server = HubServer(HubRuntime(APP))
    with pytest.raises(TransportError):
        server.request("GET", "/", b"")
    with pytest.raises(TransportError):
        server.open_local(print, print)


def test_a_hub_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "ANSWER_WITHIN_S", 0.05)
    release = threading.Event()
    with running_hub() as server:
        assert server.runtime.loop is not None
        server.runtime.loop.call_soon_threadsafe(release.wait, WITHIN_S)
        with pytest.raises(TransportError, match="in time"):
            server.request("GET", "/", b"")
        release.set()


def test_a_callback_may_not_wait_for_the_hub() -> None:
    with running_hub() as server:
        problems: queue.Queue[Exception] = queue.Queue()

        def ask(_text: str) -> None:
            try:
                server.request("GET", "/", b"")
            except LocalProtocolError as problem:
                problems.put(problem)

        server.open_local(ask, lambda _code, _reason: None)
        assert "itself" in str(problems.get(timeout=WITHIN_S))


def test_a_local_client_speaks_the_same_protocol() -> None:
    with running_hub() as server, wire_client(server) as wire:
        local = Local(server)
        wire.subscribe("private-a")
        local.subscribe("private-a")
        assert local.link.send('{"event":"client-x","channel":"private-a","data":"1"}')
        assert wire.hear()["event"] == "client-x"
        wire.say({"event": "client-y", "channel": "private-a", "data": "2"})
        assert local.hear()["event"] == "client-y"


def test_closing_a_local_client_is_told_once_and_ends_its_subscriptions() -> None:
    with running_hub() as server:
        local = Local(server)
        local.subscribe("private-a")
        local.link.close()
        local.link.close()
        assert local.ends.get(timeout=WITHIN_S) == (1000, "")
        assert not local.link.send("{}")
        eventually(lambda: server.runtime.hub.connection_count == 0)
    assert local.ends.empty()


def test_a_stopped_hub_tells_its_local_clients() -> None:
    with running_hub() as server:
        local = Local(server)
    assert local.ends.get(timeout=WITHIN_S)[0] == 4200
    assert not local.link.send("{}")
    local.link.close()
    assert local.ends.empty()


def test_what_a_local_client_sends_is_bounded() -> None:
    release = threading.Event()
    with running_hub(limits=Limits(outgoing_bytes=100)) as server:
        local = Local(server)
        assert server.runtime.loop is not None
        server.runtime.loop.call_soon_threadsafe(release.wait, WITHIN_S)
        assert local.link.send("x" * 100)
        assert not local.link.send("x")
        release.set()
        assert local.hear()["event"] == "pusher:error"
        assert local.link.send('{"event":"pusher:ping"}')
        assert local.hear()["event"] == "pusher:pong"


def test_a_local_client_that_fails_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    ended = threading.Event()

    def fail(_text: str) -> None:
        raise RuntimeError("a bug")

    def fail_too(_code: int, _reason: str) -> None:
        ended.set()
        raise RuntimeError("another")

    with running_hub() as server, wire_client(server) as good:
        server.open_local(fail, fail_too)
        assert ended.wait(WITHIN_S)
        good.say({"event": "pusher:ping"})
        assert good.hear()["event"] == "pusher:pong"
        eventually(lambda: server.runtime.hub.connection_count == 1)
    assert "failed on a frame" in caplog.text
    assert "failed on its end" in caplog.text


def test_a_refused_local_client_is_told_why() -> None:
    with running_hub(limits=Limits(connections=0)) as server:
        ends: queue.Queue[int] = queue.Queue()
        link = server.open_local(lambda _text: None, lambda code, _reason: ends.put(code))
        assert ends.get(timeout=WITHIN_S) == 4100
        assert not link.send("{}")
        link.close()


def test_a_hub_of_its_own_needs_neither_starlette_nor_versions_of_packages() -> None:
    program = "import sys, codewrap.broker.serving; print([name in sys.modules for name in ('uvicorn', 'starlette', 'zipfile')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[True, False, False]\n"


def test_a_message_that_is_no_text_is_closed_with_1007_and_not_told_at_length(caplog: pytest.LogCaptureFixture) -> None:
    with running_hub() as server, wire_client(server) as client:
        client.socket.send(b"\xff\xfe", text=True)
        with pytest.raises(ConnectionClosed) as closed:
            client.socket.recv(timeout=WITHIN_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1007
    assert caplog.text == ""
