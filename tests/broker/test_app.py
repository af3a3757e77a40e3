"""The hub over real sockets: doors, bad clients, slow readers, time-outs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from codewrap.broker.app import HubRuntime, hub_routes
from codewrap.broker.limits import Limits
from codewrap.broker.names import parse_channel
from codewrap.broker.origins import Door
from codewrap.broker.restapi import RestApi
from codewrap.broker.serving import HubServer
from tests.support.hubclient import APP, WITHIN_S, WireClient, address, eventually, running_hub, sign, wire_client


@pytest.fixture
def server() -> Iterator[HubServer]:
    with running_hub() as hub:
        yield hub


def http_request(
    server: HubServer, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, str, bytes]:
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WITHIN_S)
    with contextlib.closing(link):
        link.request(method, target, body or None, headers or {})
        answer = link.getresponse()
        return answer.status, answer.getheader("content-type", ""), answer.read()


def publish(server: HubServer, channel: str, data: str = "d") -> int:
    body = json.dumps({"name": "news", "channel": channel, "data": data}).encode()
    return server.request("POST", sign("POST", "/apps/7/events", body), body)[0]


def closing_code(path: str, server: HubServer) -> int:
    with connect(address(server, path), proxy=None) as client, pytest.raises(ConnectionClosed) as caught:
        while True:
            client.recv(timeout=WITHIN_S)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


def silent_reader(port: int, channel: str) -> socket.socket:
    """A raw socket that subscribes and then reads nothing more."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(WITHIN_S)
    raw.connect(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    raw.sendall(
        f"GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    heard = b""
    while b"established" not in heard:
        heard += raw.recv(1000)
    frame = json.dumps({"event": "pusher:subscribe", "data": {"channel": channel}}).encode()
    raw.sendall(bytes([0x81, 0x80 | len(frame)]) + bytes(4) + frame)
    while b"subscription_succeeded" not in heard:
        heard += raw.recv(1000)
    return raw


def test_an_event_over_http_reaches_a_socket(server: HubServer) -> None:
    with wire_client(server) as client:
        client.subscribe("private-a")
        body = b'{"name":"news","channels":["private-a"],"data":"d"}'
        status, kind, answer = http_request(server, "POST", sign("POST", "/apps/7/events", body), body)
        assert (status, kind, answer) == (200, "application/json", b"{}")
        assert client.hear() == {"event": "news", "channel": "private-a", "data": "d"}


def test_a_client_event_goes_from_socket_to_socket(server: HubServer) -> None:
    with wire_client(server) as one, wire_client(server) as two:
        one.subscribe("private-a")
        two.subscribe("private-a")
        one.say({"event": "client-x", "channel": "private-a", "data": "k"})
        assert two.hear()["event"] == "client-x"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/app/nobody?protocol=7", 4001),
        ("/app/app-key", 4008),
        ("/app/app-key?protocol=x", 4006),
        ("/app/app-key?protocol=99", 4007),
        ("/app/?protocol=7", 4005),
        ("/somewhere?protocol=7", 4005),
    ],
)
def test_who_is_not_admitted_gets_a_close_code(server: HubServer, path: str, code: int) -> None:
    assert closing_code(path, server) == code


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/", 404), ("GET", "/apps/7/nothing", 404), ("POST", "/apps/7/events", 401), ("PUT", "/x", 404)],
)
def test_other_requests_are_refused(server: HubServer, method: str, target: str, status: int) -> None:
    found, kind, body = http_request(server, method, target)
    assert found == status
    if status == 404:
        assert kind == "application/json"
        assert "error" in json.loads(body)


def test_escaped_names_arrive_as_they_were_signed(server: HubServer) -> None:
    status, _, answer = http_request(server, "GET", sign("GET", "/apps/7/channels", filter_by_prefix="a@b"))
    assert (status, json.loads(answer)) == (200, {"channels": {}})


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}],
)
def test_web_pages_and_rebound_names_are_kept_out(server: HubServer, headers: dict[str, str]) -> None:
    assert http_request(server, "GET", "/apps/7/channels", headers=headers)[0] == 403
    origin = headers.get("Origin")
    if origin is not None:
        with pytest.raises(InvalidStatus) as caught, connect(address(server), origin=origin, proxy=None):  # type: ignore[arg-type]
            pass
        assert caught.value.response.status_code == 403


