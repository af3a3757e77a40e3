"""What host and viewers say to each other: frozen dataclasses, to and from JSON text.

Source: `docs/protocol.md`, "Frames". The text built here is what is sealed; every frame names its version, type and epoch
inside it, so that a relay that renames, replays or mixes events is noticed. Decoders check every field and raise
RemoteProtocolError.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import packing
from codewrap.protocol.geometry import MAX_COLS, MAX_ROWS, MIN_COLS, MIN_ROWS, Size
from codewrap.protocol.roles import USER

VERSION = 1
MAX_OFFSET = 1 << 53  # JSON numbers stay exact in every client's language up to here
MAX_SCREEN_PARTS = 200
KEY_BYTES = 32  # RFC 8032, 5.1.5: an Ed25519 public key
MAX_ANSWERS = 16  # challenges that one frame answers
MAX_ANSWER_CHARACTERS = 1000  # to a prompt: with its Enter in UTF-8 less than the 4096 bytes that a terminal's line may have
# Of input whose sender cannot know the host's epoch (`POST /api/commands/input`). Its writer is used once and says when it was
# made, "http-SECONDS-RANDOM", so that what a relay kept is not taken by a later run.
ANY_EPOCH = "any"
# Made once: `json.dumps` with options builds an encoder at every call.
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes of the child's output from ``offset`` on; ``stream`` is "stdout" or "stderr"."""

    epoch: str
    offset: int
    data: bytes
    stream: str = "stdout"
    acks: dict[str, int] = field(default_factory=dict)

    event = "output"

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class Screen:
    """Escape sequences that redraw everything as it stood at ``offset``; makes all before it unnecessary.

    One that does not fit into an event comes in ``parts`` pieces, numbered by ``part`` from 0, all at the same offset.
    ``plain``: the session has no terminal; ``data`` is the end of its output and ``size`` means nothing. ``resizes`` counts
    the size changes before it: of two screens at one offset that with more is the newer. ``answers``: as in `Beat`.
    """

    epoch: str
    offset: int
    size: Size
    data: bytes
    part: int = 0
    parts: int = 1
    plain: bool = False
    resizes: int = 0
    answers: tuple[str, ...] = ()

    event = "screen"


@dataclass(frozen=True, slots=True)
class Resized:
    """The session's terminal has this size from ``offset`` on; it is the ``resizes``-th change of its size."""

    epoch: str
    offset: int
    size: Size
    resizes: int = 0

    event = "resize"


@dataclass(frozen=True, slots=True)
class Beat:
    """Where the session stands: all was said up to ``offset``, after ``resizes`` changes of size. Whoever is behind asks.

    ``key``: the public key (Ed25519, 32 bytes) that output is signed with where it comes as a client event; None: it never does.
    ``answers``: challenges of viewers that this run has heard. Who finds its own knows that the run is of now, and no recording.
    """

    epoch: str
    offset: int
    resizes: int = 0
    key: bytes | None = None
    answers: tuple[str, ...] = ()

    event = "beat"


@dataclass(frozen=True, slots=True)
class Acked:
    """Input written to the child so far, by writer: the next offset the host expects from each."""

    epoch: str
    acks: dict[str, int]

    event = "ack"


@dataclass(frozen=True, slots=True)
class Notice:
    """A line for the person who watches: ``kind`` is a word for programs, ``text`` for people.

    ``writer``: it is for the one alone whose input stream that is, "" for everybody.
    """

    epoch: str
    offset: int
    kind: str
    text: str
    missing: tuple[int, int] | None = None
    writer: str = ""

    event = "notice"


@dataclass(frozen=True, slots=True)
class Ended:
    """The child has ended at ``offset``: exit ``code``, or ``signal`` number that killed it."""

    epoch: str
    offset: int
    code: int | None
    signal: int | None

    event = "exit"

    @property
    def status(self) -> int:
        """The exit status a shell would show: the code, or 128 + signal."""
        return 128 + self.signal if self.signal is not None else (self.code or 0)


@dataclass(frozen=True, slots=True)
class Input:
    """Keystrokes of one writer from ``offset`` of that writer's own stream on."""

    epoch: str
    writer: str
    offset: int
    data: bytes

    event = "input"

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class Resize:
    """A writer's terminal has this size; a host without a terminal of its own follows."""

    epoch: str
    writer: str
    size: Size

    event = "input"


