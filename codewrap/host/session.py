"""The host's loop: child, local terminal, session log, uplink. One thread, one selector; it waits for none of them.

Never here: the network, the terminal's state, anything per byte. What the child writes goes to the local terminal and
into the log; all else reads the log.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from codewrap.host.answering import Answering
from codewrap.host.door import Audit, Door
from codewrap.host.inputs import PendingInput
from codewrap.host.lanes import Lanes
from codewrap.host.link import UplinkLink
from codewrap.host.looking import look, notification
from codewrap.host.porter import Porter, Voices, line_on
from codewrap.host.waiting import READ, WRITE, Stream, Waiting
from codewrap.protocol.admission import Admission
from codewrap.protocol.geometry import Size
from codewrap.protocol.hostlink import Kind, Message
from codewrap.store.sessionlog import LogWriter
from codewrap.terminal.child import Child, Exited, Stopped, get_size
from codewrap.terminal.local import RawTerminal, Sink, in_foreground, undo_modes
from codewrap.terminal.wakeup import SignalWakeup

READ_BYTES = 65_536
# Of the child at a time: little enough for a key to be typed meanwhile, much enough for few turns and few writes to the log.
BLOCK_BYTES = 16_384
# A read that gives less was of something that trickles: no more is there.
TRICKLE_BYTES = 1024
# So much without a trickle in between is a flood. Viewers at the host itself get it as all others do, and so they get what fills
# a read of a PTY (4095 bytes).
FLOOD_BYTES = 65_536
LANE_BYTES = 4000
# After the child's exit something else may still hold its terminal or pipes: what comes within this is shown, then we leave.
DRAIN_QUIET_S = 0.05
DRAIN_MOST_S = 2.0
# The uplink delivers the end on its own; the shell that waits for our status waits at most this for its report.
REPORT_WAIT_S = 0.5
LOCAL_DRAIN_S = 1.0
# How far back modes are looked for that a killed program has left on.
MODES_TAIL_BYTES = 1024 * 1024
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(slots=True)
class Outcome:
    """What the run came to. ``uplink`` is the uplink's own report, empty when it gave none in time."""

    exited: Exited
    output_bytes: int
    duration_s: float
    restarts: int
    uplink: dict[str, Any] = field(default_factory=dict)
    log_broken: str = ""


@dataclass(slots=True)
class HostSession:
    """Everything the loop works on. ``terminal`` is the local terminal in raw mode, or None (pipes, headless)."""

    child: Child
    log: LogWriter
    link: UplinkLink
    terminal: RawTerminal | None
    stdin_fd: int
    admission: Admission
    notice: Callable[[str], None]
    lanes: Lanes
    audit: Audit | None = None
    say: Callable[[str], None] = lambda _: None
    """A line for the person here, where nothing else is drawn."""
    name: str = ""
    write: Callable[[int, memoryview], int] = os.write
    """What writes input to the child (`typed.py` keeps it as well)."""

    def run(self, wakeup: SignalWakeup, started_s: float) -> Outcome:
        """Until the child has ended and its output is drained. ``wakeup`` is entered already."""
        return _Loop(self, wakeup, started_s).run()