def test_a_listed_origin_and_the_hubs_own_are_let_in() -> None:
    with running_hub(door=Door(origins=("https://good.example",))) as server:
        for origin in ("https://good.example", f"http://127.0.0.1:{server.port}"):
            with connect(address(server), origin=origin, proxy=None) as client:  # type: ignore[arg-type]
                assert "established" in client.recv(timeout=WITHIN_S)


def test_rubbish_hurts_nobody_else(server: HubServer) -> None:
    with wire_client(server) as bad, wire_client(server) as good:
        good.subscribe("a")
        for rubbish in (b"\x00\xff", "", "{", "[" * 200_000, '{"event":"pusher:subscribe"}', "null"):
            bad.say(rubbish)
            assert bad.hear()["event"] == "pusher:error"
        assert publish(server, "a") == 200
        assert good.hear()["event"] == "news"


def test_a_huge_frame_ends_its_own_connection_only(server: HubServer) -> None:
    with wire_client(server) as good:
        with wire_client(server) as bad, contextlib.suppress(ConnectionClosed):
            bad.say("x" * (2 << 20))
            with pytest.raises(ConnectionClosed):
                bad.hear()
        good.say({"event": "pusher:ping"})
        assert good.hear()["event"] == "pusher:pong"


def test_broken_websocket_frames_hurt_nobody_else(server: HubServer) -> None:
    with wire_client(server) as good:
        for rubbish in (b"\xff" * 50, b"\x81\xff" + b"\xff" * 8, b"\x81\x82\0\0\0\0\xff\xff"):
            with contextlib.closing(silent_reader(server.port, "a")) as bad:
                bad.sendall(rubbish)
                with contextlib.suppress(ConnectionResetError):
                    while bad.recv(1000):
                        pass
        good.say({"event": "pusher:ping"})
        assert good.hear()["event"] == "pusher:pong"
        eventually(lambda: server.runtime.hub.connection_count == 1, "leaving of the others")


def test_a_slow_reader_is_dropped_and_slows_nobody() -> None:
    limits = Limits(outgoing_bytes=200_000)
    with running_hub(limits=limits) as server, wire_client(server) as good:
        good.subscribe("a")
        with contextlib.closing(silent_reader(server.port, "a")) as slow:
            sent = 0
            while server.runtime.hub.connection_count == 2:
                assert publish(server, "a", f"{sent}:" + "x" * 50_000) == 200
                assert good.hear()["data"].startswith(f"{sent}:")
                sent += 1
                assert sent < 1000, "the slow reader was never given up"
            heard = bytearray()
            while b"\x10\x04Too slow" not in heard:
                chunk = slow.recv(1 << 20)
                assert chunk, "no close frame with code 4100"
                heard += chunk
            numbers = [index for index in range(sent) if f'"{index}:x'.encode() in heard]
            assert numbers == list(range(len(numbers))), "something is missing in the middle"


def test_a_reader_that_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codewrap.broker.outgoing.CLOSE_WITHIN_S", 0.05)
    with (
        running_hub(limits=Limits(outgoing_bytes=100_000)) as server,
        contextlib.closing(silent_reader(server.port, "a")) as slow,
    ):
        while server.runtime.hub.connection_count:
            publish(server, "a", "x" * 50_000)
        with pytest.raises(ConnectionResetError):
            eventually(lambda: not slow.send(b"\x8a\x80\0\0\0\0"), "the end of the socket")