@dataclass(frozen=True, slots=True)
class Sync:
    """A viewer asks for what it lacks: from ``offset`` of ``epoch`` ("" where it has nothing yet).

    ``want`` is "screen", "bytes", or "nothing": it leaves. ``challenge``, where it is not "", is random: only a host that has
    heard it can answer it (`Beat`).
    """

    epoch: str
    offset: int
    want: str
    challenge: str = ""

    event = "sync"


@dataclass(frozen=True, slots=True)
class OnlyAt:
    """Where a run stands: ``offset`` bytes of output were written and ``typed`` bytes of input taken, from anybody."""

    offset: int
    typed: int


@dataclass(frozen=True, slots=True)
class Control:
    """A server's word to the host, at ``at`` (seconds since 1970): what is to be done about ``user``, or the command.

    ``id`` is random: a word counts once. "revoke": what ``user`` was given before ``before`` is void. "approve", "deny": whether
    ``user`` may type. "kill": ``signal`` for the command, None: the usual one. "answer": type ``text``, if the run of this epoch
    stands ``only_at`` that place.
    """

    id: str
    at: int
    do: str
    user: str = ""
    before: int | None = None
    signal: int | None = None
    epoch: str = ANY_EPOCH
    text: str = field(default="", repr=False)
    only_at: OnlyAt | None = None

    event = "control"


HostFrame = Output | Screen | Resized | Beat | Acked | Notice | Ended
ViewerFrame = Input | Resize | Sync


def encode(frame: HostFrame | ViewerFrame | Control) -> str:
    """The frame's JSON text: ASCII only where bytes are not UTF-8, compact."""
    fields: dict[str, Any] = {"v": VERSION, "type": frame.event, "epoch": frame.epoch}
    match frame:
        case Output():
            fields |= {"type": frame.stream, "offset": frame.offset, **_pack(frame.data)}
            if frame.acks:
                fields["acks"] = frame.acks
        case Screen():
            fields |= {"offset": frame.offset, **_size(frame.size), "z": packing.deflate(frame.data, 6)}
            if frame.parts > 1:
                fields |= {"part": frame.part, "parts": frame.parts}
            if frame.plain:
                fields["plain"] = True
            if frame.resizes:
                fields["resizes"] = frame.resizes
            if frame.answers:
                fields["answers"] = frame.answers
        case Resized():
            fields |= {"offset": frame.offset, **_size(frame.size), "resizes": frame.resizes}
        case Beat():
            fields |= {"offset": frame.offset, "resizes": frame.resizes}
            if frame.key is not None:
                fields["key"] = base64.b64encode(frame.key).decode()
            if frame.answers:
                fields["answers"] = frame.answers
        case Acked():
            fields["acks"] = frame.acks
        case Notice():
            fields |= {"offset": frame.offset, "kind": frame.kind, "text": frame.text}
            if frame.missing:
                fields["missing"] = list(frame.missing)
            if frame.writer:
                fields["writer"] = frame.writer
        case Ended():
            fields |= {"offset": frame.offset, "code": frame.code, "signal": frame.signal}
        case Input():
            fields |= {"writer": frame.writer, "offset": frame.offset, **_pack(frame.data)}
        case Resize():
            fields |= {"type": "resize", "writer": frame.writer, **_size(frame.size)}
        case Control():
            fields |= {"at": frame.at, "id": frame.id, "do": frame.do, "user": frame.user}
            fields |= {name: value for name, value in (("before", frame.before), ("signal", frame.signal)) if value is not None}
            if frame.only_at is not None:
                fields |= {"text": frame.text, "only_at": {"offset": frame.only_at.offset, "typed": frame.only_at.typed}}
        case _:  # Sync; mypy sees to it that no other is left
            fields |= {"from": frame.offset, "want": frame.want}
            if frame.challenge:
                fields["challenge"] = frame.challenge
    return _to_json(fields)


