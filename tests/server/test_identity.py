"""Who asks: by bearer token only, and not too many guesses."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from codewrap.protocol.roles import Act, Role
from codewrap.server.guessing import FREE
from codewrap.server.identity import Gatekeeper, Identity
from codewrap.server.refusals import Refusal

TOKEN = "correct-horse-battery-staple"


def asks(*authorizations: str, query: str = "", cookie: str = "", address: str = "192.0.2.1") -> Request:
    headers = [(b"authorization", value.encode("latin-1")) for value in authorizations]
    if cookie:
        headers.append((b"cookie", cookie.encode()))
    scope = {"type": "http", "headers": headers, "query_string": query.encode(), "client": (address, 1)}
    return Request(scope)


def gatekeeper(now: list[float] | None = None) -> Gatekeeper:
    return Gatekeeper(TOKEN, wall_clock=lambda: (now or [1000.0])[0])


def identify(guarded: Gatekeeper, request: Request) -> Identity:
    return asyncio.run(guarded.identify(request))


class Known:
    """Knows one token, and refuses another one of its kind."""

    async def identify(self, token: str, now_s: float) -> Identity | None:
        if token == "expired":
            raise Refusal(401, "unauthorized", "this token has expired")
        if token == "unsure":
            raise Refusal(503, "state_unavailable", "not now")
        return Identity("alice", Role.WRITER, ("build-*",), kind="token") if token == "alice's" else None

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER  {TOKEN} "])
def test_the_admin_token_makes_an_admin(header: str) -> None:
    assert identify(gatekeeper(), asks(header)) == Identity("admin", Role.ADMIN)


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
        identify(gatekeeper(), request_)
    assert caught.value.status == 401
    assert TOKEN not in str(caught.value)


def test_a_server_without_a_token_does_not_come_to_be() -> None:
    with pytest.raises(ValueError, match="everybody"):
        Gatekeeper("")


def test_guessing_is_slowed_down_by_address_and_the_right_token_is_not_tried_meanwhile() -> None:
    now = [1000.0]
    guarded = gatekeeper(now)
    for _ in range(FREE):
        with pytest.raises(Refusal) as caught:
            identify(guarded, asks("Bearer wrong"))
        assert caught.value.status == 401
    with pytest.raises(Refusal) as caught:
        identify(guarded, asks(f"Bearer {TOKEN}"))
    assert (caught.value.status, caught.value.retry_after_s) == (429, 60)
    assert identify(guarded, asks(f"Bearer {TOKEN}", address="192.0.2.2")).role is Role.ADMIN
    now[0] += 60.0
    assert identify(guarded, asks(f"Bearer {TOKEN}")).role is Role.ADMIN


def test_asking_without_a_token_is_no_guess() -> None:
    guarded = gatekeeper()
    for _ in range(20):
        with pytest.raises(Refusal) as caught:
            identify(guarded, asks())
        assert caught.value.status == 401


def test_a_role_that_may_not_is_refused() -> None:
    Identity("alice", Role.WRITER).require(Act.TYPE)
    with pytest.raises(Refusal) as caught:
        Identity("alice", Role.VIEWER).require(Act.TYPE)
    assert caught.value.status == 403


def test_other_tokens_are_known_by_whoever_knows_their_kind() -> None:
    guarded = Gatekeeper(TOKEN, [Known()])
    assert identify(guarded, asks("Bearer alice's")).user == "alice"
    assert identify(guarded, asks(f"Bearer {TOKEN}")).role is Role.ADMIN


@pytest.mark.parametrize("token", ["expired", "unknown", "x" * 8193])
def test_a_refused_token_counts_as_a_guess(token: str) -> None:
    guarded = Gatekeeper(TOKEN, [Known()])
    for _ in range(FREE):
        with pytest.raises(Refusal) as caught:
            identify(guarded, asks(f"Bearer {token}"))
        assert caught.value.status == 401
    with pytest.raises(Refusal) as caught:
        identify(guarded, asks("Bearer alice's"))
    assert caught.value.status == 429


def test_what_cannot_be_checked_now_is_no_guess() -> None:
    guarded = Gatekeeper(TOKEN, [Known()])
    for _ in range(2 * FREE):
        with pytest.raises(Refusal) as caught:
            identify(guarded, asks("Bearer unsure"))
        assert caught.value.status == 503


def test_a_right_token_that_was_withdrawn_is_refused() -> None:
    def withdrawn(identity: Identity) -> None:
        raise Refusal(401, "unauthorized", f"{identity.user} is out")

    guarded = Gatekeeper(TOKEN, [Known()], standing=withdrawn)
    with pytest.raises(Refusal, match="alice is out"):
        identify(guarded, asks("Bearer alice's"))
    assert identify(guarded, asks(f"Bearer {TOKEN}")).role is Role.ADMIN  # it is changed, not revoked


def test_who_comes_with_a_withdrawn_token_makes_that_token_wait_and_nobody_else_of_the_address() -> None:
    def withdrawn(identity: Identity) -> None:
        raise Refusal(401, "unauthorized", f"{identity.user} is out")

    noted: list[tuple[str, str]] = []
    guarded = Gatekeeper(TOKEN, [Known()], standing=withdrawn, on_authenticated=lambda *what: noted.append(what))
    for status in [401] * FREE + [429]:
        with pytest.raises(Refusal) as caught:
            identify(guarded, asks("Bearer alice's"))
        assert caught.value.status == status
    assert identify(guarded, asks(f"Bearer {TOKEN}")).role is Role.ADMIN
    assert noted == [("failed", "revoked")] * FREE + [("blocked", "token"), ("ok", "admin")]


def test_each_authentication_is_told_of_with_its_reason() -> None:
    noted: list[tuple[str, str]] = []
    guarded = Gatekeeper(TOKEN, [Known()], on_authenticated=lambda *what: noted.append(what))
    for header in ["Bearer alice's", "Bearer unknown", "Bearer expired", None]:
        try:
            identify(guarded, asks(header) if header else asks())
        except Refusal:
            pass
    assert noted == [("ok", "token"), ("failed", "unknown"), ("failed", "not_good"), ("failed", "missing")]


def test_requests_count_by_token_or_user_and_not_for_the_token_that_everybody_has() -> None:
    assert Identity("admin", Role.ADMIN).counted_as == ""
    assert Identity("alice", Role.WRITER, token_id="0f", kind="token").counted_as == "token 0f"
    assert Identity("alice", Role.WRITER, kind="oidc").counted_as == "user alice"


@pytest.mark.parametrize(
    ("patterns", "session", "reaches"),
    [
        ((), "anything", True),
        (("build",), "build", True),
        (("build",), "build-2", False),
        (("build-*",), "build-2", True),
        (("build-*",), "build", False),
        (("a", "b-?"), "b-1", True),
        (("a", "b-?"), "b-12", False),
    ],
)
def test_a_token_reaches_the_sessions_of_its_patterns(patterns: tuple[str, ...], session: str, reaches: bool) -> None:
    identity = Identity("alice", Role.WRITER, patterns)
    assert identity.reaches(session) is reaches
    if reaches:
        identity.require(Act.TYPE, session)
    else:
        with pytest.raises(Refusal) as caught:
            identity.require(Act.TYPE, session)
        assert caught.value.status == 403
