"""Revocations among copies of the server over one store."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from codewrap.protocol.roles import Role
from codewrap.server.identity import Identity
from codewrap.server.refusals import Refusal
from codewrap.server.revocations import FORGIVEN_S, Revocations
from codewrap.server.state import Revocation, StateUnavailable, TokenRecord
from codewrap.server.stores.opening import open_store

NOW = 1_800_000_000.0
TOKEN_ID = "0123456789abcdef" * 2
ALICE = Identity("alice", Role.WRITER, token_id=TOKEN_ID, kind="token", issued_at=NOW - 10)


class Copy:
    """One copy of the server's revocations, and what it carried out."""

    def __init__(self, url: str) -> None:
        self.state = open_store(url, Path("/nonexistent"))
        self.acted: list[tuple[str, str | None]] = []
        self.revocations = Revocations(self.state, self._act, lambda: NOW)

    async def _act(self, revocation: Revocation, user: str | None) -> None:
        self.acted.append((revocation.subject, user))

    async def __aenter__(self) -> Copy:
        await self.revocations.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.revocations.close()
        await self.state.close()

    def refuses(self, identity: Identity) -> bool:
        try:
            self.revocations.check(identity)
        except Refusal as refusal:
            assert refusal.status == 401
            return True
        return False


async def until(condition: object) -> None:
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.fixture
def url(tmp_path: Path) -> str:
    tmp_path.chmod(0o700)
    return f"sqlite:///{tmp_path}/state.sqlite"


def test_a_revoked_token_is_refused_at_every_copy_and_acted_upon_at_one(url: str) -> None:
    async def scenario() -> None:
        async with Copy(url) as one, Copy(url) as two:
            record = TokenRecord(TOKEN_ID, "alice", "writer", (), NOW - 10, NOW + 50, "admin", "token")
            await one.state.add_token(record)
            assert not one.refuses(ALICE)
            assert not two.refuses(ALICE)
            await one.revocations.revoke_token(TOKEN_ID, NOW + 60)
            assert one.refuses(ALICE)
            await until(lambda: two.refuses(ALICE))
            assert one.acted + two.acted == [(f"token:{TOKEN_ID}", "alice")]

    asyncio.run(scenario())


def test_a_revoked_user_s_tokens_of_before_are_refused_and_later_ones_are_not(url: str) -> None:
    async def scenario() -> None:
        async with Copy(url) as copy:
            await copy.revocations.revoke_user("alice")
            assert copy.refuses(ALICE)
            assert copy.refuses(Identity("alice", Role.ADMIN, issued_at=NOW))
            assert not copy.refuses(Identity("alice", Role.WRITER, issued_at=NOW + 1))
            assert not copy.refuses(Identity("bob", Role.WRITER, issued_at=NOW - 10))
            assert copy.acted == [("user:alice", "alice")]

    asyncio.run(scenario())


def test_a_copy_that_starts_later_knows_too(url: str) -> None:
    async def scenario() -> None:
        async with Copy(url) as one:
            await one.revocations.revoke_token(TOKEN_ID, NOW + 60)
        async with Copy(url) as two:
            assert two.refuses(ALICE)
            assert not two.acted

    asyncio.run(scenario())


def test_a_store_that_is_away_is_forgiven_for_a_while_and_no_longer(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone() -> int:
        raise StateUnavailable("somewhere", "gone")

    async def scenario() -> None:
        async with Copy(url) as copy:
            monkeypatch.setattr(copy.state, "version", gone)
            now_s = time.monotonic()
            copy.revocations.check(ALICE)
            monkeypatch.setattr(time, "monotonic", lambda: now_s + FORGIVEN_S + 1)
            with pytest.raises(Refusal) as caught:
                copy.revocations.check(ALICE)
            assert (caught.value.status, caught.value.code) == (503, "state_unavailable")
            monkeypatch.undo()
            await until(lambda: not copy.refuses(ALICE))

    asyncio.run(scenario())
