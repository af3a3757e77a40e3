"""The keyboard on its way to the session: finds the keys that are for codewrap itself. Pure.

`~.` at the start of a line (as in ssh: `~~` sends one tilde, `~^Z` suspends, `~?` helps) and single keys from `--detach-keys`
(docker's spelling: `ctrl-]`, `ctrl-p,ctrl-q`). Nothing inside a bracketed paste is for us.
"""

from __future__ import annotations

import enum
import re

from codewrap.errors import ConfigError

DEFAULT_DETACH_KEYS = "ctrl-]"
_PASTE_BEGIN, _PASTE_END = b"\x1b[200~", b"\x1b[201~"
_KEY = re.compile(r"ctrl-([a-z@\[\]\\^_])|([!-+\--~])")


class Action(enum.Enum):
    """What the person wants of codewrap."""

    DETACH = "detach"
    SUSPEND = "suspend"
    HELP = "help"


def parse_detach_keys(text: str, setting: str = "--detach-keys") -> bytes:
    """The bytes of a key sequence; "none" is no sequence. Raises ConfigError naming ``setting``."""
    if text == "none":
        return b""
    keys = bytearray()
    for name in text.lower().split(","):
        match = _KEY.fullmatch(name)
        if match is None:
            raise ConfigError(setting, "is not a sequence of keys", "for example ctrl-] or ctrl-p,ctrl-q or none")
        keys.append(ord(match[1].upper()) & 0x1F if match[1] else ord(match[2]))
    return bytes(keys)


def key_names(keys: bytes) -> str:
    """A key sequence as people write it."""
    return " ".join(f"Ctrl-{chr(key + 0x40)}" if key < 0x20 else chr(key) for key in keys)


class KeyFilter:
    """Splits what is typed into what goes to the session and what is for us. One for each attachment."""

    def __init__(self, detach_keys: bytes, *, tilde: bool = True) -> None:
        self._detach_keys = detach_keys
        self._matched = 0
        self._tilde = tilde
        self._at_line_start = True
        self._tilde_held = False
        self._pasting = False
        self._tail = b""

    def feed(self, data: bytes) -> tuple[bytes, Action | None]:
        """What to send on, and the action, which ends the input: bytes after it are dropped."""
        out = bytearray()
        for index, byte in enumerate(data):
            self._follow_paste(byte)
            action = None if self._pasting else self._key(byte, out)
            if self._pasting:
                self._plain(byte, out)
            if action is not None:
                return bytes(out), action
            if len(data) - index > 64 and not self._watchful(data, index):
                out += data[index + 1 :]
                self._tail = data[-8:]
                self._at_line_start = data[-1:] in (b"\r", b"\n")
                break
        return bytes(out), None

    def _watchful(self, data: bytes, index: int) -> bool:
        """Whether the rest of a long block can hold anything for us."""
        if self._tilde_held or self._matched:
            return True
        rest = data[index + 1 :]
        return b"~" in rest or b"\x1b" in rest or (bool(self._detach_keys) and self._detach_keys[:1] in rest)

    def _follow_paste(self, byte: int) -> None:
        self._tail = (self._tail + bytes((byte,)))[-8:]
        if self._tail.endswith(_PASTE_BEGIN):
            self._pasting = True
        elif self._tail.endswith(_PASTE_END):
            self._pasting = False

    def _key(self, byte: int, out: bytearray) -> Action | None:
        if self._tilde_held:
            return self._after_tilde(byte, out)
        if self._detach_keys and self._match(byte, out):
            return Action.DETACH if self._matched == len(self._detach_keys) else None
        if byte == 0x7E and self._at_line_start and self._tilde:
            self._tilde_held = True
            return None
        self._plain(byte, out)
        return None

    def _match(self, byte: int, out: bytearray) -> bool:
        """Follow the keys that detach; what turns out to be none of them goes on. True while ``byte`` may be one."""
        held = self._detach_keys[: self._matched] + bytes((byte,))
        while held and not self._detach_keys.startswith(held):
            if len(held) > 1:
                self._plain(held[0], out)
            held = held[1:]
        self._matched = len(held)
        return bool(held)

    def _after_tilde(self, byte: int, out: bytearray) -> Action | None:
        self._tilde_held = False
        if byte == 0x2E:
            return Action.DETACH
        if byte == 0x1A:
            return Action.SUSPEND
        if byte == 0x3F:
            return Action.HELP
        if byte != 0x7E:
            out.append(0x7E)
        self._plain(byte, out)
        return None

    def _plain(self, byte: int, out: bytearray) -> None:
        out.append(byte)
        self._at_line_start = byte in (0x0D, 0x0A)
