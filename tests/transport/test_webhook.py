"""A webhook against a real server: what it gets, what counts as taken, and what is tried again."""

from __future__ import annotations

import hashlib
import hmac
import threading

import pytest

from codewrap.errors import TransportError
from codewrap.transport.webhook import Webhook, sign
from tests.support.sessions import closed_port
from tests.support.web import Asked, WebServer, answer

BODY = b'{"event":"awaiting"}'


def test_server_gets_body_number_time_and_a_signature_over_both() -> None:
    with WebServer(lambda _: answer(status=204)) as server:
        Webhook(f"{server.url}/hook/a?token=1", "the-secret").post(BODY, "run-1", 1_800_000_000.9)
        (asked,) = server.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/hook/a?token=1", BODY)
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["codewrap-id"] == "run-1"
    timestamp = asked.headers["codewrap-timestamp"]
    assert timestamp == "1800000000"
    expected = hmac.new(b"the-secret", timestamp.encode() + b"." + asked.body, hashlib.sha256).hexdigest()
    assert asked.headers["codewrap-signature"] == f"v1={expected}" == sign("the-secret", 1_800_000_000, BODY)


def test_without_a_secret_nothing_is_signed() -> None:
    with WebServer(lambda _: answer()) as server:
        Webhook(server.url, None).post(BODY, "run-1", 0.0)
        assert "codewrap-signature" not in server.asked[0].headers
        assert server.asked[0].target == "/"


@pytest.mark.parametrize(("status", "retry"), [(500, True), (503, True), (429, True), (408, True), (404, False), (401, False)])
def test_what_is_not_taken_is_said_and_whether_to_try_again(status: int, retry: bool) -> None:
    with WebServer(lambda _: answer(status=status)) as server:
        with pytest.raises(TransportError, match="does not take") as caught:
            Webhook(f"{server.url}/the/secret/path", "the-secret").post(BODY, "run-1", 0.0)
        assert caught.value.retry is retry
        assert "the" not in str(caught.value).replace("the notification", "")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_not_followed(status: int) -> None:
    with WebServer(lambda _: answer()) as other, WebServer(lambda _: answer(status=status, location=other.url)) as server:
        with pytest.raises(TransportError, match="redirect") as caught:
            Webhook(server.url, "the-secret").post(BODY, "run-1", 0.0)
        assert not caught.value.retry
        assert other.asked == []


def test_server_that_hangs_is_left_in_time() -> None:
    over = threading.Event()

    def hang(_: Asked) -> bytes:
        over.wait(30)
        return b""

    with WebServer(hang) as server:
        with pytest.raises(TransportError) as caught:
            Webhook(server.url, None, timeout_s=0.2).post(BODY, "run-1", 0.0)
        over.set()
    assert caught.value.retry


def test_nobody_there_is_worth_another_try() -> None:
    webhook = Webhook(f"http://127.0.0.1:{closed_port()}/secret", None)
    with pytest.raises(TransportError) as caught:
        webhook.post(BODY, "run-1", 0.0)
    assert caught.value.retry
    assert "secret" not in webhook.label
