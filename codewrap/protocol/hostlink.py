"""What a host process and its uplink process, or a viewer on the same machine, say to each other. Pure: bytes in, messages out.

A message is ``>IBH`` (bytes that follow, kind, header length), a JSON header and a body of raw bytes. Both ends are ours, so a
damaged message is a LocalProtocolError.
"""

from __future__ import annotations

import enum
import json
import struct
from dataclasses import dataclass, field
from typing import Any

from codewrap.errors import LocalProtocolError

_PREFIX = struct.Struct(">IBH")
LENGTH_BYTES = 4
"""Of a message: how many follow."""
_AFTER_LENGTH = _PREFIX.size - LENGTH_BYTES
MAX_MESSAGE_BYTES = 8 * 1024 * 1024


class Kind(enum.IntEnum):
    """H: host to uplink, U: uplink to host, V: viewer on the same machine to host, L: host to such a viewer."""

    CONFIGURE = 1  # H: everything the uplink needs; the first message
    GROWN = 2  # H: the log has grown since the last ARM
    WRITTEN = 3  # H: {"acks": {writer: offset}} now written to the child
    FINISH = 4  # H: {"code", "signal"} the child has ended and the log is complete: deliver, report, leave
    ARM = 5  # U: {"end": n} the log is read up to there; say when it grows
    INPUT = 6  # U, V: {"writer", "offset"} and the keystrokes; U also says whose they are: {"user", "by", "code"}
    RESIZE = 7  # U: {"cols", "rows", "writer", "user", "by", "code"} a writer's terminal
    WATCHERS = 8  # U: {"count": n}
    NOTICE = 9  # U: {"text"} a line for the person at the host
    DONE = 10  # U: {"events", "bytes", ...}: the end report
    ANSWER = 11  # U: what a terminal answers to a question in the output, to be typed
    LOG_ENDED = 14  # H: {"reason"} the log takes no more, and the command goes on
    CONTROL = 15  # U: {"do", "user", "before", "signal", "at", "id", "text", "only_at"} a server's word (`frames.Control`)
    GREETING = 12  # L: {"epoch"} the first message
    OUTPUT = 13  # L: {"offset", "stream", "acks"} and the bytes
    OWN_USER = 20  # U: {"user"} whose session this is, as the server names them
    NOTIFY = 21  # H: {"kind", "text", "writer"} a notice to whoever types as this writer
    REDRAW = 22  # H: the terminal here was drawn over: say what it shows
    PICTURE = 23  # U: {"offset", "rows", "cols", "top"} what it shows there, as sequences, and its first row alone
    LOOK = 30  # U: say how the command's terminal stands
    CALL = 32  # U: {"offset", "text"} call for the person here by a notification of the terminal, if the log ends there
    LOOKED = 31  # H: {"here", "typed_s", "typed"} and on a PTY {"canonical", "echo", "pid", "group"}; also before FINISH
    ANSWERED = 33  # H: {"id", "outcome"} what became of the answer to a prompt (`host/answering.py`)
    MARK = 26  # U: {"what", "values"} an entry for the timeline (`sessionlog.MARKS`)
    ORDER = 24  # V: an order of `protocol/orders.py`
    REPLY = 25  # L: the answer to it


@dataclass(frozen=True, slots=True)
class Message:
    """One message; ``header`` is a JSON object."""

    kind: Kind
    header: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""


_EMPTY = b"{}"
_to_json = json.JSONEncoder(separators=(",", ":")).encode  # `json.dumps` would build one at every call


def encode(message: Message) -> bytes:
    """The bytes of ``message``. Raises LocalProtocolError when it is too large."""
    header = _to_json(message.header).encode() if message.header else _EMPTY
    if len(header) > 0xFFFF or len(message.body) > MAX_MESSAGE_BYTES:
        raise LocalProtocolError(f"a message of kind {message.kind.name} is too large")
    return _PREFIX.pack(_AFTER_LENGTH + len(header) + len(message.body), message.kind, len(header)) + header + message.body


class Decoder:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Messages that are complete now. Raises LocalProtocolError."""
        self._buffer += data
        found = []
        while len(self._buffer) >= _PREFIX.size:
            length, kind, header_length = _PREFIX.unpack_from(self._buffer)
            if length > MAX_MESSAGE_BYTES + 0x10000 + _AFTER_LENGTH or header_length + _AFTER_LENGTH > length:
                raise LocalProtocolError("a message's lengths do not fit")
            if len(self._buffer) < 4 + length:
                break
            body_at = _PREFIX.size + header_length
            try:
                header = json.loads(self._buffer[_PREFIX.size : body_at])
                message = Message(Kind(kind), header, bytes(self._buffer[body_at : 4 + length]))
            except (ValueError, RecursionError) as error:
                raise LocalProtocolError("a message is damaged") from error
            if not isinstance(header, dict):
                raise LocalProtocolError("a message's header is not an object")
            found.append(message)
            del self._buffer[: 4 + length]
        return found
