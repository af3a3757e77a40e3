"""The document describes what is served: every route, and real requests and answers by its schemas."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from starlette.routing import Route

from codewrap.server.openapi import document
from tests.support.asgi import Reply
from tests.support.schema import Mismatch, check
from tests.support.serve_auth import ServeAuth

OUTPUT = {"name": "output", "channel": "private-command-build", "data": "{}"}
SYNC = {"v": 1, "type": "sync", "epoch": "", "from": 0, "want": "bytes"}
SEALED = {"nonce": "A" * 32, "ciphertext": "A" * 40, "writer": "admin.http", "until": 0}
CALLS: list[tuple[str, object]] = [
    ("/pusher/auth", {"socket_id": "1.2", "channel_name": "presence-command-build"}),
    ("/pusher/auth", {"socket_id": "1.2", "channel_name": "private-encrypted-input-build", "role": "host", "name": "x"}),
    ("/pusher/auth", {"socket_id": "1.2", "channel_name": "private-input-build"}),
    ("/pusher/auth", {"socket_id": "1.2", "channel_name": "public"}),
    ("/pusher/auth", {"socket_id": "nonsense", "channel_name": "private-command-build"}),
    ("/pusher/auth", {"socket_id": "1.2", "channel_name": "private-command-build", "role": "king"}),
    ("/pusher/user-auth", {"socket_id": "1.2"}),
    ("/pusher/user-auth", {}),
    ("/api/commands/input", {"sessionId": "build", "input": "x"}),
    ("/api/commands/input", {"sessionId": "build", "sealed": SEALED}),
    ("/api/commands/input", {"sessionId": "build", "sealed": SEALED | {"writer": "bob.http"}}),
    ("/api/commands/input", {"sessionId": "build", "sealed": SEALED | {"until": "1"}}),
    ("/api/commands/input", {"sessionId": "build"}),
    ("/api/commands/input", {"sessionId": "build", "input": "x", "sealed": SEALED}),
    ("/api/commands/input", {"sessionId": "build", "input": "", "more": 1}),
    ("/api/commands/sync", {"sessionId": "build", "frame": SYNC}),
    ("/api/commands/sync", {"sessionId": "build", "frame": SYNC | {"from": -1}}),
    ("/api/commands/sync", {"sessionId": "build", "frame": SYNC | {"want": 5}}),
    ("/api/sessions", {"sessionId": "build"}),
    ("/api/sessions", {"sessionId": "-build"}),
    ("/api/sessions", {"sessionId": "build", "grant": "0" * 16}),
    ("/api/sessions", {"sessionId": "build", "grant": "x"}),
    ("/api/tokens", {"user": "alice", "role": "writer"}),
    ("/api/tokens", {"user": "alice", "role": "writer", "sessions": ["build-*"], "lifetimeS": 60}),
    ("/api/tokens", {"user": "admin", "role": "writer"}),
    ("/api/tokens", {"user": "a.b", "role": "writer"}),
    ("/api/tokens", {"user": "sso@alice", "role": "writer"}),
    ("/api/tokens", {"user": "alice", "role": "king"}),
    ("/api/tokens", {"user": "alice", "role": "writer", "lifetimeS": 0}),
    ("/api/tokens", {"user": "alice", "role": "writer", "sessions": ["UP"]}),
    ("/api/revocations", {"user": "alice"}),
    ("/api/revocations", {"user": "admin"}),
    ("/api/revocations", {"user": "sso@alice"}),
    ("/api/shares", {"sessionId": "build", "write": True, "once": True, "lifetimeS": 60}),
    ("/api/shares", {"sessionId": "build", "lifetimeS": 10**7}),
    ("/api/shares/redeem", {"token": "x"}),
    ("/api/shares/redeem", {"token": 7}),
    ("/api/sessions/{name}/send", {"text": "x", "keys": ["C-c"], "paste": True, "waitFor": "x", "timeoutS": 0.5}),
    ("/api/sessions/{name}/send", {"keys": ["C-c"], "encrypted": False}),
    ("/api/sessions/{name}/send", {"waitFor": "x"}),
    ("/api/sessions/{name}/send", {"text": "x", "timeoutS": 61}),
    ("/api/sessions/{name}/send", {"text": "x", "timeoutS": 0}),
    ("/apps/{app_id}/events", OUTPUT),
    ("/apps/{app_id}/events", {"name": "x", "data": "x", "channels": ["private-command-build"]}),
    ("/apps/{app_id}/events", {"name": "x", "data": "x", "channels": []}),
    ("/apps/{app_id}/events", OUTPUT | {"channels": ["private-command-build"]}),
    ("/apps/{app_id}/batch_events", {"batch": [OUTPUT, OUTPUT]}),
    ("/apps/{app_id}/batch_events", {"batch": [OUTPUT] * 11}),
    ("/apps/{app_id}/batch_events", {"batch": [OUTPUT | {"data": ""}]}),
]


def operation(path: str, method: str = "post") -> dict[str, Any]:
    found: dict[str, Any] = document()["paths"][path][method]
    return found


def check_answer(reply: Reply, described: dict[str, Any]) -> None:
    content = described["responses"][str(reply.status)]["content"]
    check(reply.json(), content[reply.headers["content-type"]]["schema"], document())


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    routes = {
        (route.path, method.lower())
        for route in ServeAuth().app.routes
        if isinstance(route, Route) and route.include_in_schema
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {(path, method) for path, methods in document()["paths"].items() for method in methods}
    assert described == routes


@pytest.mark.parametrize(("path", "value"), CALLS)
def test_requests_are_taken_exactly_where_the_schema_takes_them(path: str, value: Any) -> None:
    if isinstance(value, dict) and value.get("sealed", {}).get("until") == 0:
        value = value | {"sealed": value["sealed"] | {"until": int(time.time()) + 900}}

    async def scenario(server: ServeAuth) -> Reply:
        if path.startswith("/apps/"):
            return await server.signed(await server.open_session(), path.rpartition("/")[2], value)
        return await server.client.post_json(path.replace("{name}", "build"), value)

    reply = ServeAuth().run(scenario)
    described = operation(path)
    check_answer(reply, described)
    body = described["requestBody"]["content"]["application/json"]["schema"]
    if reply.status == 400:
        with pytest.raises(Mismatch):
            check(value, body, document())
    else:
        check(value, body, document())


@pytest.mark.parametrize("path", ["/api/config", "/healthz", "/openapi.json"])
def test_what_is_public_answers_by_its_schema(path: str) -> None:
    async def scenario(server: ServeAuth) -> Reply:
        return await server.stranger.get(path)

    reply = ServeAuth().run(scenario)
    assert reply.status == 200
    check_answer(reply, operation(path, "get"))
    if path == "/openapi.json":
        assert reply.json() == document()


GUARDED = [
    (method, path)
    for path, methods in document()["paths"].items()
    for method, described in methods.items()
    if described["security"]
]


def test_little_is_open_to_everybody() -> None:
    everything = {(method, path) for path, methods in document()["paths"].items() for method in methods}
    public = [("get", "/api/config"), ("get", "/healthz"), ("get", "/openapi.json"), ("post", "/api/shares/redeem")]
    assert sorted(everything - set(GUARDED)) == public


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_what_needs_credentials_says_so_and_refuses_without(method: str, path: str) -> None:
    async def scenario(server: ServeAuth) -> Reply:
        filled = path.replace("{app_id}", "7").replace("{name}", "build").replace("{token_id}", "0" * 32)
        filled = filled.replace("{epoch}", "0" * 16)
        return await server.stranger.request(method.upper(), filled, b"{}", {"content-type": "application/json"})

    described = operation(path, method)
    assert all(set(need) <= document()["components"]["securitySchemes"].keys() for need in described["security"])
    reply = ServeAuth().run(scenario)
    assert reply.status == 401
    check_answer(reply, described)


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    whole = document()
    used = set(re.findall(r"#/components/schemas/(\w+)", repr(whole)))
    assert used == whole["components"]["schemas"].keys()


def test_parameters_of_paths_are_described() -> None:
    for path, methods in document()["paths"].items():
        for described in methods.values():
            named = {p["name"] for p in described.get("parameters", []) if p["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
