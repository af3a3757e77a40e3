"""What the session's screen will look like once it has answered to what was typed. Pure; the caller brings screen and time.

The keys that the session has not yet answered are played on its real screen, anew whenever that changes. A key is answered
when the host has acknowledged it and the screen shows what was foreseen. Where it shows something else, or nothing in time,
the keys that were acknowledged are over, whatever became of them.

Predictions come in epochs. One begins at each key whose effect is not known (Enter, Tab, Escape) and wherever the screen went
another way than foreseen. Nothing of an epoch is shown until the session has echoed a character of it: so no password is
shown, and no letter that is a command.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

from codewrap.terminal.emulator import Cell, Cursor
from codewrap.viewer.lineediting import Key, KeyReader, Kind, Line

# An acknowledged key whose echo has not come by then has none; or a round trip, where that is longer.
ECHO_S: Final = 0.25
# More keys than this under way: nobody looks at them.
MAX_KEYS: Final = 100
UNDERLINED: Final = ";4"


class Picture(Protocol):
    """The session's screen as it really is."""

    @property
    def cursor(self) -> Cursor:
        """Where it stands."""

    def cells(self, row: int) -> list[Cell]:
        """The cells of a row."""

    def pen(self) -> str | None:
        """The style of what would be printed next; None while it cannot be said how that would look."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What to show in place of ``row``, and where the cursor goes."""

    row: int
    cells: tuple[Cell, ...]
    col: int


@dataclass(slots=True)
class _Pending:
    """A key that was not yet answered, and the line after it."""

    key: Key
    end: int
    epoch: int
    acknowledged_s: float | None = None
    after: Line | None = None


class Predictor:
    """One attachment's. Offsets count what was typed; the caller says how far the host has acknowledged it."""

    def __init__(self) -> None:
        self._reader = KeyReader()
        self._keys: deque[_Pending] = deque()
        self._epoch = 1
        self._proven_epoch = 0
        self._row = 0
        self._line = Line((), 0)

    @property
    def idle(self) -> bool:
        """Nothing is under way."""
        return not self._keys

    def typed(self, data: bytes, end: int, picture: Picture) -> None:
        """``data`` was typed, up to offset ``end``."""
        if self.idle:
            self._look_at(picture)
        keys = self._reader.read(data)
        start = end - self._reader.held_bytes - sum(key.size_bytes for key in keys)
        for key in keys:
            start += key.size_bytes
            self._keys.append(_Pending(key, start, self._epoch))
            if key.kind is Kind.OTHER or len(self._keys) > MAX_KEYS:
                self._epoch += 1
        if len(self._keys) > MAX_KEYS:
            self.forget()
        self._foresee(picture)

    def acknowledged(self, offset: int, now_s: float) -> None:
        """The host has written everything up to ``offset`` to the command."""
        for pending in self._keys:
            if pending.end > offset:
                break
            if pending.acknowledged_s is None:
                pending.acknowledged_s = now_s

    def look(self, picture: Picture) -> None:
        """The screen may have changed."""
        if not self._has_changed(picture):
            return
        answered = self._answered(picture)
        if answered:
            self._settle(answered)
        elif (picture.cursor.row, picture.cursor.col) != (self._row, self._line.col):
            self._surprised()  # also where nothing is under way: it may be a question for a password
        self._look_at(picture)
        self._foresee(picture)

    def mind(self, picture: Picture, now_s: float, round_trip_s: float) -> bool:
        """What time brings; True when something was given up, or has come true unseen."""
        patience_s = max(ECHO_S, round_trip_s)
        over = [pending for pending in self._keys if self._waited_s(pending, now_s) >= patience_s]
        if not over:
            return False
        self._look_at(picture)
        last = over[-1].after
        if last is not None and self._row == picture.cursor.row and self._line.col == last.col and last.agrees(self._line.cells):
            self._settle(len(over))
        else:
            self._surprised()
        self._foresee(picture)
        return True

    def wait_s(self, now_s: float, round_trip_s: float) -> float | None:
        """Seconds until `mind` may have something; None while nothing is acknowledged and unanswered."""
        if not self._keys or self._keys[0].acknowledged_s is None:
            return None
        return max(0.0, max(ECHO_S, round_trip_s) - self._waited_s(self._keys[0], now_s))

    def forget(self) -> None:
        """What is under way is lost, or is for another screen."""
        self._keys.clear()
        self._epoch += 1

    def foreseen(self) -> Foreseen | None:
        """What to show now; None: the screen as it is."""
        shown = None
        for pending in self._keys:
            if pending.after is None or pending.epoch > self._proven_epoch:
                break
            shown = pending.after
        return None if shown is None else Foreseen(self._row, shown.cells, shown.col)

    def _waited_s(self, pending: _Pending, now_s: float) -> float:
        return -1.0 if pending.acknowledged_s is None else now_s - pending.acknowledged_s

    def _look_at(self, picture: Picture) -> None:
        cursor = picture.cursor
        self._row, self._line = cursor.row, Line(tuple(picture.cells(cursor.row)), cursor.col)

    def _has_changed(self, picture: Picture) -> bool:
        cursor = picture.cursor
        return (cursor.row, cursor.col) != (self._row, self._line.col) or tuple(picture.cells(cursor.row)) != self._line.cells

    def _answered(self, picture: Picture) -> int:
        """How many keys the screen has answered as foreseen: as many as it can be."""
        cursor = picture.cursor
        cells = picture.cells(cursor.row)
        found = 0
        for number, pending in enumerate(self._keys, 1):
            if pending.acknowledged_s is None or pending.after is None:
                break
            if cursor.row == self._row and cursor.col == pending.after.col and pending.after.agrees(cells):
                found = number
        return found

    def _settle(self, count: int) -> None:
        last = self._keys[count - 1]
        if last.after is not None and last.after.is_news_to(self._line.cells):
            self._proven_epoch = max(self._proven_epoch, last.epoch)
        for _ in range(count):
            self._keys.popleft()

    def _surprised(self) -> None:
        """What was acknowledged is in the screen, in some other way. What comes after it is anybody's guess."""
        while self._keys and self._keys[0].acknowledged_s is not None:
            self._keys.popleft()
        self._epoch += 1
        epoch = self._epoch
        for pending in self._keys:
            pending.epoch = epoch
            if pending.key.kind is Kind.OTHER:
                epoch += 1
        self._epoch = epoch

    def _foresee(self, picture: Picture) -> None:
        """Play the keys on the line as it is."""
        pen = picture.pen()
        line = Line((), 0) if pen is None else self._line
        after: Line | None = line if line.cells else None
        for pending in self._keys:
            after = None if after is None else after.after(pending.key, f"{pen}{UNDERLINED}")
            pending.after = after
