"""Approvals and kills over HTTP: by the session's owner and admins, of sessions that are hosted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.serve_auth import ServeAuth


@pytest.mark.parametrize(("path", "body"), [("approvals", {"user": "carol"}), ("kill", {"signal": 15})])
def test_only_the_owner_and_admins_tell_a_host_what_to_do(path: str, body: dict[str, Any]) -> None:
    async def scenario(server: ServeAuth) -> list[int]:
        alice, bob = await server.token_of("alice"), await server.token_of("bob")
        writer = await server.token_of("alice", "writer")
        where = f"/api/sessions/build/{path}"
        nobody = (await server.stranger.post_json(where, body, alice)).status
        await server.client.post_json("/api/sessions", {"sessionId": "build"}, alice)
        statuses = [(await server.stranger.post_json(where, body, headers)).status for headers in (alice, bob, writer)]
        return [nobody, *statuses, (await server.client.post_json(where, body)).status]

    server = ServeAuth()
    assert server.run(scenario) == [404, 202, 403, 403, 202]
    assert len(server.published.events) == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("approvals", {}),
        ("approvals", {"user": "a.b"}),
        ("approvals", {"user": "alice", "allow": "no"}),
        ("kill", {"signal": 0}),
        ("kill", {"signal": 1000}),
        ("kill", {"signal": "TERM"}),
        ("kill", {"signal": True}),
        ("kill", {"more": 1}),
    ],
)
def test_what_a_host_could_not_do_is_not_told(path: str, body: dict[str, Any]) -> None:
    async def scenario(server: ServeAuth) -> int:
        await server.open_session()
        return (await server.client.post_json(f"/api/sessions/build/{path}", body)).status

    server = ServeAuth()
    assert server.run(scenario) == 400
    assert not server.published.events
