"""What `/pusher/auth` and `/pusher/user-auth` answer by token; roles and channels one by one are in `test_rights.py`."""

from __future__ import annotations

import json

from codewrap.server.app import MountedHub
from codewrap.server.limits import Bounds
from tests.support.serve_auth import BEARER, ServeAuth, bearer


def test_presence_tells_the_token_s_user_whatever_the_request_says() -> None:
    async def scenario(server: ServeAuth) -> None:
        issued = (await server.client.post_json("/api/tokens", {"user": "alice", "role": "viewer"})).json()
        asked = {"socket_id": "1.2", "channel_name": "presence-command-build", "role": "host", "name": "Mallory", "user": "bob"}
        reply = await server.stranger.post_form("/pusher/auth", bearer(issued["token"]), **asked)
        member = json.loads(reply.json()["channel_data"])
        assert member["user_id"].startswith("alice.")
        assert member["user_info"]["role"] == "viewer"
        signed_in = await server.stranger.post_form("/pusher/user-auth", bearer(issued["token"]), socket_id="1.2")
        assert json.loads(signed_in.json()["user_data"])["id"] == "alice"

    ServeAuth().run(scenario)


def test_sockets_that_were_authorized_for_a_revoked_user_are_closed_at_our_own_hub() -> None:
    closed: list[str] = []

    async def scenario(server: ServeAuth) -> None:
        issued = (await server.client.post_json("/api/tokens", {"user": "alice", "role": "viewer"})).json()
        asked = {"socket_id": "1.2", "channel_name": "private-command-build"}
        await server.stranger.post_form("/pusher/auth", bearer(issued["token"]), **asked)
        await server.client.post_form("/pusher/auth", **(asked | {"socket_id": "1.3"}))
        await server.client.post_json("/api/revocations", {"user": "alice"})

    ServeAuth(MountedHub([], close_socket=closed.append)).run(scenario)
    assert closed == ["1.2"]


async def authorized(server: ServeAuth, headers: dict[str, str], *socket_ids: str) -> list[int]:
    """Statuses of authorizations for these sockets."""
    asked = {"channel_name": "private-command-build"}
    return [
        (await server.stranger.post_form("/pusher/auth", headers, socket_id=socket_id, **asked)).status
        for socket_id in socket_ids
    ]


def test_a_user_has_so_many_sockets_at_our_own_hub_and_more_when_some_are_closed() -> None:
    there = {"1.1", "1.2", "1.3", "1.4"}

    async def scenario(server: ServeAuth) -> None:
        alice, bob = await server.token_of("alice", "viewer"), await server.token_of("bob", "viewer")
        assert await authorized(server, alice, "1.1", "1.2", "1.1", "1.3", "1.2") == [200, 200, 200, 429, 200]
        refused = await server.stranger.post_form("/pusher/user-auth", alice, socket_id="1.3")
        assert (refused.status, refused.error_code) == (429, "too_many")
        assert int(refused.headers["retry-after"]) >= 1
        assert await authorized(server, bob, "1.3") == [200]
        assert await authorized(server, BEARER, "1.1", "1.2", "1.3", "1.4") == [200] * 4
        there.remove("1.1")
        assert await authorized(server, alice, "1.4", "1.3") == [200, 429]

    hub = MountedHub([], is_open=there.__contains__)
    ServeAuth(hub, bounds=Bounds(sockets_per_user=2)).run(scenario)


def test_where_the_broker_is_another_one_new_sockets_of_a_user_are_counted() -> None:
    async def scenario(server: ServeAuth) -> None:
        alice = await server.token_of("alice", "viewer")
        assert await authorized(server, alice, "1.1", "1.2", "1.1", "1.3", "1.2") == [200, 200, 200, 429, 200]
        assert await authorized(server, BEARER, "2.1", "2.2", "2.3") == [200] * 3

    ServeAuth(bounds=Bounds(sockets_per_user=2)).run(scenario)


def test_authorizations_are_bounded_by_token_and_by_nothing_for_the_token_that_everybody_has() -> None:
    async def scenario(server: ServeAuth) -> None:
        alice = await server.token_of("alice", "viewer")
        assert await authorized(server, alice, *["1.1"] * 1201) == [200] * 1200 + [429]
        assert await authorized(server, await server.token_of("alice", "viewer"), "1.1") == [200]
        assert await authorized(server, BEARER, *["1.1"] * 1300) == [200] * 1300

    ServeAuth().run(scenario)
