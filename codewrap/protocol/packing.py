"""Compress bytes into text that travels in JSON, and back. The only user of compression."""

from __future__ import annotations

import base64
import binascii
import zlib

from codewrap.errors import RemoteProtocolError

# A frame never holds more than a broker's event of 100 KB could; what inflates to more is an attack.
MAX_INFLATED_BYTES = 4 * 1024 * 1024


def deflate(data: bytes, level: int = 1) -> str:
    """Base64 of raw DEFLATE (RFC 1951). Level 1: the link is bounded by messages long before it is by ratio."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return binascii.b2a_base64(packer.compress(data) + packer.flush(), newline=False).decode("ascii")


def inflate(text: str) -> bytes:
    """Undo `deflate`. Raises RemoteProtocolError on garbage, or when it grows beyond MAX_INFLATED_BYTES."""
    try:
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        data = unpacker.decompress(base64.b64decode(text, validate=True), MAX_INFLATED_BYTES + 1)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise RemoteProtocolError("compressed data is damaged") from error
    if len(data) > MAX_INFLATED_BYTES or not unpacker.eof:
        raise RemoteProtocolError("compressed data is too large or cut short")
    if unpacker.unused_data:
        raise RemoteProtocolError("compressed data is followed by something else")
    return data
