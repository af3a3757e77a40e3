"""Bodies: limits while reading, strict forms and JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from codewrap.server import bodies
from codewrap.server.refusals import Refusal

FORM = "application/x-www-form-urlencoded"


def request(pieces: list[bytes], headers: dict[str, str] | None = None, *, ends: bool = True) -> tuple[Request, list[Any]]:
    """A request whose body comes in ``pieces``; the list shows what was not read. Where it never ends, it waits."""
    left: list[Any] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if ends:
        left[-1]["more_body"] = False

    async def receive() -> Any:
        if left:
            return left.pop(0)
        return await asyncio.get_running_loop().create_future()

    encoded = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return Request({"type": "http", "method": "POST", "headers": encoded}, receive), left


def refused(text: str, call: Any, *arguments: Any) -> Refusal:
    with pytest.raises(Refusal, match=text) as caught:
        call(*arguments)
    return caught.value


def test_a_body_within_the_limit_is_read_whole() -> None:
    asked, _ = request([b"ab", b"", b"c"])
    assert asyncio.run(bodies.read(asked, 3)) == b"abc"


def test_a_body_over_the_limit_is_refused_before_it_is_read_to_its_end() -> None:
    asked, left = request([b"ab"] * 100)
    assert refused("3 bytes", asyncio.run, bodies.read(asked, 3)).status == 413
    assert len(left) == 98


def test_a_body_announced_too_large_is_not_read_at_all() -> None:
    asked, left = request([b"ab"], {"content-length": "9" * 30})
    assert refused("3 bytes", asyncio.run, bodies.read(asked, 3)).status == 413
    assert len(left) == 1


def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READ_TIMEOUT_S", 0.05)
    asked, _ = request([b"ab"], ends=False)
    assert refused("in time", asyncio.run, bodies.read(asked, 30)).status == 408


@pytest.mark.parametrize("kind", [FORM, f"{FORM}; charset=UTF-8", FORM.upper(), None])
def test_forms_as_the_official_clients_send_them(kind: str | None) -> None:
    assert bodies.parse_fields(kind, b"socket_id=1.2&channel_name=a%20b&role=") == {
        "socket_id": "1.2",
        "channel_name": "a b",
        "role": "",
    }


def test_json_gives_the_same_fields() -> None:
    body = json.dumps({"socket_id": "1.2", "channel_name": "ä"}).encode()
    assert bodies.parse_fields("application/json; charset=utf-8", body) == {"socket_id": "1.2", "channel_name": "ä"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (FORM, b"a=1&a=2"),
        (FORM, b"a=\xff"),
        (FORM, b"a=%ff"),
        (FORM, b"&".join(b"a%d=1" % n for n in range(33))),
        ("application/json", b'{"a":"1","a":"2"}'),
        ("application/json", b'{"a":1}'),
        ("application/json", b'{"a":null}'),
        ("application/json", b'{"a":"\\ud800"}'),
        ("application/json", b"[]"),
        ("application/json", b""),
        ("application/json", b"\xff"),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"a":NaN}'),
        ("text/plain", b"a=1"),
        ("multipart/form-data; boundary=x", b"--x--"),
    ],
)
def test_all_else_is_refused(kind: str, body: bytes) -> None:
    assert refused("bad_request", bodies.parse_fields, kind, body).status == 400


@given(st.binary(max_size=200), st.sampled_from([FORM, "application/json"]))
def test_any_bytes_are_fields_or_a_refusal(body: bytes, kind: str) -> None:
    try:
        fields = bodies.parse_fields(kind, body)
    except Refusal as refusal:
        assert refusal.status == 400
    else:
        assert all(isinstance(value, str) for value in fields.values())


def test_fields_that_nobody_knows_are_refused() -> None:
    bodies.only({"a": 1}, "a", "b")
    refused("a, b", bodies.only, {"a": 1, "c": 2}, "a", "b")
