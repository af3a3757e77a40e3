"""Sessions over HTTP: opened, renewed, listed and ended by whom they belong to."""

from __future__ import annotations

from typing import Any

from tests.support.asgi import Reply
from tests.support.serve_auth import ServeAuth, bearer

OUTPUT = {"name": "output", "channel": "private-encrypted-command-build", "data": "{}"}


async def open_as(server: ServeAuth, headers: dict[str, str], **fields: Any) -> Reply:
    return await server.client.post_json("/api/sessions", {"sessionId": "build"} | fields, headers)


def test_a_session_belongs_to_who_opened_it() -> None:
    async def scenario(server: ServeAuth) -> None:
        alice, bob = await server.token_of("alice"), await server.token_of("bob")
        opened = (await open_as(server, alice)).json()
        assert opened["owner"] == "alice"
        taken = await open_as(server, bob)
        assert (taken.status, taken.error_code) == (409, "taken")
        end = {"grant": opened["grant"]}
        assert (await server.stranger.post_json("/api/sessions/build/end", end, bob)).status == 403
        assert (await server.signed(opened, "events", OUTPUT)).status == 200
        assert (await server.stranger.post_json("/api/sessions/build/end", end, alice)).status == 200
        assert (await server.signed(opened, "events", OUTPUT)).status == 401
        assert (await open_as(server, bob)).status == 200

    ServeAuth().run(scenario)


def test_who_renews_keeps_the_opening_and_who_opens_anew_ends_it() -> None:
    async def scenario(server: ServeAuth) -> None:
        alice = await server.token_of("alice")
        first = (await open_as(server, alice)).json()
        renewed = (await open_as(server, alice, grant=first["grant"])).json()
        assert renewed["grant"] == first["grant"]
        second = (await open_as(server, alice)).json()
        assert second["grant"] != first["grant"]
        assert (await server.signed(renewed, "events", OUTPUT)).status == 401
        assert (await server.signed(second, "events", OUTPUT)).status == 200

    ServeAuth().run(scenario)


def test_a_list_shows_what_a_token_reaches() -> None:
    async def scenario(server: ServeAuth) -> None:
        await open_as(server, await server.token_of("alice"))
        await open_as(server, await server.token_of("bob"), sessionId="deploy")
        watcher = await server.token_of("carol", "viewer", sessions=["dep*"])
        everything = (await server.client.get("/api/sessions")).json()["sessions"]
        assert [(session["sessionId"], session["owner"]) for session in everything] == [("build", "alice"), ("deploy", "bob")]
        reached = (await server.stranger.get("/api/sessions", watcher)).json()["sessions"]
        assert [session["sessionId"] for session in reached] == ["deploy"]

    ServeAuth().run(scenario)


def test_credentials_follow_the_token_that_opened_the_session() -> None:
    async def scenario(server: ServeAuth) -> None:
        issued = (await server.client.post_json("/api/tokens", {"user": "alice", "role": "host", "lifetimeS": 60})).json()
        opened = (await open_as(server, bearer(issued["token"]))).json()
        assert opened["expiresAt"] <= issued["expiresAt"]
        await server.client.request("DELETE", f"/api/tokens/{issued['tokenId']}")
        reply = await server.signed(opened, "events", OUTPUT)
        assert (reply.status, reply.error_code) == (401, "unauthorized")

    ServeAuth().run(scenario)


def test_a_grant_of_another_form_is_refused() -> None:
    async def scenario(server: ServeAuth) -> list[int]:
        return [
            (await open_as(server, {}, grant="x")).status,
            (await server.client.post_json("/api/sessions/build/end", {})).status,
            (await server.client.post_json("/api/sessions/NO/end", {"grant": "0" * 16})).status,
            (await server.client.post_json("/api/sessions/build/end", {"grant": "0" * 16})).status,
        ]

    assert ServeAuth().run(scenario) == [400, 400, 404, 200]
