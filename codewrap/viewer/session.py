"""The viewer's loop: hears the host, shows it, sends what is typed. One thread owns everything; others enqueue.

Output alone may be handled in the thread that brought it, under the mailbox's lock, while this one waits (`mailbox.py`).
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from codewrap.errors import EXIT_LOST
from codewrap.protocol import channels
from codewrap.protocol.frames import Ended, Output, Screen
from codewrap.protocol.geometry import Size
from codewrap.protocol.safety import strip_reports
from codewrap.terminal.child import get_size
from codewrap.terminal.local import RawTerminal, Sink
from codewrap.terminal.wakeup import SignalWakeup
from codewrap.transport.base import (
    ConnectionState,
    Received,
    StateChanged,
    Subscribed,
    Subscriber,
    SubscriberEvent,
)
from codewrap.transport.lane import Lane
from codewrap.viewer.attendance import Departure
from codewrap.viewer.conversation import Conversation, Terms
from codewrap.viewer.httppath import SendOverHttp
from codewrap.viewer.keys import Action, KeyFilter
from codewrap.viewer.localecho import LocalEcho, Predict
from codewrap.viewer.mailbox import Mailbox
from codewrap.viewer.receiver import (
    Confirmed,
    Effect,
    Gap,
    NewRun,
    Over,
    Show,
    ShowScreen,
    ShowSize,
    Told,
)
from codewrap.viewer.screen import ErrorStream, TerminalScreen
from codewrap.viewer.shortcut import Shortcut
from codewrap.viewer.statusline import StatusLine

LAST_WORDS_S = 1.0
# The session has ended under a status line: so long its last screen is waited for, which takes the line away.
LAST_SCREEN_S = 1.0
# What need not be looked at while the terminal is behind: a screen makes good for it.
_DRAWN = (Output.event, Screen.event, channels.EVENT_CLIENT_OUTPUT)
_LEAVE_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerPlan(Terms):
    """What the loop is told."""

    detach_keys: bytes
    raw: bool
    allow_clipboard: bool
    predict: Predict = Predict.NEVER


class ViewerSession:
    """One attachment. ``terminal`` is this terminal in raw mode, or None when the keyboard is not ours to read."""

    def __init__(
        self,
        plan: ViewerPlan,
        subscriber: Subscriber,
        mailbox: Mailbox,
        send_over_http: SendOverHttp,
        clock: Callable[[], float] = time.monotonic,
        lane: Lane | None = None,
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._mailbox = mailbox
        self._shortcut = Shortcut(lane)
        self._on_terminal = os.isatty(1)
        size = get_size(1) or Size(24, 80)
        self._stdout, self._stderr = Sink(1), Sink(2)
        self._screen = TerminalScreen(self._stdout, size, raw=plan.raw, allow_clipboard=plan.allow_clipboard)
        self._errors = ErrorStream(self._stderr, raw=plan.raw, allow_clipboard=plan.allow_clipboard)
        can_type = self._on_terminal and not plan.read_only and not plan.raw
        self._echo = LocalEcho(plan.predict if can_type else Predict.NEVER, self._screen)
        self._words = StatusLine(plan.session, self._screen if self._on_terminal else None, self._stderr)
        self._talk = Conversation(
            plan,
            subscriber,
            send_over_http,
            self._words.note,
            clock(),
            wants_bytes=not self._on_terminal,
            shortcut=self._shortcut,
        )
        self._receiver, self._upstream = self._talk.receiver, self._talk.upstream
        self._keys = KeyFilter(plan.detach_keys)
        self._terminal: RawTerminal | None = None
        self._stdin_fd = -1
        self._poll = select.poll()
        self._watched: dict[int, int] = {}
        self._departure: Departure | None = None
        self._leaves_by_s: float | None = None  # once all is over but the last screen
        self._link, self._attendance = self._talk.link, self._talk.attendance
        self._skipped = 0
        self._lost_bytes = 0

    def run(self, terminal: RawTerminal | None, stdin_fd: int) -> Departure:
        """Until the session ends, the person detaches, or it is lost. ``stdin_fd`` is -1 where nothing is to be typed."""
        self._terminal, self._stdin_fd = terminal, stdin_fd
        self._mailbox.handle_at_once(self._talk.is_host, self._output_at_once)
        self._talk.start()
        with SignalWakeup((signal.SIGWINCH, *_LEAVE_SIGNALS)) as wakeup:
            while self._departure is None:
                self._turn(wakeup)
        with self._mailbox.busy:
            self._talk.leave()
            self._screen.leave()
            self._stdout.drain(LAST_WORDS_S)
            self._errors.leave()
            self._stderr.drain(LAST_WORDS_S)
        if not self._skipped:
            return self._departure
        # Said at the end, not over the screen: whoever watches a flood knows that it is one.
        return Departure(self._departure.status, f"{self._departure.text} ({self._skipped} bytes went by faster than shown)")

    # -- waiting -------------------------------------------------------------------------------------------------

    def _turn(self, wakeup: SignalWakeup) -> None:
        with self._mailbox.busy:
            self._watch(wakeup)
            timeout_s = self._timeout_s()
        ready = self._poll.poll(None if timeout_s is None else timeout_s * 1000)
        with self._mailbox.busy:
            for fd, _ in ready:
                self._ready(fd, wakeup)
            if self._departure is None:
                self._look_after(self._clock())

    def _watch(self, wakeup: SignalWakeup) -> None:
        wanted = {self._mailbox.fileno(): select.POLLIN, wakeup.fileno(): select.POLLIN}
        if self._stdin_fd >= 0 and not self._upstream.sender.full:
            wanted[self._stdin_fd] = select.POLLIN
        if self._shortcut.fileno() >= 0:
            wanted[self._shortcut.fileno()] = select.POLLIN
        for sink in (self._stdout, self._stderr):
            if sink.waiting:
                wanted[sink.fd] = wanted.get(sink.fd, 0) | select.POLLOUT
        if wanted != self._watched:
            for fd in self._watched.keys() - wanted.keys():
                self._poll.unregister(fd)
            for fd, events in wanted.items():
                self._poll.register(fd, events)
            self._watched = wanted

    def _ready(self, fd: int, wakeup: SignalWakeup) -> None:
        if fd == self._mailbox.fileno():
            self._hear()
        elif fd == wakeup.fileno():
            self._signals(wakeup)
        elif fd == self._stdin_fd:
            self._read_keys()
        elif fd == self._shortcut.fileno():
            self._hear_lane(self._clock())
        for sink in (self._stdout, self._stderr):
            if fd == sink.fd:
                sink.flush()

    def _timeout_s(self) -> float | None:
        now_s = self._clock()
        waits = [
            self._talk.wait_s(now_s),
            self._echo.wait_s(now_s),
            None if self._leaves_by_s is None else max(0.0, self._leaves_by_s - now_s),
            1.0 if self._screen.status else None,
        ]
        return min((wait for wait in waits if wait is not None), default=None)

    def _look_after(self, now_s: float) -> None:
        """What time brings: requests, resending, expiry, the status line."""
        if self._talk.is_listening and self._mailbox.dropped and not self._stdout.full:
            self._mailbox.dropped = False
            self._receiver.connected(now_s)
        self._talk.ask(now_s)
        dropped = self._upstream.expire(now_s)
        if dropped:
            self._lost_bytes += dropped
            self._echo.forget()
            self._words.dropped(dropped, now_s)
        self._upstream.send(self._receiver.epoch, now_s)
        self._mind_host(now_s)
        if self._words.show_link(self._link_text(now_s), self._upstream.sender.pending_bytes, now_s):
            self._receiver.repaint()
        if self._echo.mind(now_s):
            self._receiver.repaint()

    # -- the network ---------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        for event in self._mailbox.take():
            now_s = self._clock()
            if isinstance(event, Received) and self._talk.is_host(event):
                self._output(event, now_s)
            else:
                self._happened(event, now_s)
            if self._departure is not None:
                return

    def _output_at_once(self, event: Received) -> bool:
        """In the subscriber's thread, under the mailbox's lock: True when the loop has something to do because of it."""
        now_s = self._clock()
        self._output(event, now_s)
        waits = (self._receiver.wait_s(now_s), self._echo.wait_s(now_s))
        unsettled = self._departure is not None or any(wait is not None for wait in waits) or self._echo.is_due
        return unsettled or self._stdout.waiting or self._stderr.waiting

    def _output(self, event: Received, now_s: float) -> None:
        if self._on_terminal and self._screen.behind and event.name in _DRAWN:
            self._receiver.repaint()  # let the terminal catch up; a screen makes good what is dropped here
            return
        self._follow(self._talk.heard(event, now_s), now_s)

    def _hear_lane(self, now_s: float) -> None:
        """Small output of a host on this machine, ahead of the same by the broker."""
        for frame in self._shortcut.receive():
            if frame.epoch == self._receiver.epoch and self._receiver.begun and not self._screen.behind:
                self._follow(self._talk.said(frame, now_s), now_s)

    def _follow(self, effects: Iterable[Effect], now_s: float) -> None:
        if not self._echo.active:
            self._take(effects, now_s)
        else:
            with self._screen.at_once():
                self._take(effects, now_s)
                self._echo.look()

    def _take(self, effects: Iterable[Effect], now_s: float) -> None:
        for effect in effects:
            self._apply(effect, now_s)

    def _apply(self, effect: Effect, now_s: float) -> None:
        match effect:
            case Show(data=data, stream=stream):
                self._show(data, stream)
            case ShowScreen():
                self._skipped += effect.skipped
                self._screen.redraw(effect.data, effect.size)
                if self._leaves_by_s is None:
                    self._words.redrawn(now_s)
                self._echo.redrawn()
                if effect.joined:
                    self._announce_size()
            case Gap(start=start, end=end):
                self._lost_bytes += end - start
                self._words.note(f"gap: output bytes {start} to {end} are lost", now_s)
            case Confirmed(acks=acks):
                self._upstream.confirm(acks, self._receiver.epoch, now_s)
                self._echo.confirmed(self._upstream.sender.pending_bytes, now_s)
            case NewRun():
                self._leaves_by_s = None
                self._upstream.begin_anew()
                self._echo.forget()
                self._words.note("a new run of this session has begun", now_s)
            case Told(kind="lost"):
                self._departure = Departure(EXIT_LOST, f"session {self._plan.session} is lost: its host has died")
            case Told(kind=kind, text=text, writer=stream) if stream:
                said = self._upstream.told(kind, channels.printable(text, 500), stream, now_s)
                if said is not None:
                    self._echo.forget()
                if said:
                    self._words.note(said, now_s)
            case Told(text=text):
                self._words.note(channels.printable(text, 500), now_s)
            case Over(ended=ended):
                self._over(ended, now_s)
            case ShowSize():
                self._receiver.repaint()  # the terminal is now of another size than the session's, or no longer

    def _over(self, ended: Ended, now_s: float) -> None:
        """All was shown. On a terminal it stays, so a status line over it has to go first: a screen brings the end again."""
        if self._screen.status and self._leaves_by_s is None:
            self._leaves_by_s = now_s + LAST_SCREEN_S
            self._receiver.repaint()
            return
        how = f"signal {ended.signal}" if ended.signal is not None else f"exit {ended.code}"
        self._departure = Departure(ended.status, f"session {self._plan.session} ended: {how}")

    def _show(self, data: bytes, stream: str) -> None:
        if self._on_terminal:
            self._screen.show(data)
        elif stream == "stderr":
            self._errors.show(data)
        else:
            self._stdout.write(data)

    def _happened(self, event: SubscriberEvent, now_s: float) -> None:
        self._departure = self._talk.happened(event, now_s)
        match event:
            case StateChanged(state=ConnectionState.CONNECTED):
                self._words.connected()
            case Subscribed(channel=self._talk.presence_channel) if self._screen.status:
                self._receiver.repaint()
            case _:
                pass

    def _mind_host(self, now_s: float) -> None:
        ended = self._receiver.ended
        self._departure = self._attendance.verdict(now_s)
        if self._departure is not None and self._attendance.answered and not self._on_terminal:
            text = f"{self._departure.text}; its output from byte {self._receiver.offset} on did not arrive"
            self._departure = Departure(self._departure.status, text)
        if ended is not None and self._leaves_by_s is not None and now_s >= self._leaves_by_s:
            self._over(ended, now_s)
        elif ended is not None and self._attendance.too_late(now_s):
            self._departure = self._ended_unseen(ended)

    def _ended_unseen(self, ended: Ended) -> Departure:
        """The end is known, and what stands before it will not come any more: a person knows enough, a file does not."""
        text = f"session {self._plan.session} ended, but its output from byte {self._receiver.offset} on did not arrive"
        return Departure(ended.status if self._on_terminal else EXIT_LOST, text)

    # -- the person ----------------------------------------------------------------------------------------------

    def _read_keys(self) -> None:
        try:
            data = os.read(self._stdin_fd, 65_536)
        except OSError:
            data = b""
        if not data:
            self._stdin_fd = -1
            return
        action = None
        if self._terminal is not None:
            data, action = self._keys.feed(strip_reports(data))
        if not self._plan.read_only:
            self._type(data, self._clock())
        elif data[-1:] in (b"q", b"\x03"):
            action = Action.DETACH
        if action is not None:
            self._act(action)

    def _type(self, data: bytes, now_s: float) -> None:
        self._upstream.type(data, self._receiver.epoch, now_s)
        self._echo.typed(data, now_s)
        if data:
            self._link.asked(now_s, self._echo.round_trip.smoothed_s or 0.0)

    def _act(self, action: Action) -> None:
        if action is Action.DETACH:
            self._departure = Departure(0, f"detached from {self._plan.session}; it goes on")
        elif action is Action.SUSPEND:
            self._suspend()
        else:
            self._screen.say(" ~. detach   ~~ send ~   ~^Z suspend   any output removes this line")
            self._receiver.repaint()

    def _suspend(self) -> None:
        if self._terminal is None:
            return
        self._screen.leave()
        self._terminal.cooked()
        os.killpg(os.getpgrp(), signal.SIGTSTP)
        self._terminal.raw()
        self._window_changed()
        self._receiver.repaint()

    def _signals(self, wakeup: SignalWakeup) -> None:
        for number in wakeup.take():
            if number == signal.SIGWINCH:
                self._window_changed()
            elif number in _LEAVE_SIGNALS:
                self._departure = Departure(128 + number, f"detached from {self._plan.session}; it goes on")

    def _window_changed(self) -> None:
        size = get_size(1)
        if size is not None:
            self._screen.resize(size)
            self._announce_size()
            self._receiver.repaint()

    def _announce_size(self) -> None:
        size = get_size(1) if self._on_terminal else None
        if size is not None:
            self._upstream.announce(size, self._receiver.epoch, self._clock())

    def _link_text(self, now_s: float) -> str:
        # Before the first word of the host there is no screen of its to say it over; the way in is said elsewhere.
        return (self._link.text(now_s) or self._upstream.leave_to_type.text(now_s)) if self._attendance.answered else ""
