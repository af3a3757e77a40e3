"""Keys by name, as tmux names them, and what a terminal sends for them. Pure.

Not what a Kitty keyboard protocol would send: programs that ask for that understand these as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_ESC: Final = b"\x1b"
_SIMPLE: Final = {
    "enter": b"\r",
    "return": b"\r",
    "cr": b"\r",
    "tab": b"\t",
    "btab": b"\x1b[Z",
    "escape": _ESC,
    "esc": _ESC,
    "space": b" ",
    "bspace": b"\x7f",
    "backspace": b"\x7f",
    "comma": b",",
}
# Those that application cursor mode changes: CSI or SS3 before the letter.
_CURSOR: Final = {"up": "A", "down": "B", "right": "C", "left": "D", "home": "H", "end": "F"}
_NUMBERED: Final = {
    **dict.fromkeys(("insert", "ic"), 2),
    **dict.fromkeys(("delete", "dc"), 3),
    **dict.fromkeys(("pageup", "pgup", "ppage"), 5),
    **dict.fromkeys(("pagedown", "pgdn", "npage"), 6),
    **{f"f{number}": code for number, code in enumerate((15, 17, 18, 19, 20, 21, 23, 24), 5)},
}
_FUNCTION: Final = {"f1": "P", "f2": "Q", "f3": "R", "f4": "S"}
_MODIFIED: Final = re.compile(r"(?P<modifiers>(?:[CMS]-)*)(?P<key>.+)", re.DOTALL)
_WEIGHTS: Final = {"S": 1, "M": 2, "C": 4}


class UnknownKey(ValueError):
    """``key`` is no name of a key."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def split(text: str) -> list[str]:
    """The names in ``C-c,Enter,Up``. The comma's own name is Comma."""
    return [name.strip() or name for name in text.split(",")]


def check(names: Iterable[str]) -> None:
    """Raises UnknownKey."""
    encode(names, application_cursor=False, enter=b"\r")


def encode(names: Iterable[str], *, application_cursor: bool, enter: bytes) -> bytes:
    """What is sent for these keys, one after the other. ``enter`` is what Enter sends. Raises UnknownKey."""
    return b"".join(_encoded(name, application_cursor, enter) for name in names)


def _encoded(name: str, application_cursor: bool, enter: bytes) -> bytes:
    spelled = "C-" + name[1:] if len(name) > 1 and name[0] == "^" else name
    parts = _MODIFIED.fullmatch(spelled)
    if parts is None:
        raise UnknownKey(name)
    modifiers = set(parts["modifiers"].replace("-", ""))
    key = parts["key"]
    data = _special(key.lower(), modifiers, application_cursor, enter) if len(key) > 1 else _character(key, modifiers)
    if data is None:
        raise UnknownKey(name)
    return data


def _special(key: str, modifiers: set[str], application_cursor: bool, enter: bytes) -> bytes | None:
    weight = 1 + sum(_WEIGHTS[modifier] for modifier in modifiers)
    if key in _SIMPLE:
        return _simple(key, modifiers, enter)
    if key in _NUMBERED:
        return f"\x1b[{_NUMBERED[key]}{f';{weight}' if weight > 1 else ''}~".encode()
    letter = _CURSOR.get(key) or _FUNCTION.get(key)
    if letter is None:
        return None
    if weight > 1:
        return f"\x1b[1;{weight}{letter}".encode()
    return f"\x1b{'O' if application_cursor or key in _FUNCTION else '['}{letter}".encode()


def _simple(key: str, modifiers: set[str], enter: bytes) -> bytes | None:
    data = enter if _SIMPLE[key] == b"\r" else _SIMPLE[key]
    if "S" in modifiers:
        if key != "tab":
            return None
        data = b"\x1b[Z"
    if "C" in modifiers:
        if key != "space":
            return None
        data = b"\0"
    return _ESC + data if "M" in modifiers else data


def _character(key: str, modifiers: set[str]) -> bytes | None:
    if "S" in modifiers:  # typed as the character that it makes
        return None
    data = key.encode()
    if "C" in modifiers:
        if key == "?":
            data = b"\x7f"
        elif key == "@" or key.upper() in "ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_":
            data = bytes((ord(key.upper()) & 0x1F,))
        else:
            return None
    return _ESC + data if "M" in modifiers else data
