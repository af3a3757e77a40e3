"""What `/pusher/auth` and `/pusher/user-auth` answer by token; roles and channels one by one are in `test_rights.py`."""

from __future__ import annotations

import json

from codewrap.server.app import MountedHub
from tests.support.serve_auth import ServeAuth, bearer


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
