"""Between the door and the people: shows who asks to type at the host's own terminal, takes their word and that of others.

The word comes from the keyboard here (`chord.py`), from a command of this user (`protocol/orders.py`), or from the server (a
control message). What is said at this terminal is drawn by `requestline.py`.
"""

from __future__ import annotations

import math
import signal
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from codewrap.errors import LocalProtocolError
from codewrap.host.chord import Chord
from codewrap.host.door import Door
from codewrap.host.requestline import RequestLine, Surroundings
from codewrap.protocol import orders
from codewrap.protocol.admission import ANYBODY, HERE, Request
from codewrap.protocol.geometry import Size
from codewrap.protocol.hostlink import Kind, Message
from codewrap.protocol.orders import Order, Reply, Standing
from codewrap.protocol.roles import is_user
from codewrap.store.sessionlog import LogWriter
from codewrap.terminal.child import get_size

# A name may have 64 characters, a terminal 80, and the keys must be seen.
_SHOWN_CHARACTERS = 16
MAX_HEARD = 4096
# What a server, or a command of this user, may send the command: what a person at it could, or the shell it was started from.
_SIGNALS = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1, signal.SIGUSR2}


@dataclass(frozen=True, slots=True)
class Voices:
    """How the porter is heard. ``line``: over the terminal's screen; where there is none, ``say`` is a line of its own.

    ``signal`` sends the command one.
    """

    line: RequestLine | None
    say: Callable[[str], None]
    signal: Callable[[int], object]
    session: str = ""


