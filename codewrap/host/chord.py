"""The keys at the host's own terminal that decide a request: Ctrl-] y and Ctrl-] n, and only while one stands. Pure.

They count when they come by themselves: in the midst of other text they are that text, which may have been pasted.
"""

from __future__ import annotations

HELD_S = 1.0
# As it always was, and as terminals say it that were asked to tell all keys apart (xterm: modifyOtherKeys; kitty: its protocol).
_PREFIXES = (b"\x1d", b"\x1b[27;5;93~", b"\x1b[93;5u")
_YES = (b"y", b"Y", b"\x1b[121u", b"\x1b[121;1u")
_NO = (b"n", b"N", b"\x1b[110u", b"\x1b[110;1u")
_CHORDS = {prefix + key: allow for keys, allow in ((_YES, True), (_NO, False)) for prefix in _PREFIXES for key in keys}


class Chord:
    """Takes the chord out of what is typed. What was held and turned out to be none is passed on before what follows."""

    def __init__(self) -> None:
        self._held = b""
        self._due_s: float | None = None

    @property
    def due_s(self) -> float | None:
        """When `overdue` gives back what is held; None where nothing is."""
        return self._due_s

    def feed(self, data: bytes, now_s: float) -> tuple[bytes, bool | None]:
        """One read of the keyboard, while a request stands: what to pass on, and True to approve, False to deny."""
        held, self._held, self._due_s = self._held, b"", None
        whole = held + data
        if whole in _CHORDS:
            return b"", _CHORDS[whole]
        if data not in _PREFIXES:
            return whole, None
        self._held, self._due_s = data, now_s + HELD_S
        return held, None

    def overdue(self, now_s: float) -> bytes:
        """What was held long enough, or all of it where no request stands any more (``now_s`` is infinite then)."""
        if self._due_s is None or now_s < self._due_s:
            return b""
        held, self._held, self._due_s = self._held, b"", None
        return held
