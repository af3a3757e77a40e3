"""Checks that ask nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from codewrap.doctor.report import Status
from codewrap.doctor.surroundings import (
    Terminal,
    default_credentials,
    directories,
    is_proxied,
    plain_http,
    proxy,
    terminal,
)
from codewrap.errors import StoreError
from codewrap.transport.base import AppCredentials, Endpoint
from codewrap.transport.origin import Origin

ELSEWHERE = Origin("broker.example", 443, True)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return iter(())


@pytest.mark.parametrize(
    ("found", "status", "says"),
    [
        (Terminal("xterm-256color", "utf-8", (100, 30)), Status.OK, "100 x 30"),
        (Terminal("xterm", "UTF8", (80, 24)), Status.OK, "UTF8"),
        (Terminal("xterm", "ISO-8859-1", (80, 24)), Status.WARN, "LANG=C.UTF-8"),
        (Terminal("dumb", "utf-8", (80, 24)), Status.WARN, "set TERM"),
        (Terminal("", "utf-8", (80, 24)), Status.WARN, "no TERM"),
        (Terminal("", "", None), Status.OK, "none here"),
    ],
)
def test_terminal(found: Terminal, status: Status, says: str) -> None:
    check = terminal(found)
    assert check.status is status
    assert says in check.detail


def test_directories_are_proven_by_writing(tmp_path: Path) -> None:
    def broken() -> Path:
        raise StoreError(str(tmp_path), "belongs to another user")

    makers = [
        ("CODEWRAP_RUNTIME_DIR", lambda: tmp_path),
        ("CODEWRAP_STATE_DIR", broken),
        ("CODEWRAP_STATE_DIR", lambda: tmp_path / "missing"),
    ]
    good, bad, gone = directories(makers)
    assert (good.status, bad.status, gone.status) == (Status.OK, Status.FAIL, Status.FAIL)
    assert "another user" in bad.detail
    assert "CODEWRAP_STATE_DIR" in bad.detail
    assert "No such file" in gone.detail
    assert list(tmp_path.iterdir()) == []


def test_a_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:hush@proxy.example:3128")
    check = proxy(ELSEWHERE)
    assert check.detail == "https_proxy is used: proxy.example:3128"
    assert is_proxied(ELSEWHERE)
    assert proxy(Origin("127.0.0.1", 443, True)).detail == "set, and not used for this machine"
    assert not is_proxied(Origin("127.0.0.1", 443, True))
    assert not is_proxied(Origin("broker.example", 80, False))


def test_a_proxy_that_does_not_apply_or_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy(ELSEWHERE).detail == "none"
    monkeypatch.setenv("https_proxy", "socks5://proxy.example:1080")
    assert proxy(ELSEWHERE).status is Status.FAIL
    monkeypatch.setenv("https_proxy", "http://proxy.example:none")
    assert proxy(ELSEWHERE).status is Status.FAIL
    monkeypatch.setenv("no_proxy", "broker.example")
    assert proxy(ELSEWHERE).detail == "set, and not used for broker.example"


def test_plain_http_is_warned_of_beyond_this_machine_only() -> None:
    here = Endpoint("127.0.0.1", 80, False, "k")
    away, safe = Endpoint("broker.example", 80, False, "k"), Endpoint("broker.example", 443, True, "k")
    assert plain_http([here]).status is Status.OK
    assert plain_http([safe]).detail == "on"
    warning = plain_http([safe, away], "TLS to broker")
    assert (warning.name, warning.status) == ("TLS to broker", Status.WARN)
    assert "broker.example" in warning.detail


@pytest.mark.parametrize(
    ("credentials", "named"),
    [
        (AppCredentials("app-id", "app-key", "app-secret"), "app id, key and secret"),
        (AppCredentials("1", "app-key", "app-secret"), "key and secret"),
        (AppCredentials("1", "mine", "app-secret"), "own secret"),
    ],
)
def test_credentials_that_everybody_knows_are_named(credentials: AppCredentials, named: str) -> None:
    check = default_credentials(credentials)
    assert check.status is Status.WARN
    assert named in check.detail
    assert "app-secret" not in check.detail


def test_own_credentials_are_fine() -> None:
    assert default_credentials(AppCredentials("1", "mine", "hush")).status is Status.OK
