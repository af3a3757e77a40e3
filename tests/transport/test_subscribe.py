"""The subscriber's own socket, against a WebSocket server whose every frame the test decides."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import queue
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from codewrap.transport.base import ConnectionState, Endpoint, Received, Subscribed
from codewrap.transport.keeper import Timing
from codewrap.transport.subscribe import MAX_MESSAGE_BYTES, MAX_UNSENT_BYTES, PysherSubscriber
from tests.support.certificates import server_certificate, trusted
from tests.support.deliveries import Deliveries
from tests.support.wires import ScriptedAuthorizer

HELLO = json.dumps({"event": "pusher:connection_established", "data": json.dumps({"socket_id": "1.1", "activity_timeout": 30})})
SUCCEEDED = json.dumps({"event": "pusher_internal:subscription_succeeded", "channel": "private-a"})
QUICK = Timing(first_retry_s=0.01, longest_retry_s=0.02)
WAIT_S = 10.0


class Broker:
    """Accepts connections, greets, grants private-a; then the test has each connection to itself."""

    def __init__(
        self, on_request: Callable[[ServerConnection, Request], Response | None] | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.connections: queue.SimpleQueue[ServerConnection] = queue.SimpleQueue()
        self.heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.close_codes: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.paths: list[str] = []
        self.is_greeting = True
        self._server: Server = serve(
            self._handle, "127.0.0.1", 0, process_request=on_request, ssl=tls, compression="deflate", max_size=None,
            ping_interval=None, close_timeout=1, logger=logging.getLogger("tests.broker"),
        )  # fmt: skip
        self.port: int = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Broker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(WAIT_S)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port, False, "app-key", "/under")

    def next(self) -> ServerConnection:
        return self.connections.get(timeout=WAIT_S)

    def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.append(connection.request.path)
        try:
            if self.is_greeting:
                connection.send(HELLO)
                connection.recv(timeout=WAIT_S)
                connection.send(SUCCEEDED)
            self.connections.put(connection)
            for text in connection:
                self.heard.put(text if isinstance(text, str) else "binary")
        except (ConnectionClosed, TimeoutError):
            pass
        finally:
            self.close_codes.put(connection.close_code)


@contextmanager
def subscribed(
    broker: Broker, deliveries: Deliveries, timing: Timing = QUICK, endpoint: Endpoint | None = None
) -> Iterator[PysherSubscriber]:
    subscriber = PysherSubscriber(endpoint or broker.endpoint, ScriptedAuthorizer(), deliveries, timing=timing)
    subscriber.subscribe("private-a")
    subscriber.start()
    try:
        yield subscriber
    finally:
        subscriber.close()


def event(data: str) -> str:
    return json.dumps({"event": "e", "channel": "private-a", "data": data})


def test_the_address_carries_prefix_protocol_and_escaped_key() -> None:
    with Broker() as broker:
        strange = Endpoint("127.0.0.1", broker.port, False, "a/b?", "/under")
        with subscribed(broker, Deliveries(), endpoint=strange):
            broker.next()
    assert broker.paths[0].startswith("/under/app/a%2Fb%3F?protocol=7&client=codewrap&version=")


def test_events_arrive_on_the_sockets_own_thread() -> None:
    deliveries = Deliveries()
    with Broker() as broker, subscribed(broker, deliveries):
        broker.next().send(event("─ text"))
        received = deliveries.wait_for(Received)
    assert received.data == "─ text"
    assert deliveries.thread_of(received) == "subscriber-socket"


@pytest.mark.parametrize("size", [0, 1, 20, 125, 126, 127, 65_400, 65_535, 65_536, 200_000])
def test_messages_of_every_length_arrive_whole(size: int) -> None:
    deliveries = Deliveries()
    with Broker() as broker, subscribed(broker, deliveries):
        broker.next().send(event("x" * size))
        assert deliveries.wait_for(Received).data == "x" * size


def test_a_burst_arrives_in_order() -> None:
    deliveries = Deliveries()
    with Broker() as broker, subscribed(broker, deliveries):
        connection = broker.next()
        for number in range(3000):
            connection.send(event(str(number)))
        deliveries.wait_for(Received, lambda received: received.data == "2999")
    assert [event.data for event in deliveries.all if isinstance(event, Received)] == [str(number) for number in range(3000)]


def test_fragments_are_put_together_with_a_ping_among_them() -> None:
    deliveries = Deliveries()
    with Broker() as broker, subscribed(broker, deliveries):
        connection = broker.next()
        text = event("─" * 50)

        def pieces() -> Iterator[str]:
            yield text[:30]
            assert connection.ping().wait(WAIT_S), "no pong"
            yield text[30:]

        connection.send(pieces())
        assert deliveries.wait_for(Received).data == "─" * 50


def test_binary_and_broken_text_are_dropped() -> None:
    deliveries = Deliveries()
    with Broker() as broker, subscribed(broker, deliveries):
        connection = broker.next()
        connection.send(b"\x00\xff")
        connection.send(b"\xff\xfe", text=True)
        connection.send(event("fine"))
        assert deliveries.wait_for(Received).data == "fine"


def test_a_message_beyond_the_limit_ends_the_connection() -> None:
    deliveries = Deliveries()
    with Broker() as broker, subscribed(broker, deliveries):
        connection = broker.next()
        with pytest.raises(ConnectionClosed):
            while True:
                connection.send(iter([event("x" * MAX_MESSAGE_BYTES)[:600_000], "y" * 600_000]))
        assert "too large" in deliveries.wait_for_state(ConnectionState.RECONNECTING).reason
        broker.next()


def test_the_close_code_decides_what_follows() -> None:
    deliveries = Deliveries()
    with Broker() as broker, subscribed(broker, deliveries):
        broker.next().close(4200, "restart")
        assert deliveries.wait_for_state(ConnectionState.RECONNECTING).reason == "restart"
        broker.next().close(4003, "disabled")
        assert deliveries.wait_for_state(ConnectionState.FAILED).reason == "disabled (4003)"


def test_client_events_reach_the_broker() -> None:
    deliveries = Deliveries()
    with Broker() as broker, subscribed(broker, deliveries) as subscriber:
        deliveries.wait_for(Subscribed)
        assert subscriber.send("private-a", "client-e", "x" * 70_000)
        heard = json.loads(broker.heard.get(timeout=WAIT_S))
    assert heard == {"event": "client-e", "channel": "private-a", "data": "x" * 70_000}


def test_many_threads_may_send() -> None:
    deliveries = Deliveries()
    with Broker() as broker, subscribed(broker, deliveries) as subscriber:
        deliveries.wait_for(Subscribed)
        threads = [
            threading.Thread(
                target=lambda name=name: [subscriber.send("private-a", "client-e", f"{name}:{n}") for n in range(200)]
            )
            for name in "abcd"
        ]
        for thread in threads:
            thread.start()
        heard = [json.loads(broker.heard.get(timeout=WAIT_S))["data"] for _ in range(800)]
        for thread in threads:
            thread.join(WAIT_S)
    for name in "abcd":
        assert [data for data in heard if data.startswith(name)] == [f"{name}:{n}" for n in range(200)]


def test_a_broker_that_does_not_read_makes_sending_fail_and_never_block() -> None:
    deliveries = Deliveries()
    with raw_server(_greet_and_stop_reading) as endpoint:
        subscriber = PysherSubscriber(endpoint, ScriptedAuthorizer(), deliveries)
        subscriber.subscribe("private-a")
        subscriber.start()
        deliveries.wait_for(Subscribed)
        slowest_s, sent = 0.0, 0
        started_s = time.monotonic()
        while time.monotonic() - started_s < WAIT_S:
            before_s = time.monotonic()
            taken = subscriber.send("private-a", "client-e", "x" * (MAX_UNSENT_BYTES // 4))
            slowest_s = max(slowest_s, time.monotonic() - before_s)
            if not taken:
                break
            sent += 1
        else:
            pytest.fail("everything was taken")
        assert sent > 0
        assert slowest_s < 0.5
        started_s = time.monotonic()
        subscriber.close()
        assert time.monotonic() - started_s < 1.0


def test_a_lost_connection_is_noticed_at_once() -> None:
    deliveries = Deliveries()
    with Broker() as broker, subscribed(broker, deliveries):
        connection = broker.next()
        deliveries.wait_for(Subscribed)
        connection.socket.shutdown(socket.SHUT_RDWR)
        assert deliveries.wait_for_state(ConnectionState.RECONNECTING).reason == "the connection was lost"


def test_a_broker_that_goes_silent_is_left() -> None:
    deliveries = Deliveries()
    with raw_server(_greet_and_stop_reading) as endpoint:
        timing = Timing(ping_after_s=0.1, dead_after_s=0.2, first_retry_s=60)
        subscriber = PysherSubscriber(endpoint, ScriptedAuthorizer(), deliveries, timing=timing)
        subscriber.subscribe("private-a")
        subscriber.start()
        assert deliveries.wait_for_state(ConnectionState.RECONNECTING).reason == "the connection went dead"
        subscriber.close()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"HTTP/1.1 404 No\r\n\r\n", "status 404"),
        (b"HTTP/1.1 302 Moved\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "WebSocket protocol"),
        (b"SSH-2.0-x\r\n\r\n", ""),
        (b"", "lost"),
    ],
)
def test_a_handshake_that_fails_is_said_to(said: bytes, reason: str) -> None:
    def refuse(stream: socket.socket) -> None:
        stream.recv(4096)
        stream.sendall(said)

    deliveries = Deliveries()
    with raw_server(refuse) as endpoint:
        subscriber = PysherSubscriber(endpoint, ScriptedAuthorizer(), deliveries, timing=Timing(first_retry_s=60))
        subscriber.start()
        assert reason in deliveries.wait_for_state(ConnectionState.UNAVAILABLE).reason
        subscriber.close()


def test_a_handshake_that_hangs_does_not_hold_up_closing() -> None:
    arrived = threading.Event()

    def hang(stream: socket.socket) -> None:
        arrived.set()
        while stream.recv(4096):
            pass

    with raw_server(hang) as endpoint:
        subscriber = PysherSubscriber(endpoint, ScriptedAuthorizer(), Deliveries())
        subscriber.start()
        assert arrived.wait(WAIT_S)
        started_s = time.monotonic()
        subscriber.close()
        assert time.monotonic() - started_s < 1.0


def test_closing_says_goodbye_and_ends_every_thread() -> None:
    deliveries = Deliveries()
    with Broker() as broker:
        with subscribed(broker, deliveries):
            broker.next()
            threads = [thread for thread in threading.enumerate() if thread.name.startswith("subscriber-")]
            assert len(threads) == 3
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
        assert broker.close_codes.get(timeout=WAIT_S) == 1000


def test_no_proxy_is_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    deliveries = Deliveries()
    with Broker() as broker, subscribed(broker, deliveries):
        deliveries.wait_for(Subscribed)


def test_nothing_that_travels_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    deliveries = Deliveries()
    own = logging.getLogger("codewrap.transport.subscribe")
    level = own.level
    with caplog.at_level(logging.INFO), Broker() as broker, subscribed(broker, deliveries) as subscriber:
        deliveries.wait_for(Subscribed)
        broker.next().send(event("hush-content"))
        deliveries.wait_for(Received)
        subscriber.send("private-a", "client-e", "hush-typed")
        broker.heard.get(timeout=WAIT_S)
    said = [record.getMessage() for record in caplog.records if not record.name.startswith("tests.")]
    assert not [text for text in said if "hush" in text or "k:1.1" in text]
    assert own.level == level, "pysher sets the level of the module that subclasses it"


def test_tls_is_checked_against_the_systems_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, context = server_certificate(tmp_path)
    with Broker(tls=context) as broker:
        endpoint = Endpoint("127.0.0.1", broker.port, True, "app-key")
        deliveries = Deliveries()
        with subscribed(broker, deliveries, Timing(first_retry_s=60), endpoint):
            assert "not trusted" in deliveries.wait_for_state(ConnectionState.UNAVAILABLE).reason
        with trusted(certificate, monkeypatch):
            deliveries = Deliveries()
            with subscribed(broker, deliveries, endpoint=endpoint) as subscriber:
                deliveries.wait_for(Subscribed)
                connection = broker.next()
                for number in range(300):
                    connection.send(event("x" * number * 50))
                    assert subscriber.send("private-a", "client-e", "y" * number * 50)
                deliveries.wait_for(Received, lambda received: len(received.data) == 299 * 50)
                heard = [len(json.loads(broker.heard.get(timeout=WAIT_S))["data"]) for _ in range(300)]
            assert heard == [number * 50 for number in range(300)]


@contextmanager
def raw_server(handle: Callable[[socket.socket], None]) -> Iterator[Endpoint]:
    """A TCP server for what no WebSocket server would do."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        streams: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    stream, _ = listener.accept()
                except OSError:
                    return
                streams.append(stream)
                with stream:
                    try:
                        handle(stream)
                    except OSError:
                        pass

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield Endpoint("127.0.0.1", listener.getsockname()[1], False, "app-key")
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for stream in streams:
                try:
                    stream.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            thread.join(WAIT_S)


def _greet_and_stop_reading(stream: socket.socket) -> None:
    """Speak as a broker up to the subscription, then neither read nor write until the client leaves."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += stream.recv(4096)
    key = next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    stream.sendall(
        b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    for text in (HELLO, SUCCEEDED):
        data = text.encode()
        stream.sendall(b"\x81\x7e" + len(data).to_bytes(2, "big") + data)
        if text == HELLO:
            stream.recv(4096)
    poll = select.poll()
    poll.register(stream, select.POLLRDHUP | select.POLLHUP)
    poll.poll(WAIT_S * 1000)