def decode_host(text: str) -> HostFrame:
    """What a host said. Raises RemoteProtocolError for anything that is not exactly a known frame."""
    fields = _Fields(text)
    match fields.type:
        case "stdout" | "stderr" as stream:
            return Output(
                fields.id("epoch"),
                fields.offset("offset"),
                fields.data(),
                stream,
                fields.acks(required=False),
            )
        case "screen":
            part, parts = fields.part()
            plain, resizes = fields.flag("plain"), fields.offset("resizes", default=0)
            size, data, answers = fields.size(), fields.data(), fields.answers()
            return Screen(fields.id("epoch"), fields.offset("offset"), size, data, part, parts, plain, resizes, answers)
        case "resize":
            return Resized(fields.id("epoch"), fields.offset("offset"), fields.size(), fields.offset("resizes"))
        case "beat":
            return Beat(fields.id("epoch"), fields.offset("offset"), fields.offset("resizes"), fields.key(), fields.answers())
        case "ack":
            return Acked(fields.id("epoch"), fields.acks(required=True))
        case "notice":
            missing = fields.missing()
            return Notice(
                fields.id("epoch"),
                fields.offset("offset"),
                fields.text("kind", 32),
                fields.text("text", 500),
                missing,
                fields.id("writer", default=""),
            )
        case "exit":
            return Ended(fields.id("epoch"), fields.offset("offset"), fields.small("code"), fields.small("signal"))
    raise RemoteProtocolError("unknown type of frame")


def decode_viewer(text: str) -> ViewerFrame:
    """What a viewer said. Raises RemoteProtocolError for anything that is not exactly a known frame."""
    fields = _Fields(text)
    match fields.type:
        case "input":
            return Input(fields.id("epoch"), fields.id("writer"), fields.offset("offset"), fields.data())
        case "resize":
            return Resize(fields.id("epoch"), fields.id("writer"), fields.size())
        case "sync":
            want = fields.text("want", 16)
            if want not in {"screen", "bytes", "nothing"}:
                raise RemoteProtocolError("sync asks for neither screen, bytes nor nothing")
            return Sync(fields.id("epoch", empty=True), fields.offset("from"), want, fields.id("challenge", default=""))
    raise RemoteProtocolError("unknown type of frame")


def decode_control(text: str) -> Control:
    """What a server said. Raises RemoteProtocolError for anything that is not exactly a known frame."""
    fields = _Fields(text)
    do = fields.text("do", 16) if fields.type == "control" else None
    if do not in _DONE_TO_USERS and do not in _DONE_TO_THE_COMMAND:
        raise RemoteProtocolError("unknown type of frame")
    user, before, signal = fields.text("user", 64), None, None
    text, only_at = "", None
    if do == "revoke":
        before = fields.offset("before")
    if do == "kill":
        signal = fields.small("signal")
    epoch = fields.id("epoch")
    if do == "answer":
        text, only_at = fields.text("text", MAX_ANSWER_CHARACTERS + 1), fields.only_at()
    if not (USER.fullmatch(user) or (do in _DONE_TO_THE_COMMAND and not user)) or signal == 0:
        raise RemoteProtocolError("a control is about no user, or sends no signal")
    if do == "answer" and (not text or epoch == ANY_EPOCH):
        raise RemoteProtocolError("an answer is empty, or for no run in particular")
    return Control(fields.id("id"), fields.offset("at"), do, user, before, signal, epoch, text, only_at)


_DONE_TO_USERS, _DONE_TO_THE_COMMAND = ("revoke", "approve", "deny"), ("kill", "answer")


