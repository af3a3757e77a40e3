"""`serve-auth`'s HTTP API from the client's side, against a server that the test scripts."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from codewrap.errors import AuthError, ConfigError, TransportError
from codewrap.transport.base import AppCredentials, Endpoint, RetryLater
from codewrap.transport.gateway import GatewayClient, GatewayConfig, Hosted, Issued, Redeemed
from tests.support.web import WebServer, answer

CONFIG = {
    "version": 1,
    "broker": {"host": "ws.example", "port": 443, "tls": True, "key": "k", "path": "/ws/"},
    "limits": {"event_bytes": 10240},
    "encrypted": True,
    "new": "ignored",
}


def client_of(server: WebServer) -> GatewayClient:
    return GatewayClient(f"{server.url}/under/", "hush-token")


def said(body: object, status: int = 200, **headers: str) -> WebServer:
    return WebServer(lambda _: answer(json.dumps(body), status, **headers))


def test_config_says_where_the_broker_is() -> None:
    with said(CONFIG) as server:
        client = client_of(server)
        assert client.config() == GatewayConfig(Endpoint("ws.example", 443, True, "k", "/ws"), 10240, True)
        client.close()
    assert (server.asked[0].method, server.asked[0].target) == ("GET", "/under/api/config")
    assert server.asked[0].headers["authorization"] == "Bearer hush-token"


@pytest.mark.parametrize("per_second", [None, 10])
def test_config_says_how_many_client_events_a_broker_takes(per_second: int | None) -> None:
    with said({**CONFIG, "limits": {"event_bytes": 10240, "client_events_per_s": per_second}}) as server:
        client = client_of(server)
        assert client.config().client_events_per_s == per_second
        client.close()


def test_a_broker_without_a_host_is_the_gateway_itself() -> None:
    with said({**CONFIG, "broker": {"host": None, "port": 1, "tls": True, "key": "k", "path": "/x"}}) as server:
        client = client_of(server)
        assert client.config().broker == Endpoint("127.0.0.1", server.port, False, "k", "/under")
        client.close()


def test_opening_a_session_gives_its_own_credentials_at_the_gateway() -> None:
    with said({"appId": "7", "key": "k", "secret": "hush", "expiresAt": 1700000000, "grant": "ab"}) as server:
        client = client_of(server)
        opened = client.open_session("fix-login")
        client.close()
    assert opened.credentials == AppCredentials("7", "k", "hush")
    assert opened.endpoint == Endpoint("127.0.0.1", server.port, False, "k", "/under")
    assert (opened.expires_at, opened.grant) == (1700000000, "ab")
    assert (server.asked[0].target, json.loads(server.asked[0].body)) == ("/under/api/sessions", {"sessionId": "fix-login"})
    assert "hush" not in repr(opened)


@pytest.mark.parametrize(
    ("call", "target", "body"),
    [
        (lambda c: c.end_session("s", "ab"), "/under/api/sessions/s/end", {"grant": "ab"}),
        (lambda c: c.send_text("s", "ls\n"), "/under/api/commands/input", {"sessionId": "s", "input": "ls\n"}),
        (lambda c: c.send_input("s", {"nonce": "n"}), "/under/api/commands/input", {"sessionId": "s", "sealed": {"nonce": "n"}}),
        (lambda c: c.approve("s", "bob", allow=True), "/under/api/sessions/s/approvals", {"user": "bob", "allow": True}),
        (lambda c: c.kill("s", 15), "/under/api/sessions/s/kill", {"signal": 15}),
        (lambda c: c.sync("s", {"from": 3}), "/under/api/commands/sync", {"sessionId": "s", "frame": {"from": 3}}),
    ],
)
@pytest.mark.parametrize("status", [200, 202, 204])
def test_commands_go_out_as_json(call: Callable[[GatewayClient], None], target: str, body: object, status: int) -> None:
    with WebServer(lambda _: answer("" if status == 204 else "{}", status)) as server:
        client = client_of(server)
        call(client)
        client.close()
    assert (server.asked[0].method, server.asked[0].target) == ("POST", target)
    assert json.loads(server.asked[0].body) == body
    assert server.asked[0].headers["content-type"] == "application/json"


def test_a_session_is_renewed_by_its_grant() -> None:
    with said({"appId": "7", "key": "k", "secret": "hush"}) as server:
        client = client_of(server)
        assert client.open_session("s", "ab").grant == ""
        client.close()
    assert json.loads(server.asked[0].body) == {"sessionId": "s", "grant": "ab"}


def test_health_is_what_the_server_says() -> None:
    with said({"status": "ok"}) as server:
        client = client_of(server)
        assert client.health() == {"status": "ok"}
        client.close()
    assert server.asked[0].target == "/under/healthz"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthError), (403, AuthError), (404, TransportError), (413, TransportError), (429, RetryLater), (500, TransportError)],
)
def test_refusals_become_errors_without_the_token(status: int, kind: type[Exception]) -> None:
    with said({"error": {"code": "x", "message": "hush-token is not it"}}, status, retry_after="4") as server:
        client = client_of(server)
        with pytest.raises(kind) as failed:
            client.open_session("s")
        client.close()
    assert "*** is not it" in str(failed.value)
    assert getattr(failed.value, "retry_after_s", 4) == 4


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {**CONFIG, "version": 2},
        {**CONFIG, "version": True},
        {**CONFIG, "broker": None},
        {**CONFIG, "broker": {"host": None}},
        {**CONFIG, "broker": {"host": "a", "port": "1", "tls": True, "key": "k"}},
        {**CONFIG, "limits": {"event_bytes": True}},
        {**CONFIG, "limits": {"event_bytes": 10240, "client_events_per_s": 0}},
        {**CONFIG, "limits": {"event_bytes": 10240, "client_events_per_s": "10"}},
        {**CONFIG, "encrypted": "yes"},
    ],
)
def test_an_answer_of_something_else_is_refused(body: object) -> None:
    with said(body) as server:
        client = client_of(server)
        with pytest.raises(TransportError) as failed:
            client.config()
        client.close()
    assert not failed.value.retry


def test_html_is_not_taken_for_an_answer() -> None:
    with WebServer(lambda _: answer("<html>login</html>")) as server:
        client = client_of(server)
        with pytest.raises(TransportError, match="serve-auth"):
            client.config()
        client.close()


def test_the_token_is_in_no_repr() -> None:
    assert "hush" not in repr(GatewayClient("https://codewrap.example", "hush"))


def test_hosted_sessions_are_listed() -> None:
    facts = {"sessionId": "deploy", "owner": "bob", "openedAt": 5, "seenAt": 9, "new": "ignored"}
    with said({"sessions": [facts]}) as server:
        client = client_of(server)
        assert client.sessions() == [Hosted("deploy", "bob", 5, 9)]
        client.close()
    assert (server.asked[0].method, server.asked[0].target) == ("GET", "/under/api/sessions")


@pytest.mark.parametrize("sessions", [None, "s", [7], [{}], [{"sessionId": "s", "owner": 1, "openedAt": 5, "seenAt": 9}]])
def test_a_list_of_sessions_that_is_none_is_refused(sessions: object) -> None:
    with said({"sessions": sessions}) as server:
        client = client_of(server)
        with pytest.raises(TransportError, match="serve-auth"):
            client.sessions()
        client.close()


FACTS = {"tokenId": "ab", "user": "alice", "role": "viewer", "sessions": ["build-*"], "expiresAt": 1700000000}


@pytest.mark.parametrize(
    ("call", "target", "body"),
    [
        (
            lambda c: c.create_token("alice", "viewer", ["build-*"], 3600),
            "/under/api/tokens",
            {"user": "alice", "role": "viewer", "sessions": ["build-*"], "lifetimeS": 3600},
        ),
        (
            lambda c: c.share("build", 60, write=True, once=False),
            "/under/api/shares",
            {"sessionId": "build", "write": True, "once": False, "lifetimeS": 60},
        ),
    ],
)
def test_what_is_issued_comes_apart_from_what_is_known_of_it(
    call: Callable[[GatewayClient], Issued], target: str, body: object
) -> None:
    with said({**FACTS, "token": "hush.hush"}, 201) as server:
        client = client_of(server)
        issued = call(client)
        client.close()
    assert (issued.token, issued.facts) == ("hush.hush", FACTS)
    assert "hush" not in repr(issued)
    assert (server.asked[0].method, server.asked[0].target, json.loads(server.asked[0].body)) == ("POST", target, body)
    assert server.asked[0].headers["authorization"] == "Bearer hush-token"


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        (lambda c: c.revoke_token("ab/c"), ("DELETE", "/under/api/tokens/ab%2Fc", b"")),
        (lambda c: c.revoke_user("alice"), ("POST", "/under/api/revocations", b'{"user": "alice"}')),
        (lambda c: c.whoami(), ("GET", "/under/api/whoami", b"")),
    ],
)
def test_tokens_are_revoked_and_told_about(call: Callable[[GatewayClient], object], asked: tuple[str, str, bytes]) -> None:
    with said(FACTS) as server:
        client = client_of(server)
        assert call(client) in (None, FACTS)
        client.close()
    assert (server.asked[0].method, server.asked[0].target, server.asked[0].body) == asked


def test_tokens_are_listed() -> None:
    with said({"tokens": [FACTS, FACTS]}) as server:
        client = client_of(server)
        assert client.tokens() == [FACTS, FACTS]
        client.close()


def test_a_link_is_redeemed_by_its_token_alone() -> None:
    with said({"token": "hush.hush", "sessionId": "build", "role": "writer", "expiresAt": 1700000000}) as server:
        client = client_of(server)
        redeemed = client.redeem()
        client.close()
    assert redeemed == Redeemed("hush.hush", "build", "writer", 1700000000)
    assert "hush" not in repr(redeemed)
    assert json.loads(server.asked[0].body) == {"token": "hush-token"}
    assert "authorization" not in server.asked[0].headers


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (lambda c: c.tokens(), {}),
        (lambda c: c.tokens(), {"tokens": ["x"]}),
        (lambda c: c.create_token("a", "viewer", [], 1), FACTS),
        (lambda c: c.redeem(), {"token": "t", "sessionId": "build", "role": "writer", "expiresAt": "soon"}),
        (lambda c: c.redeem(), {"token": "t", "sessionId": ["build"], "role": "writer", "expiresAt": 1}),
    ],
)
def test_what_is_no_token_and_no_list_is_refused(call: Callable[[GatewayClient], object], body: object) -> None:
    with said(body) as server:
        client = client_of(server)
        with pytest.raises(TransportError, match="serve-auth"):
            call(client)
        client.close()


def test_a_token_that_would_break_a_header_is_refused_unsaid() -> None:
    with said({**FACTS, "token": "hush\r\nX: y"}, 201) as server:
        client = client_of(server)
        with pytest.raises(ConfigError) as failed:
            client.share("build", 60, write=False, once=True)
        client.close()
    assert "hush" not in str(failed.value)
