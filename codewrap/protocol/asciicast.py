"""asciicast, the file format of terminal recordings, in its versions 2 and 3. Pure: events in, lines out, and back.

A header on the first line, then an event in each: ``[time, code, data]``, where version 3 counts time from the event before and
version 2 from the beginning (docs.asciinema.org/manual/asciicast). The programs of version 2 know no exit: it gets a marker.
"""

from __future__ import annotations

import enum
import json
import math
import re
from dataclasses import dataclass
from typing import Any, Final

from codewrap.errors import RemoteProtocolError
from codewrap.protocol.geometry import Size

VERSIONS: Final = (2, 3)
MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""A longer line is no event that anybody could have typed or seen at once."""
MOST_S: Final = 1e9
"""Thirty years: what lasts longer is damaged."""
_SIZE: Final = re.compile(r"(\d{1,5})x(\d{1,5})")
_to_json = json.JSONEncoder(separators=(", ", ": ")).encode


class Code(enum.StrEnum):
    """What an event is. EXIT's data is the status, RESIZE's ``COLSxROWS``, that of a MARKER its label."""

    OUTPUT = "o"
    INPUT = "i"
    RESIZE = "r"
    MARKER = "m"
    EXIT = "x"


_CODES: Final = {code.value: code for code in Code}


@dataclass(frozen=True, slots=True)
class Event:
    """``time_s`` counts from the beginning of the recording, in both versions."""

    time_s: float
    code: Code
    data: str

    @property
    def size(self) -> Size | None:
        """A new size of the terminal, where this is one."""
        found = _SIZE.fullmatch(self.data) if self.code is Code.RESIZE else None
        return Size(rows=int(found[2]), cols=int(found[1])).clamped() if found else None


@dataclass(frozen=True, slots=True)
class Header:
    """What a recording says of itself. ``timestamp`` is when it began, since 1970; ``term`` is TERM, ``shell`` SHELL."""

    size: Size
    timestamp: int | None = None
    command: str = ""
    title: str = ""
    term: str = ""
    shell: str = ""


def resized(time_s: float, size: Size) -> Event:
    """The terminal has this size from now on."""
    return Event(time_s, Code.RESIZE, f"{size.cols}x{size.rows}")


class Encoder:
    """Writes one recording: `header` first, then each event in order."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._before_us = 0

    def header(self, header: Header) -> str:
        """The first line."""
        rows, cols = header.size
        about: dict[str, Any] = {"version": self._version}
        if self._version == 3:
            about["term"] = {"cols": cols, "rows": rows} | ({"type": header.term} if header.term else {})
        else:
            about |= {"width": cols, "height": rows}
        if header.timestamp is not None:
            about["timestamp"] = header.timestamp
        about |= {name: text for name, text in (("command", header.command), ("title", header.title)) if text}
        if env := {name: text for name, text in (("TERM", header.term), ("SHELL", header.shell)) if text}:
            about["env"] = env
        return _to_json(about) + "\n"

    def event(self, event: Event) -> str:
        """Its line. One that claims to be earlier than the one before it is taken to be at the same time."""
        at_us = max(self._before_us, round(event.time_s * 1e6))
        shown_us = at_us - self._before_us if self._version == 3 else at_us
        self._before_us = at_us
        code, data = event.code.value, event.data
        if event.code is Code.EXIT and self._version == 2:
            code, data = Code.MARKER.value, f"exit {event.data}"
        return f"[{_seconds(shown_us)}, {_to_json(code)}, {_to_json(data)}]\n"

    @property
    def time_s(self) -> float:
        """Where the recording stands."""
        return self._before_us / 1e6


class Decoder:
    """Reads one recording: give it the first line, then each other one. Raises RemoteProtocolError."""

    def __init__(self, first_line: str) -> None:
        about = _loaded(first_line)
        if not isinstance(about, dict) or about.get("version") not in VERSIONS:
            raise RemoteProtocolError("it is no asciicast of version 2 or 3")
        self.version: int = about["version"]
        self.header = _header(self.version, about)
        self._time_s = 0.0

    def event(self, line: str) -> Event | None:
        """What the line says; None where that is nothing (a comment, an empty line, an event of a kind that is not known)."""
        if not line.strip() or line.startswith("#"):
            return None
        match _loaded(line):
            case [int() | float() as time_s, str() as code, str() as data] if 0 <= time_s <= MOST_S:
                self._time_s = self._time_s + time_s if self.version == 3 else max(self._time_s, float(time_s))
            case [int() | float(), *_]:
                raise RemoteProtocolError("an event of it is damaged")
            case _:
                raise RemoteProtocolError("a line of it is no event")
        known = _CODES.get(code)
        return Event(self._time_s, known, data) if known is not None else None


def _header(version: int, about: dict[str, Any]) -> Header:
    found = about.get("term")
    term: dict[str, Any] = found if version == 3 and isinstance(found, dict) else {}
    cols, rows = (term.get("cols"), term.get("rows")) if version == 3 else (about.get("width"), about.get("height"))
    if not isinstance(cols, int) or not isinstance(rows, int):
        raise RemoteProtocolError("it does not say how large its terminal was")
    said = about.get("env")
    env: dict[str, Any] = said if isinstance(said, dict) else {}
    began = about.get("timestamp")
    return Header(
        Size(rows=rows, cols=cols).clamped(),
        int(began) if isinstance(began, int | float) and math.isfinite(began) else None,
        _text(about.get("command")),
        _text(about.get("title")),
        _text(term.get("type") or env.get("TERM")),
        _text(env.get("SHELL")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _loaded(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("a line of it is no JSON") from error


def _seconds(microseconds: int) -> str:
    whole, rest = divmod(microseconds, 1_000_000)
    return f"{whole}.{f'{rest:06}'.rstrip('0') or '0'}"
