"""Seal a frame's text for the way, and open it again; sign it, and check who did. The only user of the cipher.

Sealed form: JSON ``{"nonce": base64(24 bytes), "ciphertext": base64}``, NaCl secretbox (XSalsa20-Poly1305), the form of
Pusher's encrypted channels, so that the official clients open it unchanged. Nonces are random (192 bits: no counter to keep).

Signed form: JSON ``{"signature": base64(64 bytes), "text": text}``, Ed25519 (RFC 8032) over the output channel's name, a newline
and the text. A broker lets every member send client events: what a host says by one must be the host's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

from nacl.bindings import (
    crypto_secretbox,
    crypto_secretbox_open,
    crypto_sign,
    crypto_sign_BYTES,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import CryptoError

from codewrap.errors import RemoteProtocolError

KEY_BYTES = 32
NONCE_BYTES = 24
MAC_BYTES = 16
SEED_BYTES = 32
_CLOSED = "an event cannot be opened: altered, or sealed with another key"
SEALED_FRAMING_BYTES = len('{"nonce":"","ciphertext":""}') + 32


def shared_secret(channel: str, master_key: bytes) -> bytes:
    """The key of an encrypted channel: SHA-256(channel name ‖ master key), as Pusher's libraries derive it."""
    return hashlib.sha256(channel.encode() + master_key).digest()


def seal(text: str, key: bytes, nonce: bytes) -> str:
    """Seal ``text`` under a 32-byte key and a fresh 24-byte nonce; returns the JSON that travels."""
    ciphertext = crypto_secretbox(text.encode(), nonce, key)
    return f'{{"nonce":"{_b64(nonce)}","ciphertext":"{_b64(ciphertext)}"}}'


def unseal(sealed: str, key: bytes) -> str:
    """Open what `seal` made. Raises RemoteProtocolError when it was altered, or sealed with another key."""
    try:
        box = json.loads(sealed)
        nonce, ciphertext = base64.b64decode(box["nonce"]), base64.b64decode(box["ciphertext"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RemoteProtocolError(_CLOSED) from error
    return open_box(nonce, ciphertext, key)


def open_box(nonce: bytes, ciphertext: bytes, key: bytes) -> str:
    """`unseal`, of parts that were taken out already."""
    try:
        return crypto_secretbox_open(ciphertext, nonce, key).decode()
    except (ValueError, TypeError, CryptoError) as error:
        raise RemoteProtocolError(_CLOSED) from error


def seal_bytes(data: bytes, key: bytes, nonce: bytes) -> bytes:
    """Seal ``data`` as `seal` does, for where bytes are kept: the nonce, then the box."""
    return nonce + crypto_secretbox(data, nonce, key)


def unseal_bytes(sealed: bytes, key: bytes) -> bytes:
    """Open what `seal_bytes` made. Raises RemoteProtocolError when it was altered, or sealed with another key."""
    try:
        return crypto_secretbox_open(sealed[NONCE_BYTES:], sealed[:NONCE_BYTES], key)
    except (ValueError, TypeError, CryptoError) as error:
        raise RemoteProtocolError(_CLOSED) from error


class SigningKey:
    """A key pair from a random ``seed`` of SEED_BYTES. ``public`` (32 bytes) is for everybody."""

    def __init__(self, seed: bytes) -> None:
        self.public, self._secret = crypto_sign_seed_keypair(seed)

    def sign(self, text: str, channel: str) -> str:
        """``text`` in its signed form; it holds for ``channel`` only."""
        signature = crypto_sign(f"{channel}\n{text}".encode(), self._secret)[:crypto_sign_BYTES]
        return _to_json({"signature": _b64(signature), "text": text})


def verified(signed: str, public: bytes, channel: str) -> str:
    """The text that the owner of ``public`` signed for ``channel``. Raises RemoteProtocolError when somebody else did."""
    try:
        box = json.loads(signed)
        text = box["text"]
        crypto_sign_open(base64.b64decode(box["signature"]) + f"{channel}\n{text}".encode(), public)
    except (ValueError, KeyError, TypeError, CryptoError, RecursionError) as error:
        raise RemoteProtocolError("an event is not signed by the host") from error
    if not isinstance(text, str):
        raise RemoteProtocolError("an event's text is not one")
    return text


def sealed_size(plain_bytes: int) -> int:
    """Bytes of `seal`'s result for so many bytes of text: 4·⌈(p+16)/3⌉ and the framing."""
    return 4 * ((plain_bytes + MAC_BYTES + 2) // 3) + SEALED_FRAMING_BYTES


def largest_plain(limit_bytes: int) -> int:
    """The most bytes of text whose sealed form stays within ``limit_bytes``."""
    return (limit_bytes - SEALED_FRAMING_BYTES) // 4 * 3 - MAC_BYTES


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _b64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")
