"""The loop of `replay`: a recording on this terminal, with its keys. What is shown is made safe, and is drawn anew after a jump.

The terminal is the caller's to put into raw mode and to restore; what the recording did to it is undone here.
"""

from __future__ import annotations

import os
import re
import select
import signal
import time
from collections.abc import Callable
from typing import Final

from codewrap.errors import EXIT_INTERRUPTED
from codewrap.protocol.asciicast import Code
from codewrap.protocol.geometry import Size
from codewrap.terminal.child import get_size
from codewrap.terminal.local import Sink
from codewrap.terminal.wakeup import SignalWakeup
from codewrap.viewer.playback import Playback
from codewrap.viewer.screen import TerminalScreen

SEEK_S: Final = 5.0
SLOWEST, FASTEST = 1 / 16, 64.0
# The line that says where it stands is shown so long after a key.
STATUS_S: Final = 1.5
# Events at one moment are shown in such parts, so that keys are heard in between.
MAX_EVENTS: Final = 200
READ_BYTES: Final = 4096
_LEAVE_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# What a terminal sends for a key; a mouse report in the old form; anything else is a key of one character.
_KEY: Final = re.compile(
    rb"\x1b\[M[\s\S]{3} | \x1b[\[O] (?P<parameters>[\x20-\x3f]*) (?P<final>[\x40-\x7e]) | (?P<plain>[\s\S])", re.VERBOSE
)
_UNFINISHED: Final = re.compile(rb"\x1b(?:[\[O][\x20-\x3f]*|\[M[\s\S]{0,2})?\Z")


