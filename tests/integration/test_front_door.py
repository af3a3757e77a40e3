"""What stands before every route of `serve-auth`, on a real process: proxies, headers, cookies, tokens where none belongs."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from codewrap.server.guard import SECURITY_HEADERS
from tests.support.served import Served
from tests.support.sessions import TOKEN

pytestmark = pytest.mark.timeout(120)

WRONG = "a-token-that-nobody-was-given"
GUESSES = 16


def ask(
    served: Served, method: str, path: str, headers: dict[str, str], body: bytes = b"", source: str = "127.0.0.1"
) -> tuple[int, dict[str, str]]:
    """One request from ``source``; status and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10, source_address=(source, 0))
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def guesses(served: Served, forwarded: str, source: str) -> list[int]:
    """Wrong tokens, one after the other; ``forwarded`` may name a number."""
    return [
        ask(
            served,
            "POST",
            "/pusher/user-auth",
            {"Authorization": f"Bearer {WRONG}", "X-Forwarded-For": forwarded.format(number)},
            source=source,
        )[0]
        for number in range(GUESSES)
    ]


@pytest.mark.parametrize(
    ("options", "forwarded", "source", "evades"),
    [
        (("--behind-proxy",), "192.0.2.{}", "127.0.0.1", True),  # the proxy's word: all are others
        (("--behind-proxy",), "192.0.2.{}", "127.0.0.2", False),  # not the proxy, but one of this machine
        (("--behind-proxy",), "192.0.2.{}, 198.51.100.7", "127.0.0.1", False),  # the guesser's own line, to which the proxy added
        (("--behind-proxy", "--trusted-proxy", "127.0.0.3"), "192.0.2.{}", "127.0.0.1", False),
        (("--behind-proxy", "--trusted-proxy", "127.0.0.3"), "192.0.2.{}", "127.0.0.3", True),
        ((), "192.0.2.{}", "127.0.0.1", False),
        ((), "127.0.0.1", "127.0.0.1", False),
    ],
)
def test_a_forged_address_evades_no_limit(
    tmp_path: Path, options: tuple[str, ...], forwarded: str, source: str, evades: bool
) -> None:
    with Served(tmp_path, *options) as served:
        told = guesses(served, forwarded, source)
    assert set(told) <= {401, 429}
    assert (429 not in told) == evades


def test_a_forged_scheme_makes_no_page_one_of_ours(tmp_path: Path) -> None:
    """Behind a proxy our own pages are https; who says so is not believed from elsewhere."""
    with Served(tmp_path) as served:
        origin = {"Origin": f"https://127.0.0.1:{served.port}", "X-Forwarded-Proto": "https", "Forwarded": "proto=https"}
        assert ask(served, "POST", "/pusher/user-auth", origin)[0] == 403
    with Served(tmp_path, "--behind-proxy") as served:
        origin["Origin"] = f"https://127.0.0.1:{served.port}"
        assert ask(served, "POST", "/pusher/user-auth", origin)[0] == 401
        host = {"Host": "evil.example", "X-Forwarded-Host": "127.0.0.1"}
        assert ask(served, "GET", "/api/config", host)[0] == 403


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    with Served(directory, settings={"AUTH_TOKEN": TOKEN}, log=directory / "log") as started:
        yield started


def every_request(served: Served) -> Iterator[tuple[str, str]]:
    """Every operation of the document and some that are none; each by every method."""
    document = json.loads(served.request("GET", "/openapi.json")[2])
    paths = [re.sub(r"{\w+}", "7", path) for path in document["paths"]]
    for path in [*paths, "/", "/no/such", "/apps/7/channels", "/app/key", "/static/../../etc/passwd"]:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
            yield method, path


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {TOKEN}"},
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Cookie": f"token={TOKEN}; session=x"},
        {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    ],
    ids=["nobody", "admin", "other host", "other origin", "cookie", "preflight"],
)
def test_every_answer_has_the_security_headers_and_no_cookie(served: Served, headers: dict[str, str]) -> None:
    for method, path in every_request(served):
        status, answered = ask(served, method, path, headers, b"{}" if method == "POST" else b"")
        where = f"{method} {path}: {status}"
        assert status < 500, where
        assert {name.lower(): value for name, value in SECURITY_HEADERS.items()}.items() <= answered.items(), where
        assert "set-cookie" not in answered, where
        assert answered.get("access-control-allow-credentials") is None, where
        assert answered.get("access-control-allow-origin") is None, where
        assert "server" not in answered, where


def test_a_token_counts_nowhere_but_in_its_header_and_is_not_logged(served: Served) -> None:
    query = f"token={TOKEN}&access_token={TOKEN}&Authorization=Bearer%20{TOKEN}&api_key={TOKEN}"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    document = json.loads(served.request("GET", "/openapi.json")[2])
    tried = 0
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            if not any("bearer" in need for need in described["security"]):
                continue
            tried += 1
            target = re.sub(r"{\w+}", "7", path) + f"?{query}"
            for headers in (
                {},
                {"Cookie": f"token={TOKEN}"},
                form,
                {"X-Api-Key": TOKEN},
                {"Proxy-Authorization": f"Bearer {TOKEN}"},
            ):
                body = query.encode() if headers is form else b""
                assert ask(served, method.upper(), target, headers, body)[0] == 401, (method, path, headers)
    assert tried > 4
    ask(served, "GET", f"/no/such?{query}", {"X-Broken": "a"})
    served.request("POST", f"/api/sessions?{query}", {"sessionId": "fine"})
    assert TOKEN not in (served.directory / "log").read_text()
