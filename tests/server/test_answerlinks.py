"""Claims of a link to answer a prompt: they come back as they were made, and nothing else is taken for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jwt
import pytest

from codewrap.protocol.frames import OnlyAt
from codewrap.protocol.roles import Role
from codewrap.server import answerlinks
from codewrap.server.answerlinks import LIFETIME_S, AnswerClaims, Prompt
from codewrap.server.identity import Identity
from codewrap.server.refusals import Refusal
from codewrap.server.tokens import TokenSigner, key_id
from codewrap.server.tokens import new_claims as new_token

NOW_S = 1_800_000_000.0
KEY = bytes(range(32))
SIGNER = TokenSigner((KEY,))
PROMPT = Prompt("0123456789abcdef", OnlyAt(120, 7), "Wie heißt du, 你?", "line")
HOST = Identity("alice", Role.HOST, token_id="ab" * 16, kind="token")


def made(host: Identity = HOST) -> AnswerClaims:
    return answerlinks.new_claims("build", PROMPT, host, "alice", NOW_S)


def fields_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def test_claims_come_back() -> None:
    claims = made()
    assert answerlinks.read(SIGNER, answerlinks.issue(SIGNER, claims), NOW_S) == claims


def test_every_link_has_an_id_of_its_own_that_is_its_user() -> None:
    one, other = made(), made()
    assert one.token_id != other.token_id
    assert one.user == f"link:{one.token_id}"


def test_link_lives_an_hour_and_no_longer_than_the_hosts_token() -> None:
    token = answerlinks.issue(SIGNER, made())
    assert answerlinks.read(SIGNER, token, NOW_S + LIFETIME_S - 1)
    with pytest.raises(Refusal, match="expired"):
        answerlinks.read(SIGNER, token, NOW_S + LIFETIME_S)
    assert made(replace(HOST, expires_at=NOW_S + 60)).expires_at == NOW_S + 60


def test_host_whose_token_has_no_id_has_links_too() -> None:
    claims = made(replace(HOST, token_id="", kind="oidc"))
    assert answerlinks.read(SIGNER, answerlinks.issue(SIGNER, claims), NOW_S) == claims


def test_prompt_is_fit_to_be_shown() -> None:
    fields = {"epoch": PROMPT.epoch, "offset": 0, "typed": 0, "prompt": "\x1b[31m\ud800", "reads": "keys"}
    assert answerlinks.prompt_of(fields).text == "\\x1b[31m\\ud800"


@pytest.mark.parametrize(
    "changes",
    [
        {"typ": "token"},
        {"sub": "UPPER"},
        {"epoch": "any"},
        {"offset": "0"},
        {"typed": -1},
        {"prompt": 7},
        {"reads": "minds"},
        {"owner": "a.b"},
        {"by": "short"},
        {"jti": ""},
        {"exp": 2**60},
        {"iss": "another"},
    ],
)
def test_other_claims_are_refused_though_the_signature_is_right(changes: dict[str, Any]) -> None:
    fields = fields_of(answerlinks.issue(SIGNER, made())) | changes
    token = jwt.encode(fields, KEY, "HS256", headers={"kid": key_id(KEY)})
    with pytest.raises(Refusal, match="damaged"):
        answerlinks.read(SIGNER, token, NOW_S)


def test_every_claim_is_needed() -> None:
    whole = fields_of(answerlinks.issue(SIGNER, made()))
    for name in whole:
        token = jwt.encode(
            {key: value for key, value in whole.items() if key != name}, KEY, "HS256", headers={"kid": key_id(KEY)}
        )
        with pytest.raises(Refusal, match="damaged"):
            answerlinks.read(SIGNER, token, NOW_S)


def test_token_of_a_role_is_no_link_and_a_link_no_token() -> None:
    token = SIGNER.issue(new_token("alice", Role.HOST, (), NOW_S, 60))
    with pytest.raises(Refusal, match="damaged"):
        answerlinks.read(SIGNER, token, NOW_S)
    with pytest.raises(Refusal, match="damaged"):
        SIGNER.read(answerlinks.issue(SIGNER, made()), NOW_S)


@pytest.mark.parametrize("token", ["", "nonsense", "é", "a.b.c"])
def test_what_is_not_ours_is_said_to_be_no_link(token: str) -> None:
    with pytest.raises(Refusal, match="not a link"):
        answerlinks.read(SIGNER, token, NOW_S)


def test_link_of_another_key_is_not_ours() -> None:
    other = TokenSigner((bytes(32),))
    with pytest.raises(Refusal, match="not a link"):
        answerlinks.read(SIGNER, answerlinks.issue(other, made()), NOW_S)
