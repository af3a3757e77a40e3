"""Signing here, and asking `serve-auth`."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.parse

import pytest

from codewrap.errors import AuthError, ConfigError, TransportError
from codewrap.protocol import grants
from codewrap.protocol.grants import Grant
from codewrap.protocol.sealing import shared_secret
from codewrap.transport.authorize import HttpAuthorizer, SecretAuthorizer
from codewrap.transport.base import AppCredentials, RetryLater
from tests.support.web import Asked, WebServer, answer

# Key, secret and signatures of Pusher's own documentation.
DOCUMENTED = AppCredentials("3", "278d425bdf160c739803", "7ad3773142a6692b25b8")
SOCKET = "1234.1234"
WRITER = "anna.0123456789ab"


def signer(master_key: bytes | None = None) -> SecretAuthorizer:
    return SecretAuthorizer(DOCUMENTED, master_key, lambda socket_id: (f"user-{socket_id}", {"role": "host"}))


def granter(master_key: bytes | None) -> SecretAuthorizer:
    """For writers, at the 1000th second."""
    return SecretAuthorizer(DOCUMENTED, master_key, lambda _: (WRITER, {"role": "writer"}), lambda: 1000.9)


class TestSecretAuthorizer:
    def test_a_private_channel_is_signed_as_documented(self) -> None:
        signed = signer().authorize("private-foobar", SOCKET)
        assert signed.auth == f"{DOCUMENTED.key}:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
        assert signed.channel_data is None

    def test_presence_names_the_member_and_signs_the_exact_text(self) -> None:
        signed = signer().authorize("presence-a", SOCKET)
        assert signed.channel_data is not None
        assert json.loads(signed.channel_data) == {"user_id": f"user-{SOCKET}", "user_info": {"role": "host"}}
        assert signed.shared_secret is None

    def test_an_encrypted_channel_gets_its_own_key(self) -> None:
        signed = signer(b"m" * 32).authorize("private-encrypted-a", SOCKET)
        assert signed.shared_secret == hashlib.sha256(b"private-encrypted-a" + b"m" * 32).digest()
        assert signed.channel_data is None
        assert "shared_secret" not in repr(signed)

    @pytest.mark.parametrize("channel", ["news", "private-encrypted-a", ""])
    def test_what_cannot_be_signed_is_refused(self, channel: str) -> None:
        with pytest.raises(AuthError):
            signer().authorize(channel, SOCKET)

    def test_whoever_may_hear_input_is_granted_what_a_server_would_grant(self) -> None:
        signed = granter(b"m" * 32).authorize("private-input-a", SOCKET)
        base_key = shared_secret("private-encrypted-input-a", b"m" * 32)
        assert signed.grant == grants.make_grant(base_key, WRITER, 1900)
        assert signed.shared_secret is None

    @pytest.mark.parametrize("channel", ["private-command-a", "private-input-", "private-encrypted-input-a", "presence-a"])
    def test_no_other_channel_brings_a_grant(self, channel: str) -> None:
        assert granter(b"m" * 32).authorize(channel, SOCKET).grant is None

    def test_without_a_master_key_there_is_nothing_to_grant(self) -> None:
        assert granter(None).authorize("private-input-a", SOCKET).grant is None

    @pytest.mark.parametrize("socket_id", ["", "1", "1.2:private-other", "1.2\n", "x.y"])
    def test_a_socket_id_must_be_one(self, socket_id: str) -> None:
        with pytest.raises(AuthError):
            signer().authorize("private-a", socket_id)
        with pytest.raises(AuthError):
            signer().sign_in(socket_id)

    def test_sign_in_signs_the_user(self) -> None:
        signed = signer().sign_in(SOCKET)
        assert signed is not None
        assert json.loads(signed[1]) == {"id": f"user-{SOCKET}", "user_info": {"role": "host"}}
        assert signed[0].startswith(f"{DOCUMENTED.key}:")


def asking(server: WebServer, challenge: str = "", **options: float) -> HttpAuthorizer:
    return HttpAuthorizer(f"{server.url}/under", "hush-token", role="writer", name="anna & co", challenge=challenge, **options)


class TestHttpAuthorizer:
    def test_the_question_is_a_form_with_the_token_in_a_header(self) -> None:
        with WebServer(lambda _: answer('{"auth":"k:s"}')) as server:
            authorizer = asking(server)
            assert authorizer.authorize("private-a", SOCKET).auth == "k:s"
            authorizer.close()
        asked = server.asked[0]
        assert (asked.method, asked.target) == ("POST", "/under/pusher/auth")
        assert asked.headers["authorization"] == "Bearer hush-token"
        assert dict(urllib.parse.parse_qsl(asked.body.decode())) == {
            "socket_id": SOCKET,
            "channel_name": "private-a",
            "role": "writer",
            "name": "anna & co",
            "client_output": "1",
        }

    def test_a_challenge_is_shown_to_the_server(self) -> None:
        with WebServer(lambda _: answer('{"auth":"k:s"}')) as server:
            authorizer = asking(server, "q83v_-0t")
            authorizer.authorize("presence-a", SOCKET)
            authorizer.close()
        assert dict(urllib.parse.parse_qsl(server.asked[0].body.decode()))["challenge"] == "q83v_-0t"

    def test_the_servers_channel_data_and_key_are_used(self) -> None:
        said = {"auth": "k:s", "channel_data": '{"user_id":"a"}', "shared_secret": base64.b64encode(b"s" * 32).decode()}
        with WebServer(lambda _: answer(json.dumps(said))) as server:
            authorizer = asking(server)
            signed = authorizer.authorize("presence-a", SOCKET)
            authorizer.close()
        assert (signed.channel_data, signed.shared_secret) == ('{"user_id":"a"}', b"s" * 32)

    def test_the_servers_grant_is_used(self) -> None:
        said = {"auth": "k:s", "input_key": base64.b64encode(b"k" * 32).decode(), "writer": WRITER, "input_until": 1900}
        with WebServer(lambda _: answer(json.dumps(said))) as server:
            authorizer = asking(server)
            signed = authorizer.authorize("private-input-a", SOCKET)
            authorizer.close()
        assert signed.grant == Grant(b"k" * 32, WRITER, 1900)
        assert "kkkk" not in repr(signed)

    def test_several_questions_share_a_connection(self) -> None:
        with WebServer(lambda _: answer('{"auth":"k:s"}')) as server:
            authorizer = asking(server)
            for channel in ("private-a", "private-b", "presence-c"):
                authorizer.authorize(channel, SOCKET)
            authorizer.close()
        assert server.connections == 1

    def test_sign_in_asks_the_other_address(self) -> None:
        with WebServer(lambda _: answer('{"auth":"k:s","user_data":"{}"}')) as server:
            authorizer = asking(server)
            assert authorizer.sign_in(SOCKET) == ("k:s", "{}")
            authorizer.close()
        assert server.asked[0].target == "/under/pusher/user-auth"

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(401, AuthError), (403, AuthError), (429, RetryLater), (500, TransportError), (503, RetryLater), (404, TransportError)],
    )
    def test_refusals_become_errors_without_the_token(self, status: int, kind: type[Exception]) -> None:
        with WebServer(lambda _: answer('{"error":{"code":"x","message":"not with hush-token"}}', status)) as server:
            authorizer = asking(server)
            with pytest.raises(kind) as failed:
                authorizer.authorize("private-a", SOCKET)
            authorizer.close()
        assert "not with ***" in str(failed.value)

    def test_a_redirect_is_not_followed(self) -> None:
        with (
            WebServer(lambda _: answer('{"auth":"stolen"}')) as other,
            WebServer(lambda _: answer("", 307, location=other.url)) as server,
        ):
            authorizer = asking(server)
            with pytest.raises(TransportError) as failed:
                authorizer.authorize("private-a", SOCKET)
            authorizer.close()
        assert not failed.value.retry
        assert other.asked == []

    @pytest.mark.parametrize(
        "said",
        ["", "[]", "{}", '{"auth":5}', '{"auth":"a","channel_data":{}}', '{"auth":"a","shared_secret":"c2hvcnQ="}',
         '{"auth":"a","writer":"a.http"}', '{"auth":"a","input_until":1}',
         '{"auth":"a","writer":"a.http","input_until":1,"input_key":"c2hvcnQ="}',
         '{"auth":"a","writer":"a","input_until":1,"input_key":"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="}',
         '{"auth":"a","writer":"a.http","input_until":"1","input_key":"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="}',
         '{"auth":"a","writer":"a.http","input_until":0,"input_key":"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="}',
         '{"auth":"a","shared_secret":"%"}', '{"auth":"a","shared_secret":5}', "<html>", "[" * 50_000],
    )  # fmt: skip
    def test_an_answer_that_is_no_authorization_is_refused(self, said: str) -> None:
        with WebServer(lambda _: answer(said)) as server:
            authorizer = asking(server)
            with pytest.raises(TransportError) as failed:
                authorizer.authorize("private-a", SOCKET)
            authorizer.close()
        assert not failed.value.retry

    def test_a_server_that_hangs_is_given_up(self) -> None:
        def hang(_: Asked) -> bytes:
            server.stopped.wait(10)
            return b""

        with WebServer(hang) as server:
            authorizer = asking(server, timeout_s=0.2)
            with pytest.raises(TransportError, match="no answer in time") as failed:
                authorizer.authorize("private-a", SOCKET)
            authorizer.close()
        assert failed.value.retry

    def test_a_token_no_header_can_hold_is_a_wrong_setting(self) -> None:
        with pytest.raises(ConfigError) as refused:
            HttpAuthorizer("http://localhost", "hush\r\nX: y", role="viewer", name="a")
        assert refused.value.setting == "CODEWRAP_TOKEN"
        assert "hush" not in str(refused.value)

    def test_the_token_is_in_no_repr(self) -> None:
        assert "hush" not in repr(HttpAuthorizer("http://localhost", "hush", role="viewer", name="a"))
