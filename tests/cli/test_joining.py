"""Before attaching by a link: who is told what, and when."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codewrap.cli import links
from codewrap.cli.joining import Joined, join
from codewrap.config import Gateway
from codewrap.errors import AuthError, TransportError
from tests.support.cli import CommandLine
from tests.support.web import Asked, WebServer, answer

REDEEMED = {"token": "hush-redeemed", "sessionId": "build", "role": "viewer", "expiresAt": 1_700_000_000}


@pytest.fixture
def values(tmp_path: Path) -> dict[str, str]:
    """Of an account that was never led anywhere, and has settings for another server."""
    return {"CODEWRAP_STATE_DIR": str(tmp_path / "state"), "CODEWRAP_URL": "http://127.0.0.1:1", "CODEWRAP_TOKEN": "hush-own"}


def serving(body: object, status: int = 200, asked: Callable[[Asked], None] = lambda _: None) -> WebServer:
    def answering(request: Asked) -> bytes:
        asked(request)
        return answer(json.dumps(body), status)

    return WebServer(answering)


def link_to(server: WebServer, session: str = "build") -> links.Link:
    return links.read(f"{server.url}/under/s/{session}#hush-link")


def test_a_server_is_named_before_anything_is_sent_to_it(values: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    with serving(REDEEMED, asked=lambda _: said.append(capsys.readouterr().err)) as server:
        joined = join(link_to(server), values, quiet=False)
    assert joined == Joined("build", Gateway(f"{server.url}/under", "hush-redeemed"), may_type=False)
    assert said == [f"[codewrap] this link leads to 127.0.0.1:{server.port}, a server that no link has led you to before\n"]
    (asked,) = server.asked
    assert (asked.method, asked.target, json.loads(asked.body)) == ("POST", "/under/api/shares/redeem", {"token": "hush-link"})
    assert "hush-own" not in str(asked)
    told = capsys.readouterr().err
    assert told.startswith("[codewrap] you may watch until 2023-11-1")
    assert "hush" not in told + said[0]


def test_only_a_server_that_is_new_is_named_to_who_wants_quiet(
    values: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(REDEEMED) as server:
        for _ in range(2):
            join(link_to(server), values, quiet=True)
        assert len(capsys.readouterr().err.splitlines()) == 1
        join(link_to(server), values, quiet=False)
    assert capsys.readouterr().err.startswith(f"[codewrap] this link leads to 127.0.0.1:{server.port}\n")


def test_a_server_that_does_not_know_the_link_stays_new(values: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    refused = {"error": {"code": "unauthorized", "message": "this link worked once, and was used"}}
    with serving(refused, 401) as server:
        for _ in range(2):
            with pytest.raises(AuthError, match="this link worked once, and was used"):
                join(link_to(server), values, quiet=True)
    assert capsys.readouterr().err.count("led you to before") == 2


@pytest.mark.parametrize(("role", "may_type"), [("viewer", False), ("writer", True), ("host", True), ("sovereign", False)])
def test_typing_is_for_roles_that_may(values: dict[str, str], role: str, may_type: bool) -> None:
    with serving({**REDEEMED, "role": role}) as server:
        assert join(link_to(server), values, quiet=True).may_type is may_type


def test_a_link_to_another_session_than_it_names_is_refused(values: dict[str, str]) -> None:
    with serving(REDEEMED) as server, pytest.raises(TransportError, match="another session"):
        join(link_to(server, "deploy"), values, quiet=True)


def test_no_thread_is_left_behind(values: dict[str, str]) -> None:
    with serving(REDEEMED) as server:
        before = set(threading.enumerate())
        join(link_to(server), values, quiet=True)
        started = set(threading.enumerate()) - before
        assert [thread for thread in started if "spare" in thread.name] == []


def test_without_a_state_directory_every_server_is_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with serving(REDEEMED) as server:
        for _ in range(2):
            join(link_to(server), {"CODEWRAP_STATE_DIR": str(tmp_path / "file")}, quiet=True)
    assert capsys.readouterr().err.count("led you to before") == 2


@pytest.fixture
def codewrap(tmp_path: Path) -> Iterator[CommandLine]:
    yield CommandLine(tmp_path)


def test_a_mistyped_option_does_not_use_a_link_up(codewrap: CommandLine) -> None:
    with serving(REDEEMED) as server:
        for option in ("--detach-keys", "--predict"):
            assert codewrap("attach", option, "nonsense", link_to(server).url).status == 2
    assert server.asked == []


def test_a_link_that_is_refused_is_255_in_one_line_whatever_is_configured(codewrap: CommandLine) -> None:
    refused = {"error": {"code": "unauthorized", "message": "this token has expired"}}
    with serving(refused, 401) as server:
        done = codewrap("attach", link_to(server).url, CODEWRAP_MODE="direct", SOKETI_PORT="what")
    assert (done.status, done.out) == (255, "")
    named, why = done.err.splitlines()
    assert f"127.0.0.1:{server.port}" in named
    assert why.endswith("this token has expired")
    assert "hush" not in done.err
