"""How many look at once, and what the viewer behind it says is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from codewrap.errors import (
    AuthError,
    CodewrapError,
    NotAttached,
    SessionEnded,
    SessionLost,
    SessionNotFound,
    TransportError,
    TypingRefused,
    WaitTimeout,
)
from codewrap.protocol.roles import Role
from codewrap.server.identity import Identity
from codewrap.server.looking import Looking, Place, Typing
from codewrap.server.refusals import Refusal
from tests.support.looking import FakeLooks

ANNA = Identity("anna", Role.WRITER, token_id="1" * 32, kind="token")
ADMIN = Identity("admin", Role.ADMIN)
PLACE = Place("build", "anna", "Anna", encrypted=True, may_type=False)
TYPING = Typing("x", (), False, None, 1.0)
_Value = TypeVar("_Value")


def run(looks: FakeLooks | None, scenario: Callable[[Looking], Awaitable[_Value]], **bounds: int) -> _Value:
    async def whole() -> _Value:
        looking = Looking(looks, **bounds)
        try:
            return await scenario(looking)
        finally:
            await looking.close()

    return asyncio.run(whole())


async def looked(looking: Looking, identity: Identity = ANNA) -> str:
    """ "": it was shown; else the refusal."""
    try:
        await looking.look(identity, PLACE, lambda sight: sight.shown.plain.encode())
    except Refusal as refusal:
        return f"{refusal.status} {refusal.code}"
    return ""


def test_what_is_drawn_is_the_answer() -> None:
    drawn = run(FakeLooks(), lambda looking: looking.look(ANNA, PLACE, lambda sight: sight.shown.plain.encode()))
    assert drawn == "hello \ufffdthere\n".encode()


def test_a_sight_is_the_commands_document_with_its_place() -> None:
    sight = FakeLooks().look(PLACE)
    assert sight.document() == {"session": "build", "epoch": "run", "offset": sight.offset, **sight.shown.document()}


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (NotAttached("build", "nobody runs it"), "504 no_answer"),
        (SessionNotFound("build"), "504 no_answer"),
        (SessionLost("build", "its host is gone"), "504 no_answer"),
        (WaitTimeout("build", "waiting for an answer", 10), "504 no_answer"),
        (SessionEnded("build", 3), "404 no_such_session"),
        (TypingRefused("build", "it may only be watched"), "403 typing_refused"),
        (AuthError("http://10.0.0.7:6001", "no"), "503 broker_unavailable"),
        (TransportError("http://10.0.0.7:6001", "no"), "503 broker_unavailable"),
    ],
)
def test_what_goes_wrong_behind_it_is_a_refusal_that_names_no_address(error: CodewrapError, refusal: str) -> None:
    looks = FakeLooks()
    looks.error = error

    async def scenario(looking: Looking) -> Refusal:
        with pytest.raises(Refusal) as caught:
            await looking.type(ANNA, PLACE, TYPING)
        return caught.value

    said = run(looks, scenario)
    assert f"{said.status} {said.code}" == refusal
    assert "10.0.0.7" not in said.message
    assert (said.retry_after_s is not None) == (said.status == 503)


def test_so_many_look_at_once_and_nobody_more() -> None:
    looks = FakeLooks(holds=True)

    async def scenario(looking: Looking) -> tuple[str, str, str, list[str]]:
        first = [asyncio.create_task(looked(looking)) for _ in range(2)]
        for _ in first:
            await asyncio.to_thread(looks.wait_entered)
        hers = await looked(looking)
        others = asyncio.create_task(looked(looking, ADMIN))
        await asyncio.to_thread(looks.wait_entered)
        anybodys = await looked(looking, ADMIN)
        looks._free.set()
        ended = [await task for task in (*first, others)]
        return hers, anybodys, await looked(looking), ended

    hers, anybodys, then, ended = run(looks, scenario, most=3, most_each=2)
    assert (hers, anybodys) == ("429 too_many", "503 busy")
    assert (ended, then) == (["", "", ""], "")


def test_auth_token_is_everybodys_and_has_no_bound_of_its_own() -> None:
    looks = FakeLooks(holds=True)

    async def scenario(looking: Looking) -> list[str]:
        tasks = [asyncio.create_task(looked(looking, ADMIN)) for _ in range(3)]
        for _ in tasks:
            await asyncio.to_thread(looks.wait_entered)
        looks._free.set()
        return [await task for task in tasks]

    assert run(looks, scenario, most=3, most_each=1) == ["", "", ""]


def test_a_look_counts_until_it_is_over_even_when_nobody_waits_for_it() -> None:
    looks = FakeLooks(holds=True)

    async def scenario(looking: Looking) -> tuple[str, str]:
        gone = asyncio.create_task(looked(looking))
        await asyncio.to_thread(looks.wait_entered)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        meanwhile = await looked(looking)
        looks._free.set()
        while looking._busy:
            await asyncio.sleep(0)
        return meanwhile, await looked(looking)

    assert run(looks, scenario, most=1) == ("503 busy", "")


def test_closing_ends_those_who_wait() -> None:
    looks = FakeLooks(holds=True)

    async def scenario(looking: Looking) -> str:
        task = asyncio.create_task(looked(looking))
        await asyncio.to_thread(looks.wait_entered)
        await looking.close()
        return await task

    assert run(looks, scenario) == "504 no_answer"


def test_a_server_that_cannot_look_says_so() -> None:
    async def scenario(looking: Looking) -> str:
        with pytest.raises(Refusal, match="not_offered"):
            looking.check_keys(())
        return await looked(looking)

    assert run(None, scenario) == "503 not_offered"


def test_a_key_without_a_name_is_a_bad_request() -> None:
    async def scenario(looking: Looking) -> Refusal:
        looking.check_keys(("Enter",))
        with pytest.raises(Refusal) as caught:
            looking.check_keys(("Foo",))
        return caught.value

    assert run(FakeLooks(), scenario).status == 400
