"""Tokens of the server's own: signed, with one meaning, and refused for what they are."""

from __future__ import annotations

import asyncio
import base64
import json

import jwt
import pytest

from codewrap.protocol.roles import Role
from codewrap.server.refusals import Refusal
from codewrap.server.tokens import (
    LEEWAY_S,
    MAX_LIFETIME_S,
    Claims,
    TokenRecognizer,
    TokenSigner,
    key_id,
    new_claims,
    redeemed,
)

NOW = 1_800_000_000
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
SIGNER = TokenSigner([KEY])


def claims(**changes: object) -> Claims:
    values: dict[str, object] = {"user": "alice", "role": Role.WRITER, "sessions": ("build-*",), "now_s": NOW, "lifetime_s": 60}
    return new_claims(**(values | changes))  # type: ignore[arg-type]


def forged(fields: dict[str, object], key: bytes = KEY, algorithm: str = "HS256", **header: object) -> str:
    valid = {
        "iss": "codewrap",
        "sub": "alice",
        "role": "writer",
        "sessions": [],
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "0" * 32,
        "typ": "token",
    }
    merged = {name: value for name, value in (valid | fields).items() if value is not None}
    return jwt.encode(merged, key, algorithm, headers={"kid": key_id(KEY)} | header)


def test_a_token_says_again_what_it_was_issued_for() -> None:
    issued = claims()
    assert TokenSigner([KEY]).read(SIGNER.issue(issued), NOW) == issued
    assert len(issued.token_id) == 32


def test_a_token_is_good_to_the_second() -> None:
    token = SIGNER.issue(claims())
    assert SIGNER.read(token, NOW + 59.9) is not None
    with pytest.raises(Refusal, match="expired"):
        SIGNER.read(token, NOW + 60)
    assert SIGNER.read(token, NOW - LEEWAY_S) is not None
    with pytest.raises(Refusal, match="future"):
        SIGNER.read(token, NOW - LEEWAY_S - 1)


def test_an_old_key_goes_on_to_check_what_it_signed_and_the_first_one_signs() -> None:
    rotated = TokenSigner([OTHER, KEY])
    assert rotated.read(SIGNER.issue(claims()), NOW) is not None
    assert jwt.get_unverified_header(rotated.issue(claims()))["kid"] == key_id(OTHER)
    assert TokenSigner([OTHER]).read(SIGNER.issue(claims()), NOW) is None


def test_each_byte_of_a_token_counts() -> None:
    head, body, signature = SIGNER.issue(claims()).split(".")
    admin = json.loads(base64.urlsafe_b64decode(body + "==")) | {"role": "admin"}
    lifted = base64.urlsafe_b64encode(json.dumps(admin).encode()).decode().rstrip("=")
    other = "A" if signature[10] != "A" else "B"
    for token in (f"{head}.{lifted}.{signature}", f"{head}.{body}.{signature[:10]}{other}{signature[11:]}"):
        with pytest.raises(Refusal) as caught:
            SIGNER.read(token, NOW)
        assert caught.value.status == 401


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "..",
        forged({}, kid="ffffffff"),
        forged({}, kid=""),
        forged({}, KEY * 2, "HS512"),
        jwt.encode({"iss": "codewrap"}, None, "none", headers={"kid": key_id(KEY)}),
        "\ud800.x.y",
    ],
)
def test_what_is_not_ours_is_left_to_others(token: str) -> None:
    assert SIGNER.read(token, NOW) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"iss": "other"},
        {"sub": "a.b"},
        {"sub": None},
        {"sub": 7},
        {"role": "root"},
        {"role": None},
        {"sessions": "build"},
        {"sessions": ["BUILD"]},
        {"sessions": None},
        {"iat": "1"},
        {"exp": None},
        {"exp": 1.5},
        {"exp": True},
        {"jti": "short"},
        {"jti": None},
        {"typ": "other"},
        {"once": "yes"},
    ],
)
def test_what_we_would_not_sign_is_damaged_though_signed(fields: dict[str, object]) -> None:
    with pytest.raises(Refusal, match="damaged"):
        SIGNER.read(forged(fields), NOW)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"user": "a.b"}, "user"),
        ({"user": ""}, "user"),
        ({"user": "sso@alice"}, "provider"),
        ({"lifetime_s": 0}, "lives"),
        ({"lifetime_s": MAX_LIFETIME_S + 1}, "lives"),
        ({"sessions": ["UP"]}, "sessions"),
        ({"sessions": ["a"] * 21}, "sessions"),
    ],
)
def test_what_cannot_be_issued_is_said(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        claims(**changes)


def test_a_token_makes_an_identity() -> None:
    issued = claims()
    identity = asyncio.run(TokenRecognizer(SIGNER).identify(SIGNER.issue(issued), NOW))
    assert identity is not None
    assert (identity.user, identity.role, identity.sessions) == ("alice", Role.WRITER, ("build-*",))
    assert (identity.token_id, identity.kind, identity.expires_at) == (issued.token_id, "token", NOW + 60)


def test_a_link_of_one_use_opens_nothing_before_it_is_redeemed() -> None:
    once = claims(kind="share", once=True)
    with pytest.raises(Refusal, match="redeem"):
        asyncio.run(TokenRecognizer(SIGNER).identify(SIGNER.issue(once), NOW))
    exchanged = redeemed(once, NOW + 5)
    assert (exchanged.expires_at, exchanged.once, exchanged.kind) == (once.expires_at, False, "share")
    assert exchanged.token_id != once.token_id
    assert asyncio.run(TokenRecognizer(SIGNER).identify(SIGNER.issue(exchanged), NOW + 5)) is not None


def test_a_signer_needs_a_key() -> None:
    with pytest.raises(ValueError, match="signing key"):
        TokenSigner([])


def test_the_name_of_a_key_tells_nothing_of_it() -> None:
    assert len(key_id(KEY)) == 8
    assert key_id(KEY) != key_id(OTHER)
    assert KEY.hex() not in key_id(KEY)