class Porter:
    """One session's. Times are the loop's (monotonic); ``clock`` is that of the door."""

    def __init__(self, door: Door, voices: Voices, clock: Callable[[], float] = time.time) -> None:
        self._door = door
        self._voices = voices
        self._clock = clock
        self._chord = Chord()
        self._known: set[tuple[str, float]] = set()
        self._standing = False
        self._heard: OrderedDict[str, None] = OrderedDict()
        self.typed_s = time.monotonic()
        """When somebody typed here last; who has started the command is at the keyboard."""

    @property
    def draws(self) -> bool:
        """Something lies over the terminal here, or will: the command's output for it goes by `pass_on`."""
        return self._voices.line is not None and self._voices.line.wanted

    def pass_on(self, data: bytes | memoryview) -> None:
        """Output for the terminal."""
        if self._voices.line is not None:
            self._voices.line.pass_on(data, time.monotonic())

    def hide(self) -> None:
        """The terminal is somebody else's for a while, or for good."""
        if self._voices.line is not None:
            self._voices.line.hide(time.monotonic())

    def resized(self, now_s: float) -> None:
        """The terminal here has another size."""
        if self._voices.line is not None:
            self._voices.line.resized(now_s)

    @property
    def due_s(self) -> float | None:
        """When `look_after` has something to do."""
        if not self._standing:
            line = self._voices.line
            return line.due_s if line is not None else None
        now_s, clock_s = time.monotonic(), self._clock()
        fades_s = self._door.admission.due_s(clock_s)
        dues = [self._chord.due_s, None if fades_s is None else now_s + max(0.0, fades_s - clock_s)]
        if self._voices.line is not None:
            dues.append(self._voices.line.due_s)
        return min((due for due in dues if due is not None), default=now_s)

    def look_after(self, now_s: float) -> bytes:
        """Do what is due; what was held of the keyboard and is the command's after all."""
        self.announce(now_s)
        if self._voices.line is not None:
            self._voices.line.look_after(now_s)
        return self._chord.overdue(now_s if self._standing else math.inf)

    def announce(self, now_s: float) -> None:
        """Show the requests that stand, if they are others than before."""
        requests = self._door.admission.requests(self._clock())
        known = {(request.user, request.since_s) for request in requests}
        self._standing = bool(requests)
        fresh = [request for request in requests if (request.user, request.since_s) not in self._known]
        self._known = known
        if self._voices.line is not None:
            self._voices.line.say(self._text(requests), now_s, bell=bool(fresh))
            return
        for request in fresh:
            self._voices.say(
                f"{request.user} asks to type (code {request.code}): codewrap approve {self._voices.session} {request.user}"
            )

    def typed_here(self, data: bytes, now_s: float) -> bytes:
        """One read of the keyboard here: what of it is the command's."""
        self.typed_s = now_s
        if self._voices.line is None:
            return data
        if not self._standing:
            return self._chord.overdue(math.inf) + data
        passed, allow = self._chord.feed(data, now_s)
        if allow is not None:
            requests = self._door.admission.requests(self._clock())
            if requests:
                self._decide(requests[0].user, allow=allow, by="here")
            self.announce(now_s)
        return passed

    def said(self, message: Message, now_s: float, *, here: bool = False) -> bool:
        """What the uplink says that concerns us, or (``here``) a lane. True when something may be there for the child to read."""
        header = message.header
        match message.kind:
            case Kind.INPUT:
                user, code = (HERE, "") if here else (header["user"] or ANYBODY, header["code"])
                written = self._door.typed(user, code, header["writer"], header["offset"], message.body)
                if self._door.news:
                    self._door.news = False
                    self.announce(now_s)
                return written
            case Kind.OWN_USER:
                self._door.own_user(header["user"])
                self.announce(now_s)
                return True
            case Kind.CONTROL:
                self._control(header, now_s)
            case Kind.PICTURE if self._voices.line is not None:
                self._voices.line.picture(header, message.body, now_s)
            case _:
                pass
        return False

    def admits(self, user: str) -> bool:
        """Whether what ``user`` says of a terminal's size counts."""
        return self._door.admits(user)

    def order(self, message: Message, now_s: float) -> Message:
        """An order of this user's; the reply."""
        try:
            order = orders.decode_order(message)
        except LocalProtocolError as error:
            return orders.encode_reply(Reply(str(error)))
        problem = self._obey(order)
        self.announce(now_s)
        clock_s = self._clock()
        standing = tuple(Standing(r.user, r.code, r.since_s) for r in self._door.admission.requests(clock_s))
        return orders.encode_reply(Reply(problem, standing, self._door.admission.turned_away(clock_s)))

    def _obey(self, order: Order) -> str:
        """What stands in the way; "" where it was done."""
        if order.do == orders.KILL:
            if order.signal not in _SIGNALS:
                return "this signal is not passed on"
            self._voices.signal(order.signal)
        elif order.do != orders.REQUESTS and not self._decide(order.user, allow=order.do == orders.APPROVE, by="command"):
            return "nobody may type into this session: it was started with --share view"
        return ""

    def _control(self, header: dict[str, Any], now_s: float) -> None:
        """A word of the server's."""
        if header["id"] in self._heard:
            return  # an uplink that was started anew has heard nothing yet
        self._heard[header["id"]] = None
        if len(self._heard) > MAX_HEARD:
            self._heard.popitem(last=False)
        do, user = header["do"], header.get("user") or ""
        if do == "kill":
            number = header.get("signal") or signal.SIGTERM
            if number in _SIGNALS:
                self._voices.signal(number)
        elif is_user(user) and do in ("approve", "deny"):
            self._decide(user, allow=do == "approve", by="server")
        elif is_user(user) and do == "revoke":
            before_s = header.get("before")
            self._door.revoke(user, self._clock() if before_s is None else float(before_s), "server")
        self.announce(now_s)

    def _decide(self, user: str, *, allow: bool, by: str) -> bool:
        if allow:
            return self._door.approve(user, by)
        self._door.deny(user, by)
        return True

    def _text(self, requests: list[Request]) -> str:
        if not requests:
            return ""
        first = requests[0]
        user = first.user if len(first.user) <= _SHOWN_CHARACTERS else first.user[: _SHOWN_CHARACTERS - 1] + "~"
        more = len(requests) - 1 + self._door.admission.turned_away(self._clock())
        others = f" (+{more})" if more else ""
        return f" [codewrap] {user}{others} asks to type ({first.code}): Ctrl-] y yes, Ctrl-] n no "


def line_on(
    terminal_fd: int, write: Callable[[bytes | memoryview], None], log: LogWriter, ask: Callable[[], None]
) -> RequestLine:
    """For a terminal that shows what is in ``log``."""

    def size() -> Size | None:
        found = get_size(terminal_fd)
        return found.clamped() if found is not None else None

    # A log that is broken does not have what the terminal shows.
    return RequestLine(Surroundings(write, ask, lambda: -1 if log.broken else log.end, log.tail, size))
