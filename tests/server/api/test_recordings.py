"""`/api/recordings`, by requests."""

from __future__ import annotations

import pytest

from codewrap.server.recordings import BODY_BYTES
from tests.support.asgi import Reply
from tests.support.serve_auth import ServeAuth

RUN = "0123456789abcdef"
PATH = f"/api/recordings/build/{RUN}"
OCTETS = {"content-type": "application/octet-stream"}


async def put(server: ServeAuth, query: str = "", body: bytes = b"sealed", headers: dict[str, str] | None = None) -> Reply:
    return await server.client.request("PUT", PATH + query, body, OCTETS | (headers or {}))


def test_what_is_put_in_pieces_is_read_listed_and_deleted() -> None:
    async def scenario(server: ServeAuth) -> None:
        await server.open_session()
        first = await put(server)
        assert (first.status, first.json()) == (200, {"bytes": 6, "ended": False})
        listed = (await server.client.get("/api/recordings")).json()["recordings"]
        assert [(each["sessionId"], each["live"]) for each in listed] == [("build", True)]
        assert (await put(server, "?at=6&last=true", b" more")).json() == {"bytes": 11, "ended": True}
        read = await server.client.get(PATH + "?at=3")
        assert (read.status, read.headers["content-type"], read.body) == (200, "application/octet-stream", b"led more")
        assert (await server.client.get(PATH + "?at=11")).body == b""
        answer = (await server.client.get("/api/recordings?session=build")).json()
        assert answer["more"] is False
        (only,) = answer["recordings"]
        assert (only["epoch"], only["owner"], only["bytes"], only["ended"], only["live"]) == (RUN, "admin", 11, True, False)
        assert (await server.client.get("/api/recordings?session=other")).json()["recordings"] == []
        assert (await server.client.request("DELETE", PATH)).json() == {"status": "deleted"}
        assert (await server.client.get(PATH)).error_code == "no_such_recording"

    ServeAuth().run(scenario)


@pytest.mark.parametrize("query", ["?at=-1", "?at=x", "?at=", f"?at={2**53}", "?at=1.5", "?last=yes", "?last="])
def test_a_strange_place_is_refused(query: str) -> None:
    async def scenario(server: ServeAuth) -> Reply:
        await server.open_session()
        return await put(server, query)

    reply = ServeAuth().run(scenario)
    assert (reply.status, reply.error_code) == (400, "bad_request")


@pytest.mark.parametrize(
    "path", ["/api/recordings/build/x", f"/api/recordings/-build/{RUN}", f"/api/recordings/build/{RUN.upper()}"]
)
def test_what_names_no_run_is_not_there(path: str) -> None:
    async def scenario(server: ServeAuth) -> list[int]:
        return [(await server.client.request(method, path, b"x")).status for method in ("GET", "PUT", "DELETE")]

    assert ServeAuth().run(scenario) == [404, 404, 404]


def test_a_body_that_is_too_large_or_empty_or_out_of_place_is_refused() -> None:
    async def scenario(server: ServeAuth) -> list[tuple[int, str]]:
        await server.open_session()
        replies = [
            await put(server, body=b"x" * (BODY_BYTES + 1)),
            await put(server, body=b""),
            await put(server, "?at=7"),
            await server.client.get("/api/recordings?session=-"),
        ]
        return [(reply.status, reply.error_code) for reply in replies]

    expected = [(413, "too_large"), (400, "bad_request"), (409, "behind"), (400, "bad_request")]
    assert ServeAuth().run(scenario) == expected


def test_of_many_pieces_the_audit_log_tells_the_first_and_the_last_and_every_refusal() -> None:
    async def scenario(server: ServeAuth) -> list[tuple[str, str, bool]]:
        await server.open_session()
        viewer = await server.token_of("carol", "viewer")
        for query in ("", "?at=6", "?at=12", "?at=18&last=true"):
            await put(server, query)
        assert (await put(server, "?at=6", headers=viewer)).status == 403
        for query in ("", "?at=6"):
            await server.stranger.get(PATH + query, viewer)
        await server.client.request("DELETE", PATH)
        lines = await server.audited()
        assert [line["by"] for line in lines if line.get("what") == "delete_recording"] == ["admin"]
        return [(line["user"], line["act"], line["accepted"]) for line in lines if line["event"] == "act"]

    told = ServeAuth().run(scenario)
    assert [each for each in told if each[1] in ("store", "recall")] == [
        ("admin", "store", True),
        ("admin", "store", True),
        ("carol", "store", False),
        ("carol", "recall", True),
        ("admin", "store", True),
    ]
