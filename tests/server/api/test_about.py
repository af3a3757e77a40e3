"""What the server tells anybody, and the asker of themselves."""

from __future__ import annotations

import pytest

from tests.support.serve_auth import TOKEN, ServeAuth


@pytest.mark.parametrize("path", ["/api/config", "/healthz", "/openapi.json"])
def test_what_everybody_may_know_needs_no_token_and_holds_no_secret(path: str) -> None:
    async def scenario(server: ServeAuth) -> bytes:
        reply = await server.stranger.get(path)
        assert reply.status == 200
        return reply.body

    body = ServeAuth().run(scenario)
    assert TOKEN.encode() not in body
    assert b"app secret" not in body


def test_the_asker_is_told_who_they_are() -> None:
    async def scenario(server: ServeAuth) -> None:
        assert (await server.stranger.get("/api/whoami")).status == 401
        who = (await server.client.get("/api/whoami")).json()
        assert (who["user"], who["role"], who["kind"], who["tokenId"], who["expiresAt"]) == (
            "admin",
            "admin",
            "admin",
            None,
            None,
        )

    ServeAuth().run(scenario)
