"""A server that stores one recording, whose every byte the test decides."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from typing import Any

from codewrap.config import Gateway
from codewrap.protocol.blocks import Block, recording_key, seal_block
from codewrap.protocol.channels import output_channel
from codewrap.protocol.sealing import NONCE_BYTES, shared_secret
from tests.support.web import Asked, WebServer, answer

MASTER_KEY = bytes(range(32))
RUN = "0123456789abcdef"
UPDATED = 1_700_000_000
FACTS = {"name": "build", "epoch": RUN, "command": ["make"], "started_at": UPDATED - 60.0, "pty": False, "size": [24, 80]}
OUTPUT = b"hello\r\n\x1b[31mred\x1b[m\r\n"
TIMELINE = b'[0.0,0,"resize",80,24]\n[0.5,0,"stdout"]\n'
EXIT = b'[1.5,%d,"exit",3,null]\n' % len(OUTPUT)


def blocks_of(*, whole: bool = True) -> list[Block]:
    """A recording in three blocks; without the last, its end is missing."""
    first = Block(0, facts=FACTS)
    second = Block(1, 0, OUTPUT, 0, TIMELINE)
    last = Block(2, len(OUTPUT), b"", len(TIMELINE), EXIT, FACTS, last=True)
    return [first, second, last] if whole else [first, second]


def sealed(blocks: Sequence[Block], run: str = RUN) -> bytes:
    """As the server has them."""
    key = recording_key(shared_secret(output_channel("build", encrypted=True), MASTER_KEY), "build", run)
    return b"".join(seal_block(block, key, os.urandom(NONCE_BYTES)) for block in blocks)


class StoringServer(WebServer):
    """``data`` is what it has of the one run, ``listed`` what it says of it; ``master_key`` what it makes keys of."""

    def __init__(self, data: bytes, **listed: Any) -> None:
        self.data = data
        self.master_key = MASTER_KEY
        facts = {"sessionId": "build", "epoch": RUN, "owner": "alice", "openedAt": UPDATED - 60, "updatedAt": UPDATED}
        self.listed: list[dict[str, Any]] = [facts | {"bytes": len(data), "ended": True, "live": False} | listed]
        super().__init__(self._answer)

    @property
    def gateway(self) -> Gateway:
        return Gateway(self.url, "hush-token")

    def _answer(self, asked: Asked) -> bytes:
        path, _, query = asked.target.partition("?")
        if path == "/pusher/auth":
            secret = shared_secret(output_channel("build", encrypted=True), self.master_key)
            return answer(json.dumps({"auth": "k:s", "shared_secret": base64.b64encode(secret).decode()}))
        if path == "/api/sessions":
            return answer('{"sessions": []}')
        if path == "/api/recordings":
            wanted = query.partition("=")[2]
            return answer(
                json.dumps({"recordings": [each for each in self.listed if wanted in ("", each["sessionId"])], "more": False})
            )
        return answer(self.data[int(query.partition("=")[2]) :])
