"""Keys of writers: the vectors, who opens whose, what is void, and garbage that may raise RemoteProtocolError only."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import grants, sealing
from codewrap.protocol.grants import LEEWAY_S, LIFE_S, MAX_REVOKED, Envelope, Revoked

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "protocol.json").read_text(encoding="utf-8"))
BASE_KEY = bytes(range(32))
ALICE, BOB = "alice.0123456789ab", "bob.ba9876543210"
UNTIL = 1_800_000_900
NONCE = bytes(24)


@pytest.mark.parametrize("vector", VECTORS["granted"], ids=lambda vector: vector["writer"])
def test_grants_and_what_they_seal_are_those_of_the_vectors(vector: dict[str, Any]) -> None:
    base_key = sealing.shared_secret(vector["channel"], bytes.fromhex(vector["master_key_hex"]))
    assert base_key.hex() == vector["base_key_hex"]
    grant = grants.make_grant(base_key, vector["writer"], vector["until"])
    assert grant.key.hex() == vector["key_hex"]
    assert grants.check_code(grant.key, vector["stream"]) == vector["check_code"]
    assert grants.seal(vector["text"], grant, bytes.fromhex(vector["nonce_hex"])) == vector["sealed"]
    envelope = grants.decode(vector["sealed"])
    assert (envelope.writer, envelope.until) == (vector["writer"], vector["until"])
    assert envelope.user == vector["writer"].split(".")[0]
    assert grants.unseal(envelope, grants.writer_key(base_key, envelope.writer, envelope.until)) == vector["text"]


@pytest.mark.parametrize("vector", VECTORS["not_granted"], ids=lambda vector: vector["name"])
def test_what_is_no_writers_envelope_is_refused(vector: dict[str, str]) -> None:
    with pytest.raises(RemoteProtocolError):
        grants.decode(vector["text"])


@given(text=st.text(max_size=100))
@example(text="[" * 100_000)
@example(text='{"nonce":1}')
@example(text='{"nonce":"","ciphertext":"\\u00e9"}')
@example(text='{"until":' + "1" * 5000 + "}")
def test_garbage_raises_remote_protocol_errors_only(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        grants.decode(text)


@given(text=st.text(max_size=300))
def test_sealed_texts_come_back(text: str) -> None:
    grant = grants.make_grant(BASE_KEY, ALICE, UNTIL)
    if text:
        assert grants.unseal(grants.decode(grants.seal(text, grant, os.urandom(24))), grant.key) == text


def test_a_writer_opens_nobody_elses_keystrokes() -> None:
    alice, bob = grants.make_grant(BASE_KEY, ALICE, UNTIL), grants.make_grant(BASE_KEY, BOB, UNTIL)
    envelope = grants.decode(grants.seal("a password", alice, NONCE))
    with pytest.raises(RemoteProtocolError):
        grants.unseal(envelope, bob.key)


@pytest.mark.parametrize(
    "change",
    [{"writer": BOB}, {"writer": "alice.http"}, {"until": UNTIL + 1}, {"until": UNTIL - 1}, {"nonce": bytes(23) + b"x"}],
    ids=lambda change: next(iter(change)),
)
def test_whoever_alters_an_envelope_has_another_key_asked_for_it(change: dict[str, Any]) -> None:
    """Neither an identity nor an hour is believed: each makes another key, which does not open the box."""
    sealed = grants.decode(grants.seal("ls", grants.make_grant(BASE_KEY, ALICE, UNTIL), NONCE))
    altered = dataclasses.replace(sealed, **change)
    with pytest.raises(RemoteProtocolError):
        grants.unseal(altered, grants.writer_key(BASE_KEY, altered.writer, altered.until))


def test_each_session_writer_and_hour_has_a_key_of_its_own() -> None:
    keys = {
        grants.writer_key(base, writer, until)
        for base in (BASE_KEY, bytes(32))
        for writer in (ALICE, BOB, "alice.http")
        for until in (UNTIL, UNTIL + 1)
    }
    assert len(keys) == 12


@pytest.mark.parametrize(("writer", "until"), [("alice", UNTIL), ("", UNTIL), ("a\n.http", UNTIL), (ALICE, 0), (ALICE, 1 << 53)])
def test_nobody_else_is_granted_anything(writer: str, until: int) -> None:
    with pytest.raises(RemoteProtocolError):
        grants.make_grant(BASE_KEY, writer, until)


def test_a_grant_shows_no_key() -> None:
    grant = grants.make_grant(BASE_KEY, ALICE, UNTIL)
    assert repr(grant) == f"Grant(writer='{ALICE}', until={UNTIL})"


def test_clocks_may_differ_by_a_minute_and_no_more() -> None:
    assert not grants.is_over(UNTIL, UNTIL + LEEWAY_S)
    assert grants.is_over(UNTIL, UNTIL + LEEWAY_S + 1)


def test_the_check_code_is_of_one_key_and_one_stream() -> None:
    key = grants.writer_key(BASE_KEY, ALICE, UNTIL)
    codes = {grants.check_code(key, stream) for stream in ("w1", "w2")} | {grants.check_code(bytes(32), "w1")}
    assert len(codes) == 3
    assert all(len(code) == 8 and code.replace(" ", "").isdigit() for code in codes)


@given(key=st.binary(min_size=32, max_size=32))
def test_a_check_code_is_always_six_digits(key: bytes) -> None:
    assert [len(part) for part in grants.check_code(key, "w").split(" ")] == [2, 2, 2]


def test_what_was_granted_before_a_revocation_is_void_and_what_comes_well_after_it_holds() -> None:
    revoked, at = Revoked(), 1_800_000_000
    revoked.add("alice", at, at)
    assert revoked.holds("alice", at + 10)
    assert revoked.holds("alice", at + LIFE_S), "granted at that very moment"
    assert revoked.holds("alice", at + LIFE_S + LEEWAY_S), "by a server that did not know yet"
    assert not revoked.holds("alice", at + LIFE_S + LEEWAY_S + 1)
    assert not revoked.holds("bob", at + 10)


def test_a_revocation_is_not_taken_back_by_an_older_one() -> None:
    revoked = Revoked()
    revoked.add("alice", 1000.0, 1000.0)
    revoked.add("alice", 500.0, 1001.0)
    assert revoked.holds("alice", 1000 + LIFE_S)


def test_of_too_many_revocations_the_forgotten_ones_hold_for_everybody() -> None:
    revoked = Revoked()
    for number in range(MAX_REVOKED + 1):
        revoked.add(f"u{number}", 1000.0 + number, 1000.0)
    for user in ("u0", "anybody"):
        assert revoked.holds(user, 1000 + LIFE_S)
        assert not revoked.holds(user, 1000 + LIFE_S + LEEWAY_S + 1)
    assert revoked.holds("u1", 1000 + LIFE_S + LEEWAY_S + 1)


def test_revocations_that_no_living_grant_can_meet_are_forgotten() -> None:
    revoked = Revoked()
    for number in range(MAX_REVOKED):
        revoked.add(f"u{number}", 1000.0, 1000.0)
    revoked.add("late", 5000.0, 1000.0 + LIFE_S + 2 * LEEWAY_S + 1)
    assert not revoked.holds("anybody", 1000)


def test_an_envelope_says_whose_it_is() -> None:
    assert Envelope(NONCE, bytes(17), "a=40b.http", 1).user == "a=40b"
