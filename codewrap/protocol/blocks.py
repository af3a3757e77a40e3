"""A session's log as it is stored at a server: blocks, each sealed with its place among the others. Pure.

A stored recording is its blocks one after the other, each behind its length (4 bytes, the highest first). Opened, a block says
its number, which bytes of the output and of the timeline it holds, and whether it is the last: so one that was altered, moved,
left out or taken from another recording is found out, and one that lacks its end does not seem whole. docs/protocol.md.
"""

from __future__ import annotations

import hmac
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from codewrap.errors import RemoteProtocolError
from codewrap.protocol.sealing import MAC_BYTES, NONCE_BYTES, seal_bytes, unseal_bytes

VERSION: Final = 1
DATA_BYTES: Final = 512 * 1024
"""Of output, and of timeline, that a block holds at most."""
FACTS_BYTES: Final = 64 * 1024
LENGTH_BYTES: Final = 4
_PLAIN_BYTES: Final = 2 * DATA_BYTES + 2 * FACTS_BYTES
MOST_BYTES: Final = LENGTH_BYTES + NONCE_BYTES + MAC_BYTES + _PLAIN_BYTES
"""A block, sealed, behind its length."""
# Terminal output shrinks to a tenth; the last per cent is not worth the time that a slow processor needs for it.
_LEVEL: Final = 4
_MOST: Final = 1 << 53


@dataclass(frozen=True, slots=True)
class Block:
    """``output`` and ``timeline`` stand at ``output_at`` and ``timeline_at`` of the log's files. ``facts``: of `session.json`."""

    number: int
    output_at: int = 0
    output: bytes = b""
    timeline_at: int = 0
    timeline: bytes = b""
    facts: Mapping[str, Any] | None = None
    last: bool = False

    @property
    def output_end(self) -> int:
        """The offset behind it."""
        return self.output_at + len(self.output)

    @property
    def timeline_end(self) -> int:
        """The position behind it."""
        return self.timeline_at + len(self.timeline)


def recording_key(output_secret: bytes, session: str, epoch: str) -> bytes:
    """The key of one run's recording, made of that of its output: who may watch may read."""
    return hmac.digest(output_secret, f"codewrap recording {VERSION}\n{session}\n{epoch}".encode(), "sha256")


def seal_block(block: Block, key: bytes, nonce: bytes) -> bytes:
    """The block as it is stored, under a fresh 24-byte nonce."""
    header: dict[str, Any] = {
        "v": VERSION,
        "block": block.number,
        "output": [block.output_at, len(block.output)],
        "timeline": [block.timeline_at, len(block.timeline)],
    }
    if block.facts is not None:
        header["facts"] = dict(block.facts)
    if block.last:
        header["last"] = True
    plain = json.dumps(header, separators=(",", ":")).encode() + b"\n" + block.output + block.timeline
    squeezed = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
    sealed = seal_bytes(squeezed.compress(plain) + squeezed.flush(), key, nonce)
    return len(sealed).to_bytes(LENGTH_BYTES, "big") + sealed


class Opener:
    """Takes a stored recording in pieces of any size, gives its blocks. Each must follow the one before it."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._held = bytearray()
        self._next = Block(0)
        self.is_whole = False
        """The last block has come, and nothing is behind it."""

    @property
    def blocks(self) -> int:
        """How many have come."""
        return self._next.number

    @property
    def is_torn(self) -> bool:
        """The end of what came is no whole block."""
        return bool(self._held)

    def feed(self, data: bytes) -> Iterator[Block]:
        """More of it. Raises RemoteProtocolError where something is not as it was sealed; nothing may be fed then."""
        self._held += data
        while len(self._held) >= LENGTH_BYTES:
            size = int.from_bytes(self._held[:LENGTH_BYTES], "big")
            if size > MOST_BYTES:
                raise self._damaged("is none")
            if len(self._held) < LENGTH_BYTES + size:
                break
            sealed = bytes(self._held[LENGTH_BYTES : LENGTH_BYTES + size])
            del self._held[: LENGTH_BYTES + size]
            yield self._opened(sealed)

    def _opened(self, sealed: bytes) -> Block:
        try:
            block = _read(_inflated(unseal_bytes(sealed, self._key)))
        except (RemoteProtocolError, ValueError, KeyError, TypeError, RecursionError, zlib.error):
            raise self._damaged("was altered, or sealed with another key") from None
        expected = self._next
        # Output that its host did not hold any more is missing: that is said by the host, as all that is sealed.
        follows = block.output_at >= expected.output_at and block.timeline_at == expected.timeline_at
        if self.is_whole or block.number != expected.number or not follows:
            raise self._damaged("is another one")
        self.is_whole = block.last
        self._next = Block(block.number + 1, block.output_end, b"", block.timeline_end)
        return block

    def _damaged(self, how: str) -> RemoteProtocolError:
        return RemoteProtocolError(f"the stored recording is damaged: what stands for block {self._next.number} {how}")


def _inflated(data: bytes) -> bytes:
    squeezed = zlib.decompressobj(-15)
    plain = squeezed.decompress(data, _PLAIN_BYTES)
    if not squeezed.eof or squeezed.unused_data:
        raise ValueError("not one piece")
    return plain


def _read(plain: bytes) -> Block:
    first, _, rest = plain.partition(b"\n")
    header = json.loads(first)
    (output_at, output_bytes), (timeline_at, timeline_bytes) = header["output"], header["timeline"]
    numbers = (header["block"], output_at, output_bytes, timeline_at, timeline_bytes)
    if header["v"] != VERSION or not all(type(number) is int and 0 <= number < _MOST for number in numbers):
        raise ValueError("not of this version")
    if len(rest) != output_bytes + timeline_bytes:
        raise ValueError("not as long as it says")
    facts = header.get("facts")
    return Block(
        header["block"],
        output_at,
        rest[:output_bytes],
        timeline_at,
        rest[output_bytes:],
        facts if isinstance(facts, dict) else None,
        header.get("last") is True,
    )
