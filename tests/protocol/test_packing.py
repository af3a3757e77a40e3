"""Compression: whole, truncated, with trailing bytes, as a bomb, and as garbage."""

from __future__ import annotations

import base64
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codewrap.errors import RemoteProtocolError
from codewrap.protocol.packing import MAX_INFLATED_BYTES, deflate, inflate


@given(data=st.binary(max_size=5000), level=st.integers(0, 9))
def test_bytes_come_back(data: bytes, level: int) -> None:
    packed = deflate(data, level)
    assert packed.isascii()
    assert packed.isprintable()
    assert inflate(packed) == data


def test_every_truncation_is_refused() -> None:
    raw = base64.b64decode(deflate(b"some text, some more text, the same text"))
    for size in range(len(raw)):
        with pytest.raises(RemoteProtocolError):
            inflate(base64.b64encode(raw[:size]).decode())


def test_trailing_bytes_are_refused() -> None:
    raw = base64.b64decode(deflate(b"text"))
    with pytest.raises(RemoteProtocolError, match="followed by something else"):
        inflate(base64.b64encode(raw + b"\x00").decode())


def test_a_stream_of_the_zlib_format_is_not_raw_deflate() -> None:
    with pytest.raises(RemoteProtocolError, match="damaged"):
        inflate(base64.b64encode(zlib.compress(b"text" * 10)).decode())


def test_the_largest_frame_is_taken_and_one_byte_more_is_not() -> None:
    assert len(inflate(deflate(bytes(MAX_INFLATED_BYTES), 9))) == MAX_INFLATED_BYTES
    with pytest.raises(RemoteProtocolError, match="too large"):
        inflate(deflate(bytes(MAX_INFLATED_BYTES + 1), 9))


def test_a_bomb_is_refused() -> None:
    bomb = deflate(bytes(100 * 1024 * 1024), 9)
    with pytest.raises(RemoteProtocolError, match="too large"):
        inflate(bomb)


@given(text=st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.b64encode(raw).decode()))
@example(text="ü")
@example(text="AwA=\n")
@example(text="====")
def test_garbage_never_raises_anything_else(text: str) -> None:
    try:
        assert len(inflate(text)) <= MAX_INFLATED_BYTES
    except RemoteProtocolError as error:
        assert "compressed data" in str(error)
