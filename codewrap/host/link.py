"""The host's side of the uplink: starts the process, talks to it without ever waiting, starts it again when it dies.

The host never blocks on it: what the socket does not take now is dropped where it can be said again (growth, acknowledgements are
cumulative) or kept in order where it cannot.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codewrap.errors import LocalProtocolError
from codewrap.protocol import hostlink
from codewrap.protocol.hostlink import Kind, Message

# A program that echoes has done so by then; one that does not must not leave its writer waiting.
ACK_WAIT_S = 0.01
# A paste is told of sooner: its writer waits for room in its window.
PROMPT_BYTES = 16 * 1024
# In a flood the uplink is told so often: it makes a screen of each word, on a processor that the command could use.
FLOOD_WAIT_S = 0.03
# Starting a process of this size takes milliseconds in which the child's first output would wait.
FIRST_START_S = 0.02
RESTART_FIRST_S = 0.1
RESTART_MOST_S = 10.0
STABLE_S = 5.0  # an uplink that lived so long failed for a new reason: begin with the short wait again
MAX_UNSENT_BYTES = 1024 * 1024
READ_BYTES = 65_536  # a larger buffer would be mapped and unmapped by the C library at every read


@dataclass(frozen=True, slots=True)
class UplinkLaunch:
    """How the uplink is started: its command line (a descriptor number is appended), what it is told, what it inherits."""

    command: Sequence[str]
    environ: Mapping[str, str]
    configuration: dict[str, Any]
    inherit: tuple[int, ...] = ()
    error_log: str = os.devnull


class UplinkLink:
    """One uplink process at a time. ``fileno()`` is -1 while there is none."""

    def __init__(self, launch: UplinkLaunch) -> None:
        self._launch = launch
        self._socket: socket.socket | None = None
        self._decoder = hostlink.Decoder()
        self._unsent = bytearray()
        self._armed = False
        self._pid = 0
        self._replaced: list[int] = []
        self._started_s = 0.0
        self._restart_wait_s = RESTART_FIRST_S
        self._restart_at_s: float | None = None
        self.restarts = 0
        self.finished = False
        self._watched = 0
        self._news = self._flood = False
        self._told_s = 0.0
        self._tell_at_s: float | None = None
        self._acks_told: dict[str, int] = {}
        self._acks: dict[str, int] = {}
        self._acks_due_s: float | None = None
        self._ever_ran = False

    def fileno(self) -> int:
        """The socket to read from; -1 while no uplink runs."""
        return self._socket.fileno() if self._socket else -1

    @property
    def never_ran(self) -> bool:
        """No uplink ever started: nobody else tidies up."""
        return not self._ever_ran

    @property
    def wants_to_write(self) -> bool:
        """Something waits for the socket to take it."""
        return bool(self._unsent) and self._socket is not None

    def start_later(self, now_s: float) -> None:
        """Start by `look_after`, once the child has had the machine to itself for a moment."""
        self._restart_at_s = now_s + FIRST_START_S

    def start(self, now_s: float) -> None:
        """Start the process (again). A machine that cannot start it now is tried again later."""
        self._restart_at_s = None
        self._started_s = now_s
        ours, theirs = socket.socketpair()
        try:
            self._pid = self._spawn(theirs.fileno())
        except OSError:
            ours.close()
            self._schedule_restart(now_s)
            return
        finally:
            theirs.close()
        self._ever_ran = True
        ours.setblocking(False)
        self._socket = ours
        self._decoder = hostlink.Decoder()
        self._unsent.clear()
        self._armed = False
        configuration = {**self._launch.configuration, "resumed": self.restarts > 0, "watched": self._watched}
        self._send(Message(Kind.CONFIGURE, body=_json_bytes(configuration)))

    def receive(self, now_s: float) -> list[Message]:
        """Messages that have come. An uplink that is gone, or talks nonsense, is replaced."""
        if self._socket is None:
            return []
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self._lost(now_s)
            return []
        try:
            messages = self._decoder.feed(data)
        except LocalProtocolError:
            self._lost(now_s)
            return []
        return [message for message in messages if not self._handled(message, now_s)]

    def grown(self, now_s: float, *, flood: bool = False) -> None:
        """There is something new in the log: said at once when the uplink waits for it, else when it asks next.

        In a flood every FLOOD_WAIT_S.
        """
        self._news, self._flood = True, flood
        self._tell(now_s)

    def written(self, acks: dict[str, int], now_s: float) -> None:
        """Input that is written to the child: told with the next growth, which most often is its echo, or soon by itself."""
        if acks:
            self._acks.update(acks)
            self._acks_due_s = self._acks_due_s or now_s + ACK_WAIT_S
            if any(offset - self._acks_told.get(writer, 0) >= PROMPT_BYTES for writer, offset in acks.items()):
                self._send(self._acknowledgements())

    @property
    def due_s(self) -> float | None:
        """When `look_after` has something to do; None when it has not."""
        dues = [due for due in (self._restart_at_s, self._acks_due_s, self._tell_at_s) if due is not None]
        return min(dues) if dues else None

    def look_after(self, now_s: float) -> None:
        """Do what is due."""
        if self._acks_due_s is not None and now_s >= self._acks_due_s:
            self._send(self._acknowledgements())
        if self._tell_at_s is not None and now_s >= self._tell_at_s:
            self._tell_at_s = None
            self._tell(now_s)
        if self._restart_at_s is not None and now_s >= self._restart_at_s:
            self.start(now_s)

    def notify(self, kind: str, text: str, writer: str) -> None:
        """Tell whoever types as ``writer``. It may be lost: who hears nothing sends again, and is told again."""
        self._send(Message(Kind.NOTIFY, {"kind": kind, "text": text, "writer": writer}))

    def redraw(self) -> None:
        """Ask for a picture of the terminal here."""
        self._send(Message(Kind.REDRAW))

    def looked(self, header: dict[str, Any]) -> None:
        """Answer a look (`looking.py`). It may be lost: who hears nothing looks again."""
        self._send(Message(Kind.LOOKED, header))

    def answered(self, link: str, outcome: str) -> None:
        """What became of an answer (`answering.py`)."""
        self._send(Message(Kind.ANSWERED, {"id": link, "outcome": outcome}))

    def log_ended(self, reason: str) -> None:
        """The log takes no more: viewers see nothing of what follows."""
        self._send(Message(Kind.LOG_ENDED, {"reason": reason}))

    def finish(self, code: int | None = None, signal_number: int | None = None, looked: dict[str, Any] | None = None) -> None:
        """The log is complete, as far as a full disk let it go. Viewers of an uplink that has died have to be told by another.

        So has who is to be notified, and the server that stores the recording, also of a command that was over before there was
        an uplink; ``looked`` (`looking.py`) tells whether somebody is here.
        """
        wanted = self._watched or self._launch.configuration.get("notify") or self._launch.configuration.get("stored")
        if self._restart_at_s is not None and wanted:
            self.start(self._restart_at_s)
        here = Message(Kind.LOOKED, looked) if looked else None
        # What was written last may be what ended it: whoever typed that waits for word of it.
        self._send(self._acknowledgements(), here, Message(Kind.FINISH, {"code": code, "signal": signal_number}))

    def flush(self) -> None:
        """The socket is writable."""
        if self._socket is None or not self._unsent:
            return
        with contextlib.suppress(BlockingIOError, OSError):
            del self._unsent[: self._socket.send(self._unsent)]

    def reap(self) -> None:
        """After SIGCHLD: take the exit status of an uplink that is gone (its socket tells the rest)."""
        self._replaced = [pid for pid in self._replaced if not _reaped(pid)]
        if self._pid and _reaped(self._pid):
            self._pid = 0

    def close(self) -> None:
        """Let go; the uplink leaves by itself when it has delivered."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _handled(self, message: Message, now_s: float) -> bool:
        if message.kind is Kind.WATCHERS:
            self._watched = message.header["count"]
        if message.kind is not Kind.ARM:
            return False
        self._armed = True
        self._tell(now_s)
        return True

    def _tell(self, now_s: float) -> None:
        if not (self._armed and self._news):
            return
        if self._flood and now_s < self._told_s + FLOOD_WAIT_S:
            self._tell_at_s = self._told_s + FLOOD_WAIT_S
            return
        self._armed = self._news = False
        self._told_s, self._tell_at_s = now_s, None
        self._send(_GROWN, self._acknowledgements())

    def _acknowledgements(self) -> Message | None:
        acks, self._acks, self._acks_due_s = self._acks, {}, None
        self._acks_told = acks
        return Message(Kind.WRITTEN, {"acks": acks}) if acks else None

    def _send(self, *messages: Message | None) -> None:
        if self._socket is None:
            return
        data = b"".join(hostlink.encode(message) for message in messages if message is not None)
        if not self._unsent:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                pass
            except OSError:
                return  # it is gone; `receive` notices and replaces it
        # What answers input is told again when that is sent again; growth and the end are said once, and never are many.
        droppable = all(message is None or message.kind in _SAID_AGAIN for message in messages)
        if data and not (droppable and len(self._unsent) >= MAX_UNSENT_BYTES):
            self._unsent += data

    def _lost(self, now_s: float) -> None:
        self.close()
        self.reap()
        if not self.finished:
            self._kill()  # it may have closed its end and live on, beside the next
            self.restarts += 1
            self._schedule_restart(now_s)

    def _schedule_restart(self, now_s: float) -> None:
        if now_s - self._started_s > STABLE_S:
            self._restart_wait_s = RESTART_FIRST_S
        self._restart_at_s = now_s + self._restart_wait_s
        self._restart_wait_s = min(self._restart_wait_s * 2, RESTART_MOST_S)

    def _kill(self) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._replaced.append(self._pid)
            self._pid = 0

    def _spawn(self, fd: int) -> int:
        for inherited in (fd, *self._launch.inherit):
            os.set_inheritable(inherited, True)
        try:
            return os.posix_spawn(
                self._launch.command[0],
                [*self._launch.command, str(fd)],
                dict(self._launch.environ),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, self._launch.error_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                ],
                setsid=True,
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
            )
        finally:
            for inherited in (fd, *self._launch.inherit):
                os.set_inheritable(inherited, False)


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


_GROWN = Message(Kind.GROWN)
_SAID_AGAIN = (Kind.WRITTEN, Kind.NOTIFY, Kind.REDRAW, Kind.LOOKED)


def _json_bytes(value: dict[str, Any]) -> bytes:
    import json

    return json.dumps(value).encode()


def uplink_command() -> list[str]:
    """The interpreter and module that are the uplink. ``-P``: a directory of the user's must not shadow our modules."""
    return [sys.executable, "-P", "-m", "codewrap.cli.uplink"]
