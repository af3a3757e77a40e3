"""The HTTP client: deadlines, keep-alive, answers in every form, and errors without secrets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from codewrap.errors import AuthError, ConfigError, LocalProtocolError, TransportError
from codewrap.transport.base import RetryLater
from codewrap.transport.origin import Origin
from codewrap.transport.webclient import (
    MAX_BODY_BYTES,
    WebClient,
    check_token,
    explain,
    explain_body,
    refusal,
)
from tests.support.certificates import server_certificate, trusted
from tests.support.web import Asked, WebServer, answer


def client_of(server: WebServer, **options: float) -> WebClient:
    return WebClient(Origin.parse(server.url), **options)


def test_a_request_goes_out_as_it_was_given() -> None:
    with WebServer(lambda _: answer(b"ok", x_more="a: b")) as server:
        client = WebClient(Origin("127.0.0.1", server.port, False, "/under"))
        got = client.request("POST", "/a?b=c", b"body", {"X-Mine": "1"})
        client.close()
    assert (got.status, got.body, got.headers["x-more"]) == (200, b"ok", "a: b")
    asked = server.asked[0]
    assert (asked.method, asked.target, asked.body) == ("POST", "/under/a?b=c", b"body")
    assert asked.headers["host"] == f"127.0.0.1:{server.port}"
    assert asked.headers["x-mine"] == "1"


def test_a_kept_connection_is_used_again() -> None:
    with WebServer(lambda _: answer()) as server:
        client = client_of(server)
        for _ in range(3):
            client.request("GET", "/")
        client.close()
    assert [asked.connection for asked in server.asked] == [1, 1, 1]


def test_a_connection_that_the_server_closes_is_not() -> None:
    with WebServer(lambda _: answer(connection="close")) as server:
        client = client_of(server)
        for _ in range(3):
            client.request("GET", "/")
        client.close()
    assert [asked.connection for asked in server.asked] == [1, 2, 3]


def test_a_stale_connection_is_replaced_once() -> None:
    def answering(asked: Asked) -> bytes:
        # The second request on the first connection meets a server that has just given it up.
        return b"" if len(server.asked) == 2 else answer(b"fine")

    with WebServer(answering) as server:
        client = client_of(server)
        client.request("GET", "/")
        assert client.request("POST", "/", b"again").body == b"fine"
        client.close()
    assert [asked.body for asked in server.asked] == [b"", b"again", b"again"]


def test_a_fresh_connection_that_closes_is_an_error_and_not_retried() -> None:
    with WebServer(lambda _: b"") as server:
        client = client_of(server)
        with pytest.raises(TransportError) as failed:
            client.request("GET", "/")
        client.close()
    assert failed.value.retry
    assert len(server.asked) == 1


def test_an_answer_cut_short_on_a_kept_connection_is_not_asked_for_again() -> None:
    with WebServer(
        lambda asked: answer() if asked.target == "/" else b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nabc"
    ) as server:
        client = client_of(server)
        client.request("GET", "/")
        with pytest.raises(TransportError, match="middle of an answer"):
            client.request("GET", "/cut")
        client.close()
    assert len(server.asked) == 2


def test_a_dripping_answer_ends_at_the_deadline() -> None:
    def drip(_: Asked) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        while not server.stopped.wait(0.02):
            yield b"x"

    with WebServer(drip) as server:
        client = client_of(server, timeout_s=0.4)
        started_s = time.monotonic()
        with pytest.raises(TransportError, match="no answer in time"):
            client.request("GET", "/")
        assert time.monotonic() - started_s < 2
        client.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n2;x=y\r\nle\r\n0\r\nTrailer: t\r\n\r\n",
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole",
        b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nwhole",
        b"HTTP/1.1 200\r\ncontent-length:5\r\n\r\nwhole",
    ],
)
@pytest.mark.parametrize("in_bytes", [False, True])
def test_every_form_of_body_is_read_whole_or_byte_by_byte(raw: bytes, in_bytes: bool) -> None:
    pieces = [raw[at : at + 1] for at in range(len(raw))] if in_bytes else [raw]
    with WebServer(lambda _: pieces) as server:
        client = client_of(server)
        assert client.request("GET", "/").body == b"whole"
        client.close()


def test_a_status_without_a_body_does_not_wait_for_one() -> None:
    with WebServer(lambda _: b"HTTP/1.1 204 None\r\n\r\n") as server:
        client = client_of(server)
        assert client.request("GET", "/").body == b""
        assert client.request("GET", "/").status == 204
        client.close()
    assert server.connections == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-Other\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * (MAX_BODY_BYTES + 1),
    ],
)
def test_an_answer_that_is_not_http_or_too_large_is_refused(raw: bytes) -> None:
    with WebServer(lambda _: raw) as server:
        client = client_of(server)
        with pytest.raises(TransportError):
            client.request("GET", "/", timeout_s=5)
        client.close()


def test_nobody_listening_is_worth_a_retry() -> None:
    with WebServer(lambda _: answer()) as server:
        pass
    with pytest.raises(TransportError, match="refused") as failed:
        client_of(server).request("GET", "/")
    assert failed.value.retry


def test_closing_ends_a_request_that_is_under_way() -> None:
    arrived = threading.Event()

    def never(_: Asked) -> bytes:
        arrived.set()
        server.stopped.wait(20)
        return b""

    failures: list[TransportError] = []
    with WebServer(never) as server:
        client = client_of(server, timeout_s=20)

        def ask() -> None:
            try:
                client.request("GET", "/")
            except TransportError as error:
                failures.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert arrived.wait(5)
        client.close()
        thread.join(5)
        assert not thread.is_alive()
    assert len(failures) == 1


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/é"])
def test_a_target_cannot_smuggle_a_header(target: str) -> None:
    with WebServer(lambda _: answer()) as server, pytest.raises(LocalProtocolError):
        client_of(server).request("GET", target)
    assert server.asked == []


def test_a_header_cannot_smuggle_another() -> None:
    with WebServer(lambda _: answer()) as server, pytest.raises(LocalProtocolError):
        client_of(server).request("GET", "/", headers={"X": "a\r\nY: b"})


@pytest.mark.parametrize("token", ["", "a b", "hush\n", "hüsh"])
def test_a_token_that_no_header_can_hold_is_refused_unseen(token: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_token(token)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "kind", "retry"),
    [
        (401, AuthError, None),
        (403, AuthError, None),
        (302, TransportError, False),
        (400, TransportError, False),
        (404, TransportError, False),
        (413, TransportError, False),
        (408, TransportError, True),
        (500, TransportError, True),
        (502, TransportError, True),
    ],
)
def test_statuses_become_errors(status: int, kind: type[Exception], retry: bool | None) -> None:
    error = refusal("http://server", status, "words")
    assert type(error) is kind
    assert getattr(error, "retry", None) is retry
    assert error.status == status  # type: ignore[attr-defined]


@pytest.mark.parametrize(("retry_after", "expected_s"), [("7", 7.0), (None, None), ("soon", None), ("99999999", 3600.0)])
def test_a_request_for_patience_says_how_long(retry_after: str | None, expected_s: float | None) -> None:
    error = refusal("http://server", 429, "slow", retry_after)
    assert isinstance(error, RetryLater)
    assert error.retry_after_s == expected_s


def test_a_used_up_quota_is_not_a_wrong_secret() -> None:
    assert isinstance(refusal("http://server", 403, "Message quota exceeded"), RetryLater)


def test_words_of_a_server_are_made_harmless() -> None:
    assert explain("bad\x1b[2J\n key hush", ["hush"]) == "bad\\x1b[2J key ***"
    assert len(explain("x" * 5000)) <= 200
    assert explain("  ") == "no reason given"


@pytest.mark.parametrize("body", [b'{"error":"why"}', b'{"error":{"code":"c","message":"why"}}', b"why"])
def test_errors_of_every_server_are_understood(body: bytes) -> None:
    assert explain_body(body) == "why"


def test_the_next_connection_is_opened_ahead_where_the_server_closes_each() -> None:
    with WebServer(lambda _: answer(connection="close")) as server:
        client = WebClient(Origin.parse(server.url), prepares=True)
        for _ in range(3):
            client.request("GET", "/")
        assert server.wait_for_connections(4), "none was opened ahead"
        client.close()
    assert [asked.connection for asked in server.asked] == [1, 2, 3]


def test_a_connection_opened_ahead_that_went_stale_is_replaced() -> None:
    with WebServer(lambda _: answer(b"fine", connection="close")) as server:
        client = WebClient(Origin.parse(server.url), prepares=True)
        client.request("GET", "/")
        assert server.wait_for_connections(2)
        server.drop_connections()
        assert client.request("GET", "/").body == b"fine"
        client.close()
    assert len(server.asked) == 2


@pytest.mark.parametrize("kept", [True, False])
def test_tls_is_checked_and_connections_are_reused_or_opened_ahead(
    kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, context = server_certificate(tmp_path)
    with WebServer(lambda _: answer(b"safe") if kept else answer(b"safe", connection="close"), context) as server:
        stranger = client_of(server)
        with pytest.raises(TransportError, match="not trusted") as refused:
            stranger.request("GET", "/")
        assert not refused.value.retry
        with trusted(certificate, monkeypatch):
            client = WebClient(Origin.parse(server.url), prepares=True)
            for _ in range(4):
                assert client.request("POST", "/", b"x" * 50_000).body == b"safe"
            client.close()
    first = server.asked[0].connection
    assert [asked.connection for asked in server.asked] == ([first] * 4 if kept else [first + n for n in range(4)])
