"""The way to a broker: server, clock, credentials; and through `serve-auth`."""

from __future__ import annotations

import email.utils
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codewrap.doctor.access import Broker, DirectDoor, Front, GatewayDoor, clock_check
from codewrap.doctor.report import Check, Checking, Status
from codewrap.errors import AuthError, CodewrapError, TransportError
from codewrap.transport.base import AppCredentials, Authorization, Endpoint, RetryLater
from codewrap.transport.gateway import GatewayConfig, OpenedSession
from codewrap.transport.origin import Origin
from tests.support.certificates import server_certificate, trusted
from tests.support.room import SESSION, SPELLING, Room
from tests.support.web import WebServer, answer

HEALTHY = '{"status": "ok", "broker": "ok"}'
NOON = 1_700_000_000.0


def ran(checking: Checking[Any]) -> tuple[dict[str, Check], Any]:
    """The findings by name, and what came of it."""
    found: dict[str, Check] = {}
    while True:
        try:
            check = next(checking)
        except StopIteration as ended:
            return found, ended.value
        assert check.name not in found
        found[check.name] = check


def front(server: WebServer, path: str = "/", **options: Any) -> Front:
    return Front(Origin.parse(server.url), path, SPELLING, 5.0, **options)


@pytest.fixture
def healthy() -> Iterator[WebServer]:
    with WebServer(lambda _: answer(HEALTHY)) as server:
        yield server


