"""What carries frames: sealing, signing, compression, splitting, and the messages between processes of one machine."""

from __future__ import annotations

import base64
import zlib

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codewrap.errors import LocalProtocolError, RemoteProtocolError
from codewrap.protocol import frames, hostlink, pacing, packing, sealing
from codewrap.protocol.frames import Output
from codewrap.protocol.hostlink import Decoder, Kind, Message

keys = st.binary(min_size=32, max_size=32)
nonces = st.binary(min_size=24, max_size=24)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


# -- sealing and signing -------------------------------------------------------------------------------------------


@given(texts, keys, nonces)
def test_a_sealed_text_opens_with_its_key_and_has_the_size_that_was_foretold(text: str, key: bytes, nonce: bytes) -> None:
    sealed = sealing.seal(text, key, nonce)
    assert sealing.unseal(sealed, key) == text
    assert len(sealed.encode()) == sealing.sealed_size(len(text.encode()))


@given(st.integers(200, 1_000_000))
def test_the_largest_text_fits_when_it_is_sealed(limit: int) -> None:
    largest = sealing.largest_plain(limit)
    assert sealing.sealed_size(largest) <= limit


@given(texts, keys, keys, nonces)
def test_another_key_opens_nothing(text: str, key: bytes, other: bytes, nonce: bytes) -> None:
    assume(key != other)
    with pytest.raises(RemoteProtocolError):
        sealing.unseal(sealing.seal(text, key, nonce), other)


@settings(max_examples=300)
@given(texts, keys, nonces, st.data())
def test_a_sealed_text_that_was_altered_is_refused_or_says_the_same(
    text: str, key: bytes, nonce: bytes, draw: st.DataObject
) -> None:
    sealed = altered(sealing.seal(text, key, nonce), draw)
    try:
        assert sealing.unseal(sealed, key) == text
    except RemoteProtocolError:
        pass


@settings(max_examples=300)
@given(texts, st.binary(min_size=32, max_size=32), st.data())
def test_a_signed_text_that_was_altered_is_refused_or_says_the_same(text: str, seed: bytes, draw: st.DataObject) -> None:
    key = sealing.SigningKey(seed)
    signed = key.sign(text, "a-channel")
    assert sealing.verified(signed, key.public, "a-channel") == text
    with pytest.raises(RemoteProtocolError):
        sealing.verified(signed, key.public, "another-channel")
    try:
        assert sealing.verified(altered(signed, draw), key.public, "a-channel") == text
    except RemoteProtocolError:
        pass


@given(st.text(), keys)
def test_any_text_is_refused_where_something_sealed_or_signed_is_wanted(text: str, key: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        sealing.unseal(text, key)
    with pytest.raises(RemoteProtocolError):
        sealing.verified(text, key, "a-channel")


def altered(text: str, draw: st.DataObject) -> str:
    """With up to four characters replaced, added or gone."""
    start = draw.draw(st.integers(0, len(text)))
    end = draw.draw(st.integers(start, min(start + 4, len(text))))
    return text[:start] + draw.draw(st.text(max_size=4)) + text[end:]


# -- compression ---------------------------------------------------------------------------------------------------


@given(st.binary(max_size=2000) | st.builds(bytes, st.integers(0, 100_000)), st.integers(0, 9))
def test_what_was_compressed_comes_back(data: bytes, level: int) -> None:
    assert packing.inflate(packing.deflate(data, level)) == data


@settings(max_examples=300)
@given(st.binary(max_size=300), st.data())
def test_damaged_compression_is_refused_or_bounded(data: bytes, draw: st.DataObject) -> None:
    try:
        assert len(packing.inflate(altered(packing.deflate(data), draw))) <= packing.MAX_INFLATED_BYTES
    except RemoteProtocolError:
        pass


@settings(max_examples=20)
@given(st.integers(-3, 3), st.binary(min_size=1, max_size=3))
def test_a_bomb_is_refused_at_the_very_bound(off_by: int, block: bytes) -> None:
    size = packing.MAX_INFLATED_BYTES + off_by
    packed = packing.deflate((block * (size // len(block) + 1))[:size], 9)
    assert len(packed) < 100_000
    if off_by <= 0:
        assert len(packing.inflate(packed)) == size
    else:
        with pytest.raises(RemoteProtocolError):
            packing.inflate(packed)


@settings(max_examples=30)
@given(st.binary(min_size=1, max_size=5))
def test_what_follows_compressed_data_is_refused(more: bytes) -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    raw = packer.compress(b"data") + packer.flush() + more
    with pytest.raises(RemoteProtocolError):
        packing.inflate(base64.b64encode(raw).decode())


# -- splitting -----------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(
    st.binary(max_size=6000) | st.text(max_size=3000).map(lambda text: text.encode(errors="replace")),
    st.dictionaries(st.text("abc", min_size=1, max_size=64), st.integers(0, 2**50), max_size=20),
    st.integers(300, 3000),
    st.integers(0, 2**50),
)
def test_output_is_split_into_texts_that_fit_and_cover_it_exactly(
    data: bytes, acks: dict[str, int], limit: int, offset: int
) -> None:
    pieces = pacing.encode_output(Output("an-epoch", offset, data, "stderr", acks), limit)
    at, told = offset, {}
    whole = b""
    for end, text in pieces:
        assert len(text.encode()) <= limit
        frame = frames.decode_host(text)
        assert isinstance(frame, Output)
        assert (frame.epoch, frame.stream, frame.offset, frame.end) == ("an-epoch", "stderr", at, end)
        at = end
        whole += frame.data
        assert not told.keys() & frame.acks.keys()
        told |= frame.acks
    assert (whole, told) == (data, acks)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=3000), st.integers(300, 2000))
def test_splitting_cuts_no_character(text: str, limit: int) -> None:
    for _, piece in pacing.encode_output(Output("e", 0, text.encode()), limit):
        frame = frames.decode_host(piece)
        assert isinstance(frame, Output)
        frame.data.decode()


# -- between processes ---------------------------------------------------------------------------------------------

headers = st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=20) | st.none(), max_size=4)
messages = st.builds(Message, st.sampled_from(Kind), headers, st.binary(max_size=300))


@given(st.lists(messages, max_size=6), st.data())
def test_messages_arrive_whole_however_the_stream_is_cut(sent: list[Message], draw: st.DataObject) -> None:
    stream = b"".join(map(hostlink.encode, sent))
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    decoder = Decoder()
    received = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += decoder.feed(stream[start:end])
    assert received == sent


@settings(max_examples=300)
@given(st.lists(messages, max_size=3), st.binary(max_size=40), st.data())
def test_a_damaged_stream_of_messages_is_refused_with_one_kind_of_error(
    sent: list[Message], junk: bytes, draw: st.DataObject
) -> None:
    stream = b"".join(map(hostlink.encode, sent))
    at = draw.draw(st.integers(0, len(stream)))
    decoder = Decoder()
    try:
        for message in decoder.feed(stream[:at] + junk + stream[at + len(junk) :]):
            assert isinstance(message.header, dict)
    except LocalProtocolError:
        pass
