"""Who may read the metrics, and that what was asked of the server is in them."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from codewrap.server.app import MountedHub
from codewrap.server.limits import Bounds
from codewrap.server.metrics import Census
from codewrap.server.state import StateUnavailable
from tests.support.asgi import Reply
from tests.support.serve_auth import ServeAuth, bearer

METRICS_TOKEN = "metrics-token-of-32-characters-xx"


def values(reply: Reply) -> dict[tuple[str, tuple[str, ...]], float]:
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = text_string_to_metric_families(reply.body.decode())
    return {(sample.name, tuple(sample.labels.values())): sample.value for family in families for sample in family.samples}


def test_an_admin_reads_the_metrics_and_so_does_who_has_their_own_token() -> None:
    async def scenario(server: ServeAuth) -> list[int]:
        replies = [
            await server.client.get("/metrics"),
            await server.stranger.get("/metrics", bearer(METRICS_TOKEN)),
            await server.stranger.get("/metrics"),
            await server.stranger.get("/metrics", bearer(METRICS_TOKEN + "x")),
            await server.stranger.get("/api/tokens", bearer(METRICS_TOKEN)),
            await server.stranger.get(f"/metrics?token={METRICS_TOKEN}"),
        ]
        return [reply.status for reply in replies]

    assert ServeAuth(metrics_token=METRICS_TOKEN).run(scenario) == [200, 200, 401, 401, 401, 401]


@pytest.mark.parametrize("role", ["viewer", "writer", "host"])
def test_no_lesser_role_reads_them(role: str) -> None:
    async def scenario(server: ServeAuth) -> int:
        issued = await server.client.post_json("/api/tokens", {"user": "alice", "role": role})
        return (await server.stranger.get("/metrics", bearer(issued.json()["token"]))).status

    assert ServeAuth().run(scenario) == 403


def test_guesses_of_the_metrics_token_are_slowed_down() -> None:
    async def scenario(server: ServeAuth) -> list[int]:
        guesses = [(await server.stranger.get("/metrics", bearer(f"guess-{number}"))).status for number in range(11)]
        return [*guesses, (await server.stranger.get("/metrics", bearer(METRICS_TOKEN))).status]

    assert ServeAuth(metrics_token=METRICS_TOKEN).run(scenario) == [401] * 10 + [429] * 2


def test_what_was_asked_of_the_server_is_counted_and_names_nobody() -> None:
    async def scenario(server: ServeAuth) -> Reply:
        await server.open_session("secret-session")
        fields = {"socket_id": "1.2", "channel_name": "private-encrypted-command-secret-session"}
        await server.client.post_form("/pusher/auth", **fields)
        await server.client.post_form("/pusher/auth", **(fields | {"channel_name": "elsewhere"}))
        await server.client.post_form("/pusher/user-auth", socket_id="1.2")
        await server.client.post_json("/api/commands/input", {"sessionId": "secret-session", "input": "make"})
        await server.client.post_json("/api/commands/input", {"sessionId": "secret-session"})
        await server.stranger.get("/api/whoami", bearer("wrong-token"))
        await server.client.request("POST", "/secret-path", headers={"origin": "https://evil.example"})
        await server.client.post_json("/api/revocations", {"user": "mallory"})
        return await server.client.get("/metrics")

    reply = ServeAuth().run(scenario)
    found = values(reply)
    for name, labels in [
        ("sessions", ()),
        ("authorizations_total", ("output", "ok")),
        ("authorizations_total", ("other", "forbidden")),
        ("authorizations_total", ("user", "ok")),
        ("input_frames_total", ("ok",)),
        ("input_frames_total", ("bad_request",)),
        ("authentications_total", ("unknown", "failed")),
        ("http_refusals_total", ("origin_not_allowed", "403")),
        ("http_responses_total", ("/api/sessions", "200")),
        ("revocations", ()),
        ("revocations_carried_out_total", ("user",)),
        ("state_seconds_count", ("open_session",)),
    ]:
        assert found[f"codewrap_{name}", labels] == 1, (name, labels)
    assert found["codewrap_publishes_waiting", ()] == 0
    assert found["codewrap_authentications_total", ("admin", "ok")] >= 6
    assert found["codewrap_events_published_total", ("input",)] == 2  # and one that tells the host of the revocation
    for word in (b"secret-session", b"secret-path", b"mallory", b"wrong-token", b"127.0.0.1", b"192.0.2.1"):
        assert word not in reply.body


def test_a_limit_that_was_hit_is_counted() -> None:
    async def scenario(server: ServeAuth) -> Reply:
        await server.open_session()
        for _ in range(300):
            if (await server.client.post_json("/api/commands/input", {"sessionId": "build", "input": "x"})).status == 429:
                break
        return await server.client.get("/metrics")

    assert values(ServeAuth().run(scenario))["codewrap_limits_hit_total", ("session", "inputs")] == 1


def test_a_session_too_many_is_refused_and_counted_and_so_are_credentials_that_are_over() -> None:
    async def scenario(server: ServeAuth) -> Reply:
        opened = await server.open_session("one")
        assert (await server.client.post_json("/api/sessions", {"sessionId": "two"})).status == 429
        event = {"name": "output", "channel": "private-encrypted-command-one", "data": "{}"}
        assert (await server.signed(opened, "events", event)).status == 200
        await server.open_session("one")
        assert (await server.signed(opened, "events", event)).status == 401
        return await server.client.get("/metrics")

    found = values(ServeAuth(bounds=Bounds(sessions_per_user=1)).run(scenario))
    assert found["codewrap_limits_hit_total", ("user", "sessions")] == 1
    assert found["codewrap_authentications_total", ("session", "ok")] == 1
    assert found["codewrap_authentications_total", ("session_over", "failed")] == 1


def test_the_hub_s_sockets_and_members_are_told() -> None:
    async def scenario(server: ServeAuth) -> Reply:
        return await server.client.get("/metrics")

    hub = MountedHub([], census=lambda: Census(5, {"viewer": 3, "x" * 1000: 2}))
    found = values(ServeAuth(hub).run(scenario))
    assert found["codewrap_hub_sockets", ()] == 5
    assert found["codewrap_hub_present", ("viewer",)] == 3
    assert found["codewrap_hub_present", ("other",)] == 2


def test_they_can_be_read_while_the_store_is_away() -> None:
    async def scenario(server: ServeAuth) -> Reply:
        async def away(*_arguments: object, **_named: object) -> object:
            raise StateUnavailable("nowhere", "gone")

        server.state.sessions = away  # type: ignore[method-assign, assignment]
        return await server.client.get("/metrics")

    found = values(ServeAuth().run(scenario))
    assert found["codewrap_state_failures_total", ("sessions",)] == 1
    assert found["codewrap_sessions", ()] != found["codewrap_sessions", ()]
