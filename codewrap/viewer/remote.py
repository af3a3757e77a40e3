"""A viewer without a terminal, for programs: holds what the session shows, types exactly once, waits for what comes of it.

A thread of its own follows the session; whoever calls waits. Everything is under one lock, which the subscriber never waits for:
it may hold its own while it delivers.
Nothing is printed: what a person should know goes to ``say``, what is wrong is raised.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from codewrap.errors import (
    EXIT_FAILED,
    EXIT_LOST,
    CodewrapError,
    NotAttached,
    SessionEnded,
    SessionLost,
    TypingRefused,
    WaitTimeout,
)
from codewrap.protocol.channels import printable
from codewrap.protocol.frames import Ended
from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen
from codewrap.terminal.shown import Shown
from codewrap.transport.base import Received, Renewed, Subscribed, Subscriber, SubscriberEvent
from codewrap.viewer import keynames
from codewrap.viewer.attendance import Departure
from codewrap.viewer.conversation import Conversation, Terms
from codewrap.viewer.httppath import SendOverHttp
from codewrap.viewer.news import News
from codewrap.viewer.receiver import Confirmed, Effect, Gap, NewRun, Over, Show, ShowScreen, ShowSize, Told

MAX_QUEUED = 2_000
# A session on pipes has no size: this is what its output is shown on.
PLAIN_SIZE = Size(rows=24, cols=80)
# What was typed may be what ended the session: word that it was read then comes after the end.
LAST_WORD_S = 1.0
_APPLICATION_CURSOR, _BRACKETED_PASTE = 1, 2004
_PASTE_BEGIN, _PASTE_END = b"\x1b[200~", b"\x1b[201~"
_BARE_NEWLINE = re.compile(rb"(?<!\r)\n")
_LOG = logging.getLogger(__name__)


class Inbox:
    """From the subscriber's threads. Bounded: the newest output is dropped, which the receiver notices and mends."""

    def __init__(self) -> None:
        self.events: deque[SubscriberEvent] = deque()
        self.dropped = False
        self._arrived = threading.Event()

    def deliver(self, event: SubscriberEvent) -> None:
        """The subscriber's callback."""
        if isinstance(event, Received) and len(self.events) >= MAX_QUEUED:
            self.dropped = True
            return
        self.events.append(event)
        self._arrived.set()

    def poke(self) -> None:
        """End a `wait`: there is something else to do."""
        self._arrived.set()

    def wait(self, timeout_s: float | None) -> None:
        """Until something has arrived since the last time."""
        self._arrived.wait(timeout_s)
        self._arrived.clear()


