"""What is signed and what is not; signatures are computed here by the protocol's text, not by the package."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json

import pytest

from codewrap.protocol.channels import ChannelRole
from codewrap.protocol.roles import Role, may_subscribe
from codewrap.server.authorize import ChannelRequest, Signer, presence_id
from codewrap.server.refusals import Refusal
from codewrap.transport.base import AppCredentials

APP = AppCredentials("1", "the-key", "the-secret")
MASTER_KEY = bytes(range(32))
NOW = 1_800_000_000.9
SIGNER = Signer(APP, MASTER_KEY, lambda: NOW)
SOCKET = "1234.5678"


def signature(text: str) -> str:
    return f"the-key:{hmac.new(b'the-secret', text.encode(), hashlib.sha256).hexdigest()}"


@pytest.mark.parametrize(
    ("prefix", "role"), [("private-command-", "writer"), ("private-command-", "host"), ("private-input-", "host")]
)
def test_private_channels_get_a_signature_and_nothing_else(prefix: str, role: str) -> None:
    answer = SIGNER.channel("admin", Role.ADMIN, ChannelRequest(SOCKET, f"{prefix}build", role))
    assert answer == {"auth": signature(f"{SOCKET}:{prefix}build")}


def granted(user: str, expires_at: float | None = None, socket_id: str = SOCKET, session: str = "build") -> dict[str, str | int]:
    return SIGNER.channel(user, Role.WRITER, ChannelRequest(socket_id, f"private-input-{session}"), expires_at)


def test_a_writer_gets_a_key_of_its_own_that_ends_soon() -> None:
    answer = granted("alice")
    writer, until = presence_id("alice", SOCKET), 1_800_000_900
    base_key = hashlib.sha256(b"private-encrypted-input-build" + MASTER_KEY).digest()
    key = hmac.digest(base_key, f"codewrap writer 1\n{writer}\n{until}".encode(), "sha256")
    assert answer == {
        "auth": signature(f"{SOCKET}:private-input-build"),
        "input_key": base64.b64encode(key).decode(),
        "writer": writer,
        "input_until": until,
    }


def test_a_key_ends_with_the_token_and_never_later_than_that_of_others() -> None:
    assert granted("alice", NOW + 100)["input_until"] == 1_800_000_100
    assert granted("alice", NOW + 100_000)["input_until"] == 1_800_000_900


def test_users_sockets_and_sessions_have_keys_of_their_own() -> None:
    answers = [granted("alice"), granted("bob"), granted("alice", socket_id="1.2"), granted("alice", session="other")]
    assert len({answer["input_key"] for answer in answers}) == 4


def test_the_key_that_all_others_are_made_of_is_the_hosts() -> None:
    channel = "private-encrypted-input-build"
    for held, role in (
        (Role.WRITER, "host"),
        (Role.WRITER, None),
        (Role.ADMIN, "writer"),
        (Role.HOST, None),
        (Role.VIEWER, "host"),
    ):
        with pytest.raises(Refusal) as caught:
            SIGNER.channel("alice", held, ChannelRequest(SOCKET, channel, role))
        assert caught.value.status == 403, (held, role)
    for held in (Role.HOST, Role.ADMIN):
        assert "shared_secret" in SIGNER.channel("alice", held, ChannelRequest(SOCKET, channel, "host"))


def test_who_asks_for_more_than_the_token_allows_is_a_writer_with_a_writers_key() -> None:
    answer = SIGNER.channel("alice", Role.WRITER, ChannelRequest(SOCKET, "private-input-build", "host"))
    assert answer["writer"] == presence_id("alice", SOCKET)


@pytest.mark.parametrize("prefix", ["private-encrypted-command-", "private-encrypted-input-"])
def test_encrypted_channels_get_their_key_as_text(prefix: str) -> None:
    channel = f"{prefix}build"
    answer = SIGNER.channel("admin", Role.ADMIN, ChannelRequest(SOCKET, channel, "host"))
    assert answer["auth"] == signature(f"{SOCKET}:{channel}")
    assert base64.b64decode(str(answer["shared_secret"])) == hashlib.sha256(channel.encode() + MASTER_KEY).digest()
    assert set(json.loads(json.dumps(answer))) == {"auth", "shared_secret"}


def test_presence_says_who_and_as_what_and_is_signed_with_it() -> None:
    channel = "presence-command-build"
    answer = SIGNER.channel("admin", Role.ADMIN, ChannelRequest(SOCKET, channel, "host", "Ada\x1b[31m"))
    user_id = f"admin.{hashlib.sha256(SOCKET.encode()).hexdigest()[:12]}"
    assert json.loads(str(answer["channel_data"])) == {"user_id": user_id, "user_info": {"name": "Ada [31m", "role": "host"}}
    assert answer["auth"] == signature(f"{SOCKET}:{channel}:{answer['channel_data']}")
    assert set(answer) == {"auth", "channel_data"}


def test_two_sockets_of_one_user_are_two_members() -> None:
    assert presence_id("alice", "1.1") != presence_id("alice", "1.2")
    assert presence_id("alice", "1.1").startswith("alice.")
    with pytest.raises(ValueError, match="user id"):
        presence_id("alice.x", "1.1")


@pytest.mark.parametrize(("asked", "told"), [("1", {"client_output": True}), (None, {}), ("yes", {})])
def test_who_understands_output_in_client_events_is_known_to_the_host(asked: str | None, told: dict[str, bool]) -> None:
    request = ChannelRequest(SOCKET, "presence-command-build", None, "Ada", asked)
    answer = SIGNER.channel("alice", Role.VIEWER, request)
    assert json.loads(str(answer["channel_data"]))["user_info"] == {"name": "Ada", "role": "viewer", **told}


@pytest.mark.parametrize(
    ("asked", "told"), [("q83v_-0t", {"challenge": "q83v_-0t"}), (None, {}), ("", {}), ("a b", {}), ("x" * 65, {})]
)
def test_a_viewer_s_challenge_is_passed_to_the_host(asked: str | None, told: dict[str, str]) -> None:
    request = ChannelRequest(SOCKET, "presence-command-build", None, "Ada", challenge=asked)
    answer = SIGNER.channel("alice", Role.VIEWER, request)
    assert json.loads(str(answer["channel_data"]))["user_info"] == {"name": "Ada", "role": "viewer", **told}


@pytest.mark.parametrize("name", [None, "", "\x00"])
def test_whoever_gives_no_name_is_shown_by_the_user(name: str | None) -> None:
    answer = SIGNER.channel("alice", Role.VIEWER, ChannelRequest(SOCKET, "presence-command-build", None, name))
    assert json.loads(str(answer["channel_data"]))["user_info"] == {"name": "alice", "role": "viewer"}


@pytest.mark.parametrize(("held", "channel"), list(itertools.product(Role, ChannelRole)))
def test_the_rights_table_decides(held: Role, channel: ChannelRole) -> None:
    asked = ChannelRequest(SOCKET, f"{channel.value}build", "host")
    if may_subscribe(held, channel):
        assert SIGNER.channel("alice", held, asked)["auth"]
    else:
        with pytest.raises(Refusal) as caught:
            SIGNER.channel("alice", held, asked)
        assert caught.value.status == 403


@pytest.mark.parametrize("channel", ["private-input-build", "private-encrypted-input-build"])
def test_who_asks_as_viewer_does_not_get_the_input_key_whatever_the_token(channel: str) -> None:
    with pytest.raises(Refusal) as caught:
        SIGNER.channel("admin", Role.ADMIN, ChannelRequest(SOCKET, channel, "viewer"))
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "channel",
    [
        "",
        "public",
        "command-build",
        "private-build",
        "private-encrypted-build",
        "presence-build",
        "private-command-",
        "private-command-Build",
        "private-command-build\n",
        "private-command-build:extra",
        "private-command-a/../b",
        "private-cache-command-build",
        "private-encrypted-cache-command-build",
        "presence-command-presence-command-build",
        "private-command-" + "a" * 49,
        "#server-to-user-admin",
        "private-command-bu\u0131ld",
        "\ud800",
    ],
)
def test_only_channels_of_sessions_are_signed(channel: str) -> None:
    with pytest.raises(Refusal) as caught:
        SIGNER.channel("admin", Role.ADMIN, ChannelRequest(SOCKET, channel))
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "socket_id",
    [
        "",
        "1",
        "1.",
        ".1",
        "1.2.3",
        "1.2\n",
        " 1.2",
        "1.2:private-command-x",
        "a.b",
        "1.2::user::{}",
        "\u0661.\u0662",
        "1" * 33 + ".1",
    ],
)
def test_strange_socket_ids_are_never_signed(socket_id: str) -> None:
    for call in (
        lambda: SIGNER.channel("admin", Role.ADMIN, ChannelRequest(socket_id, "private-command-build")),
        lambda: SIGNER.user("admin", socket_id),
    ):
        with pytest.raises(Refusal) as caught:
            call()
        assert caught.value.status == 400


def test_an_unknown_role_is_a_bad_request() -> None:
    with pytest.raises(Refusal) as caught:
        SIGNER.channel("admin", Role.ADMIN, ChannelRequest(SOCKET, "private-command-build", "admin"))
    assert caught.value.status == 400


def test_a_user_signs_in_by_the_id_of_the_token() -> None:
    answer = SIGNER.user("admin", SOCKET)
    assert json.loads(answer["user_data"]) == {"id": "admin"}
    assert answer["auth"] == signature(f"{SOCKET}::user::{answer['user_data']}")


def test_secrets_do_not_show() -> None:
    assert "the-secret" not in repr(SIGNER)
