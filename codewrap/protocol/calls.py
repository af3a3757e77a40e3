"""How a program calls for somebody, and how a shell says where it stands: bell, OSC 9, 99 and 777, and OSC 133 marks. Pure.

Read beside the terminal's state, out of the same bytes. It keeps a bounded amount and judges nothing: `uplink/attention.py` does.
Sources: OSC 9 iTerm2 (with a number first it is ConEmu's progress and the like), OSC 99 kitty, OSC 777 urxvt, OSC 133 FinalTerm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from codewrap.protocol.sequences import SequenceCutter

TEXT_CHARACTERS: Final = 200
_STRING_LIMIT: Final = 4096
# Strings are matched whole, so that a BEL that ends one, or stands in one, is no bell.
_EVENT: Final = re.compile(
    rb"\x1b\](?P<command>[^\x07\x18\x1a\x1b]*)(?:\x07|\x1b\\)|\x1b[PX^_][^\x18\x1a\x1b]*|(?P<bell>\x07)|(?P<line>\n)"
)
_COMMAND: Final = re.compile(rb"(?P<number>9|99|133|777);(?P<rest>.*)", re.DOTALL)
_PROGRESS: Final = re.compile(rb"\d{1,2}(?:;|\Z)")
_PAYLOAD: Final = re.compile(rb"(?:\A|:)p=([^:]*)")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Call:
    """Somebody is called: by a notification's ``text``, or by the bell, which has none."""

    text: str = ""


class CallSpotter:
    """Follows the output. ``at_prompt`` is true from a prompt mark on until that line is left."""

    def __init__(self) -> None:
        self._cutter = SequenceCutter(_STRING_LIMIT)
        self.at_prompt = False

    def feed(self, data: bytes) -> Call | None:
        """Take more of the output; the last call in it, one with a text before a bell."""
        block = self._cutter.feed(data)
        if b"\x07" not in block and b"\x1b]" not in block:
            if self.at_prompt and b"\n" in block:
                self.at_prompt = False
            return None
        found: Call | None = None
        for event in _EVENT.finditer(block):
            call: Call | None = None
            if event["line"]:
                self.at_prompt = False
            elif event["bell"]:
                call = Call()
            elif event["command"]:
                call = self._obey(event["command"])
            if call is not None and (call.text or found is None):
                found = call
        return found

    def _obey(self, command: bytes) -> Call | None:
        known = _COMMAND.match(command)
        if known is None:
            return None
        number, rest = known["number"], known["rest"]
        if number == b"133":
            self.at_prompt = rest[:1] in (b"A", b"B", b"P")
            return None
        if number == b"9":
            return None if _PROGRESS.match(rest) else _call(rest)
        if number == b"777":
            kind, _, words = rest.partition(b";")
            return _call(words.replace(b";", b": ", 1)) if kind == b"notify" else None
        options, _, words = rest.partition(b";")
        kind_of = _PAYLOAD.search(options)
        if kind_of is not None and kind_of[1] not in (b"title", b"body"):
            return None
        return _call(b"" if b"e=1" in options else words)


def _call(words: bytes) -> Call:
    text = " ".join(_UNPRINTABLE.sub(" ", words.decode(errors="replace")).split())
    return Call(text[:TEXT_CHARACTERS] or "notification")
