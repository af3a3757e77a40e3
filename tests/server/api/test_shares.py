"""Links to a session: made by its owner, good for that session, as long and as often as was said."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.asgi import Reply
from tests.support.serve_auth import ServeAuth, bearer


async def share(server: ServeAuth, token: str | None = None, **fields: Any) -> Reply:
    headers = bearer(token) if token else None
    return await server.client.post_json("/api/shares", {"sessionId": "build"} | fields, headers)


async def redeem(server: ServeAuth, token: str) -> Reply:
    return await server.stranger.post_json("/api/shares/redeem", {"token": token})


@pytest.mark.parametrize("write", [False, True])
def test_a_link_watches_or_types_in_its_session_alone(write: bool) -> None:
    async def scenario(server: ServeAuth) -> None:
        await server.open_session()
        made = (await share(server, write=write)).json()
        assert made["role"] == ("writer" if write else "viewer")
        headers = bearer(made["token"])
        asked = {"socket_id": "1.2", "channel_name": "private-encrypted-command-build"}
        assert (await server.stranger.post_json("/pusher/auth", asked, headers)).status == 200
        other = asked | {"channel_name": "private-encrypted-command-other"}
        assert (await server.stranger.post_json("/pusher/auth", other, headers)).status == 403
        typed = {"sessionId": "build", "input": "x"}
        assert (await server.stranger.post_json("/api/commands/input", typed, headers)).status == (202 if write else 403)
        assert (await server.stranger.post_json("/api/sessions", {"sessionId": "build"}, headers)).status == 403

    ServeAuth().run(scenario)


def test_a_link_of_one_use_works_once() -> None:
    async def scenario(server: ServeAuth) -> None:
        await server.open_session()
        made = (await share(server, once=True)).json()
        assert (await server.stranger.get("/api/whoami", bearer(made["token"]))).status == 401
        first = await redeem(server, made["token"])
        assert first.status == 200
        assert first.json()["sessionId"] == "build"
        assert first.json()["expiresAt"] == made["expiresAt"]
        assert (await server.stranger.get("/api/whoami", bearer(first.json()["token"]))).status == 200
        assert (await redeem(server, made["token"])).status == 401
        assert (await redeem(server, first.json()["token"])).status == 200  # it is an ordinary one

    ServeAuth().run(scenario)


def test_a_revoked_link_is_revoked_with_what_it_was_exchanged_for() -> None:
    async def scenario(server: ServeAuth) -> None:
        await server.open_session()
        made = (await share(server, once=True)).json()
        exchanged = (await redeem(server, made["token"])).json()["token"]
        await server.client.request("DELETE", f"/api/tokens/{made['tokenId']}")
        assert (await server.stranger.get("/api/whoami", bearer(exchanged))).status == 401
        assert (await redeem(server, made["token"])).status == 401

    ServeAuth().run(scenario)


def test_only_the_owner_and_admins_share_a_session_and_only_one_that_is_hosted() -> None:
    async def scenario(server: ServeAuth) -> list[int]:
        tokens = {}
        for user in ("alice", "bob"):
            reply = await server.client.post_json("/api/tokens", {"user": user, "role": "host"})
            tokens[user] = reply.json()["token"]
        nobody = (await share(server)).status
        opened = await server.client.post_json("/api/sessions", {"sessionId": "build"}, bearer(tokens["alice"]))
        assert opened.status == 200
        statuses = [(await share(server, tokens[user])).status for user in ("alice", "bob")]
        return [nobody, *statuses, (await share(server)).status]

    assert ServeAuth().run(scenario) == [404, 201, 403, 201]


def test_nobody_gives_more_than_they_have() -> None:
    async def scenario(server: ServeAuth) -> None:
        token = {"user": "alice", "role": "host", "lifetimeS": 60, "sessions": ["build"]}
        issued = (await server.client.post_json("/api/tokens", token)).json()
        headers = bearer(issued["token"])
        await server.client.post_json("/api/sessions", {"sessionId": "build"}, headers)
        made = (await share(server, issued["token"], lifetimeS=3600)).json()
        assert made["expiresAt"] <= issued["expiresAt"]
        assert (await share(server, issued["token"], sessionId="other")).status == 403

    ServeAuth().run(scenario)


@pytest.mark.parametrize("fields", [{"write": "yes"}, {"once": 1}, {"lifetimeS": 0}, {"lifetimeS": 10**7}, {"more": 1}])
def test_what_cannot_be_shared_is_refused(fields: dict[str, Any]) -> None:
    async def scenario(server: ServeAuth) -> Reply:
        await server.open_session()
        return await share(server, **fields)

    assert ServeAuth().run(scenario).status == 400


def test_guessed_links_are_slowed_down() -> None:
    async def scenario(server: ServeAuth) -> list[int]:
        return [(await redeem(server, f"guess-{number}")).status for number in range(12)]

    assert ServeAuth().run(scenario) == [401] * 10 + [429] * 2
