"""The rights table of `docs/security.md`, row by row, by real requests: allowed or refused exactly as it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from codewrap.protocol.channels import ChannelRole
from codewrap.protocol.roles import Role
from codewrap.server.openapi import document
from tests.support.serve_auth import ServeAuth

SECURITY = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
SYNC = {"v": 1, "type": "sync", "epoch": "", "from": 0, "want": "screen"}
RUN = "0123456789abcdef"
# What each endpoint is sent: right in form, so that a refusal can only be about the right.
BODIES: dict[str, dict[str, Any]] = {
    "POST /pusher/user-auth": {"socket_id": "1.2"},
    "POST /api/commands/input": {"sessionId": "build", "input": "x"},
    "POST /api/commands/sync": {"sessionId": "build", "frame": SYNC},
    "POST /api/sessions": {"sessionId": "another"},
    "POST /api/sessions/{name}/end": {"grant": "GRANT"},
    "POST /api/sessions/{name}/approvals": {"user": "carol"},
    "POST /api/sessions/{name}/kill": {},
    "POST /api/sessions/{name}/send": {"text": "x"},
    "POST /api/sessions/{name}/answer-links": {"epoch": RUN, "offset": 1, "typed": 0, "prompt": "Name:", "reads": "line"},
    "POST /api/sessions/{name}/answers/{token_id}": {"outcome": "gone"},
    "POST /api/shares": {"sessionId": "build"},
    "POST /api/tokens": {"user": "carol", "role": "viewer"},
    "POST /api/revocations": {"user": "carol"},
}
OPEN = {("get", path) for path in ("/api/config", "/healthz", "/openapi.json", "/s/{name}", "/a/{name}")} | {
    ("post", "/api/shares/redeem")
}
# Who has a link made for one prompt may answer that, and nothing else: `tests/server/api/test_answers.py`.
LINKED = {("post", "/api/sessions/{name}/answer")}
SIGNED = {("post", "/apps/{app_id}/events"), ("post", "/apps/{app_id}/batch_events")}


class Row(NamedTuple):
    what: str
    may: dict[Role, str]


def table() -> list[Row]:
    section = SECURITY.partition("## Who may do what")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    assert cells[0][1:] == [role.value for role in Role]
    return [Row(row[0], dict(zip(Role, row[1:], strict=True))) for row in cells[2:]]


ROWS = table()
CHANNELS = [row for row in ROWS if row.what.startswith("subscribe")]
ENDPOINTS = [row for row in ROWS if not row.what.startswith("subscribe")]
CELLS = [(row.what, role, row.may[role]) for row in ENDPOINTS for role in Role]


def endpoint(what: str) -> tuple[str, str]:
    method, _, path = what.strip("`").partition(" ")
    return method, path


def test_every_kind_of_channel_and_every_endpoint_has_its_row() -> None:
    assert {row.what for row in CHANNELS} == {f"subscribe `{role.value}`" for role in ChannelRole}
    described = {(method, path) for path, methods in document()["paths"].items() for method in methods}
    rows = {(method.lower(), path) for method, path in (endpoint(row.what) for row in ENDPOINTS)}
    assert rows | (OPEN & described) | LINKED | SIGNED | {("post", "/pusher/auth")} == described
    assert all(cell in {"yes", "no", "own"} for row in ROWS for cell in row.may.values())


@pytest.mark.parametrize(("what", "role", "cell"), [(row.what, role, row.may[role]) for row in CHANNELS for role in Role])
@pytest.mark.parametrize("hosts", ["alice", "bob", None])
def test_a_channel_is_authorized_exactly_where_the_table_says_so(what: str, role: Role, cell: str, hosts: str | None) -> None:
    async def scenario(server: ServeAuth) -> int:
        headers = await server.token_of("alice", role.value)
        if hosts is not None:
            await server.client.post_json("/api/sessions", {"sessionId": "build"}, await server.token_of(hosts, "host"))
        found = re.search("`(.+)`", what)
        assert found is not None
        # As host, the most that anybody can ask to be: what the token does not allow is not played.
        asked = {"socket_id": "1.2", "channel_name": f"{found[1]}build", "role": "host"}
        return (await server.stranger.post_form("/pusher/auth", headers, **asked)).status

    allowed = cell == "yes" or (cell == "own" and hosts != "bob")
    assert ServeAuth().run(scenario) == (200 if allowed else 403)


@pytest.mark.parametrize(("what", "role", "cell"), CELLS)
@pytest.mark.parametrize("owns", [True, False])
def test_an_endpoint_answers_exactly_whom_the_table_says(what: str, role: Role, cell: str, owns: bool) -> None:
    async def scenario(server: ServeAuth) -> int:
        # Owning a session is a matter of the user: the same user comes with another token, of the role that is tried.
        owner = await server.token_of("alice", "host")
        opened = await server.client.post_json("/api/sessions", {"sessionId": "build"}, owner)
        headers = await server.token_of("alice" if owns else "bob", role.value)
        method, path = endpoint(what)
        body = dict(BODIES.get(f"{method} {path}", {}))
        if "grant" in body:
            body["grant"] = opened.json()["grant"]
        link = await server.client.post_json("/api/shares", {"sessionId": "build"}, owner)
        await server.stranger.request("PUT", f"/api/recordings/build/{RUN}", b"sealed", owner)
        filled = path.replace("{name}", "build").replace("{token_id}", link.json()["tokenId"]).replace("{epoch}", RUN)
        if method == "PUT":
            return (await server.stranger.request("PUT", filled, b"sealed anew", headers)).status
        if method == "POST":
            return (await server.stranger.post_json(filled, body, headers)).status
        return (await server.stranger.request(method, filled, headers=headers)).status

    allowed = cell == "yes" or (cell == "own" and owns)
    status = ServeAuth().run(scenario)
    assert (200 <= status < 300) if allowed else status == 403


@pytest.mark.parametrize("role", list(Role))
def test_a_token_bound_to_sessions_may_nothing_with_others(role: Role) -> None:
    async def scenario(server: ServeAuth) -> list[int]:
        await server.open_session()
        headers = await server.token_of("alice", role.value, sessions=["deploy"])
        statuses = []
        for channel in ChannelRole:
            asked = {"socket_id": "1.2", "channel_name": f"{channel.value}build", "role": "host"}
            statuses.append((await server.stranger.post_form("/pusher/auth", headers, **asked)).status)
        for what in ("POST /api/commands/input", "POST /api/commands/sync", "POST /api/shares"):
            _, path = endpoint(what)
            statuses.append((await server.stranger.post_json(path, BODIES[what], headers)).status)
        statuses.append((await server.stranger.get("/api/sessions/build/screen", headers)).status)
        for act in ("end", "approvals", "kill", "send"):
            body = BODIES[f"POST /api/sessions/{{name}}/{act}"]
            statuses.append((await server.stranger.post_json(f"/api/sessions/build/{act}", body, headers)).status)
        what = "POST /api/sessions/{name}/answer-links"
        statuses.append((await server.stranger.post_json("/api/sessions/build/answer-links", BODIES[what], headers)).status)
        statuses.append((await server.stranger.post_json("/api/sessions", {"sessionId": "build"}, headers)).status)
        for method in ("GET", "PUT", "DELETE"):
            statuses.append((await server.stranger.request(method, f"/api/recordings/build/{RUN}", b"x", headers)).status)
        return statuses

    assert set(ServeAuth().run(scenario)) == {403}


@pytest.mark.parametrize("path", sorted(document()["paths"]))
def test_no_other_method_does_anything_whoever_asks(path: str) -> None:
    async def scenario(server: ServeAuth) -> dict[str, int]:
        filled = path.replace("{name}", "build").replace("{token_id}", "0" * 32).replace("{app_id}", "7")
        filled = filled.replace("{epoch}", RUN)
        others = {"GET", "POST", "PUT", "PATCH", "DELETE"} - {method.upper() for method in document()["paths"][path]}
        return {method: (await server.client.request(method, filled, b"{}")).status for method in others}

    assert set(ServeAuth().run(scenario).values()) == {405}


def test_every_test_that_a_promise_names_is_there() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", SECURITY))
    root = Path(__file__).parents[2]
    assert named
    assert [name for name in sorted(named) if not (root / name).is_file()] == []