def _pack(data: bytes) -> dict[str, str]:
    """``data`` as text, or ``z`` where it is not UTF-8 or compresses to less than its JSON form would take.

    JSON makes six bytes of each ESC, so the compressed form is tried from a length at which it can win.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"z": packing.deflate(data)}
    if len(data) < MIN_DEFLATED_BYTES:
        return {"data": text}
    packed = packing.deflate(data)
    return {"z": packed} if len(packed) < len(data) else {"data": text}


# Below this, DEFLATE plus base64 does not beat plain text often enough to be worth its time.
MIN_DEFLATED_BYTES = 128


def _size(size: Size) -> dict[str, int]:
    return {"cols": size.cols, "rows": size.rows}


class _Fields:
    """A frame's JSON object with checked access; every refusal is a RemoteProtocolError."""

    def __init__(self, text: str) -> None:
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RemoteProtocolError("a frame is not JSON") from error
        if not isinstance(fields, dict) or type(fields.get("v")) is not int or fields["v"] != VERSION:
            raise RemoteProtocolError(f"a frame is not of version {VERSION}")
        self._fields: dict[str, Any] = fields
        self.type = fields.get("type")

    def id(self, name: str, *, empty: bool = False, default: str | None = None) -> str:
        value = self._fields.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, str) and (ID.fullmatch(value) or (empty and not value)):
            return value
        raise RemoteProtocolError(f"{name} is not an identifier")

    def offset(self, name: str, default: int | None = None) -> int:
        value = self._fields.get(name, default)
        if type(value) is int and 0 <= value < MAX_OFFSET:
            return value
        raise RemoteProtocolError(f"{name} is not an offset")

    def small(self, name: str) -> int | None:
        value = self._fields.get(name)
        if value is None or (type(value) is int and 0 <= value <= 255):
            return value
        raise RemoteProtocolError(f"{name} is not a number from 0 to 255")

    def text(self, name: str, limit: int) -> str:
        value = self._fields.get(name)
        # A lone surrogate (\ud800 in JSON) is no character: whoever prints it would fail.
        if isinstance(value, str) and len(value) <= limit and not LONE_SURROGATE.search(value):
            return value
        raise RemoteProtocolError(f"{name} is not a text of at most {limit} characters")

    def size(self) -> Size:
        cols, rows = self._fields.get("cols"), self._fields.get("rows")
        if type(cols) is int and type(rows) is int and MIN_COLS <= cols <= MAX_COLS and MIN_ROWS <= rows <= MAX_ROWS:
            return Size(rows=rows, cols=cols)
        raise RemoteProtocolError("a terminal size is out of range")

    def data(self) -> bytes:
        text, packed = self._fields.get("data"), self._fields.get("z")
        if isinstance(text, str) and packed is None:
            try:
                return text.encode()
            except UnicodeEncodeError as error:  # a lone surrogate, written as \ud800 in JSON
                raise RemoteProtocolError("data is not Unicode text") from error
        if isinstance(packed, str) and text is None:
            return packing.inflate(packed)
        raise RemoteProtocolError("a frame needs exactly one of data and z")

    def acks(self, *, required: bool) -> dict[str, int]:
        value = self._fields.get("acks")
        if value is None and not required:
            return {}
        if not isinstance(value, dict) or len(value) > 1000:
            raise RemoteProtocolError("acks is not an object")
        for writer, offset in value.items():
            if not ID.fullmatch(writer) or type(offset) is not int or not 0 <= offset < MAX_OFFSET:
                raise RemoteProtocolError("acks holds something else than offsets by writer")
        return value

    def flag(self, name: str) -> bool:
        value = self._fields.get(name, False)
        if isinstance(value, bool):
            return value
        raise RemoteProtocolError(f"{name} is neither true nor false")

    def key(self) -> bytes | None:
        value = self._fields.get("key")
        if value is None:
            return None
        with contextlib.suppress(ValueError):
            key = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
            if len(key) == KEY_BYTES:
                return key
        raise RemoteProtocolError("key is not 32 bytes in base64")

    def answers(self) -> tuple[str, ...]:
        value = self._fields.get("answers", [])
        good = isinstance(value, list) and len(value) <= MAX_ANSWERS
        if good and all(isinstance(answer, str) and ID.fullmatch(answer) for answer in value):
            return tuple(value)
        raise RemoteProtocolError(f"answers is not a list of at most {MAX_ANSWERS} challenges")

    def part(self) -> tuple[int, int]:
        part, parts = self._fields.get("part", 0), self._fields.get("parts", 1)
        if type(part) is int and type(parts) is int and 0 <= part < parts <= MAX_SCREEN_PARTS:
            return part, parts
        raise RemoteProtocolError("a screen's part is out of range")

    def only_at(self) -> OnlyAt:
        value = self._fields.get("only_at")
        offset, typed = (value.get("offset"), value.get("typed")) if isinstance(value, dict) else (None, None)
        if type(offset) is int and type(typed) is int and 0 <= offset < MAX_OFFSET and 0 <= typed < MAX_OFFSET:
            return OnlyAt(offset, typed)
        raise RemoteProtocolError("only_at is not a place")

    def missing(self) -> tuple[int, int] | None:
        value = self._fields.get("missing")
        if value is None:
            return None
        if (
            isinstance(value, list)
            and len(value) == 2
            and all(type(n) is int and 0 <= n < MAX_OFFSET for n in value)
            and value[0] <= value[1]
        ):
            return (value[0], value[1])
        raise RemoteProtocolError("missing is not a range")
