"""What an engine does not tell about a terminal: modes, title, cursor and keyboard style, colours, the open link.

Read from the bytes, beside the engine. Fed with whole blocks of the output (``SequenceCutter``), never raises, and keeps a
bounded amount.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Final

TITLE_LIMIT: Final = 1024
LINK_LIMIT: Final = 2083
STACK_LIMIT: Final = 16
"""Kitty's own bound on its keyboard stack is of this order; the oldest entry goes."""

ALTERNATE_MODES: Final = frozenset((47, 1047, 1049))
_MOUSE: Final = frozenset((9, 1000, 1002, 1003))
_ENCODING: Final = frozenset((1005, 1006, 1015, 1016))
_DEFAULTS: Final = {
    **dict.fromkeys((1, 5, 6, 9, 12, 45, 47, 66, 69, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016), False),
    **dict.fromkeys((1047, 1049, 2004, 2026), False),
    **dict.fromkeys((7, 25), True),
}
# What the engine's own dump holds already (6, 7, 25) or is told another way here is not among them.
_WRITTEN: Final = (1, 5, 12, 45, 69, 1004, 1007, 2004, 2026)

_EVENT: Final = re.compile(
    rb"""\x1b(?:
      \[ (?: \? (?P<modes> [\d;]{1,128} ) (?P<state> [hl] )
           | >4 (?:;(?P<level> \d ))? (?P<keys> m )
           | (?P<way> [<>=] ) (?P<flags> \d{0,3} ) (?:;(?P<how> [1-3] ))? (?P<kitty> u )
           | (?P<shape> [0-6]? ) (?P<style> \x20q )
           | (?P<soft> !p ) )
    | \] (?P<command> (?:[028]|4|1[0-2]|104|11[0-2]) (?:;[^\x07\x18\x1a\x1b]{0,4096})? ) (?P<string> \x07 | \x1b\\ )
    | (?P<plain> [c=>] )
    )""",
    re.VERBOSE,
)
_COLOUR: Final = re.compile(rb"[#A-Za-z0-9:/ ]{1,40}")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


@lru_cache(maxsize=256)
def _numbers(text: bytes) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(b";") if number)


