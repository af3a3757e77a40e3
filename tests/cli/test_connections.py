"""Network parts put together: keys that are kept, credentials that are renewed, names of members, input over HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from codewrap.cli import connections
from codewrap.cli.connections import Access, GatewayPublisher, HostParts, KnownSecrets, member_of, with_retries
from codewrap.config import Broker, Gateway
from codewrap.errors import AuthError, RemoteProtocolError, TransportError
from codewrap.protocol import frames
from codewrap.protocol.frames import Input, Resize
from codewrap.protocol.geometry import Size
from codewrap.transport.base import (
    Authorization,
    Event,
    Member,
    MemberAdded,
    MemberRemoved,
    Received,
    Subscribed,
    SubscriberEvent,
)
from codewrap.transport.gateway import GatewayClient
from codewrap.transport.lease import Lease
from tests.support.web import Asked, WebServer, answer
from tests.support.wires import ScriptedAuthorizer


def key(number: int) -> Authorization:
    return Authorization("auth", None, bytes([number]) * 32)


def test_a_key_is_asked_for_once() -> None:
    authorizer = ScriptedAuthorizer(key(1), key(2))
    known = KnownSecrets(authorizer)
    assert [known("a"), known("a"), known("b"), known("a")] == [bytes([1]) * 32] * 2 + [bytes([2]) * 32, bytes([1]) * 32]
    assert [channel for channel, _ in authorizer.asked] == ["a", "b"]


def test_a_new_key_is_taken_up_and_an_old_one_serves_while_the_server_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KnownSecrets, "KEEP_S", 0.0)
    known = KnownSecrets(ScriptedAuthorizer(key(1), TransportError("server", "away"), key(2), AuthError("server", "no more")))
    assert known("a") == bytes([1]) * 32
    assert known("a") == bytes([1]) * 32
    assert known("a") == bytes([2]) * 32
    with pytest.raises(AuthError):
        known("a")


@pytest.mark.parametrize(
    ("event", "is_asked_again"),
    [
        (Subscribed("presence-command-s"), True),
        (MemberAdded("presence-command-s", Member("a.1", {})), True),
        (Received("presence-command-s", "client-sync", "{}"), True),
        (Received("presence-command-s", "sync", "{}"), True),
        (Received("private-input-s", "client-input", "{}"), False),
        (MemberRemoved("presence-command-s", Member("a.1", {})), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_key_is_asked_for_again_where_somebody_may_have_a_newer_one(
    event: SubscriberEvent, is_asked_again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    authorizer = ScriptedAuthorizer(key(1), key(2), key(3))
    known = KnownSecrets(authorizer)
    delivered: list[SubscriberEvent] = []
    deliver = known.doubting(delivered.append)
    assert known("a") == bytes([1]) * 32
    deliver(event)
    assert known("a") == bytes([1]) * 32  # it was given a moment ago
    monkeypatch.setattr(KnownSecrets, "DOUBTED_S", 0.0)
    assert known("a") == bytes([2 if is_asked_again else 1]) * 32
    assert known("a") == bytes([2 if is_asked_again else 1]) * 32
    assert delivered == [event]


def test_a_key_that_was_never_known_cannot_be_had_from_a_server_that_is_away() -> None:
    with pytest.raises(TransportError):
        KnownSecrets(ScriptedAuthorizer(TransportError("server", "away")))("a")


@pytest.mark.parametrize("user", ["anna", "Żółć & co", "", "x" * 500, "a/b c\x1b"])
def test_members_have_ids_that_brokers_take_and_one_for_each_socket(user: str) -> None:
    member = member_of(user, "writer")
    first, info = member("1.1")
    second, _ = member("1.2")
    assert re.fullmatch(r"[A-Za-z0-9_\-=@,.;]{1,128}", first)
    assert first != second
    assert member("1.1") == (first, info)
    assert info["role"] == "writer"
    assert str(info["name"]).isprintable()


WRITER = connections.ViewerName("anna", "writer", "challenge")


def test_a_viewer_shows_its_challenge_to_the_host() -> None:
    assert member_of("anna", "writer", None, "q83v")("1.1")[1]["challenge"] == "q83v"
    assert "challenge" not in member_of("anna", "host")("1.1")[1]


def test_a_hosted_service_s_input_is_paced() -> None:
    broker = Broker("PUSHER", "1", "k", "s", "api", 443, "ws", 443, True)
    assert Access.to_broker(broker).hosted
    assert connections.direct_viewer(Access.to_broker(broker), WRITER, lambda _: None).input_interval_s > 0.1
    hub = {"port": 7, "app_id": "1", "key": "k", "secret": "s", "master_key": "00" * 32}
    assert connections.direct_viewer(Access.to_hub(hub), WRITER, lambda _: None).input_interval_s == 0
    assert Access.to_hub(hub).master_key == bytes(32)


@pytest.mark.parametrize(("per_second", "least_s", "most_s"), [(None, 0, 0), (10, 0.1, 0.15), (1, 1, 1.5)])
def test_a_viewer_behind_a_gateway_types_no_faster_than_its_broker_takes(
    per_second: int | None, least_s: float, most_s: float
) -> None:
    told = {"host": None, "port": None, "tls": None, "key": "k", "path": ""}
    limits = {"event_bytes": 10_240, "client_events_per_s": per_second}
    config = json.dumps({"version": 1, "broker": told, "limits": limits, "encrypted": True})
    with WebServer(lambda _: answer(config, connection="close")) as server:
        parts = connections.gateway_viewer(Gateway(server.url, "token"), "s", WRITER, lambda _: None)
    assert least_s <= parts.input_interval_s <= most_s


class ServeAuth:
    """Gives out credentials, each good for ``good_for`` publishes."""

    def __init__(self, good_for: int) -> None:
        self.good_for = good_for
        self.opened = 0
        self.used: dict[str, int] = {}
        self.published: list[str] = []

    def __call__(self, asked: Asked) -> bytes:
        if asked.target == "/api/sessions":
            self.opened += 1
            return answer(json.dumps({"key": f"key{self.opened}", "appId": "1", "secret": "hush", "grant": "a"}))
        if asked.target == "/api/sessions/s/end":
            return answer()
        key = asked.target.partition("auth_key=")[2].partition("&")[0]
        self.used[key] = self.used.get(key, 0) + 1
        if self.used[key] > self.good_for:
            return answer("expired", 401)
        self.published.append(key)
        return answer()


@contextmanager
def publisher_at(server: WebServer) -> Iterator[GatewayPublisher]:
    lease = Lease(GatewayClient(server.url, "token"), "s", lambda _: None)
    lease.open()
    publisher = GatewayPublisher(lease, 10_240)
    yield publisher
    publisher.close()
    lease.end()


def test_credentials_are_asked_for_once_and_renewed_when_they_are_refused() -> None:
    gateway = ServeAuth(good_for=2)
    with WebServer(gateway) as server, publisher_at(server) as publisher:
        for _ in range(3):
            publisher.publish([Event("private-encrypted-command-s", "output", "x")])
    assert gateway.published == ["key1", "key1", "key2"]
    assert gateway.opened == 2


def test_credentials_that_are_refused_at_once_are_an_error_and_no_loop() -> None:
    gateway = ServeAuth(good_for=0)
    with WebServer(gateway) as server, publisher_at(server) as publisher, pytest.raises(AuthError):
        publisher.publish([Event("private-encrypted-command-s", "output", "x")])
    assert gateway.opened == 2


class RecordingGateway:
    """What is asked of a serve-auth."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def sync(self, session: str, value: object) -> None:
        self.asked.append(("sync", session, value))

    def send_input(self, session: str, value: object) -> None:
        self.asked.append(("input", session, value))

    def send_text(self, session: str, text: str) -> None:
        self.asked.append(("text", session, text))


