"""Who hosts which session, and whether a host's credentials still count."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from codewrap.errors import AuthError
from codewrap.protocol.roles import Role
from codewrap.server.credentials import Issuer, SessionCredentials
from codewrap.server.identity import Identity
from codewrap.server.refusals import Refusal
from codewrap.server.registry import STALE_S, Registry, is_grant
from codewrap.server.revocations import Revocations
from codewrap.server.state import Revocation
from codewrap.server.stores.opening import open_store

TOKEN_ID = "0123456789abcdef" * 2
ALICE = Identity("alice", Role.HOST, token_id=TOKEN_ID, kind="token", issued_at=1.0)
BOB = Identity("bob", Role.HOST, token_id=TOKEN_ID[::-1], kind="token", issued_at=1.0)
ADMIN = Identity("admin", Role.ADMIN)


class Room:
    """A registry over a store in memory, and its clock."""

    def __init__(self, directory: Path, most: int = 200) -> None:
        self.now_s = 1_800_000_000.0
        self.state = open_store(None, directory)
        self.revocations = Revocations(self.state, self._act, lambda: self.now_s)
        self.registry = Registry(self.state, self.revocations, lambda: self.now_s, most=most)

    async def _act(self, revocation: Revocation, user: str | None) -> None:
        pass

    def issue(self, name: str, grant: str) -> SessionCredentials:
        return Issuer("7", "secret").issue(name, grant, self.now_s)


def run(scenario: Callable[[Room], Awaitable[None]], **options: int) -> None:
    async def whole(directory: Path) -> None:
        room = Room(directory, **options)
        await room.revocations.start()
        try:
            await scenario(room)
        finally:
            await room.revocations.close()
            await room.state.close()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(whole(Path(directory)))


def test_a_name_is_taken_while_its_host_is_there_and_free_afterwards() -> None:
    async def scenario(room: Room) -> None:
        await room.registry.open("build", ALICE)
        with pytest.raises(Refusal) as caught:
            await room.registry.open("build", BOB)
        assert (caught.value.status, caught.value.code) == (409, "taken")
        room.now_s += STALE_S + 1
        assert (await room.registry.open("build", BOB)).owner == "bob"

    run(scenario)


def test_the_same_user_takes_their_session_over_and_the_opening_before_is_void() -> None:
    async def scenario(room: Room) -> None:
        first = await room.registry.open("build", ALICE)
        await room.registry.check(room.issue("build", first.grant))
        second = await room.registry.open("build", ALICE)
        await room.registry.check(room.issue("build", second.grant))
        with pytest.raises(AuthError, match="opened anew"):
            await room.registry.check(room.issue("build", first.grant))

    run(scenario)


def test_credentials_die_with_their_session() -> None:
    async def scenario(room: Room) -> None:
        session = await room.registry.open("build", ALICE)
        assert await room.registry.end("build", session.grant)
        assert not await room.registry.end("build", session.grant)
        with pytest.raises(AuthError, match="ended"):
            await room.registry.check(room.issue("build", session.grant))

    run(scenario)


@pytest.mark.parametrize("subject", ["token", "user"])
def test_credentials_die_with_the_token_that_opened_the_session(subject: str) -> None:
    async def scenario(room: Room) -> None:
        session = await room.registry.open("build", ALICE)
        if subject == "token":
            await room.revocations.revoke_token(TOKEN_ID, room.now_s + 100)
        else:
            await room.revocations.revoke_user("alice")
        with pytest.raises(AuthError, match="revoked"):
            await room.registry.check(room.issue("build", session.grant))

    run(scenario)


def test_a_renewed_session_stays_and_one_of_another_opening_is_not_renewed() -> None:
    async def scenario(room: Room) -> None:
        session = await room.registry.open("build", ALICE)
        for _ in range(4):
            room.now_s += STALE_S - 1
            assert await room.registry.renew("build", session.grant, ALICE) is not None
        assert await room.registry.renew("build", "0" * 16, ALICE) is None
        assert await room.registry.renew("build", session.grant, BOB) is None
        assert await room.registry.renew("other", session.grant, ALICE) is None
        assert [found.name for found in await room.registry.all()] == ["build"]

    run(scenario)


def test_publishing_shows_that_the_host_is_there() -> None:
    async def scenario(room: Room) -> None:
        session = await room.registry.open("build", ALICE)
        for _ in range(4):
            room.now_s += STALE_S - 1
            await room.registry.check(room.issue("build", session.grant))
        assert await room.registry.find("build", fresh=True) is not None

    run(scenario)


def test_a_user_hosts_a_bounded_number_of_sessions() -> None:
    async def scenario(room: Room) -> None:
        for number in range(3):
            await room.registry.open(f"build-{number}", ALICE)
        with pytest.raises(Refusal) as caught:
            await room.registry.open("build-3", ALICE)
        assert caught.value.status == 429
        await room.registry.open("build-3", BOB)
        await room.registry.open("build-0", ALICE)

    run(scenario, most=3)


def test_who_has_auth_token_opens_sessions_like_anybody() -> None:
    async def scenario(room: Room) -> None:
        session = await room.registry.open("build", ADMIN)
        assert is_grant(session.grant)
        await room.registry.check(room.issue("build", session.grant))
        assert not is_grant("x" * 16)

    run(scenario)


def test_a_session_that_nobody_hosts_is_said_to_be_so() -> None:
    async def scenario(room: Room) -> None:
        with pytest.raises(Refusal) as caught:
            await room.registry.require("build")
        assert (caught.value.status, caught.value.code) == (404, "no_such_session")

    run(scenario)