class TestFront:
    def test_an_answer_of_any_kind_proves_the_way(self) -> None:
        with WebServer(lambda _: answer("nothing here", 404)) as server:
            found, said = ran(front(server).ask())
        assert found["server"].status is Status.OK
        assert found["server"].ms is not None
        assert said.status == 404

    @pytest.mark.parametrize(("status", "says"), [(502, "nothing behind"), (301, "final address")])
    def test_a_proxy_without_its_server_and_a_redirect_are_failures(self, status: int, says: str) -> None:
        with WebServer(lambda _: answer("", status)) as server:
            found, said = ran(front(server).ask())
        assert (found["server"].status, found["clock"].status, said) == (Status.FAIL, Status.SKIP, None)
        assert says in found["server"].detail

    def test_a_dead_port_says_so_and_names_the_setting(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        found, said = ran(Front(Origin("127.0.0.1", port, False), "/", SPELLING, 5.0).ask())
        assert said is None
        assert found["server"].detail.endswith("Connection refused: start the server, or correct THE_ADDRESS")

    def test_a_silent_server_is_given_up(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            origin = Origin("127.0.0.1", listener.getsockname()[1], False)
            found, _ = ran(Front(origin, "/", SPELLING, 0.1).ask())
        assert "no answer in time: is a firewall in between?" in found["server"].detail

    def test_a_server_of_another_kind_is_told_apart(self) -> None:
        with WebServer(lambda _: b"220 smtp ready\r\n\r\n") as server:
            found, _ = ran(front(server).ask())
        assert "another kind of server" in found["server"].detail

    def test_a_certificate_is_trusted_or_the_reason_is_given(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        certificate, tls = server_certificate(tmp_path)
        with WebServer(lambda _: answer(), tls) as server:
            found, _ = ran(front(server).ask())
            assert "self-signed certificate" in found["server"].detail
            assert "SSL_CERT_FILE" in found["server"].detail
            with trusted(certificate, monkeypatch):
                found, _ = ran(front(server).ask())
            assert found["server"].detail == f"{server.url} answers (TLS with a trusted certificate)"

    def test_tls_to_a_server_without_it_is_told_apart(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def talk_plainly() -> None:
                stream, _ = listener.accept()
                with stream:
                    stream.recv(65536)
                    stream.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

            thread = threading.Thread(target=talk_plainly)
            thread.start()
            found, _ = ran(Front(Origin("127.0.0.1", listener.getsockname()[1], True), "/", SPELLING, 5.0).ask())
            thread.join(10)
        assert "does it speak TLS on this port?" in found["server"].detail

    def test_the_clock_is_compared_in_the_middle_of_the_request(self) -> None:
        date = email.utils.formatdate(NOON, usegmt=True)
        with WebServer(lambda _: answer(date=date)) as server:
            times = iter((NOON - 100, NOON + 101))
            found, _ = ran(front(server, now=lambda: next(times)).ask())
        assert found["clock"].detail == "as the server's"


class TestClock:
    @pytest.mark.parametrize(
        ("ahead_s", "status", "says"),
        [
            (0, Status.OK, "as the server's"),
            (60, Status.OK, "60 s behind"),
            (-59, Status.OK, "59 s ahead of"),
            (61, Status.WARN, "61 s behind"),
            (-600, Status.WARN, "600 s ahead of"),
            (601, Status.FAIL, "601 s behind"),
            (-86_400, Status.FAIL, "86400 s ahead of"),
        ],
    )
    def test_by_how_far_it_is_off(self, ahead_s: int, status: Status, says: str) -> None:
        check = clock_check(email.utils.formatdate(NOON + ahead_s, usegmt=True), NOON + 0.5, is_ours=True)
        assert check.status is status
        assert says in check.detail

    @pytest.mark.parametrize("date", [None, "", "yesterday"])
    def test_a_server_without_a_date(self, date: str | None) -> None:
        assert clock_check(date, NOON, is_ours=True).status is Status.OK
        assert clock_check(date, NOON, is_ours=False).status is Status.SKIP


class Asked:
    """A publisher that answers queries, or fails."""

    def __init__(self, failure: CodewrapError | None = None) -> None:
        self.failure = failure
        self.closed = False

    def channels(self, prefix: str = "") -> dict[str, object]:
        if self.failure is not None:
            raise self.failure
        return {}

    def publish(self, events: object) -> None:
        raise AssertionError("nothing is published at the door")

    def close(self) -> None:
        self.closed = True


class TestDirectDoor:
    def test_a_signed_query_opens_it(self, healthy: WebServer) -> None:
        publisher, broker = Asked(), Room().broker()
        door = DirectDoor(front(healthy), broker, publisher, SPELLING)
        found, opened = ran(door.open())
        assert opened is broker
        assert {name: check.status for name, check in found.items()} == dict.fromkeys(DirectDoor.NAMES, Status.OK)
        door.close()
        assert publisher.closed

    @pytest.mark.parametrize(
        ("failure", "says"),
        [
            (AuthError("s", "Invalid signature", 401), "correct THE_SECRET, THE_KEY and THE_APP"),
            (AuthError("s", "Timestamp expired", 401), "(and the clock)"),
            (TransportError("s", "The app 5 could not be found", retry=False, status=404), "correct THE_APP, or THE_ADDRESS"),
            (TransportError("s", "no answer in time"), "look at the server"),
            (RetryLater("s", "quota", status=403), "00:00 UTC"),
        ],
    )
    def test_refused_credentials_leave_the_broker_without_a_publisher(
        self, healthy: WebServer, failure: CodewrapError, says: str
    ) -> None:
        found, opened = ran(DirectDoor(front(healthy), Room().broker(), Asked(failure), SPELLING).open())
        assert found["credentials"].status is Status.FAIL
        assert says in found["credentials"].detail
        assert opened.publisher is None

    def test_without_a_server_nothing_is_asked(self) -> None:
        with WebServer(lambda _: answer("", 503)) as server:
            found, opened = ran(DirectDoor(front(server), Room().broker(), Asked(AssertionError()), SPELLING).open())  # type: ignore[arg-type]
        assert opened is None
        assert [check.status for check in found.values()] == [Status.FAIL, Status.SKIP, Status.SKIP]


class Serving:
    """`serve-auth` as client and authorizer see it; each call fails where a failure is given."""

    def __init__(self, **failures: CodewrapError) -> None:
        self.failures = failures
        self.closed = False

    def _fail(self, call: str) -> None:
        if call in self.failures:
            raise self.failures[call]

    def config(self) -> GatewayConfig:
        self._fail("config")
        return GatewayConfig(Endpoint("broker.example", 80, False, "app-key"), 9000, True)

    def authorize(self, channel: str, socket_id: str) -> Authorization:
        self._fail("authorize")
        assert SESSION in channel
        return Authorization("key:signed")

    def sign_in(self, socket_id: str) -> tuple[str, str] | None:
        self._fail("sign_in")
        return "key:signed", "{}"

    def open_session(self, name: str) -> OpenedSession:
        self._fail("open_session")
        assert name == SESSION
        return OpenedSession(AppCredentials("1", "cw1", "hush"), Endpoint("g", 1, False, "cw1"), None)

    def send_input(self, name: str, sealed: dict[str, object]) -> None:
        raise AssertionError("no input at the door")

    def close(self) -> None:
        self.closed = True


def behind(server: WebServer, serving: Serving) -> tuple[GatewayDoor, list[OpenedSession | None], Room]:
    opened: list[OpenedSession | None] = []
    room = Room()

    def make(found: GatewayConfig, session: OpenedSession | None) -> Broker:
        opened.append(session)
        return room.broker(ws=found.broker)

    return GatewayDoor(front(server, "/healthz"), serving, serving, make, SESSION), opened, room


class TestGatewayDoor:
    def test_each_of_its_endpoints_is_tried(self, healthy: WebServer) -> None:
        serving = Serving()
        door, opened, room = behind(healthy, serving)
        found, broker = ran(door.open())
        assert [asked.target for asked in healthy.asked] == ["/healthz"]
        assert all(found[name].status is Status.OK for name in GatewayDoor.NAMES)
        assert "9000 bytes" in found["configuration"].detail
        assert found["TLS to broker"].status is Status.WARN
        assert found["default secrets"].status is Status.WARN
        assert len(opened) == 1
        assert opened[0] is not None
        assert broker.ws.host == "broker.example"
        door.close()
        assert serving.closed
        assert room.closed == 1

    def test_a_wrong_token_is_said_in_one_line_and_the_rest_skipped(self, healthy: WebServer) -> None:
        door, opened, _ = behind(healthy, Serving(authorize=AuthError("s", "this token is not known here", 401)))
        found, broker = ran(door.open())
        assert found["auth endpoint"].detail.endswith("set CODEWRAP_TOKEN to the server's AUTH_TOKEN")
        assert [found[name].status for name in GatewayDoor.NAMES[4:]] == [Status.SKIP] * 2
        assert opened == [None]
        assert broker is not None

    @pytest.mark.parametrize(
        ("call", "name", "failure", "says"),
        [
            ("authorize", "auth endpoint", RetryLater("s", "too many", status=429, retry_after_s=7), "try again in 7 s"),
            ("sign_in", "user sign-in", AuthError("s", "no", 403), "a token that may"),
            ("sign_in", "user sign-in", TransportError("s", "broken", status=500), "the server's log"),
            ("open_session", "publishing", AuthError("s", "no", 403), "a token that may"),
        ],
    )
    def test_what_one_endpoint_refuses(self, healthy: WebServer, call: str, name: str, failure: CodewrapError, says: str) -> None:
        door, _, _ = behind(healthy, Serving(**{call: failure}))
        found, broker = ran(door.open())
        assert found[name].status is Status.FAIL
        assert says in found[name].detail
        assert broker is not None

    def test_another_version_is_no_broker(self, healthy: WebServer) -> None:
        door, _, _ = behind(healthy, Serving(config=TransportError("s", "speaks version 2", retry=False)))
        found, broker = ran(door.open())
        assert broker is None
        assert "Upgrade" in found["configuration"].detail
        assert [found[name].status for name in GatewayDoor.NAMES[3:]] == [Status.SKIP] * 3

    def test_a_broker_that_serve_auth_misses_is_a_failure(self) -> None:
        with WebServer(lambda _: answer('{"status": "ok", "broker": "unreachable"}')) as server:
            found, broker = ran(behind(server, Serving())[0].open())
        assert found["configuration"].status is Status.FAIL
        assert broker is not None

    @pytest.mark.parametrize("body", ["<html>", "[]", "{}", json.dumps({"status": "fine"}), "[" * 100_000])
    def test_a_server_of_another_kind(self, body: str) -> None:
        with WebServer(lambda _: answer(body)) as server:
            found, broker = ran(behind(server, Serving())[0].open())
        assert broker is None
        assert "no codewrap serve-auth" in found["configuration"].detail

    def test_no_server_no_more(self) -> None:
        with WebServer(lambda _: answer("", 502)) as server:
            found, broker = ran(behind(server, Serving())[0].open())
        assert broker is None
        assert [check.status for check in found.values()] == [Status.FAIL] + [Status.SKIP] * 5