class _Loop:
    """The state of one run of the loop; every descriptor's readiness leads to one method."""

    def __init__(self, session: HostSession, wakeup: SignalWakeup, started_s: float) -> None:
        self._child = session.child
        self._log = session.log
        self._link = session.link
        self._lanes = session.lanes
        self._terminal = session.terminal
        self._stdin_fd = session.stdin_fd
        self._parked_fd = -1
        self._hung_up = self._was_watched = self._hurried = False
        self._stdin_is_tty = session.stdin_fd >= 0 and os.isatty(session.stdin_fd)
        self._end_of_input = b""
        self._notice = session.notice
        self._wakeup = wakeup
        self._started_s = started_s
        self._waiting = Waiting()
        self._interests_hold = False
        self._poured = 0
        self._block = memoryview(bytearray(BLOCK_BYTES))
        self._input, self._write = PendingInput(), session.write
        self._stdout, self._stderr = Sink(1), Sink(2)
        self._outputs: dict[int, Stream] = {}
        self._exited: Exited | None = None
        self._report: dict[str, Any] = {}
        line = line_on(1, self._stdout.write, self._log, self._link.redraw) if session.terminal is not None else None
        door = Door(session.admission, self._input, self._link.notify, session.audit)
        self._answering = Answering(door, self._input)
        self._porter = Porter(door, Voices(line, session.say, self._child.signal, session.name))
        self._watch_child()
        self._link.start_later(time.monotonic())

    def run(self) -> Outcome:
        while self._exited is None:
            self._turn(self._timeout_s())
        self._drain_child()
        return self._finish(self._exited)

    # -- waiting -------------------------------------------------------------------------------------------------

    def _watch_child(self) -> None:
        child = self._child
        if child.on_terminal:
            self._outputs[child.terminal_fd] = Stream(child.terminal_fd, "stdout", self._stdout)
        if child.stdout_fd >= 0:
            self._outputs[child.stdout_fd] = Stream(child.stdout_fd, "stdout", self._stdout)
        if child.stderr_fd >= 0:
            self._outputs[child.stderr_fd] = Stream(child.stderr_fd, "stderr", self._stderr)

    def _interests(self) -> dict[int, int]:
        """What to wait for now, by descriptor. Back-pressure is made here and nowhere else."""
        wanted: dict[int, int] = {self._wakeup.fileno(): READ}
        for fd, output in self._outputs.items():
            if not output.sink.full:
                wanted[fd] = READ
        for sink in (self._stdout, self._stderr):
            if sink.waiting:
                wanted[sink.fd] = wanted.get(sink.fd, 0) | WRITE
        if self._input and self._child.input_fd >= 0:
            wanted[self._child.input_fd] = wanted.get(self._child.input_fd, 0) | WRITE
        if self._stdin_fd >= 0 and not self._input.full:
            wanted[self._stdin_fd] = READ
        if self._link.fileno() >= 0:
            wanted[self._link.fileno()] = READ | (WRITE if self._link.wants_to_write else 0)
        for fd in self._lanes.descriptors():
            wanted[fd] = READ
        return wanted

    def _timeout_s(self) -> float | None:
        dues = [due_s for due_s in (self._link.due_s, self._porter.due_s) if due_s is not None]
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def _turn(self, timeout_s: float | None) -> None:
        if not self._interests_hold:
            self._waiting.want(self._interests())
            self._interests_hold = True
        for fd, events in self._waiting.ready(timeout_s):
            self._ready(fd, events)
        due_s = self._link.due_s
        if due_s is not None and (now_s := time.monotonic()) >= due_s:
            self._interests_hold = False
            self._link.look_after(now_s)
        due_s = self._porter.due_s
        if due_s is not None and (now_s := time.monotonic()) >= due_s:
            self._interests_hold = False
            self._input.put_local(self._porter.look_after(now_s))
            self._write_child()

    def _ready(self, fd: int, events: int) -> None:
        if fd in self._outputs and events & READ:
            self._read_child(fd)
            if events == READ:
                return
        self._interests_hold = False
        if fd == self._child.input_fd and events & WRITE:
            self._write_child()
        if fd == self._wakeup.fileno():
            self._signals()
        elif fd == self._link.fileno():
            self._uplink(events)
        elif fd == self._stdin_fd:
            self._read_stdin()
        elif fd in self._lanes.descriptors():
            self._hear_lane(fd)
        for sink in (self._stdout, self._stderr):
            if fd == sink.fd and events & WRITE:
                sink.flush()

    # -- the child -----------------------------------------------------------------------------------------------

    def _read_child(self, fd: int) -> bool:
        """Read what is there, up to BLOCK_BYTES; a PTY gives at most 4 KiB a time. False at its end.

        Each read is written to the terminal at once: its reader works while the child goes on. On two cores that is a tenth of
        the time that a flood takes.
        """
        output = self._outputs[fd]
        sink, block, size, ended = output.sink, self._block, 0, False
        write = self._porter.pass_on if self._porter.draws else sink.write
        try:
            while size < BLOCK_BYTES:
                count = os.readv(fd, (block[size:],))
                write(block[size : size + count])
                size += count
                if count < TRICKLE_BYTES or not output.has_more(0):
                    ended = count == 0
                    break
        except BlockingIOError:
            pass
        except OSError:  # EIO: nobody holds the other end of the PTY
            ended = True
        if size:
            self._note_output(block[:size], output.name)
        if ended or sink.waiting or sink.closed or self._link.wants_to_write:
            self._interests_hold = False
            if sink.closed:
                self._reader_gone(fd)
            if ended:
                self._outputs.pop(fd, None)
        return fd in self._outputs

    def _note_output(self, data: memoryview, stream: str) -> None:
        """Into the log, and a word to those who follow it."""
        now_s, size, was_broken = time.monotonic(), len(data), self._log.broken
        self._poured = self._poured + size if size >= TRICKLE_BYTES else 0
        flood = self._poured > FLOOD_BYTES
        if size <= LANE_BYTES and not flood and not was_broken:  # then nothing has a place any more that viewers could put it at
            self._lanes.output(self._log.end, bytes(data), stream)
        self._log.append(data, stream, now_s)
        self._link.grown(now_s, flood=flood)
        if self._log.broken and not was_broken:
            self._link.log_ended(self._log.broken)

    def _reader_gone(self, fd: int) -> None:
        """Whoever read us has gone (`| head -1`, a closed window): the child must feel it as it would without us."""
        if fd != self._child.terminal_fd:
            self._outputs.pop(fd, None)
            self._child.close_output(fd)
        elif not self._hung_up:
            self._hung_up = True
            self._child.signal(signal.SIGHUP)  # one that ignores it goes on, for those who watch

    def _write_child(self) -> None:
        fd = self._child.input_fd
        while self._input and fd >= 0:
            try:
                self._input.wrote(self._write(fd, self._input.next()))
            except BlockingIOError:
                break
            except OSError:  # it reads no more
                self._input.drop()
                self._child.close_stdin()
                break
        acks = self._input.take_acknowledgements()
        self._lanes.written(acks)
        self._link.written(acks, time.monotonic())
        if self._stdin_fd == -2 and not self._input:
            self._child.close_stdin()

    # -- this machine --------------------------------------------------------------------------------------------

    def _read_stdin(self) -> None:
        fd = self._stdin_fd
        try:
            if self._stdin_is_tty and os.tcgetpgrp(fd) != os.getpgrp():
                self._park_stdin()
                return
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: the terminal is gone
            data = b""
        if data:
            self._end_of_input = b"\x04" if data.endswith((b"\n", b"\r")) else b"\x04\x04"
            self._input.put_local(self._porter.typed_here(data, time.monotonic()))
            self._write_child()
        elif self._stdin_is_tty and self._child.on_terminal:
            self._terminal_gone()
        else:
            self._stdin_ended()

    def _park_stdin(self) -> None:
        """In the background what is typed is the shell's; reading it would stop us. Until SIGCONT."""
        self._parked_fd, self._stdin_fd = self._stdin_fd, -1

    def _continued(self) -> None:
        """SIGCONT: back in the foreground, perhaps."""
        if self._parked_fd >= 0 and in_foreground(self._parked_fd):
            self._stdin_fd, self._parked_fd = self._parked_fd, -1
            if self._terminal is not None:
                self._terminal.raw()
                self._local_resize()

    def _terminal_gone(self) -> None:
        """Our terminal has hung up, so the child's has; one that ignores that goes on without, for those who watch."""
        self._stdin_fd = -1
        self._terminal = None
        if not self._hung_up:
            self._hung_up = True
            self._child.signal(signal.SIGHUP)

    def _stdin_ended(self) -> None:
        if not self._child.on_terminal:
            self._stdin_fd = -2  # close the child's as soon as all is written
            self._write_child()
            return
        if self._end_of_input and not self._stdin_is_tty:
            self._input.put_local(self._end_of_input)  # what a person would type
            self._write_child()
        self._stdin_fd = -1

    def _signals(self) -> None:
        for number in self._wakeup.take():
            if number == signal.SIGCHLD:
                self._child_changed()
            elif number == signal.SIGWINCH:
                self._local_resize()
            elif number == signal.SIGCONT:
                self._continued()
            elif number in _FORWARDED:
                self._forward(number)

    def _forward(self, number: int) -> None:
        # Without a PTY the child is in our process group: the terminal's own Ctrl-C and Ctrl-\ have reached it already.
        from_terminal = number in {signal.SIGINT, signal.SIGQUIT} and not self._child.group and in_foreground(0)
        if not from_terminal:
            self._child.signal(number)

    def _child_changed(self) -> None:
        self._link.reap()
        change = self._child.poll()
        if isinstance(change, Exited):
            self._exited = change
        elif isinstance(change, Stopped) and self._terminal is not None:
            self._suspend(self._terminal)

    def _suspend(self, terminal: RawTerminal) -> None:
        """The command was stopped from its terminal: so are we, until the shell takes us up again."""
        self._read_until_quiet(time.monotonic() + LOCAL_DRAIN_S)
        self._porter.hide()
        self._stdout.drain(LOCAL_DRAIN_S)
        terminal.cooked()
        os.killpg(os.getpgrp(), signal.SIGTSTP)
        if self._stdin_fd >= 0:
            self._park_stdin()
        self._continued()
        self._child.signal(signal.SIGCONT)

    def _read_until_quiet(self, deadline_s: float) -> None:
        """What a stopped command wrote last: the kernel may still be passing it on when it tells of the stop."""
        while self._outputs and not self._stdout.full and time.monotonic() < deadline_s:
            ready = Waiting(dict.fromkeys(self._outputs, READ)).ready(DRAIN_QUIET_S)
            for fd, _ in ready:
                self._read_child(fd)
            if not ready:
                break

    def _local_resize(self) -> None:
        size = get_size(1) if self._terminal is not None else None
        if size is not None:
            self._resize(size)

    def _resize(self, size: Size) -> None:
        now_s = time.monotonic()
        self._porter.resized(now_s)
        self._log.resized(size, now_s)
        self._child.resize(size)
        self._link.grown(now_s)

    # -- the uplink ----------------------------------------------------------------------------------------------

    def _uplink(self, events: int) -> None:
        if events & WRITE:
            self._link.flush()
        if not events & ~WRITE:
            return
        for message in self._link.receive(time.monotonic()):
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):  # nonsense must not cost the command
                self._said(message)

    def _hear_lane(self, fd: int) -> None:
        for message in self._lanes.ready(fd):
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                if message.kind is Kind.INPUT and self._child.input_fd >= 0:
                    if self._porter.said(message, time.monotonic(), here=True):
                        self._write_child()
                elif message.kind is Kind.ORDER:
                    self._lanes.answer(fd, self._porter.order(message, time.monotonic()))

    def _said(self, message: Message) -> None:
        header = message.header
        match message.kind:
            case Kind.INPUT if self._child.input_fd < 0:
                pass
            case Kind.CONTROL if header["do"] == "answer":
                at_rest = self._child.input_fd >= 0 and not any(output.has_more(0) for output in self._outputs.values())
                end = self._log.end if at_rest and not self._log.broken else None
                self._link.answered(*self._answering.take(header, end))
                self._write_child()
            case Kind.INPUT | Kind.OWN_USER | Kind.CONTROL | Kind.PICTURE:
                if self._porter.said(message, time.monotonic()):
                    self._write_child()
            case Kind.RESIZE if self._terminal is None and self._child.on_terminal and self._porter.admits(header["user"]):
                self._resize(Size(rows=header["rows"], cols=header["cols"]).clamped())
            case Kind.ANSWER if self._child.input_fd >= 0:
                self._input.put_local(message.body)
                self._write_child()
            case Kind.NOTICE:
                self._notice(header["text"])
            case Kind.WATCHERS:
                self._was_watched = True
            case Kind.MARK:
                self._log.mark(header["what"], header["values"], time.monotonic())
            # Where the output ends the terminal is at rest: a notification cuts nothing in two.
            case Kind.CALL if self._terminal is not None and not self._log.broken and self._log.end == header["offset"]:
                self._stdout.write(notification(header["text"]))
            case Kind.LOOK:
                self._link.looked(self._look())
            case Kind.DONE:
                self._report = header

    def _look(self) -> dict[str, Any]:
        typed_s = self._porter.typed_s if self._terminal is not None and self._stdin_fd >= 0 else None
        return look(self._child, typed_s) | {"typed": self._input.taken}

    # -- the end -------------------------------------------------------------------------------------------------

    def _drain_child(self) -> None:
        """Everything the child wrote before it ended; a descendant that holds on is waited for only briefly."""
        self._child.close_slave()
        self._input.drop()
        self._porter.hide()
        deadline = time.monotonic() + DRAIN_MOST_S
        while self._outputs and time.monotonic() < deadline:
            ready = Waiting(dict.fromkeys(self._outputs, READ)).ready(DRAIN_QUIET_S)
            if not ready:
                break
            for fd, _ in ready:
                self._read_child(fd)
            for sink in (self._stdout, self._stderr):
                waits_since_s = time.monotonic()
                while sink.full and self._written_on(sink):
                    pass
                deadline += time.monotonic() - waits_since_s

    def _written_on(self, sink: Sink) -> bool:
        """Wait for whoever reads our output; False when nobody does, or a signal has ended the waiting."""
        if sink.closed or self._hurried:
            return False
        for fd, _ in Waiting({sink.fd: WRITE, self._wakeup.fileno(): READ}).ready(None):
            if fd == sink.fd:
                sink.flush()
            else:
                self._hurried = any(number in _FORWARDED for number in self._wakeup.take())
        return True

    def _finish(self, exited: Exited) -> Outcome:
        now_s = time.monotonic()
        self._log.ended(exited.code, exited.signal, now_s)
        if exited.signal is not None and self._terminal is not None:
            self._stdout.write(undo_modes(self._log.tail(MODES_TAIL_BYTES)))
        self._link.finished = True
        self._link.finish(exited.code, exited.signal, self._look())
        for sink in (self._stdout, self._stderr):
            while sink.waiting and self._written_on(sink):
                pass
        if self._was_watched:
            self._await_report(time.monotonic() + REPORT_WAIT_S)
        outcome = Outcome(exited, self._log.end, now_s - self._started_s, self._link.restarts, self._report, self._log.broken)
        self._link.close()
        self._lanes.close()
        self._stdout.close()
        self._stderr.close()
        return outcome

    def _await_report(self, deadline_s: float) -> None:
        while not self._report and self._link.fileno() >= 0 and (left := deadline_s - time.monotonic()) > 0:
            wanted = {self._link.fileno(): READ | (WRITE if self._link.wants_to_write else 0)}
            for _, events in Waiting(wanted).ready(left):
                self._uplink(events)


def original_environment(environ: Mapping[str, str], session: str) -> dict[str, str]:
    """The child's environment: ``environ`` (without our secrets) and the names that tell it where it runs."""
    inherited = {name: value for name, value in environ.items() if name != "CODEWRAP_NAME"}  # that one is taken now
    return {**inherited, "CODEWRAP": "1", "CODEWRAP_SESSION": session}