class Replay:
    """``length_s`` is for the status line; ``speed`` that to begin with."""

    def __init__(
        self,
        playback: Playback,
        length_s: float,
        speed: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._playback = playback
        self._length_s = length_s
        self._speed = speed
        self._clock = clock
        self._sink = Sink(1)
        self._size = get_size(1) or Size(24, 80)
        self._screen = TerminalScreen(self._sink, self._size, raw=False, allow_clipboard=False)
        self._paused = False
        self._began_s = 0.0  # on the clock, at `_from_s` of the recording
        self._from_s = 0.0
        self._status_until_s: float | None = None
        self._keys = b""
        self._status: int | None = None

    def run(self, stdin_fd: int) -> int:
        """Until it is over or somebody leaves. The exit status."""
        with SignalWakeup((signal.SIGWINCH, *_LEAVE_SIGNALS)) as wakeup:
            self._redraw()
            self._reckon()
            try:
                while self._status is None:
                    self._turn(stdin_fd, wakeup)
            finally:
                self._screen.leave()
        return self._status

    # -- waiting -------------------------------------------------------------------------------------------------

    def _turn(self, stdin_fd: int, wakeup: SignalWakeup) -> None:
        poll = select.poll()
        poll.register(stdin_fd, select.POLLIN)
        poll.register(wakeup.fileno(), select.POLLIN)
        if self._sink.waiting:
            poll.register(self._sink.fd, select.POLLOUT)
        timeout_s = self._timeout_s()
        for fd, _ in poll.poll(None if timeout_s is None else timeout_s * 1000):
            if fd == stdin_fd:
                self._read_keys(stdin_fd)
            elif fd == wakeup.fileno():
                self._signals(wakeup)
            if fd == self._sink.fd:
                self._sink.flush()
        if self._sink.closed:
            self._status = 128 + signal.SIGHUP
        if self._status is None:
            self._look_after()

    def _timeout_s(self) -> float | None:
        waits = []
        if self._status_until_s is not None:
            waits.append(self._status_until_s - self._clock())
        if not self._paused and not self._sink.full:
            due_s = self._playback.due_s
            waits.append(0.0 if due_s is None else (due_s - self._now_s()) / self._speed)
        return max(0.0, min(waits)) if waits else None

    def _look_after(self) -> None:
        if self._status_until_s is not None and self._clock() >= self._status_until_s:
            self._status_until_s = None
            self._redraw()
        if not self._paused and not self._sink.full:
            self._play()

    def _play(self) -> None:
        """Everything that is due."""
        now_s = self._now_s()
        for _ in range(MAX_EVENTS):
            due_s = self._playback.due_s
            if due_s is None:
                self._status = 0
                return
            if due_s > now_s:
                self._playback.reach(now_s)
                return
            self._step()
            if self._sink.full:
                return

    def _step(self) -> None:
        event = self._playback.step()
        if event is None:
            return
        if event.code is Code.OUTPUT:
            self._screen.show(event.data.encode(errors="replace"))
        elif event.size is not None:
            self._redraw()

    def _now_s(self) -> float:
        """Where the recording should stand now."""
        return self._from_s + (self._clock() - self._began_s) * self._speed

    def _reckon(self) -> None:
        """From here on, at this speed."""
        self._began_s, self._from_s = self._clock(), self._playback.time_s

    # -- the person ----------------------------------------------------------------------------------------------

    def _read_keys(self, fd: int) -> None:
        try:
            data = os.read(fd, READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._status = 128 + signal.SIGHUP
            return
        data, self._keys = self._keys + data, b""
        unfinished = _UNFINISHED.search(data)
        if unfinished is not None and len(unfinished[0]) < 64:
            data, self._keys = data[: unfinished.start()], unfinished[0]
        for found in _KEY.finditer(data):
            self._press(_name(found))
            if self._status is not None:
                return

    def _press(self, key: str) -> None:
        match key:
            case "q" | "Q" | "\x03" | "\x04":
                self._status = EXIT_INTERRUPTED if key == "\x03" else 0
            case " ":
                self._paused = not self._paused
            case "." if self._paused:
                self._next_output()
            case "right" | "left":
                self._playback.seek(self._where_s() + (SEEK_S if key == "right" else -SEEK_S))
            case "+" | "=":
                self._change_speed(2.0)
            case "-" | "_":
                self._change_speed(0.5)
            case _:
                return
        if self._status is None:
            self._reckon()
            self._show_status()

    def _where_s(self) -> float:
        return self._playback.time_s if self._paused else self._now_s()

    def _change_speed(self, factor: float) -> None:
        if not self._paused:
            self._playback.seek(self._now_s())
        self._speed = min(FASTEST, max(SLOWEST, self._speed * factor))

    def _next_output(self) -> None:
        """Up to and with the next thing that is seen."""
        while (event := self._playback.step()) is not None:
            if event.code in (Code.OUTPUT, Code.RESIZE):
                return

    def _show_status(self) -> None:
        self._status_until_s = None if self._paused else self._clock() + STATUS_S
        self._redraw(self._words())

    def _words(self) -> str:
        how = "paused" if self._paused else f"{self._speed:g}x"
        at = f"{_minutes(self._playback.time_s)} / {_minutes(self._length_s)}"
        return f" {how}  {at}  space: pause  .: step  <- ->: 5 s  + -: speed  q: leave "

    # -- the terminal --------------------------------------------------------------------------------------------

    def _redraw(self, words: str = "") -> None:
        screen = self._playback.screen
        with self._screen.at_once():
            self._screen.redraw(screen.snapshot(), screen.size)
            if words:
                self._screen.say(words)

    def _signals(self, wakeup: SignalWakeup) -> None:
        for number in wakeup.take():
            if number == signal.SIGWINCH:
                self._size = get_size(1) or self._size
                self._screen.resize(self._size)
                self._redraw(self._words() if self._paused else "")
            elif number in _LEAVE_SIGNALS:
                self._status = 128 + number


def _name(found: re.Match[bytes]) -> str:
    """The key: a character, "left" or "right"; "" for others. Also as the Kitty keyboard says it."""
    if found["plain"] is not None:
        return found["plain"].decode("latin-1")
    final = found["final"]
    if final in (b"C", b"D"):
        return "right" if final == b"C" else "left"
    if final == b"u":
        code, _, modifiers = found["parameters"].partition(b";")
        number = code.partition(b":")[0]
        if number.isdigit() and int(number) < 0x110000:
            key = chr(int(number))
            return "\x03" if key == "c" and modifiers[:1] == b"5" else key
    return ""


def _minutes(seconds: float) -> str:
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
