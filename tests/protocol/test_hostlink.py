"""Messages between host and uplink: whole, byte by byte, truncated, several at once, damaged."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codewrap.errors import LocalProtocolError
from codewrap.protocol.hostlink import MAX_MESSAGE_BYTES, Decoder, Kind, Message, encode

HEADERS = st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=20), max_size=4)
MESSAGES = st.builds(Message, st.sampled_from(Kind), HEADERS, st.binary(max_size=200))


def raw(kind: int, header: bytes, body: bytes = b"", *, length: int | None = None, header_length: int | None = None) -> bytes:
    """A message built by hand, so that it can be wrong."""
    length = 3 + len(header) + len(body) if length is None else length
    return struct.pack(">IBH", length, kind, len(header) if header_length is None else header_length) + header + body


def test_the_bytes_are_those_of_the_documentation() -> None:
    assert encode(Message(Kind.GROWN)) == b"\x00\x00\x00\x05\x02\x00\x02{}"
    assert encode(Message(Kind.INPUT, {"writer": "w"}, b"\xff")) == b'\x00\x00\x00\x12\x06\x00\x0e{"writer":"w"}\xff'


@given(messages=st.lists(MESSAGES, max_size=5))
def test_messages_come_back_whole_and_byte_by_byte(messages: list[Message]) -> None:
    stream = b"".join(map(encode, messages))
    assert Decoder().feed(stream) == messages
    decoder = Decoder()
    assert [message for byte in stream for message in decoder.feed(bytes([byte]))] == messages


@given(message=MESSAGES, cut=st.integers(0, 300))
def test_a_truncated_message_waits_for_its_rest(message: Message, cut: int) -> None:
    stream = encode(message)
    cut = min(cut, len(stream) - 1)
    decoder = Decoder()
    assert decoder.feed(stream[:cut]) == []
    assert decoder.feed(stream[cut:] + stream[:cut]) == [message]
    assert decoder.feed(stream[cut:]) == [message]


def test_the_largest_body_travels_and_a_larger_one_does_not_leave() -> None:
    largest = Message(Kind.INPUT, {"offset": 1}, bytes(MAX_MESSAGE_BYTES))
    assert Decoder().feed(encode(largest)) == [largest]
    with pytest.raises(LocalProtocolError, match="kind INPUT is too large"):
        encode(Message(Kind.INPUT, {}, bytes(MAX_MESSAGE_BYTES + 1)))


def test_a_header_that_needs_more_than_16_bits_does_not_leave() -> None:
    with pytest.raises(LocalProtocolError, match="kind NOTICE is too large"):
        encode(Message(Kind.NOTICE, {"text": "x" * 0x10000}))


@pytest.mark.parametrize(
    "damaged",
    [
        raw(2, b"{}", length=MAX_MESSAGE_BYTES + 0x10000 + 4),
        raw(2, b"{}", length=0xFFFFFFFF),
        raw(2, b"{}", length=2),
        raw(2, b"{}", header_length=3),
        raw(2, b""),
        raw(2, b"{"),
        raw(2, b"\xff\xfe"),
        raw(2, b"[]"),
        raw(2, b"null"),
        raw(2, b"[" * 0xFFFF),
        raw(0, b"{}"),
        raw(max(Kind) + 1, b"{}"),
        b"Traceback (most recent call last):",
    ],
    ids=lambda damaged: repr(damaged[:12]),
)
def test_a_damaged_message_is_refused(damaged: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        Decoder().feed(damaged)


@given(garbage=st.binary(max_size=300))
@example(garbage=raw(6, b"1", b"x") * 2)
def test_garbage_is_waited_for_or_refused(garbage: bytes) -> None:
    decoder = Decoder()
    try:
        found = decoder.feed(garbage)
    except LocalProtocolError:
        return
    assert all(isinstance(message.header, dict) for message in found)
