"""Tokens straight on a server's state: what a server with the same settings then knows."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from pathlib import Path

import pytest

from codewrap.cli.serving import open_state
from codewrap.cli.tokenbook import GatewayBook, LocalBook, configured_gateway, token_book
from codewrap.errors import ConfigError
from codewrap.protocol.roles import Role
from codewrap.server.keys import KeyStore
from codewrap.server.state import Revocation, TokenRecord
from codewrap.server.tokens import TokenSigner
from tests.support.web import WebServer, answer

KEYS = [bytes([number]) * 32 for number in (1, 2)]


@pytest.fixture
def values(tmp_path: Path) -> dict[str, str]:
    return {"CODEWRAP_STATE_DIR": str(tmp_path / "state")}


def kept(values: dict[str, str]) -> tuple[list[TokenRecord], list[Revocation]]:
    """What a server finds in the state."""

    async def read() -> tuple[list[TokenRecord], list[Revocation]]:
        state = open_state(values, Path(values["CODEWRAP_STATE_DIR"]) / "serve-auth")
        try:
            return await state.tokens(time.time()), await state.revocations(time.time())
        finally:
            await state.close()

    return asyncio.run(read())


def test_a_token_is_one_that_the_server_of_this_machine_knows(values: dict[str, str]) -> None:
    issued = LocalBook(values).create("alice", "writer", ["build-*"], 3600)
    signer = TokenSigner([KeyStore(Path(values["CODEWRAP_STATE_DIR"])).signing_key()])
    claims = signer.read(issued.token, time.time())
    assert claims is not None
    assert (claims.user, claims.role, claims.sessions, claims.kind) == ("alice", Role.WRITER, ("build-*",), "token")
    (record,) = kept(values)[0]
    assert (record.token_id, record.user, record.issued_by) == (claims.token_id, "alice", "admin")
    assert issued.facts["tokenId"] == claims.token_id
    assert issued.token not in str(record)


def test_the_first_of_the_keys_that_are_set_signs(values: dict[str, str]) -> None:
    values["CODEWRAP_SIGNING_KEY"] = ",".join(base64.b64encode(key).decode() for key in KEYS)
    token = LocalBook(values).create("alice", "viewer", [], 60).token
    assert TokenSigner([KEYS[0]]).read(token, time.time()) is not None
    assert TokenSigner([KEYS[1]]).read(token, time.time()) is None


def test_what_is_revoked_is_listed_so_and_left_for_the_server_to_act_on(values: dict[str, str]) -> None:
    book = LocalBook(values)
    first, second = (str(book.create(user, "viewer", [], 60).facts["tokenId"]) for user in ("alice", "bob"))
    book.revoke_token(first)
    book.revoke_user("bob")
    assert {facts["tokenId"]: facts["revoked"] for facts in book.all()} == {first: True, second: False}
    assert {revocation.subject for revocation in kept(values)[1]} == {f"token:{first}", "user:bob"}


def test_a_revoked_link_takes_what_it_was_exchanged_for_along(values: dict[str, str]) -> None:
    async def add(record: TokenRecord) -> None:
        state = open_state(values, Path(values["CODEWRAP_STATE_DIR"]) / "serve-auth")
        await state.add_token(record)
        await state.close()

    book = LocalBook(values)
    book.all()  # makes the directory
    asyncio.run(add(TokenRecord("a" * 32, "link@1", "viewer", ("build",), time.time(), time.time() + 60, "host1", "share")))
    book.revoke_token("a" * 32)
    assert {revocation.subject for revocation in kept(values)[1]} == {f"token:{'a' * 32}", "user:link@1"}


@pytest.mark.parametrize(
    ("user", "role", "sessions", "lifetime_s"),
    [
        ("a.b", "viewer", [], 60),
        ("admin", "viewer", [], 60),
        ("alice", "viewer", ["UPPER"], 60),
        ("alice", "viewer", [], 400 * 86_400),
    ],
)
def test_what_cannot_be_issued_is_refused(
    values: dict[str, str], user: str, role: str, sessions: list[str], lifetime_s: int
) -> None:
    with pytest.raises(ConfigError):
        LocalBook(values).create(user, role, sessions, lifetime_s)
    assert kept(values)[0] == []


@pytest.mark.parametrize("user", ["a.b", "admin", ""])
def test_who_has_no_tokens_of_ours_cannot_be_revoked(values: dict[str, str], user: str) -> None:
    with pytest.raises(ConfigError, match=r"^--user: "):
        LocalBook(values).revoke_user(user)


def test_a_store_of_several_machines_needs_a_key_of_several_machines(values: dict[str, str]) -> None:
    book = LocalBook({**values, "CODEWRAP_STATE": "redis://hush:hush@127.0.0.1:1/0"})
    with pytest.raises(ConfigError, match=r"^CODEWRAP_SIGNING_KEY: is missing") as failed:
        book.all()
    assert "hush" not in str(failed.value)


def test_a_url_leads_to_its_server_whatever_else_is_configured(values: dict[str, str]) -> None:
    with WebServer(lambda _: answer(json.dumps({"tokens": []}))) as server:
        settings = {**values, "CODEWRAP_URL": server.url, "CODEWRAP_TOKEN": "hush", "SOKETI_PORT": "what"}
        book = token_book(settings | {"CODEWRAP_MODE": "embedded"})
        assert isinstance(book, GatewayBook)
        assert (book.where, book.all()) == (server.url, [])
        book.revoke_user("alice")
        book.revoke_token("ab")
        book.close()
    assert [asked.method for asked in server.asked] == ["GET", "POST", "DELETE"]
    assert not Path(values["CODEWRAP_STATE_DIR"]).exists()


def test_without_a_url_it_is_this_machine(values: dict[str, str]) -> None:
    assert configured_gateway(values) is None
    book = token_book({**values, "CODEWRAP_TOKEN": "hush"})
    assert isinstance(book, LocalBook)
    book.close()