@dataclass(slots=True)
class ModeTracker:
    """The state beside the engine's. Read the fields; only ``feed`` changes them."""

    title: str = ""
    has_title: bool = False
    alternate: int = 0
    """The mode that switched to the alternate screen (47, 1047, 1049), 0 on the main one."""
    modes: dict[int, bool] = field(default_factory=dict)
    """What was set or reset explicitly, of the known private modes."""
    mouse: int = 0
    encoding: int = 0
    keypad: bool = False
    cursor_style: int = 0
    modify_other_keys: int = 0
    keyboards: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    """Kitty's keyboard flags, innermost last: of the main and of the alternate screen."""
    colours: dict[bytes, bytes] = field(default_factory=dict)
    link: bytes = b""

    def feed(self, block: bytes) -> None:
        """Follow a block of whole sequences."""
        if b"\x1b" not in block:
            return
        for found in _EVENT.finditer(block):
            kind = found.lastgroup
            if kind == "state":
                self._set_modes(found["modes"], found["state"] == b"h")
            elif kind == "string":
                self._obey(found["command"])
            elif kind == "kitty":
                self._set_keyboard(found["way"], found["flags"], found["how"])
            elif kind == "keys":
                self.modify_other_keys = int(found["level"] or b"0")
            elif kind == "style":
                self.cursor_style = int(found["shape"] or b"0")
            elif kind == "soft":
                self._reset_soft()
            else:
                self._obey_plain(found["plain"])

    @property
    def keyboard_flags(self) -> int:
        """The Kitty keyboard flags in force."""
        stack = self.keyboards[bool(self.alternate)]
        return stack[-1] if stack else 0

    def known_modes(self) -> dict[int, bool]:
        """Every private mode that is known here, as it stands: what DECRQM asks for."""
        told = dict.fromkeys((1047, 1049, 47, *_MOUSE, *_ENCODING), False)
        current = {number: True for number in (self.alternate, self.mouse, self.encoding) if number}
        return {**_DEFAULTS, **self.modes, **told, **current, 66: self.keypad}

    def redraw(self) -> bytes:
        """Sequences that bring a terminal in its default state (but for the main screen's keyboard) to this one."""
        parts = [b"\x1b[?%d%c" % (number, b"h"[0] if on else b"l"[0]) for number, on in self._written()]
        parts += [b"\x1b[?%dh" % number for number in (self.mouse, self.encoding) if number]
        parts.append(b"\x1b=" if self.keypad else b"")
        parts.append(b"\x1b[>4;%dm" % self.modify_other_keys if self.modify_other_keys else b"")
        parts.append(self.keyboard(alternate=True) if self.alternate else b"")
        parts.append(b"\x1b[%d q" % self.cursor_style if self.cursor_style else b"")
        parts += [b"\x1b]%s;%s\x1b\\" % colour for colour in sorted(self.colours.items())]
        parts.append(b"\x1b]8;%s\x1b\\" % self.link if self.link else b"")
        return b"".join(parts)

    def keyboard(self, *, alternate: bool) -> bytes:
        """Sequences that push one screen's keyboard flags; to be written while that screen shows."""
        return b"".join(b"\x1b[>%du" % flags for flags in self.keyboards[alternate])

    def retitle(self) -> bytes:
        """The sequence that sets the title, if there ever was one."""
        return b"\x1b]2;%s\x1b\\" % self.title.encode() if self.has_title else b""

    def _written(self) -> list[tuple[int, bool]]:
        return [
            (number, self.modes[number])
            for number in _WRITTEN
            if number in self.modes and (self.modes[number] != _DEFAULTS[number] or number in (12, 1007))
        ]

    def _set_modes(self, numbers: bytes, on: bool) -> None:
        for number in _numbers(numbers):
            if number in ALTERNATE_MODES:
                self.alternate = (self.alternate or number) if on else 0
                if not on:
                    self.keyboards[1].clear()  # what a program left there must not meet the next one
            elif number in _MOUSE:
                self.mouse = number if on else 0
            elif number in _ENCODING:
                self.encoding = number if on else 0
            elif number == 66:
                self.keypad = on
            elif number in _DEFAULTS:
                self.modes[number] = on

    def _set_keyboard(self, way: bytes, flags: bytes, how: bytes | None) -> None:
        stack = self.keyboards[bool(self.alternate)]
        number = int(flags or b"0")
        if way == b">":
            stack.append(number)
            del stack[:-STACK_LIMIT]
        elif way == b"<":
            del stack[max(0, len(stack) - (number or 1)) :]
        else:
            before = stack.pop() if stack else 0
            stack.append({b"2": before | number, b"3": before & ~number}.get(how or b"1", number))

    def _obey_plain(self, final: bytes) -> None:
        if final != b"c":
            self.keypad = final == b"="
            return
        fresh = ModeTracker(title=self.title, has_title=self.has_title)  # RIS: as new, but terminals keep the title
        for one in fields(self):
            setattr(self, one.name, getattr(fresh, one.name))

    def _reset_soft(self) -> None:
        """DECSTR: of what is kept here, as xterm and xterm.js do it."""
        self.keypad = False
        for number in (1, 6, 25, 45, 69):
            self.modes.pop(number, None)

    def _obey(self, command: bytes) -> None:
        number, _, rest = command.partition(b";")
        if number in (b"0", b"2"):
            self.title = _CONTROL.sub("", rest.decode(errors="replace"))[:TITLE_LIMIT]
            self.has_title = True
        elif number == b"8":
            shown = rest.partition(b";")[2] and len(rest) <= LINK_LIMIT and rest.isascii()
            self.link = rest if shown else b""
        elif number == b"4":
            self._set_palette(rest.split(b";"))
        elif number == b"104":
            for index in rest.split(b";") if rest else [key[2:] for key in self.colours if key[:2] == b"4;"]:
                self.colours.pop(b"4;" + index, None)
        elif len(number) == 3:
            self.colours.pop(number[1:], None)
        elif _COLOUR.fullmatch(rest):
            self.colours[number] = rest

    def _set_palette(self, words: list[bytes]) -> None:
        for index, colour in zip(words[::2], words[1::2], strict=False):
            if re.fullmatch(rb"\d{1,3}", index) and int(index) < 256 and _COLOUR.fullmatch(colour):
                self.colours[b"4;%d" % int(index)] = colour
