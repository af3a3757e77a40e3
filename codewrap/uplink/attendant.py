"""Minds what the command does: gathers the evidence when output has paused, writes the state down, and has it told.

Belongs to the uplink's session and runs in its thread. The host is asked for what only it can know; what is asked is bounded by
`attention.py`, so that neither a busy nor an idle session is looked at all the time.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from codewrap.errors import StoreError
from codewrap.protocol.calls import Call, CallSpotter
from codewrap.protocol.channels import printable
from codewrap.protocol.geometry import Size
from codewrap.protocol.hostlink import Kind, Message
from codewrap.store.activity import Activity, read_activity, write_activity
from codewrap.terminal.emulator import Cell, Cursor
from codewrap.terminal.foreground import Foreground, foreground
from codewrap.terminal.modes import ModeTracker
from codewrap.uplink.attention import PROMPT_CHARACTERS, Attention, Evidence, State, Verdict
from codewrap.uplink.notifier import Notifier
from codewrap.uplink.occurrence import KEYS, LINE, SECRET, Place

_FEED_BYTES = 1 << 20
TYPED = "typed"  # as the host says of an answer (`host/answering.py`)
# A host that does not answer is busy or gone.
ANSWER_S = 5.0


class Shown(Protocol):
    """The terminal's state, as `terminal/emulator.py` keeps it."""

    modes: ModeTracker

    @property
    def cursor(self) -> Cursor: ...
    @property
    def unfinished(self) -> bytes: ...
    def cells(self, row: int) -> list[Cell]: ...
    def text(self) -> list[str]: ...


class Drawn(Protocol):
    """A terminal's state that is fed by `Composer`."""

    def feed(self, data: bytes) -> object: ...
    def resize(self, size: Size) -> None: ...
    def snapshot(self, scrollback_lines: int = 0) -> bytes: ...


class Fed(Protocol):
    """What feeds it from the log: `Composer`."""

    @property
    def fed_to(self) -> int: ...
    def catch_up(self, most_bytes: int) -> bool: ...


class OverhearingScreen:
    """A terminal's state whose calls are heard. ``silent_until`` bytes are only drawn: an uplink before this one heard them."""

    def __init__(self, screen: Drawn, attendant: Attendant, silent_until: int) -> None:
        self._screen = screen
        self._attendant = attendant
        self._silent_bytes = silent_until

    def feed(self, data: bytes) -> None:
        """Draw ``data``, and hear who is called in it."""
        self._screen.feed(data)
        call = self._attendant.spotter.feed(data)
        if self._silent_bytes > 0:
            self._silent_bytes -= len(data)
        elif call is not None:
            self._attendant.called(call)

    def resize(self, size: Size) -> None:
        """As the screen's."""
        self._screen.resize(size)

    def snapshot(self, scrollback_lines: int = 0) -> bytes:
        """As the screen's."""
        return self._screen.snapshot(scrollback_lines)


@dataclass(frozen=True, slots=True)
class Senses:
    """How the attendant learns and speaks. ``send`` is to the host; ``wall`` the time of day.

    ``answered`` is told what became of the answer to a prompt: the id of the link that it came by, and how the host put it.
    """

    send: Callable[[Message], bool]
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    foreground: Callable[[int, int], Foreground] = foreground
    answered: Callable[[str, str], object] = lambda _link, _outcome: None