def test_a_mute_client_is_pinged_and_then_closed_with_4201() -> None:
    now = [0.0]
    with running_hub(clock=lambda: now[0], tick_s=0.005) as server, wire_client(server) as client:
        now[0] = 30.0
        assert client.hear()["event"] == "pusher:ping"
        now[0] = 60.0
        with pytest.raises(ConnectionClosed) as caught:
            client.hear()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4201


def test_a_lost_socket_leaves_its_channels(server: HubServer) -> None:
    with contextlib.closing(silent_reader(server.port, "a")):
        assert server.runtime.hub.channels.get("a") is not None
    eventually(lambda: server.runtime.hub.channels.get("a") is None, "leaving the channel")


def test_a_request_body_over_the_bound_is_refused() -> None:
    with running_hub(limits=Limits(request_bytes=1000)) as server:
        assert http_request(server, "POST", "/apps/7/events", b"x" * 1001)[0] == 413


def test_a_failure_of_ours_costs_one_connection_and_is_logged(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    with wire_client(server) as bad, wire_client(server) as good:
        hub = server.runtime.hub
        with monkeypatch.context() as patch:
            patch.setattr(hub, "receive", fail)
            patch.setattr(hub, "connect", fail)
            patch.setattr(hub, "tick", fail)
            patch.setattr(RestApi, "answer", fail)
            bad.say({"event": "pusher:ping"})
            with pytest.raises(ConnectionClosed) as caught:
                bad.hear()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 4200
            assert closing_code("/app/app-key?protocol=7", server) == 4200
            assert server.request("GET", "/apps/7/channels", b"")[0] == 500
            eventually(lambda: "failed on its clock" in caplog.text, "the tick")
        good.say({"event": "pusher:ping"})
        assert good.hear()["event"] == "pusher:pong"


@contextlib.contextmanager
def another_server(runtime: HubRuntime) -> Iterator[int]:
    """Another application that carries the hub's routes, served by a plain uvicorn; its port."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with runtime.running():
            yield

    app = Starlette(routes=hub_routes(runtime), lifespan=lifespan)
    config = uvicorn.Config(app, ws="websockets-sansio", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            eventually(lambda: server.started, "the start of the other server")
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(WITHIN_S)


def test_the_routes_can_be_mounted_in_another_application() -> None:
    runtime = HubRuntime(APP)
    with another_server(runtime) as port:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)
        with contextlib.closing(link):
            link.request("GET", sign("GET", "/apps/7/channels"))
            assert link.getresponse().read() == b'{"channels":{}}'
            link.request("GET", "/elsewhere")
            assert link.getresponse().status == 404
        with connect(f"ws://127.0.0.1:{port}/app/app-key?protocol=7", proxy=None) as plain:
            client = WireClient(plain, APP)
            client.say({"event": "pusher:ping"})
            assert client.hear()["event"] == "pusher:pong"
    assert runtime.loop is None


def test_a_server_that_cannot_drop_sockets_stops_serving_the_one_that_never_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("codewrap.broker.outgoing.CLOSE_WITHIN_S", 0.05)
    runtime = HubRuntime(APP, limits=Limits(outgoing_bytes=100_000))
    with another_server(runtime) as port, contextlib.closing(silent_reader(port, "a")):
        name = parse_channel("a", 10)
        loop = runtime.loop
        assert loop is not None
        while runtime.hub.connection_count:
            loop.call_soon_threadsafe(runtime.hub.publish, name, "news", "x" * 50_000)
        eventually(lambda: "codewrap-hub-writer" not in task_names(loop), "the end of the writer")


def task_names(loop: asyncio.AbstractEventLoop) -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks(loop)]


def test_a_wire_client_speaks_what_the_hub_speaks(server: HubServer) -> None:
    with connect(address(server), proxy=None) as plain:
        client = WireClient(plain, APP)
        assert client.sign_in("ann")["event"] == "pusher:signin_success"
        body = b"{}"
        path = "/apps/7/users/ann/terminate_connections"
        assert server.request("POST", sign("POST", path, body), body) == (200, b"{}")
        with pytest.raises(ConnectionClosed) as caught:
            client.hear()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4009
