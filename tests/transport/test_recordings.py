"""Stored recordings from the client's side, against a server that the test scripts."""

from __future__ import annotations

import json

import pytest

from codewrap.errors import AuthError, CodewrapError, TransportError
from codewrap.transport.base import RetryLater
from codewrap.transport.recordings import RecordingClient, StoredRecording
from tests.support.web import Asked, WebServer, answer

RUN = "0123456789abcdef"
FACTS = {
    "sessionId": "build",
    "epoch": RUN,
    "owner": "alice",
    "openedAt": 5,
    "updatedAt": 9,
    "bytes": 100,
    "ended": True,
    "live": False,
    "new": "ignored",
}


def client_of(server: WebServer) -> RecordingClient:
    return RecordingClient(f"{server.url}/under", "hush-token")


def error(status: int, code: str) -> bytes:
    return answer(json.dumps({"error": {"code": code, "message": f"because of {code}"}}), status)


def test_a_piece_goes_to_its_place_as_it_is() -> None:
    with WebServer(lambda _: answer('{"bytes": 12, "ended": true}')) as server:
        client = client_of(server)
        assert client.put("build", RUN, 0, b"\x00sealed", last=False)
        assert client.put("build", RUN, 7, b"more", last=True)
        client.close()
    first, second = server.asked
    assert (first.method, first.target, first.body) == ("PUT", f"/under/api/recordings/build/{RUN}?at=0", b"\x00sealed")
    assert second.target.endswith("?at=7&last=true")
    assert first.headers["authorization"] == "Bearer hush-token"
    assert first.headers["content-type"] == "application/octet-stream"


def test_less_than_was_thought_is_no_error() -> None:
    with WebServer(lambda _: error(409, "behind")) as server:
        client = client_of(server)
        assert not client.put("build", RUN, 7, b"more", last=False)
        client.close()


def test_an_end_that_is_there_already_is_no_error() -> None:
    with WebServer(lambda _: error(409, "ended")) as server:
        client = client_of(server)
        assert client.put("build", RUN, 7, b"more", last=True)
        client.close()


@pytest.mark.parametrize(
    ("status", "code", "kind", "retry"),
    [
        (409, "ended", TransportError, False),
        (404, "not_stored", TransportError, False),
        (404, "no_such_session", TransportError, True),
        (413, "too_large", TransportError, False),
        (503, "storage_full", RetryLater, True),
        (403, "forbidden", AuthError, None),
        (500, "internal_error", TransportError, True),
    ],
)
def test_refusals_say_whether_to_try_again(status: int, code: str, kind: type[CodewrapError], retry: bool | None) -> None:
    with WebServer(lambda _: error(status, code)) as server:
        client = client_of(server)
        with pytest.raises(kind) as raised:
            client.put("build", RUN, 0, b"x", last=False)
        client.close()
    assert "hush" not in str(raised.value)
    assert getattr(raised.value, "retry", None) is retry


def test_reading_goes_on_until_nothing_comes() -> None:
    stored = b"0123456789"

    def reading(asked: Asked) -> bytes:
        at = int(asked.target.partition("at=")[2])
        return answer(stored[at : at + 4])

    with WebServer(reading) as server:
        client = client_of(server)
        assert list(client.read("build", RUN)) == [b"0123", b"4567", b"89"]
        client.close()


def test_what_is_listed_is_checked() -> None:
    said: list[object] = [{"recordings": [FACTS], "more": False}]
    with WebServer(lambda _: answer(json.dumps(said[0]))) as server:
        client = client_of(server)
        assert client.all("build") == [StoredRecording("build", RUN, "alice", 5.0, 9.0, 100, True, False)]
        assert client.all() == client.all("build")
        for wrong in (
            {"recordings": [FACTS | {"epoch": "../../../etc"}]},
            {"recordings": [FACTS | {"sessionId": "../x"}]},
            {"recordings": [FACTS | {"bytes": "1"}]},
            {"recordings": [FACTS | {"openedAt": "never"}]},
            {"recordings": [{}]},
            {"recordings": 5},
            [],
        ):
            said[0] = wrong
            with pytest.raises(TransportError, match="does not answer like"):
                client.all()
        client.close()
    assert [asked.target for asked in server.asked[:2]] == ["/under/api/recordings?session=build", "/under/api/recordings"]


def test_an_older_server_has_none_and_a_refusal_is_one() -> None:
    status = [404]
    with WebServer(lambda _: error(status[0], "not_found")) as server:
        client = client_of(server)
        assert client.all() == []
        status[0] = 401
        for call in (client.all, lambda: list(client.read("build", RUN)), lambda: client.delete("build", RUN)):
            with pytest.raises(AuthError):
                call()
        client.close()


def test_deleting_asks_for_it() -> None:
    with WebServer(lambda _: answer('{"status": "deleted"}')) as server:
        client = client_of(server)
        client.delete("build", RUN)
        client.close()
    assert (server.asked[0].method, server.asked[0].target) == ("DELETE", f"/under/api/recordings/build/{RUN}")