class Attendant:
    """One session's. ``notifier`` is None where nobody is to be told; ``calls``: prompts also by the host's own terminal."""

    def __init__(self, directory: Path, senses: Senses, notifier: Notifier | None, *, calls: bool = False) -> None:
        self.spotter = CallSpotter()
        self._directory = directory
        self._senses = senses
        self._notifier = notifier
        self._calls = calls
        self._attention = Attention(senses.clock())
        self._shown: Shown | None = None
        self._fed: Fed | None = None
        self._end = 0
        self._asked_s = -math.inf
        self._answered = True
        self._over = False
        self._marked = 0
        self._written: Activity | None = None

    def begin(self, fed: Fed, shown: Shown | None) -> None:
        """``shown`` is the terminal that ``fed`` feeds; None on pipes, of which nothing but the end is known."""
        self._fed, self._shown = fed, shown
        self._end = fed.fed_to
        if (before := read_activity(self._directory)) is not None:
            self._resume(before)
        self._write()

    def _resume(self, before: Activity) -> None:
        self._written = before
        self._attention.resume(Verdict(State(before.state), before.evidence, before.prompt))
        self._marked = self._attention.prompts
        if before.told and self._marked and self._notifier is not None:
            self._notifier.resume()

    # -- what happens ------------------------------------------------------------------------------------------

    def turn(self, end: int) -> None:
        """Call it when something may have happened; the log reaches to ``end``."""
        now_s = self._senses.clock()
        if end != self._end:
            self._end = end
            if self._attention.output(now_s):
                self._write()
                self._tell(now_s)
        if now_s >= self._due_s():
            self._look(now_s)

    def wait_s(self) -> float | None:
        """Seconds until `turn` is due by itself; None when it is not."""
        due_s = self._due_s()
        return None if due_s == math.inf else max(0.0, due_s - self._senses.clock())

    def hear(self, message: Message) -> None:
        """Any message of the host's."""
        match message.kind:
            case Kind.LOOKED:
                self._looked(message.header)
            case Kind.WRITTEN:
                self._attention.typed(self._senses.clock())
            case Kind.ANSWERED:
                if message.header["outcome"] == TYPED:
                    self._attention.typed(self._senses.clock())
                self._senses.answered(message.header["id"], message.header["outcome"])
            case Kind.FINISH:
                self.ended(message.header.get("code"), message.header.get("signal"))
            case _:
                pass

    def called(self, call: Call) -> None:
        """The command calls for somebody."""
        self._attention.called(call, self._senses.clock())

    def watched_by(self, count: int) -> None:
        """So many viewers are here."""
        if self._notifier is not None:
            self._notifier.watched_by(count)

    def host_left(self) -> None:
        """Nobody is there to be asked any more; if it is not known how the command ended, it is lost."""
        self._over = True
        if self._notifier is not None:
            self._notifier.lost(self._senses.clock())

    def ended(self, code: int | None, signal: int | None) -> None:
        """The command is over."""
        self._over = True
        if self._notifier is not None:
            self._notifier.ended(code, signal, self._senses.clock())

    # -- looking -----------------------------------------------------------------------------------------------

    def _due_s(self) -> float:
        if self._over or self._shown is None:
            return math.inf
        due_s = min(self._attention.due_s(), self._notifier.due_s() if self._notifier is not None else math.inf)
        return due_s if self._answered else max(due_s, self._asked_s + ANSWER_S)

    def _look(self, now_s: float) -> None:
        self._attention.looking(now_s)
        self._asked_s, self._answered = now_s, False
        self._senses.send(Message(Kind.LOOK))

    def _looked(self, header: dict[str, Any]) -> None:
        now_s = self._senses.clock()
        if self._notifier is not None:
            self._notifier.typed_here(header["typed_s"] if header["here"] else None)
        if header["here"]:
            self._attention.typed(header["typed_s"])
        if self._answered or "group" not in header or self._fed is None or self._shown is None:
            self._answered = True
            return
        self._answered = True
        while self._fed.catch_up(_FEED_BYTES):
            pass
        changed = self._attention.judged(self._evidence(header, self._fed, self._shown, now_s))
        if changed or self._written is None or self._written.offset != self._end:
            self._write()
        self._tell(now_s, self._place(header))

    def _place(self, header: dict[str, Any]) -> Place | None:
        """Where the prompt stands, for somebody far away to answer it there."""
        reads = KEYS if not header["canonical"] else LINE if header["echo"] else SECRET
        return Place(self._end, header["typed"], reads) if "typed" in header else None

    def _evidence(self, header: dict[str, Any], fed: Fed, shown: Shown, now_s: float) -> Evidence:
        found = self._senses.foreground(header["pid"], header["group"])
        cursor, rows = shown.cursor, shown.text()
        line = "".join(cell.char for cell in shown.cells(cursor.row)[: cursor.col] if cell.width)
        above = next((row for row in reversed(rows[: cursor.row]) if row.strip()), "")
        self._end = fed.fed_to
        return Evidence(
            quiet_s=self._attention.quiet_s(now_s),
            blocked=found.blocked,
            program=printable(found.program, 40),
            canonical=header["canonical"],
            echo=header["echo"],
            alternate=bool(shown.modes.alternate),
            line=line,
            above=above[-PROMPT_CHARACTERS:],
            at_prompt=self.spotter.at_prompt,
            call=self._attention.call,
        )

    # -- telling -----------------------------------------------------------------------------------------------

    def _write(self) -> None:
        verdict, before = self._attention.verdict, self._written
        same = before is not None and before.state == verdict.state.value and before.prompt == verdict.prompt
        since = before.since if same and before is not None else self._senses.wall()
        told = self._notifier is not None and verdict.state is State.AWAITING and self._notifier.has_told
        self._written = Activity(verdict.state.value, since, verdict.evidence, verdict.prompt, self._end, told)
        with contextlib.suppress(StoreError):  # a disk that is full is no reason to stop minding
            write_activity(self._directory, self._written)

    def _tell(self, now_s: float, place: Place | None = None) -> None:
        verdict, prompts = self._attention.verdict, self._attention.prompts
        if prompts != self._marked:
            self._marked = prompts
            self._senses.send(Message(Kind.MARK, {"what": "prompt", "values": [verdict.prompt]}))
        if self._notifier is not None:
            had_told = self._notifier.has_told
            self._notifier.judged(verdict, prompts, now_s, place)
            if self._notifier.has_told and not had_told:
                self._write()
                self._call(verdict.prompt)

    def _call(self, prompt: str) -> None:
        if self._calls and self._shown is not None and not self._shown.unfinished:
            self._senses.send(Message(Kind.CALL, {"offset": self._end, "text": f"codewrap: {prompt or 'it waits for you'}"}))
