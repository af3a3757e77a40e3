"""Tokens over HTTP: issued, listed, revoked, by admins alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.asgi import Reply
from tests.support.serve_auth import ServeAuth, bearer


async def create(server: ServeAuth, **fields: Any) -> Reply:
    return await server.client.post_json("/api/tokens", {"user": "alice", "role": "writer"} | fields)


def test_a_token_is_issued_listed_and_used() -> None:
    async def scenario(server: ServeAuth) -> None:
        reply = await create(server, sessions=["build-*"], lifetimeS=60)
        assert reply.status == 201
        issued = reply.json()
        token = issued.pop("token")
        who = (await server.stranger.get("/api/whoami", bearer(token))).json()
        assert (who["user"], who["role"], who["sessions"], who["kind"]) == ("alice", "writer", ["build-*"], "token")
        assert who["tokenId"] == issued["tokenId"]
        assert "type into a session" in who["may"]
        [listed] = (await server.client.get("/api/tokens")).json()["tokens"]
        assert listed == issued | {"revoked": False}
        assert issued["expiresAt"] - issued["issuedAt"] == 60
        assert token not in (await server.client.get("/api/tokens")).body.decode()

    ServeAuth().run(scenario)


@pytest.mark.parametrize("how", ["token", "user"])
def test_a_revoked_token_is_refused_at_once_and_its_connections_end(how: str) -> None:
    async def scenario(server: ServeAuth) -> None:
        issued = (await create(server)).json()
        assert (await server.stranger.get("/api/whoami", bearer(issued["token"]))).status == 200
        if how == "token":
            reply = await server.client.request("DELETE", f"/api/tokens/{issued['tokenId']}")
        else:
            reply = await server.client.post_json("/api/revocations", {"user": "alice"})
        assert (reply.status, reply.json()) == (200, {"status": "revoked"})
        refused = await server.stranger.get("/api/whoami", bearer(issued["token"]))
        assert (refused.status, refused.error_code) == (401, "unauthorized")
        assert server.terminated == ["alice"]

    ServeAuth().run(scenario)


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "a.b"},
        {"user": "admin"},
        {"user": 7},
        {"role": "root"},
        {"sessions": "build"},
        {"sessions": [1]},
        {"sessions": ["BUILD"]},
        {"lifetimeS": 0},
        {"lifetimeS": "60"},
        {"lifetimeS": 10**9},
        {"more": 1},
    ],
)
def test_what_cannot_be_issued_is_refused(fields: dict[str, Any]) -> None:
    async def scenario(server: ServeAuth) -> Reply:
        return await create(server, **fields)

    reply = ServeAuth().run(scenario)
    assert (reply.status, reply.error_code) == (400, "bad_request")


@pytest.mark.parametrize("user", ["admin", "a.b", ""])
def test_who_cannot_be_revoked_is_said(user: str) -> None:
    async def scenario(server: ServeAuth) -> Reply:
        return await server.client.post_json("/api/revocations", {"user": user})

    assert ServeAuth().run(scenario).status == 400


def test_no_such_token_is_404_by_its_form_only() -> None:
    async def scenario(server: ServeAuth) -> list[int]:
        paths = ["/api/tokens/short", f"/api/tokens/{'0' * 32}"]
        return [(await server.client.request("DELETE", path)).status for path in paths]

    assert ServeAuth().run(scenario) == [404, 200]
