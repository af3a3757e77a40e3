"""Who asks: by bearer token only, and not too many guesses."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from codewrap.protocol.roles import Act, Role
from codewrap.server.identity import Gatekeeper, Identity
from codewrap.server.limits import Failures
from codewrap.server.refusals import Refusal

TOKEN = "correct-horse-battery-staple"


def asks(*authorizations: str, query: str = "", cookie: str = "", address: str = "192.0.2.1") -> Request:
    headers = [(b"authorization", value.encode("latin-1")) for value in authorizations]
    if cookie:
        headers.append((b"cookie", cookie.encode()))
    scope = {"type": "http", "headers": headers, "query_string": query.encode(), "client": (address, 1)}
    return Request(scope)


def gatekeeper(now: list[float] | None = None) -> Gatekeeper:
    return Gatekeeper(TOKEN, Failures(limit=3, window_s=60), lambda: (now or [0.0])[0])


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER  {TOKEN} "])
def test_the_admin_token_makes_an_admin(header: str) -> None:
    assert gatekeeper().identify(asks(header)) == Identity("admin", Role.ADMIN)


@pytest.mark.parametrize(
    "request_",
    [
        asks(),
        asks("Bearer"),
        asks("Bearer "),
        asks(f"Basic {TOKEN}"),
        asks(TOKEN),
        asks(f"Bearer {TOKEN}x"),
        asks(f"Bearer {TOKEN[:-1]}"),
        asks(f"Bearer {TOKEN.upper()}"),
        asks("Bearer \xff"),
        asks(f"Bearer {TOKEN}", f"Bearer {TOKEN}"),
        asks(query=f"token={TOKEN}&access_token={TOKEN}"),
        asks(cookie=f"token={TOKEN}"),
    ],
)
def test_nothing_else_does(request_: Request) -> None:
    with pytest.raises(Refusal) as caught:
        gatekeeper().identify(request_)
    assert caught.value.status == 401
    assert TOKEN not in str(caught.value)


def test_a_server_without_a_token_does_not_come_to_be() -> None:
    with pytest.raises(ValueError, match="everybody"):
        Gatekeeper("")


def test_guessing_is_slowed_down_by_address_and_the_right_token_is_not_tried_meanwhile() -> None:
    now = [0.0]
    guarded = gatekeeper(now)
    for _ in range(3):
        with pytest.raises(Refusal) as caught:
            guarded.identify(asks("Bearer wrong"))
        assert caught.value.status == 401
    with pytest.raises(Refusal) as caught:
        guarded.identify(asks(f"Bearer {TOKEN}"))
    assert (caught.value.status, caught.value.retry_after_s) == (429, 60)
    assert guarded.identify(asks(f"Bearer {TOKEN}", address="192.0.2.2")).role is Role.ADMIN
    now[0] = 60.0
    assert guarded.identify(asks(f"Bearer {TOKEN}")).role is Role.ADMIN


def test_asking_without_a_token_is_no_guess() -> None:
    guarded = gatekeeper()
    for _ in range(20):
        with pytest.raises(Refusal) as caught:
            guarded.identify(asks())
        assert caught.value.status == 401


def test_a_role_that_may_not_is_refused() -> None:
    Identity("alice", Role.WRITER).require(Act.TYPE)
    with pytest.raises(Refusal) as caught:
        Identity("alice", Role.VIEWER).require(Act.TYPE)
    assert caught.value.status == 403
