"""The endpoints as clients use them: every refusal by its status, and what arrives at the broker."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from codewrap.errors import AuthError, TransportError
from codewrap.protocol import frames, grants, sealing
from codewrap.server.app import MountedHub, PublicBroker
from codewrap.transport.base import Event, RetryLater
from tests.support.asgi import AsgiClient, Reply
from tests.support.serve_auth import BEARER, MASTER_KEY, TOKEN, ServeAuth

AUTHENTICATED = ["/pusher/auth", "/pusher/user-auth", "/api/commands/input", "/api/commands/sync", "/api/sessions"]
SYNC = {"v": 1, "type": "sync", "epoch": "", "from": 0, "want": "screen"}
OUTPUT = {"name": "output", "channel": "private-encrypted-command-build", "data": "{}"}


def test_a_channel_is_authorized_by_form_and_by_json_alike() -> None:
    async def scenario(server: ServeAuth) -> tuple[Reply, Reply]:
        fields = {"socket_id": "1.2", "channel_name": "private-encrypted-command-build"}
        form = await server.client.post_form("/pusher/auth", **fields)
        return form, await server.client.post_json("/pusher/auth", fields)

    form, json_ = ServeAuth().run(scenario)
    assert form.status == json_.status == 200
    assert form.json() == json_.json()
    assert set(form.json()) == {"auth", "shared_secret"}
    assert form.json()["auth"].startswith("app-key:")


def test_role_and_name_of_a_request_go_into_presence() -> None:
    async def scenario(server: ServeAuth) -> Reply:
        return await server.client.post_form(
            "/pusher/auth", socket_id="1.2", channel_name="presence-command-build", role="viewer", name="Ada"
        )

    member = json.loads(ServeAuth().run(scenario).json()["channel_data"])
    assert member["user_info"] == {"name": "Ada", "role": "viewer"}


def test_a_user_signs_in() -> None:
    async def scenario(server: ServeAuth) -> Reply:
        return await server.client.post_form("/pusher/user-auth", socket_id="1.2")

    reply = ServeAuth().run(scenario)
    assert reply.status == 200
    assert json.loads(reply.json()["user_data"]) == {"id": "admin"}


@pytest.mark.parametrize("path", AUTHENTICATED)
@pytest.mark.parametrize("header", [None, "Bearer wrong", f"Basic {TOKEN}"])
def test_nothing_happens_without_the_token(path: str, header: str | None) -> None:
    async def scenario(server: ServeAuth) -> Reply:
        headers = {"authorization": header} if header else {}
        return await server.stranger.post_json(f"{path}?token={TOKEN}", {"sessionId": "build", "input": "x"}, headers)

    server = ServeAuth()
    reply = server.run(scenario)
    assert (reply.status, reply.error_code) == (401, "unauthorized")
    assert reply.headers["www-authenticate"].startswith("Bearer")
    assert not server.published.events


@pytest.mark.parametrize(
    ("path", "value", "status"),
    [
        ("/pusher/auth", {"socket_id": "1.2"}, 400),
        ("/pusher/auth", {"channel_name": "private-command-build"}, 400),
        ("/pusher/auth", {"socket_id": "x", "channel_name": "private-command-build"}, 400),
        ("/pusher/auth", {"socket_id": "1.2", "channel_name": "private-other"}, 403),
        ("/pusher/auth", {"socket_id": "1.2", "channel_name": "private-input-build", "role": "viewer"}, 403),
        ("/pusher/user-auth", {}, 400),
        ("/api/commands/input", {"sessionId": "build"}, 400),
        ("/api/commands/input", {"sessionId": "build", "input": "x" * 10_241}, 413),
        ("/api/commands/sync", {"sessionId": "build", "frame": {}}, 400),
        ("/api/sessions", {"sessionId": "NO"}, 400),
        ("/api/sessions", {"sessionId": "build", "more": 1}, 400),
        ("/api/sessions", [], 400),
    ],
)
def test_requests_of_another_form_are_refused(path: str, value: object, status: int) -> None:
    async def scenario(server: ServeAuth) -> Reply:
        return await server.client.post_json(path, value)

    reply = ServeAuth().run(scenario)
    assert reply.status == status
    assert reply.error_code


@pytest.mark.parametrize("path", AUTHENTICATED)
def test_bodies_are_bounded_while_they_are_read(path: str) -> None:
    async def scenario(server: ServeAuth) -> Reply:
        return await server.client.request("POST", path, [b"x" * 4096] * 100)

    assert ServeAuth().run(scenario).status == 413


def test_simple_input_reaches_the_broker_sealed() -> None:
    async def scenario(server: ServeAuth) -> Reply:
        return await server.client.post_json("/api/commands/input", {"sessionId": "build", "input": "make\n"})

    server = ServeAuth()
    reply = server.run(scenario)
    assert (reply.status, reply.json()) == (202, {"status": "accepted"})
    [event] = server.published.events
    assert (event.channel, event.name) == ("private-input-build", "input")
    assert "make" not in event.data
    envelope = grants.decode(event.data)
    assert envelope.writer == "admin.http"
    base_key = sealing.shared_secret("private-encrypted-input-build", MASTER_KEY)
    frame = frames.decode_viewer(grants.unseal(envelope, grants.writer_key(base_key, envelope.writer, envelope.until)))
    assert isinstance(frame, frames.Input)
    assert frame.data == b"make\n"


def test_sync_reaches_the_broker() -> None:
    async def scenario(server: ServeAuth) -> Reply:
        return await server.client.post_json("/api/commands/sync", {"sessionId": "build", "frame": SYNC})

    server = ServeAuth()
    assert server.run(scenario).status == 202
    assert [(event.channel, event.name) for event in server.published.events] == [("presence-command-build", "sync")]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/api/commands/input", {"sessionId": "build", "input": "x"}),
        ("/api/commands/sync", {"sessionId": "build", "frame": SYNC}),
    ],
)
def test_too_many_commands_to_a_session_are_slowed_down_and_no_other_session_is(path: str, value: dict[str, Any]) -> None:
    async def scenario(server: ServeAuth) -> tuple[Reply, Reply]:
        for _ in range(2000):
            reply = await server.client.post_json(path, value)
            if reply.status != 202:
                break
        return reply, await server.client.post_json(path, value | {"sessionId": "other"})

    limited, other = ServeAuth().run(scenario)
    assert (limited.status, limited.error_code) == (429, "too_many")
    assert int(limited.headers["retry-after"]) >= 1
    assert other.status == 202


def test_guessing_the_token_is_slowed_down_for_its_address_only() -> None:
    async def scenario(server: ServeAuth) -> list[Reply]:
        guesses = [
            await server.stranger.post_form("/pusher/user-auth", {"authorization": f"Bearer {n}"}, socket_id="1.2")
            for n in range(11)
        ]
        right = await server.stranger.post_form("/pusher/user-auth", BEARER, socket_id="1.2")
        return [*guesses, right, await server.client.post_form("/pusher/user-auth", socket_id="1.2")]

    replies = ServeAuth().run(scenario)
    assert [reply.status for reply in replies] == [401] * 10 + [429, 429, 200]
    assert 1 <= int(replies[-2].headers["retry-after"]) <= 60


def test_a_host_publishes_with_its_session_s_credentials() -> None:
    async def scenario(server: ServeAuth) -> list[Reply]:
        opened = await server.open_session()
        assert opened["appId"] == "7"
        batch = {"batch": [OUTPUT | {"data": str(number)} for number in range(10)]}
        return [await server.signed(opened, "events", OUTPUT), await server.signed(opened, "batch_events", batch)]

    server = ServeAuth()
    replies = server.run(scenario)
    assert [(reply.status, reply.json()) for reply in replies] == [(200, {}), (200, {})]
    assert [len(events) for events in server.published.published] == [1, 10]
    assert server.published.events[0] == Event(OUTPUT["channel"], "output", "{}")


def test_a_session_s_credentials_reach_no_other_session_and_open_nothing_else() -> None:
    async def scenario(server: ServeAuth) -> list[int]:
        opened = await server.open_session()
        elsewhere = OUTPUT | {"channel": "private-encrypted-command-other"}
        replies = [
            await server.signed(opened, "events", elsewhere),
            await server.signed(opened, "batch_events", {"batch": [OUTPUT, elsewhere]}),
            await server.signed(opened, "events", OUTPUT, secret="0" * 64),
            await server.signed(opened | {"appId": "8"}, "events", OUTPUT),
            await server.signed(opened, "events", OUTPUT | {"data": "x" * 10_241}),
            await server.signed(opened, "channels", {}),
            await server.stranger.post_json("/api/sessions", {"sessionId": "b"}, {"authorization": f"Bearer {opened['secret']}"}),
        ]
        return [reply.status for reply in replies]

    server = ServeAuth()
    assert server.run(scenario) == [403, 403, 401, 401, 413, 404, 401]
    assert not server.published.events


def test_the_app_s_own_credentials_are_not_taken_where_the_broker_is_elsewhere() -> None:
    async def scenario(server: ServeAuth) -> Reply:
        return await server.signed({"appId": "7", "key": "app-key", "secret": "app secret"}, "events", OUTPUT)

    reply = ServeAuth().run(scenario)
    assert (reply.status, reply.error_code) == (401, "unauthorized")


def test_wrong_signatures_count_as_guesses_but_right_ones_go_on() -> None:
    async def scenario(server: ServeAuth) -> list[int]:
        opened = await server.open_session()
        guesses = [(await server.signed(opened, "events", OUTPUT, secret="0" * 64)).status for _ in range(11)]
        return [*guesses, (await server.signed(opened, "events", OUTPUT)).status]

    assert ServeAuth().run(scenario) == [401] * 10 + [429, 200]


def test_with_a_hub_its_own_api_answers_all_but_sessions() -> None:
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[None]:
        seen.append("up")
        yield
        seen.append("down")

    async def rest(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"hub: {request.url.path} {len(await request.body())}")

    async def scenario(server: ServeAuth) -> list[Reply]:
        opened = await server.open_session()
        assert seen == ["up"]
        return [
            await server.signed(opened, "events", OUTPUT),
            await server.signed({"appId": "7", "key": "app-key", "secret": "x"}, "events", {}),
            await server.stranger.get("/apps/7/channels"),
        ]

    hub = MountedHub([Route("/apps/{rest:path}", rest, methods=["GET", "POST"])], running)
    replies = ServeAuth(hub).run(scenario)
    assert seen == ["up", "down"]
    assert replies[0].json() == {}
    assert [reply.body for reply in replies[1:]] == [b"hub: /apps/7/events 2", b"hub: /apps/7/channels 0"]


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (TransportError("broker", "down"), 503, "broker_unavailable"),
        (TransportError("broker", "too large", status=413, retry=False), 413, "too_large"),
        (RetryLater("broker", "quota", status=429, retry_after_s=7.2), 429, "too_many"),
        (AuthError("broker", "wrong secret", 401), 502, "broker_refused"),
    ],
)
def test_trouble_with_the_broker_is_told_as_such(failure: Exception, status: int, code: str) -> None:
    async def scenario(server: ServeAuth) -> list[Reply]:
        server.published.failure = failure
        opened = await server.open_session()
        return [
            await server.client.post_json("/api/commands/input", {"sessionId": "build", "input": "x"}),
            await server.signed(opened, "events", OUTPUT),
        ]

    for reply in ServeAuth().run(scenario):
        assert (reply.status, reply.error_code) == (status, code)
        assert "secret" not in reply.body.decode()
        if code == "too_many":
            assert reply.headers["retry-after"] == "7"


def test_a_fault_of_ours_is_json_without_details() -> None:
    async def scenario(server: ServeAuth) -> list[dict[str, Any]]:
        server.published.failure = RuntimeError(f"a bug that knows {TOKEN}")
        sent: list[dict[str, Any]] = []
        client = AsgiClient(_Recorded(server.app, sent), headers=BEARER)
        with pytest.raises(RuntimeError):
            await client.post_json("/api/commands/input", {"sessionId": "build", "input": "x"})
        return sent

    start, body = ServeAuth().run(scenario)
    assert start["status"] == 500
    assert json.loads(body["body"])["error"]["code"] == "internal_error"
    assert TOKEN.encode() not in body["body"]


class _Recorded:
    """An application whose answer is kept even though it raises afterwards, as Starlette does after a 500."""

    def __init__(self, app: Any, sent: list[dict[str, Any]]) -> None:
        self._app = app
        self._sent = sent

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def keep(message: dict[str, Any]) -> None:
            self._sent.append(message)

        await self._app(scope, receive, keep)


def test_clients_are_told_where_the_broker_is() -> None:
    async def scenario(server: ServeAuth) -> Reply:
        return await server.stranger.get("/api/config")

    own, elsewhere = ServeAuth().run(scenario), ServeAuth(broker=PublicBroker("ws.example.com", 443, True, "/ws")).run(scenario)
    assert own.json() == {
        "version": 1,
        "broker": {"host": None, "port": None, "tls": None, "key": "app-key", "path": ""},
        "limits": {"event_bytes": 10_240, "client_events_per_s": None},
        "encrypted": True,
    }
    assert elsewhere.json()["broker"] == {
        "host": "ws.example.com",
        "port": 443,
        "tls": True,
        "key": "app-key",
        "path": "/ws",
    }
    for reply in (own, elsewhere):
        assert "app secret" not in reply.body.decode()


@pytest.mark.parametrize(("answers", "word"), [(True, "ok"), (False, "unreachable")])
def test_health_needs_no_token_and_tells_no_details(answers: bool, word: str) -> None:
    async def probe() -> bool:
        return answers

    async def scenario(server: ServeAuth) -> Reply:
        return await server.stranger.get("/healthz")

    reply = ServeAuth(probe=probe).run(scenario)
    assert (reply.status, reply.json()) == (200, {"status": "ok", "broker": word})


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("POST", "/pusher/auth/", 404, "not_found"),
        ("GET", "/pusher/auth", 405, "method_not_allowed"),
        ("DELETE", "/api/sessions", 405, "method_not_allowed"),
        ("GET", "/apps/7/events", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_served_is_said_in_json(method: str, path: str, status: int, code: str) -> None:
    async def scenario(server: ServeAuth) -> Reply:
        return await server.client.request(method, path)

    reply = ServeAuth().run(scenario)
    assert (reply.status, reply.error_code) == (status, code)
    if status == 405:
        assert reply.headers["allow"]


def test_all_methods_of_a_path_are_named_to_whoever_comes_with_another() -> None:
    async def scenario(server: ServeAuth) -> Reply:
        return await server.client.request("PUT", "/api/sessions")

    assert ServeAuth().run(scenario).headers["allow"] == "GET, HEAD, POST"


def test_secrets_do_not_show_in_the_settings() -> None:
    from codewrap.server.app import ServerSettings
    from tests.support.serve_auth import APP, SIGNING_KEY

    shown = repr(ServerSettings(APP, MASTER_KEY, TOKEN, (SIGNING_KEY,), 10_240))
    assert TOKEN not in shown
    assert "app secret" not in shown
    assert repr(MASTER_KEY) not in shown
    assert repr(SIGNING_KEY) not in shown
