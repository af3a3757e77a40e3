"""`serve-auth` with a certificate of one's own: host and viewer over https and wss, and nothing in clear."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import server_certificate
from tests.support.served import Served
from tests.support.sessions import TOKEN, Machine, Relay, through

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return server_certificate(tmp_path_factory.mktemp("certificate"))[0]


@pytest.fixture(scope="module")
def tls(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    options = ("--tls-cert", str(certificate), "--tls-key", str(certificate))
    with Served(tmp_path_factory.mktemp("tls"), *options, settings={"AUTH_TOKEN": TOKEN}) as served:
        yield served


@pytest.fixture
def relay(tls: Served, certificate: Path, tmp_path: Path) -> Iterator[Relay]:
    with through(tmp_path, tls, "tls") as made:
        for machine in (made.host, made.viewer):
            machine.settings["SSL_CERT_FILE"] = str(certificate)
        yield made


def test_a_session_goes_over_https_and_wss_by_an_authority_of_ones_own(relay: Relay, tls: Served) -> None:
    assert tls.url.startswith("https://")
    host = relay.shell()
    viewer = relay.attached()
    viewer.send("echo over-tls-$((6 * 7))\r")
    host.shows("\nover-tls-42\n")
    viewer.shows("\nover-tls-42\n")
    viewer.send("exit 3\r")
    assert (host.status(), viewer.status()) == (3, 3)


def test_a_certificate_that_nobody_vouches_for_is_refused_in_one_line(relay: Relay) -> None:
    relay.shell()
    del relay.viewer.settings["SSL_CERT_FILE"]
    status, out, err = relay.viewer.finished("attach", "--quiet", relay.name)
    assert (status, out) == (255, b"")
    assert len(err.decode().splitlines()) == 1
    assert b"certificate" in err.lower()
    assert TOKEN.encode() not in err


def test_a_token_is_sent_to_no_other_machine_in_clear(tmp_path: Path) -> None:
    settings = {"CODEWRAP_URL": "http://codewrap.example:8080", "CODEWRAP_TOKEN": TOKEN}
    with Machine(tmp_path / "machine", settings) as machine:
        for command in (("attach", "anything"), ("run", "--", "true")):
            status, _, err = machine.finished(*command)
            assert status == 2, err
            assert b"https" in err


def test_what_is_said_in_clear_to_a_port_with_tls_is_not_answered(tls: Served) -> None:
    with socket.create_connection(("127.0.0.1", tls.port), timeout=10) as plain, contextlib.suppress(ConnectionError):
        plain.sendall(b"GET /api/config HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"HTTP" not in plain.recv(1000)


def test_old_versions_of_tls_are_refused_and_sockets_are_served(tls: Served, certificate: Path) -> None:
    old = ssl.create_default_context(cafile=str(certificate))
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.deprecated_call():
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", tls.port), timeout=10) as plain, pytest.raises((ssl.SSLError, OSError)):
        old.wrap_socket(plain, server_hostname="127.0.0.1")
    context = ssl.create_default_context(cafile=str(certificate))
    with (
        socket.create_connection(("127.0.0.1", tls.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as peer,
    ):
        peer.sendall(b"GET /api/config HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := peer.recv(65_536):
            answer += data
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["broker"]["tls"] is None  # as it was asked: with TLS