class Remote:
    """One attachment. Every method may be called from any thread. Times are seconds from now; None: for ever."""

    def __init__(
        self,
        terms: Terms,
        subscriber: Subscriber,
        inbox: Inbox,
        send_over_http: SendOverHttp,
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terms = terms
        self._subscriber = subscriber
        self._inbox = inbox
        self._changed = threading.Condition()
        self._say = say
        self._clock = clock
        self._talk = Conversation(terms, subscriber, send_over_http, self._barred_by, clock(), wants_bytes=False)
        self._screen: Screen | None = None
        self._plain = False
        self._shown_to = 0
        self._news = News()
        self._outstanding = b""
        self._withheld = False  # the host wants to be asked first: what is outstanding is typed when it lets us
        self._fault: CodewrapError | None = None  # of what is outstanding
        self._barred = ""  # why the server does not let us type
        self._asked = ""
        self._typing = threading.Lock()
        self._departure: Departure | None = None
        self._ended: Ended | None = None
        self._over: Ended | None = None  # all was shown, and word of what was typed may follow
        self._over_by_s = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"codewrap-{terms.session}", daemon=True)

    # -- for the caller ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin connecting; returns at once."""
        self._talk.start()
        self._thread.start()

    def close(self) -> None:
        """Leave the session, which goes on."""
        with self._changed:
            closed, self._closed = self._closed, True
            if not closed:
                self._talk.leave()
            self._changed.notify_all()
        self._inbox.poke()
        if not closed:
            self._subscriber.close()
            self._thread.join()

    def join(self, timeout_s: float | None) -> None:
        """Until the session's screen is there. Raises NotAttached, SessionLost, WaitTimeout."""
        with self._changed:
            self._until(lambda: self._screen is not None, timeout_s, "waiting for an answer")

    @property
    def ended(self) -> Ended | None:
        """The end of the session, once it is known and all before it was shown."""
        with self._changed:
            return self._ended

    @property
    def asked(self) -> str:
        """What to say while leave to type was asked for and not given yet; "" otherwise."""
        with self._changed:
            return self._asked if self._withheld else ""

    def as_text(self, text: bytes) -> bytes:
        """What a terminal sends where ``text`` is typed: Enter at the end of each line."""
        with self._changed:
            return text.replace(b"\r\n", b"\n").replace(b"\n", self._enter)

    def as_paste(self, text: bytes) -> bytes:
        """What a terminal sends where ``text`` is pasted: in brackets, where the command asked for them."""
        with self._changed:
            if self._screen is None or not self._screen.modes.known_modes().get(_BRACKETED_PASTE):
                return self.as_text(text)
        return _PASTE_BEGIN + self.as_text(text.replace(_PASTE_END, b"")) + _PASTE_END

    def as_keys(self, names: Iterable[str]) -> bytes:
        """What a terminal sends for these keys now. Raises keynames.UnknownKey."""
        with self._changed:
            application = self._screen is not None and self._screen.modes.known_modes().get(_APPLICATION_CURSOR, False)
            return keynames.encode(names, application_cursor=application, enter=self._enter)

    @property
    def _enter(self) -> bytes:
        """A session on pipes has no terminal that would make a line's end of Enter."""
        return b"\n" if self._plain else b"\r"

    def shown(self) -> Shown:
        """What the session shows now. Raises as `join` where nothing was shown yet."""
        with self._changed:
            self._turn()
            if self._screen is None:
                raise self._why() or NotAttached(self._terms.session, "nothing of it has been seen yet")
            return Shown.of(self._screen)

    def seen(self) -> tuple[Shown, str, int]:
        """As `shown`, with the run that it is of and how many bytes of output it is made from."""
        with self._changed:
            return self.shown(), self._talk.receiver.epoch, self._talk.receiver.offset

    @property
    def is_live(self) -> bool:
        """It has not ended in any way, and what the session shows next would arrive."""
        with self._changed:
            self._turn()
            return self._why() is None and self._talk.is_listening

    def type(self, data: bytes, timeout_s: float | None) -> None:
        """Have ``data`` written to the command, once; returns when it is. What follows is news for `find`.

        Raises TypingRefused; SessionEnded, SessionLost; WaitTimeout where the command does not read, or leave to type was not
        given: what is left of it is dropped.
        """
        with self._typing, self._changed:
            self._turn()
            self._check_may_type()
            rows, prompt = self._rows(), self._before_cursor()
            self._news.begin(rows, prompt, data.decode(errors="replace"))
            if not data:
                return
            if timeout_s is not None and timeout_s <= 0:
                raise WaitTimeout(self._terms.session, "not typed into", timeout_s)
            self._outstanding, self._fault = data, None
            self._talk.upstream.type(data, self._talk.receiver.epoch, self._clock())
            self._inbox.poke()
            try:
                self._until(self._is_written, timeout_s, "waiting for the command to read what was typed")
            finally:
                self._give_up_typing()

    def find(self, pattern: re.Pattern[str], timeout_s: float | None) -> re.Match[str]:
        """Until ``pattern`` is in what is new since `type`, or since the last of these.

        Raises SessionEnded, SessionLost, WaitTimeout.
        """
        found: list[re.Match[str]] = []
        with self._changed:
            self._until(lambda: self._found(pattern, found), timeout_s, "waiting for a match")
            self._news.take(found[0], self._rows())
        return found[0]

    def wait(self, timeout_s: float | None) -> int:
        """Until the session ends; its exit status. Raises SessionLost, WaitTimeout."""
        with self._changed:
            self._until(lambda: self._ended is not None, timeout_s, "waiting for its end")
            assert self._ended is not None  # noqa: S101 - that was waited for
            return self._ended.status

    # -- waiting -------------------------------------------------------------------------------------------------

    def _until(self, is_so: Callable[[], bool], timeout_s: float | None, wanted: str) -> None:
        """Under the lock, which is given up meanwhile."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not is_so():
            if (why := self._why()) is not None:
                raise why
            left_s = None if deadline_s is None else deadline_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                raise WaitTimeout(self._terms.session, self._asked if self._withheld else wanted, timeout_s or 0.0)
            self._changed.wait(left_s)

    def _why(self) -> CodewrapError | None:
        """Why nothing more can come of it."""
        name = self._terms.session
        if self._ended is not None:
            return SessionEnded(name, self._ended.status)
        if self._departure is not None:
            if self._departure.status == EXIT_LOST:
                return SessionLost(name, self._departure.text)
            return NotAttached(name, self._departure.text, absent=self._departure.absent)
        return NotAttached(name, "it was detached from") if self._closed else None

    def _found(self, pattern: re.Pattern[str], found: list[re.Match[str]]) -> bool:
        match = self._news.find(pattern, self._rows())
        if match is not None:
            found.append(match)
        return match is not None

    def _check_may_type(self) -> None:
        if (why := self._why()) is not None:
            raise why
        if self._terms.read_only:
            raise TypingRefused(self._terms.session, "it may only be watched")
        if self._barred:
            raise TypingRefused(self._terms.session, self._barred)

    def _is_written(self) -> bool:
        if self._fault is not None:
            raise self._fault
        return not self._outstanding

    def _give_up_typing(self) -> None:
        """What is not confirmed by now must not arrive later, when nobody expects it."""
        if self._outstanding and not self._withheld:
            self._talk.upstream.begin_anew()
        self._outstanding, self._withheld = b"", False

    def _rows(self) -> list[str]:
        """Those shown; that of the cursor reaches up to it: a prompt ends in a blank."""
        if self._screen is None:
            return []
        rows, cursor = self._screen.text(), self._screen.cursor
        if len(rows[cursor.row]) < cursor.col:
            rows[cursor.row] = self._before_cursor()
        return rows

    def _before_cursor(self) -> str:
        if self._screen is None:
            return ""
        cursor = self._screen.cursor
        return "".join(cell.char for cell in self._screen.cells(cursor.row)[: cursor.col] if cell.width)

    # -- following -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        wait_s: float | None = 0.0
        while wait_s is None or wait_s >= 0:
            self._inbox.wait(wait_s)
            with self._changed:
                wait_s = self._turned()
                self._changed.notify_all()

    def _turned(self) -> float | None:
        """Seconds until something is due, None: nothing is; less than 0: it is all over."""
        try:
            self._turn()
        except Exception:  # noqa: BLE001 - the top of a thread
            _LOG.exception("a viewer failed")
            self._departure = Departure(EXIT_FAILED, "an error of ours")
        over = self._closed or self._departure is not None or self._ended is not None
        if over:
            return -1.0
        waits = [self._talk.wait_s(self._clock()), None if self._over is None else LAST_WORD_S]
        return min((wait for wait in waits if wait is not None), default=None)

    def _turn(self) -> None:
        """Take what has come, and do what is due."""
        events = self._inbox.events
        while events and self._departure is None:
            self._hear(events.popleft(), self._clock())
        now_s = self._clock()
        if self._departure is not None or self._ended is not None:
            return
        if self._inbox.dropped and self._talk.is_listening:
            self._inbox.dropped = False
            self._talk.receiver.connected(now_s)
        self._talk.ask(now_s)
        upstream = self._talk.upstream
        if upstream.expire(now_s):
            self._fault = SessionLost(self._terms.session, "it does not answer: what was typed was dropped")
        upstream.send(self._talk.receiver.epoch, now_s)
        self._departure = self._talk.attendance.verdict(now_s)
        ended = self._talk.receiver.ended
        if ended is not None and self._talk.attendance.too_late(now_s):
            self._over = ended
        if self._over is not None and (not self._outstanding or now_s >= self._over_by_s):
            self._ended = self._over
            self._talk.leave()

    def _hear(self, event: SubscriberEvent, now_s: float) -> None:
        if isinstance(event, Received) and self._talk.is_host(event):
            for effect in self._talk.heard(event, now_s):
                self._apply(effect, now_s)
            self._shown_to = self._talk.receiver.offset
            return
        if isinstance(event, Subscribed | Renewed) and event.channel in self._talk.upstream.channels:
            self._barred = ""
        self._departure = self._talk.happened(event, now_s)

    def _apply(self, effect: Effect, now_s: float) -> None:
        match effect:
            case Show(data=data):
                self._show(data)
            case ShowScreen():
                self._redraw(effect)
            case ShowSize():
                self._talk.receiver.repaint()
            case Gap():
                self._news.jumped(redrawn=False)
            case Confirmed(acks=acks):
                upstream = self._talk.upstream
                upstream.confirm(acks, self._talk.receiver.epoch, now_s)
                if not self._withheld:
                    pending = upstream.sender.pending_bytes
                    self._outstanding = self._outstanding[-pending:] if pending else b""
            case NewRun():
                self._talk.upstream.begin_anew()
                self._shown_to, self._over = 0, None
                if self._outstanding:
                    self._fault = SessionLost(self._terms.session, "another run of it has begun: what was typed was dropped")
            case Told(kind="lost"):
                self._departure = Departure(EXIT_LOST, f"session {self._terms.session} is lost: its host has died")
            case Told(kind=kind, text=text, writer=stream) if stream:
                self._told(kind, printable(text, 500), stream, now_s)
            case Told(text=text):
                self._say(printable(text, 500))
            case Over(ended=ended):
                if self._over is None:
                    self._over, self._over_by_s = ended, now_s + LAST_WORD_S

    def _show(self, data: bytes) -> None:
        if self._screen is not None:
            # Without a terminal of its own the session ends its lines as files do.
            self._screen.feed(_BARE_NEWLINE.sub(b"\r\n", data) if self._plain else data)
        self._news.printed(data)

    def _redraw(self, effect: ShowScreen) -> None:
        before, first = self._screen, self._screen is None
        self._plain = effect.size is None
        self._screen = Screen(effect.size or PLAIN_SIZE, scrollback_lines=0)
        self._screen.feed(_BARE_NEWLINE.sub(b"\r\n", effect.data) if self._plain else effect.data)
        if first:
            return
        if self._talk.receiver.offset > self._shown_to:
            # A full-screen program may have left the most of it standing; elsewhere so much has scrolled all away.
            self._news.jumped(redrawn=not self._screen.modes.alternate)
        elif before is not None and before.size != self._screen.size:
            self._news.reflowed(self._rows())

    def _told(self, kind: str, text: str, stream: str, now_s: float) -> None:
        """Something of our leave to type. What was outstanding was not written: it is typed again once we may."""
        upstream = self._talk.upstream
        said = upstream.told(kind, text, stream, now_s)
        if said is None:
            return
        if kind == "asked":
            self._withheld = bool(self._outstanding)
            self._asked = upstream.leave_to_type.text(now_s)
        elif kind == "approved":
            if self._withheld:
                self._withheld = False
                upstream.type(self._outstanding, self._talk.receiver.epoch, now_s)
                return
        elif self._outstanding:
            self._fault, self._withheld = TypingRefused(self._terms.session, said), False
        if said:
            self._say(said)

    def _barred_by(self, text: str, _: float) -> None:
        self._barred = text
        if self._outstanding:
            self._fault = TypingRefused(self._terms.session, text)
