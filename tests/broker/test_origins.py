"""Which hosts and web pages are let in."""

from __future__ import annotations

import pytest

from codewrap.broker.origins import Door, host_name


def headers(host: str | None, origin: str | None = None) -> list[tuple[bytes, bytes]]:
    pairs = [(b"accept", b"*/*")]
    if host is not None:
        pairs.append((b"host", host.encode()))
    if origin is not None:
        pairs.append((b"origin", origin.encode()))
    return pairs


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:6001", "[::1]", "[::1]:6001"])
def test_programs_on_this_machine_pass(host: str) -> None:
    assert Door().admits(headers(host))


@pytest.mark.parametrize("host", [None, "", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"])
def test_a_rebound_name_does_not_pass(host: str | None) -> None:
    assert not Door().admits(headers(host))


def test_web_pages_pass_when_listed_or_served_from_here() -> None:
    door = Door(origins=("https://good.example",))
    assert door.admits(headers("localhost:1", "https://good.example"))
    assert door.admits(headers("localhost:1", "http://localhost:1"))
    assert not door.admits(headers("localhost:1", "http://localhost:2"))
    assert not door.admits(headers("localhost:1", "https://evil.example"))
    assert not door.admits(headers("localhost:1", "null"))


def test_everything_can_be_let_in() -> None:
    assert Door(hosts="*", origins="*").admits(headers("any.example", "https://any.example"))
    assert not Door(hosts="*").admits(headers(None, "null"))


def test_the_name_of_a_host_is_read_without_its_port() -> None:
    names = [host_name(host) for host in ("a", "a:1", "[::1]:1", "[::1")]
    assert names == ["a", "a", "::1", "::1"]
