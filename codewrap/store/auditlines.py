"""One line of an audit log: made, bounded, chained to the line before, and read back.

A line is a JSON object in canonical form (members by name, no spaces, ASCII only, no floats) but for its last member, ``hash``:
the SHA-256, in hex, of that canonical form without it. ``prev`` is the hash of the line before; 64 zeros begin a log.
The rules stand in `docs/protocol.md`, "Audit log".
"""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codewrap.protocol.channels import printable

Value = str | int | bool | None

FORMAT = 1
NO_HASH = "0" * 64
# Events of the log's own: a file's first line; behind a line that a killed writer left unfinished; behind lines that were found
# damaged; in place of lines that could not be written.
HEADER, TORN, DAMAGED, LOST = "file", "torn", "damaged", "lost"
MAX_VALUE_CHARACTERS = 200
MAX_FIELDS = 24
MAX_INTEGER = 2**53 - 1  # what every reader of JSON keeps exactly
# 24 values of 200 characters, at worst twelve bytes each, and their names.
MAX_LINE_BYTES = 64 * 1024
_HASH_BYTES = len(f',"hash":"{NO_HASH}"}}')
_HASH = re.compile(rb',"hash":"([0-9a-f]{64})"\}')
_NAME = re.compile(r"[0-9]{8}\.jsonl")
_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


@dataclass(frozen=True, slots=True)
class Record:
    """A line that is whole in itself: its hash is right."""

    seq: int
    hash: str
    prev: str
    event: str
    fields: dict[str, Any]


def file_name(number: int) -> str:
    """Of the log's file ``number``, from 1."""
    return f"{number:08}.jsonl"


def file_numbers(directory: Path) -> list[int]:
    """The log's files that are there, oldest first. Raises OSError."""
    return sorted(int(path.name[:8]) for path in directory.iterdir() if _NAME.fullmatch(path.name))


def utc(at_s: float) -> str:
    """Seconds since 1970 as ``2026-01-31T23:59:59.123Z``."""
    whole, thousandths = divmod(round(at_s * 1000), 1000)
    return f"{_second(whole)}.{thousandths:03}Z"


@functools.lru_cache(maxsize=1)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def bounded(fields: Mapping[str, object]) -> dict[str, Value]:
    """What may stand in a line: so many fields, strings cut and without control characters, nothing but plain values."""
    kept = fields if len(fields) <= MAX_FIELDS else dict(list(fields.items())[:MAX_FIELDS])
    return {name: _plain(value) for name, value in kept.items() if name != "hash"}


def _plain(value: object) -> Value:
    if isinstance(value, str):
        if len(value) <= MAX_VALUE_CHARACTERS and value.isprintable():
            return str(value)
        return printable(value, MAX_VALUE_CHARACTERS)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -MAX_INTEGER <= value <= MAX_INTEGER else "out of range"
    return f"a {type(value).__name__}"  # of our own making, and not its text: who knows what that holds


def build(event: str, fields: Mapping[str, Value], seq: int, at: str, prev: str) -> tuple[bytes, str]:
    """The line (with its newline) and its hash. The members of the chain win over fields of the same name."""
    text = _encode({**fields, "at": at, "event": event, "prev": prev, "seq": seq})
    digest = sha256(text.encode())
    return f'{text[:-1]},"hash":"{digest}"}}\n'.encode(), digest


def parse(line: bytes) -> Record | None:
    """A line without its newline; None where it is not what `build` made, byte for byte."""
    found = _HASH.fullmatch(line, len(line) - _HASH_BYTES) if len(line) > _HASH_BYTES else None
    if found is None or len(line) > MAX_LINE_BYTES:
        return None
    claimed = found[1].decode()
    if sha256(line[:-_HASH_BYTES] + b"}") != claimed:
        return None
    try:
        members = json.loads(line)
        seq, prev, event = members.pop("seq"), members.pop("prev"), members.pop("event")
        del members["hash"]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
    if type(seq) is not int or not isinstance(prev, str) or not isinstance(event, str):
        return None
    return Record(seq, claimed, prev, event, members)


def may_be_unfinished(rest: bytes) -> bool:
    """Whether a writer that was stopped can have left ``rest``: nothing stands behind a line that lacks its newline only."""
    found = _HASH.search(rest)
    return found is None or found.end() == len(rest)


def torn_fields(rest: bytes) -> dict[str, Value]:
    """What a marker says of the bytes before it."""
    return {"bytes": len(rest), "digest": sha256(rest)}


def sha256(data: bytes) -> str:
    """In hex. Imported when the first line is written: OpenSSL would take a tenth of the time before `run` starts its child."""
    from hashlib import sha256 as digest

    return digest(data).hexdigest()