def send(event: Event) -> list[tuple[object, ...]]:
    gateway = RecordingGateway()
    connections._send_by_gateway(gateway, "s", event)  # type: ignore[arg-type]
    return gateway.asked


def test_input_goes_through_the_gateway_as_what_it_is() -> None:
    box = {"nonce": "n", "ciphertext": "c", "writer": "anna.http", "until": 1}
    typed = frames.encode(Input("e", "w", 0, b"ls\xff"))
    size = frames.encode(Resize("e", "w", Size(rows=1, cols=2)))
    assert send(Event("presence-command-s", "sync", '{"v":1}')) == [("sync", "s", {"v": 1})]
    assert send(Event("private-input-s", "input", json.dumps(box))) == [("input", "s", box)]
    assert send(Event("private-input-s", "input", typed)) == [("text", "s", "ls\ufffd")]
    assert send(Event("private-input-s", "input", size)) == []
    with pytest.raises(RemoteProtocolError):
        send(Event("private-input-s", "input", "no json"))


def test_connecting_is_tried_again_and_each_reason_told_once() -> None:
    parts = HostParts(None, None, lambda _: None, None)  # type: ignore[arg-type]
    answers = [TransportError("s", "away"), TransportError("s", "away"), AuthError("s", "no"), parts]
    waits: list[float] = []
    told: list[str] = []

    def attempt() -> HostParts:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert with_retries(attempt, lambda wait_s: bool(waits.append(wait_s)), told.append) is parts
    assert waits == [0.2, 0.4, connections.REFUSED_RETRY_S]
    assert len(told) == 2


def test_connecting_ends_when_the_session_does() -> None:
    def attempt() -> HostParts:
        raise TransportError("s", "away")

    waits = iter([False] * 10 + [True])
    seen: list[float] = []
    assert with_retries(attempt, lambda wait_s: seen.append(wait_s) or next(waits), lambda _: None) is None
    assert max(seen) == 10.0
