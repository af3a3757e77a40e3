"""The sealed form is Pusher's, opens with the right key only, and its size is known beforehand."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codewrap.errors import RemoteProtocolError
from codewrap.protocol.sealing import (
    KEY_BYTES,
    NONCE_BYTES,
    SEED_BYTES,
    SigningKey,
    largest_plain,
    seal,
    sealed_size,
    shared_secret,
    unseal,
    verified,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "protocol.json").read_text(encoding="utf-8"))["sealed"]
KEY, NONCE = bytes(range(KEY_BYTES)), bytes(NONCE_BYTES)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["text"][:20] for vector in VECTORS])
def test_sealed_texts_are_those_of_the_vectors(vector: dict[str, str]) -> None:
    key = shared_secret(vector["channel"], bytes.fromhex(vector["master_key_hex"]))
    assert key.hex() == vector["key_hex"]
    assert seal(vector["text"], key, bytes.fromhex(vector["nonce_hex"])) == vector["sealed"]
    assert unseal(vector["sealed"], key) == vector["text"]


def test_each_channel_and_each_master_key_has_a_secret_of_its_own() -> None:
    secrets = {shared_secret(channel, master) for channel in ("a", "b") for master in (KEY, bytes(KEY_BYTES))}
    assert len(secrets) == 4


@given(text=st.text(max_size=300), key=st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES))
def test_texts_come_back_and_have_the_size_that_was_told(text: str, key: bytes) -> None:
    sealed = seal(text, key, os.urandom(NONCE_BYTES))
    assert unseal(sealed, key) == text
    assert len(sealed) == sealed_size(len(text.encode()))


@given(limit=st.integers(100, 200_000))
@example(limit=10_240)
@example(limit=100_000)
def test_the_largest_text_fits_and_one_byte_more_does_not(limit: int) -> None:
    largest = largest_plain(limit)
    assert sealed_size(largest) <= limit < sealed_size(largest + 1)


def test_a_text_of_the_largest_size_is_sealed_within_the_limit() -> None:
    assert len(seal("x" * largest_plain(10_240), KEY, NONCE).encode()) <= 10_240


def test_every_altered_bit_is_noticed() -> None:
    box = json.loads(seal("text", KEY, NONCE))
    for part in ("nonce", "ciphertext"):
        raw = base64.b64decode(box[part])
        for bit in range(len(raw) * 8):
            altered = bytearray(raw)
            altered[bit // 8] ^= 1 << bit % 8
            with pytest.raises(RemoteProtocolError):
                unseal(json.dumps(box | {part: base64.b64encode(altered).decode()}), KEY)


def test_every_truncation_is_refused() -> None:
    sealed = seal("text", KEY, NONCE)
    for size in range(len(sealed)):
        with pytest.raises(RemoteProtocolError):
            unseal(sealed[:size], KEY)
    with pytest.raises(RemoteProtocolError):
        unseal(sealed + "x", KEY)


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(RemoteProtocolError, match="altered, or sealed with another key"):
        unseal(seal("text", KEY, NONCE), bytes(KEY_BYTES))


def test_the_text_of_a_refusal_holds_nothing_of_the_event() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        unseal('{"nonce":"PRIVATE","ciphertext":"PRIVATE"}', KEY)
    assert "PRIVATE" not in str(caught.value)


def test_sealed_bytes_that_are_not_text_are_refused() -> None:
    from nacl.secret import SecretBox

    box = SecretBox(KEY).encrypt(b"\xff", NONCE)
    fields = {"nonce": base64.b64encode(NONCE).decode(), "ciphertext": base64.b64encode(box.ciphertext).decode()}
    with pytest.raises(RemoteProtocolError):
        unseal(json.dumps(fields), KEY)


JSON_VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=9), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@given(text=st.text(max_size=60) | st.fixed_dictionaries({"nonce": JSON_VALUES, "ciphertext": JSON_VALUES}).map(json.dumps))
@example(text="[" * 100_000)
@example(text=json.dumps({"nonce": base64.b64encode(NONCE).decode(), "ciphertext": ""}))
@example(text="null")
def test_garbage_never_raises_anything_else(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        unseal(text, KEY)


# -- signatures ------------------------------------------------------------------------------------------------

HOST = SigningKey(bytes(SEED_BYTES))
# RFC 8032, 7.1, test 1: a seed and its public key.
RFC_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def test_public_keys_are_those_of_the_standard() -> None:
    assert SigningKey(RFC_SEED).public == RFC_PUBLIC


@given(text=st.text(max_size=300))
def test_what_the_host_signed_is_taken(text: str) -> None:
    assert verified(HOST.sign(text, "channel"), HOST.public, "channel") == text


@pytest.mark.parametrize(
    ("signed", "key", "channel"),
    [
        (HOST.sign("text", "channel"), SigningKey(b"x" * SEED_BYTES).public, "channel"),
        (HOST.sign("text", "channel"), HOST.public, "another channel"),
        (HOST.sign("text", "channel").replace('text"}', 'test"}'), HOST.public, "channel"),
        (HOST.sign("a\nb", "channel"), HOST.public, "channel\na"),
        ("", HOST.public, "channel"),
        ("[]", HOST.public, "channel"),
        ("{}", HOST.public, "channel"),
        ('{"signature":"","text":"text"}', HOST.public, "channel"),
        ('{"signature":1,"text":"text"}', HOST.public, "channel"),
        ('{"signature":"AAAA","text":1}', HOST.public, "channel"),
        (HOST.sign("1", "channel").replace(':"1"', ":1"), HOST.public, "channel"),
        (HOST.sign("text", "channel"), b"short", "channel"),
    ],
)
def test_what_anybody_else_signed_is_refused(signed: str, key: bytes, channel: str) -> None:
    with pytest.raises(RemoteProtocolError):
        verified(signed, key, channel)
