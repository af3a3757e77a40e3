"""A writer's leave to type: a key of its own, for a while, made of the session's input key. Seals and opens keystrokes. Pure.

The session's input key is the host's and the server's alone. Of it, of who somebody is and of when the leave ends comes the key
that this writer seals with: whoever opens a frame knows who made it, and no writer opens another's. Nothing is kept anywhere:
what stands beside the ciphertext is all that the host needs. Source: `docs/protocol.md`, "Sealing".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections import OrderedDict
from dataclasses import dataclass, field

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import sealing

# A server that has revoked somebody's token gives no new grant: so long the last one holds at most.
LIFE_S = 900
# Clocks differ, and an event takes its time.
LEEWAY_S = 60
# Less than a third is left: who types then asks for a new one. By the age, since the clock of who types may be wrong.
RENEW_AFTER_S = LIFE_S * 2 / 3
# Stands for the socket where `serve-auth` seals what a program posts as text.
POSTED = "http"
MAX_UNTIL = 1 << 53
MAX_REVOKED = 1000
_WRITER = re.compile(r"[A-Za-z0-9_=@,;-]{1,64}\.(?:[0-9a-f]{12}|http)")


@dataclass(frozen=True, slots=True)
class Grant:
    """``writer`` (a presence id) may type until ``until`` (seconds since 1970) with ``key``."""

    key: bytes = field(repr=False)
    writer: str
    until: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """What travels: a box that only the key of (``writer``, ``until``) opens. Nothing in it is true before it is opened."""

    nonce: bytes
    ciphertext: bytes
    writer: str
    until: int

    @property
    def user(self) -> str:
        """Who is behind ``writer``."""
        return user_of(self.writer)


def writer_key(base_key: bytes, writer: str, until: int) -> bytes:
    """The 32 bytes that ``writer`` seals with until ``until``."""
    return hmac.new(base_key, f"codewrap writer 1\n{writer}\n{until}".encode(), hashlib.sha256).digest()


def make_grant(base_key: bytes, writer: str, until: int) -> Grant:
    """A grant for ``writer``. Raises RemoteProtocolError where that is not a writer's presence id, or ``until`` no time."""
    if not is_writer(writer) or not _is_time(until):
        raise RemoteProtocolError("a grant is for no writer")
    return Grant(writer_key(base_key, writer, until), writer, until)


def is_writer(text: str) -> bool:
    """Whether ``text`` is the presence id of somebody who types: the user, a dot, and the socket's part, or ``http``."""
    return bool(_WRITER.fullmatch(text))


def user_of(writer: str) -> str:
    """The user whose presence id ``writer`` is."""
    return writer.rpartition(".")[0]


def is_over(until: int, now_s: float) -> bool:
    """Whether what was granted until ``until`` is to be refused now."""
    return now_s > until + LEEWAY_S


def seal(text: str, grant: Grant, nonce: bytes) -> str:
    """Seal ``text`` under a fresh 24-byte nonce; returns the JSON that travels."""
    return f'{sealing.seal(text, grant.key, nonce)[:-1]},"writer":"{grant.writer}","until":{grant.until}}}'


def decode(sealed: str) -> Envelope:
    """Take apart what `seal` made. Raises RemoteProtocolError for anything else."""
    try:
        fields = json.loads(sealed)
        nonce, ciphertext = (base64.b64decode(fields[name], validate=True) for name in ("nonce", "ciphertext"))
        writer, until = fields["writer"], fields["until"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RemoteProtocolError("input is not sealed by a writer") from error
    if len(nonce) != sealing.NONCE_BYTES or len(ciphertext) <= sealing.MAC_BYTES:
        raise RemoteProtocolError("a sealed input has a wrong length")
    if not isinstance(writer, str) or not is_writer(writer) or not _is_time(until):
        raise RemoteProtocolError("a sealed input names no writer, or no time")
    return Envelope(nonce, ciphertext, writer, until)


def unseal(envelope: Envelope, key: bytes) -> str:
    """The text, with a writer's key. Raises RemoteProtocolError where it is another's, or the envelope was altered."""
    return sealing.open_box(envelope.nonce, envelope.ciphertext, key)


def check_code(key: bytes, stream: str) -> str:
    """What both ends show of a writer's ``key`` and stream id, to be read out: six digits, ``48 29 13``."""
    digest = hmac.new(key, f"codewrap check\n{stream}".encode(), hashlib.sha256).digest()
    digits = f"{int.from_bytes(digest[:8], 'big') % 1_000_000:06d}"
    return f"{digits[:2]} {digits[2:4]} {digits[4:]}"


class Revoked:
    """Users whose grants from before some moment are void. Bounded: where too many are, it is so for everybody.

    A grant does not say when it was made. One made before ``before`` ends by then + LIFE_S; servers that do not know yet, or have
    another clock, are given LEEWAY_S more. What ends later was made after.
    """

    def __init__(self) -> None:
        self._void_until: OrderedDict[str, float] = OrderedDict()
        self._all_void_until = 0.0

    def add(self, user: str, before_s: float, now_s: float) -> None:
        """``user`` was revoked at ``before_s``."""
        for known in [known for known, until_s in self._void_until.items() if now_s > until_s + LEEWAY_S]:
            del self._void_until[known]
        until_s = max(before_s + LIFE_S + LEEWAY_S, self._void_until.pop(user, 0.0))
        self._void_until[user] = until_s
        if len(self._void_until) > MAX_REVOKED:
            self._all_void_until = max(self._all_void_until, self._void_until.popitem(last=False)[1])

    def holds(self, user: str, until: int) -> bool:
        """Whether a grant of ``user`` until ``until`` is void."""
        return until <= max(self._void_until.get(user, 0.0), self._all_void_until)


def _is_time(value: object) -> bool:
    return type(value) is int and 0 < value < MAX_UNTIL
