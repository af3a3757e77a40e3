"""Blocks of a stored recording: opened as they were sealed, in their order, and in no other."""

from __future__ import annotations

import os

import pytest

from codewrap.errors import RemoteProtocolError
from codewrap.protocol.blocks import DATA_BYTES, LENGTH_BYTES, MOST_BYTES, Block, Opener, recording_key, seal_block
from codewrap.protocol.sealing import NONCE_BYTES

KEY = recording_key(bytes(32), "build", "0123456789abcdef")
BLOCKS = [
    Block(0, facts={"name": "build", "command": ["make"]}),
    Block(1, 0, b"hello\r\n", 0, b'[0,0,"stdout"]\n'),
    Block(2, 7, b"\xff\x00more", 15, b""),
    Block(3, 13, b"", 15, b'[1,13,"exit",0,null]\n', {"name": "build"}, last=True),
]


def sealed(block: Block, key: bytes = KEY) -> bytes:
    return seal_block(block, key, os.urandom(NONCE_BYTES))


PIECES = [sealed(block) for block in BLOCKS]


def opened(*pieces: bytes, key: bytes = KEY) -> tuple[list[Block], Opener]:
    opener = Opener(key)
    return list(opener.feed(b"".join(pieces))), opener


def test_blocks_are_opened_as_they_were_sealed() -> None:
    blocks, opener = opened(*PIECES)
    assert blocks == BLOCKS
    assert (opener.is_whole, opener.is_torn, opener.blocks) == (True, False, 4)


def test_pieces_may_come_byte_by_byte() -> None:
    opener = Opener(KEY)
    found = [block for byte in b"".join(PIECES) for block in opener.feed(bytes([byte]))]
    assert found == BLOCKS


def test_a_recording_that_lacks_its_end_does_not_seem_whole() -> None:
    for most in range(len(PIECES)):
        blocks, opener = opened(*PIECES[:most])
        assert blocks == BLOCKS[:most]
        assert not opener.is_whole


def test_a_block_that_was_cut_is_held_back_and_told() -> None:
    whole = b"".join(PIECES)
    for size in range(len(whole)):
        blocks, opener = opened(whole[:size])
        assert blocks == BLOCKS[: len(blocks)]
        assert not opener.is_whole
        edges = {sum(map(len, PIECES[:n])) for n in range(5)}
        assert opener.is_torn is (size not in edges)


@pytest.mark.parametrize(
    "order", [(1, 0, 2, 3), (0, 2, 1, 3), (0, 1, 3), (0, 2, 3), (1, 2, 3), (0, 1, 1, 2, 3), (0, 1, 2, 3, 3)], ids=str
)
def test_blocks_that_are_moved_left_out_or_repeated_are_refused(order: tuple[int, ...]) -> None:
    with pytest.raises(RemoteProtocolError, match="damaged"):
        opened(*(PIECES[index] for index in order))


def test_every_single_altered_byte_is_found() -> None:
    whole = b"".join(PIECES)
    for position in range(len(whole)):
        altered = bytearray(whole)
        altered[position] ^= 1
        try:
            _, opener = opened(bytes(altered))
        except RemoteProtocolError:
            continue
        assert not opener.is_whole  # a length that says more than there is: it is waited for


def test_a_block_of_another_run_session_or_key_is_refused() -> None:
    for other in (
        recording_key(bytes(32), "build", "0123456789abcdee"),
        recording_key(bytes(32), "built", "0123456789abcdef"),
        recording_key(b"\1" * 32, "build", "0123456789abcdef"),
    ):
        with pytest.raises(RemoteProtocolError, match="another key"):
            opened(PIECES[0], sealed(BLOCKS[1], other))


def test_bytes_that_do_not_follow_are_refused_though_the_number_does() -> None:
    for block in (Block(2, 6, b"\nmore", 15, b""), Block(2, 7, b"", 16, b""), Block(2, 7, b"", 14, b"")):
        with pytest.raises(RemoteProtocolError, match="another one"):
            opened(*PIECES[:2], sealed(block))


def test_a_host_may_leave_out_output_that_it_does_not_hold_any_more() -> None:
    later = Block(2, 1000, b"later", 15, b"")
    assert opened(*PIECES[:2], sealed(later))[0][-1] == later


def test_the_largest_block_fits_its_bound_though_nothing_of_it_shrinks() -> None:
    block = Block(0, 0, os.urandom(DATA_BYTES), 0, os.urandom(DATA_BYTES))
    piece = sealed(block)
    assert len(piece) <= MOST_BYTES
    assert opened(piece)[0] == [block]


def test_a_length_that_no_block_has_is_refused_at_once() -> None:
    with pytest.raises(RemoteProtocolError, match="block 0 is none"):
        opened((MOST_BYTES + 1).to_bytes(LENGTH_BYTES, "big"))


@pytest.mark.parametrize("garbage", [b"", b"x" * 60, bytes(200)])
def test_what_was_never_sealed_is_refused(garbage: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="damaged"):
        opened(len(garbage).to_bytes(LENGTH_BYTES, "big") + garbage)
