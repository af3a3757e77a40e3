"""Reading an address, choosing the way there, and TLS with the system's certificates."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from codewrap.errors import ConfigError
from codewrap.transport.origin import Origin, open_stream, remaining_s


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8080", Origin("localhost", 8080, False)),
        ("https://codewrap.example", Origin("codewrap.example", 443, True)),
        ("https://codewrap.example/term/", Origin("codewrap.example", 443, True, "/term")),
        ("http://[::1]:9", Origin("::1", 9, False)),
    ],
)
def test_urls_are_read(url: str, expected: Origin) -> None:
    assert Origin.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://a",
        "//a",
        "http://",
        "http://a:port",
        "http://u:hush@a",
        "https://a?token=hush",
        "http://a/#hush",
        "http://a:99999",
    ],
)
def test_other_addresses_are_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Origin.parse(url)
    assert refused.value.setting == "CODEWRAP_URL"
    assert "hush" not in str(refused.value)


def test_authority_leaves_out_the_usual_port() -> None:
    assert Origin("a", 443, True).authority == "a"
    assert Origin("a", 443, False).authority == "a:443"
    assert Origin("::1", 6001, False).authority == "[::1]:6001"


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_loopback_is_known(host: str, is_loopback: bool) -> None:
    assert Origin(host, 80, False).is_loopback is is_loopback


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_streams_do_not_wait_to_fill_packets(listener: socket.socket) -> None:
    with open_stream(Origin("127.0.0.1", listener.getsockname()[1], False), time.monotonic() + 5) as stream:
        assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_no_proxy_is_used_for_this_machine(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    open_stream(Origin("localhost", listener.getsockname()[1], False), time.monotonic() + 5).close()
    assert listener.accept()[0].close() is None


def test_other_hosts_are_reached_through_the_proxy(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:p%40ss@127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.delenv("no_proxy", raising=False)
    heard: list[bytes] = []

    def proxy() -> None:
        with listener.accept()[0] as stream:
            heard.append(stream.recv(4096))
            stream.sendall(b"HTTP/1.1 200 OK\r\n\r\nhello")

    thread = threading.Thread(target=proxy)
    thread.start()
    with open_stream(Origin("broker.invalid", 8080, False), time.monotonic() + 5) as stream:
        assert stream.recv(5) == b"hello", "what follows the proxy's answer belongs to the tunnel"
    thread.join(5)
    assert heard[0].startswith(b"CONNECT broker.invalid:8080 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n" in heard[0]


@pytest.mark.parametrize("said", [b"HTTP/1.1 407 No\r\n\r\n", b"garbage\r\n\r\n", b""])
def test_a_refusing_proxy_is_an_error(said: bytes, listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.delenv("no_proxy", raising=False)

    def proxy() -> None:
        with listener.accept()[0] as stream:
            stream.recv(4096)
            stream.sendall(said)

    thread = threading.Thread(target=proxy)
    thread.start()
    with pytest.raises(OSError, match="proxy"):
        open_stream(Origin("broker.invalid", 80, False), time.monotonic() + 5)
    thread.join(5)


def test_a_proxy_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(OSError, match="proxy"):
        open_stream(Origin("broker.invalid", 80, False), time.monotonic() + 5)


def test_no_time_left_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        remaining_s(time.monotonic() - 1)
