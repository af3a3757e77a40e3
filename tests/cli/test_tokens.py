"""`codewrap token` as a process: what goes where, and what is refused."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.cli import CommandLine, Done
from tests.support.web import WebServer, answer

FACTS = {"tokenId": "ab" * 16, "user": "alice", "role": "viewer", "sessions": ["build-*"], "expiresAt": 1_700_000_000}


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def fed(codewrap: CommandLine, said: str, *words: str, **environ: str) -> Done:
    """With ``said`` on stdin."""
    done = subprocess.run(
        [sys.executable, "-m", "codewrap.cli.main", *words],
        env={**codewrap.environ, **environ},
        cwd=codewrap.directory,
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def token_saying(**fields: object) -> str:
    """One that nobody signed."""
    parts = ({"alg": "HS256"}, fields)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".c2ln"


def test_a_token_is_issued_listed_and_revoked_on_the_servers_own_machine(codewrap: CommandLine) -> None:
    made = codewrap(
        "token", "create", "--user", "alice", "--role", "writer", "--session", "a-*", "--session", "b", "--expires", "8h"
    )
    assert made.status == 0
    (token,) = made.out.splitlines()
    assert token.count(".") == 2
    assert token not in made.err
    assert "alice, writer, sessions a-* b, until 20" in made.err
    (facts,) = json.loads(codewrap("token", "list", "--json").out)
    assert (facts["user"], facts["sessions"], facts["revoked"]) == ("alice", ["a-*", "b"], False)
    assert facts["tokenId"] in made.err
    shown = codewrap("token", "list", COLUMNS="80")
    assert shown.err == ""
    assert facts["tokenId"] in shown.out
    assert token not in shown.out
    revoked = codewrap("token", "revoke", facts["tokenId"])
    assert (revoked.status, revoked.out) == (0, "")
    assert json.loads(codewrap("token", "list", "--json").out)[0]["revoked"] is True
    assert "revoked" in codewrap("token", "list").out


def test_json_has_the_token_and_what_is_known_of_it(codewrap: CommandLine) -> None:
    made = codewrap("token", "create", "--user", "alice", "--role", "viewer", "--json")
    facts = json.loads(made.out)
    assert facts.keys() >= {"token", "tokenId", "user", "role", "sessions", "issuedAt", "expiresAt"}
    assert facts["expiresAt"] - facts["issuedAt"] == 30 * 86_400
    assert codewrap("token", "revoke", "--user", "alice").status == 0


def test_a_server_is_asked_where_one_is_set_and_its_words_cannot_draw(codewrap: CommandLine) -> None:
    evil = {**FACTS, "user": "al\x1b[2Jice", "token": "t.t.t"}
    with WebServer(lambda asked: answer(json.dumps(evil if asked.method == "POST" else {"tokens": [evil]}))) as server:
        settings = {"CODEWRAP_URL": server.url, "CODEWRAP_TOKEN": "hush-admin"}
        made = codewrap("token", "create", "--user", "alice", "--role", "viewer", "--expires", "90m", **settings)
        listed = codewrap("token", "list", **settings), codewrap("token", "list", "--json", **settings)
    assert made.out == "t.t.t\n"
    assert server.url in made.err
    assert json.loads(server.asked[0].body) == {"user": "alice", "role": "viewer", "sessions": [], "lifetimeS": 5400}
    assert server.asked[0].headers["authorization"] == "Bearer hush-admin"
    for done in (made, *listed):
        assert done.status == 0
        assert "\x1b" not in done.out + done.err
        assert "hush" not in done.out + done.err


@pytest.mark.parametrize(
    "words",
    [
        ["create", "--role", "viewer"],
        ["create", "--user", "a.b", "--role", "viewer"],
        ["create", "--user", "alice", "--role", "king"],
        ["create", "--user", "alice", "--role", "viewer", "--expires", "8x"],
        ["create", "--user", "alice", "--role", "viewer", "--expires", "400d"],
        ["revoke"],
        ["revoke", "ab" * 16, "--user", "alice"],
        ["revoke", "not-an-id"],
        ["revoke", "--user", "admin"],
        ["inspect"],
        ["inspect", "hush.hush.hush"],
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(codewrap: CommandLine, words: list[str]) -> None:
    done = codewrap("token", *words)
    assert (done.status, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert "hush" not in done.err


def test_a_server_that_refuses_is_one_line(codewrap: CommandLine) -> None:
    refused = {"error": {"code": "forbidden", "message": "this token may not issue or revoke tokens"}}
    with WebServer(lambda _: answer(json.dumps(refused), 403)) as server:
        done = codewrap("token", "list", CODEWRAP_URL=server.url, CODEWRAP_TOKEN="hush")
    assert (done.status, done.out) == (125, "")
    assert "may not issue" in done.err
    assert len(done.err.splitlines()) == 1


def test_without_a_server_a_token_is_shown_as_it_says_and_marked_so(codewrap: CommandLine) -> None:
    token = token_saying(sub="alice", role="writer", sessions=["build"], exp=int(time.time()) + 60, jti="ab", typ="token")
    for done in (fed(codewrap, f"{token}\n", "token", "inspect", "-"), codewrap("token", "inspect", CODEWRAP_TOKEN=token)):
        assert (done.status, done.err) == (0, "")
        assert done.out.startswith("not checked (no CODEWRAP_URL): alice, writer, session build, until 20")
    said = json.loads(fed(codewrap, token, "token", "inspect", "-", "--json").out)
    assert (said["checked"], said["problem"], said["user"]) == (False, None, "alice")


def test_an_expired_token_is_not_good_and_other_kinds_say_nothing(codewrap: CommandLine) -> None:
    done = fed(codewrap, token_saying(sub="alice", role="writer", exp=1_600_000_000), "token", "inspect", "-")
    assert (done.status, done.err) == (1, "")
    assert done.out.startswith("not good: it expired at 2020-09-1")
    for token in ("some-shared-token", "a.b.c", "a.W10.c"):
        done = fed(codewrap, token, "token", "inspect", "-")
        assert (done.status, "says nothing by itself" in done.out) == (0, True)


def test_a_server_is_asked_about_the_token_that_was_given(codewrap: CommandLine) -> None:
    with WebServer(lambda _: answer(json.dumps(FACTS))) as server:
        settings = {"CODEWRAP_URL": server.url, "CODEWRAP_TOKEN": "own-token"}
        assert fed(codewrap, "given-token", "token", "inspect", "-", **settings).out.startswith("alice, viewer, session build-*")
        assert json.loads(codewrap("token", "inspect", "--json", **settings).out)["checked"] is True
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer given-token", "Bearer own-token"]
    assert {asked.target for asked in server.asked} == {"/api/whoami"}


def test_a_server_says_why_a_token_is_not_good(codewrap: CommandLine) -> None:
    refused = {"error": {"code": "unauthorized", "message": "this token was revoked"}}
    with WebServer(lambda _: answer(json.dumps(refused), 401)) as server:
        done = codewrap("token", "inspect", CODEWRAP_URL=server.url, CODEWRAP_TOKEN="hush")
    assert (done.status, done.err) == (1, "")
    assert done.out.startswith("not good: ")
    assert done.out.endswith("this token was revoked\n")
