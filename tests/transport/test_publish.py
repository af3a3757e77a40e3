"""Publishing: what goes over the wire, and what each answer becomes."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.parse

import pytest

from codewrap.errors import AuthError, ConfigError, LocalProtocolError, TransportError
from codewrap.transport.base import AppCredentials, Endpoint, Event, RetryLater
from codewrap.transport.publish import CallableBackend, PusherPublisher
from tests.support.web import Asked, WebServer, answer

CREDENTIALS = AppCredentials("42", "app-key", "app-hush")
ENDPOINT = Endpoint("broker.invalid", 80, False, "app-key")
EVENT = Event("private-encrypted-command-s", "output", '{"nonce":"n","ciphertext":"c"}')


class Hub:
    """A broker in this process that answers everything with ``said``."""

    def __init__(self, said: object = None, status: int = 200) -> None:
        self.said = {} if said is None else said
        self.status = status
        self.asked: list[tuple[str, str, bytes]] = []

    def __call__(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        self.asked.append((method, target, body))
        return self.status, self.said if isinstance(self.said, bytes) else json.dumps(self.said).encode()


def publisher_to(hub: Hub, **limits: int) -> PusherPublisher:
    return PusherPublisher(CREDENTIALS, ENDPOINT, backend=CallableBackend(hub), **limits)


def signature(method: str, target: str) -> tuple[str, str]:
    """The signature that ``target`` carries, and the one it should."""
    path, _, query = target.partition("?")
    parameters = dict(urllib.parse.parse_qsl(query))
    given = parameters.pop("auth_signature")
    text = f"{method}\n{path}\n" + "&".join(f"{name}={parameters[name]}" for name in sorted(parameters))
    return given, hmac.new(b"app-hush", text.encode(), hashlib.sha256).hexdigest()


def test_events_travel_in_order_as_they_are_even_on_encrypted_channels() -> None:
    hub = Hub()
    publisher_to(hub).publish([EVENT, Event("private-input-s", "x", "─"), EVENT])
    method, target, body = hub.asked[0]
    assert (method, target.partition("?")[0]) == ("POST", "/apps/42/batch_events")
    assert [(e["channel"], e["name"], e["data"]) for e in json.loads(body)["batch"]] == [
        (EVENT.channel, "output", EVENT.data),
        ("private-input-s", "x", "─"),
        (EVENT.channel, "output", EVENT.data),
    ]


def test_publishing_the_same_events_again_sends_the_same_bytes() -> None:
    hub = Hub()
    publisher = publisher_to(hub)
    events = [EVENT, EVENT]
    publisher.publish(events)
    publisher.publish(events)
    assert hub.asked[0][2] == hub.asked[1][2]


def test_requests_are_signed_over_body_and_path() -> None:
    hub = Hub()
    publisher_to(hub).publish([EVENT])
    method, target, body = hub.asked[0]
    given, expected = signature(method, target)
    assert given == expected
    assert f"body_md5={hashlib.md5(body).hexdigest()}" in target


def test_queries_are_signed_without_the_digest_of_an_empty_body() -> None:
    hub = Hub({"channels": {"presence-a": {"user_count": 2}}})
    assert publisher_to(hub).channels("presence-") == {"presence-a": {"user_count": 2}}
    method, target, _ = hub.asked[0]
    assert "body_md5" not in target
    assert "filter_by_prefix=presence-" in target
    given, expected = signature(method, target)
    assert given == expected


def test_channel_and_users_are_asked_for() -> None:
    hub = Hub({"occupied": True})
    assert publisher_to(hub).channel_info("private-a") == {"occupied": True}
    hub.said = {"users": [{"id": "anna"}, {"id": 7}]}
    assert publisher_to(hub).users("presence-a") == ["anna", "7"]
    assert [target.partition("?")[0] for _, target, _ in hub.asked] == [
        "/apps/42/channels/private-a",
        "/apps/42/channels/presence-a/users",
    ]


def test_a_users_connections_are_ended_within_the_app() -> None:
    hub = Hub({})
    publisher_to(hub).terminate_user("link@0a1b")
    ((method, target, body),) = hub.asked
    assert (method, target.partition("?")[0]) == ("POST", "/apps/42/users/link@0a1b/terminate_connections")
    assert "auth_signature=" in target
    assert body == b"{}"


@pytest.mark.parametrize("user", ["", "a/b", "a b", "a?b", "é", "a" * 201])
def test_who_cannot_have_signed_in_is_not_asked_about(user: str) -> None:
    hub = Hub({})
    with pytest.raises(LocalProtocolError):
        publisher_to(hub).terminate_user(user)
    assert hub.asked == []


def test_a_name_no_channel_has_is_not_asked_about() -> None:
    hub = Hub()
    with pytest.raises(LocalProtocolError):
        publisher_to(hub).channel_info("a/b")
    assert hub.asked == []


@pytest.mark.parametrize(
    "events",
    [
        [],
        [EVENT] * 11,
        [Event("private-a", "e", "x" * 10_241)],
        [Event("private-a", "e", "─" * 3_414)],
        [Event("private-a", "e", "")],
        [Event("private-a" * 20, "e", "x")],
        [Event("private-a", "e" * 201, "x")],
        [Event("private-a", "", "x")],
        [Event("private-a", "pusher:error", "x")],
        [Event("private-a", "pusher_internal:x", "x")],
    ],
)
def test_what_a_broker_would_refuse_is_not_sent(events: list[Event]) -> None:
    hub = Hub()
    with pytest.raises(LocalProtocolError):
        publisher_to(hub).publish(events)
    assert hub.asked == []


def test_limits_are_the_brokers() -> None:
    hub = Hub()
    publisher_to(hub, event_bytes=100_000, batch_events=1).publish([Event("private-a", "e", "─" * 33_333)])
    assert len(hub.asked) == 1


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (401, {"error": "no app-hush"}, AuthError),
        (403, b"Forbidden app-hush", AuthError),
        (403, b"Account over message quota", RetryLater),
        (413, b"app-hush", TransportError),
        (429, {"error": "app-hush"}, RetryLater),
        (503, b"", RetryLater),
        (500, b"<html>app-hush</html>", TransportError),
        (200, {"error": "app-hush", "code": 401}, AuthError),
        (200, {"error": "app-hush", "code": 413}, TransportError),
        (200, {"error": "app-hush"}, TransportError),
        (200, {"error": "app-hush", "code": "x"}, TransportError),
        (200, b"<html>app-hush</html>", TransportError),
        (200, [], TransportError),
    ],
)
def test_refusals_become_errors_without_the_secret(status: int, said: object, kind: type[Exception]) -> None:
    with pytest.raises(kind) as failed:
        publisher_to(Hub(said, status)).publish([EVENT])
    assert type(failed.value) is kind
    assert "hush" not in str(failed.value)


def test_an_app_id_that_is_no_number_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="app id"):
        PusherPublisher(AppCredentials("app-id", "k", "s"), ENDPOINT, backend=CallableBackend(Hub()))


def test_a_path_prefix_is_sent_and_not_signed() -> None:
    with WebServer(lambda _: answer()) as server:
        publisher = PusherPublisher(CREDENTIALS, Endpoint("127.0.0.1", server.port, False, "app-key", "/under"))
        publisher.publish([EVENT])
        publisher.close()
    target = server.asked[0].target
    assert target.startswith("/under/apps/42/batch_events?")
    given, expected = signature("POST", target.removeprefix("/under"))
    assert given == expected


def test_patience_is_asked_for_by_header() -> None:
    with WebServer(lambda _: answer("{}", 429, retry_after="9")) as server:
        publisher = PusherPublisher(CREDENTIALS, Endpoint("127.0.0.1", server.port, False, "app-key"))
        with pytest.raises(RetryLater) as failed:
            publisher.publish([EVENT])
        publisher.close()
    assert failed.value.retry_after_s == 9


def test_the_brokers_clock_is_read_from_its_answers() -> None:
    def answering(_: Asked) -> bytes:
        then = time.gmtime(time.time() + 3600)
        return answer(Date=time.strftime("%a, %d %b %Y %H:%M:%S GMT", then))

    with WebServer(answering) as server:
        publisher = PusherPublisher(CREDENTIALS, Endpoint("127.0.0.1", server.port, False, "app-key"))
        assert publisher.clock_skew_s is None
        publisher.channels()
        assert publisher.clock_skew_s == pytest.approx(3600, abs=1.5)
        server.answering = lambda _: answer(Date="yesterday")
        publisher.channels()
        publisher.close()


def test_a_broker_that_drips_is_given_up_in_time() -> None:
    def drip(_: Asked) -> object:
        yield b"HTTP/1.1 200 OK\r\n"
        while not server.stopped.wait(0.02):
            yield b"X"

    with WebServer(drip) as server:  # type: ignore[arg-type]
        publisher = PusherPublisher(CREDENTIALS, Endpoint("127.0.0.1", server.port, False, "k"), timeout_s=0.3)
        with pytest.raises(TransportError, match="no answer in time") as failed:
            publisher.publish([EVENT])
        publisher.close()
    assert failed.value.retry


def test_nothing_secret_is_in_a_repr() -> None:
    assert "hush" not in repr(publisher_to(Hub()))
