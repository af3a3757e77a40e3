"""The wrapped command: started on a PTY or on pipes, waited for, signalled. Owns its descriptors; reads and writes nothing.

On a terminal with job control a small *monitor* process leads the new session and the command has a process group of its own
below it. Without it the command's group would be orphaned and the kernel would drop the stop signal of Ctrl-Z (POSIX, "Orphaned
Process Group"); with it `codewrap run vim` can be suspended and taken up again as without codewrap.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from codewrap.errors import CommandError, CommandNotExecutable, CommandNotFound, NoRoom
from codewrap.protocol.geometry import Size

# Python ignores these at start-up; a command must find them as it would have without us.
_RESTORED_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
_MONITOR_IGNORES = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


@dataclass(frozen=True, slots=True)
class Exited:
    """How the command ended: exit ``code``, or the ``signal`` that killed it."""

    code: int | None
    signal: int | None

    @property
    def status(self) -> int:
        """As a shell shows it: the code, or 128 + signal."""
        return 128 + self.signal if self.signal is not None else (self.code or 0)


@dataclass(frozen=True, slots=True)
class Stopped:
    """The command was stopped by ``signal`` (job control)."""

    signal: int


@dataclass(slots=True)
class Child:
    """A running command. Descriptors are -1 where there is none; on a PTY stdin and stdout are the same ``terminal_fd``."""

    pid: int
    terminal_fd: int = -1
    stdin_fd: int = -1
    stdout_fd: int = -1
    stderr_fd: int = -1
    group: bool = True
    _slave_fd: int = -1
    _monitor_pid: int = -1
    _status_fd: int = -1
    _exited: Exited | None = field(default=None)

    @property
    def on_terminal(self) -> bool:
        """Whether the command has a PTY."""
        return self.terminal_fd >= 0

    @property
    def input_fd(self) -> int:
        """Where keystrokes are written; -1 once closed."""
        return self.terminal_fd if self.on_terminal else self.stdin_fd

    @property
    def waited_pid(self) -> int:
        """Our direct child process: the command, or its monitor."""
        return self._monitor_pid if self._monitor_pid > 0 else self.pid

    def poll(self) -> Exited | Stopped | None:
        """What became of the command since the last call. Never blocks; `Exited` is returned at each call once it ended."""
        if self._exited is not None:
            return self._exited
        return self._poll_monitor() if self._monitor_pid > 0 else self._poll_command()

    def signal(self, number: int) -> None:
        """Send a signal to the command (its process group where it has one). A command that is gone is not an error."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)

    def resize(self, size: Size) -> None:
        """Set the PTY's size; the kernel tells the foreground group by SIGWINCH when it changed."""
        if self.on_terminal:
            with contextlib.suppress(OSError):
                set_size(self.terminal_fd, size)

    def close_slave(self) -> None:
        """Let the PTY end: after the command's exit, so that what it still holds is read up to the end and no further."""
        self._slave_fd = _closed(self._slave_fd)

    def close_stdin(self) -> None:
        """The command reads end of file (pipes only)."""
        self.stdin_fd = _closed(self.stdin_fd)

    def close_output(self, fd: int) -> None:
        """Nobody reads this stream any more: the command gets SIGPIPE when it writes on (pipes only)."""
        if fd == self.stdout_fd:
            self.stdout_fd = _closed(fd)
        elif fd == self.stderr_fd:
            self.stderr_fd = _closed(fd)

    def close(self) -> None:
        """Close every descriptor."""
        self.close_slave()
        self.close_stdin()
        self.terminal_fd = _closed(self.terminal_fd)
        self.stdout_fd = _closed(self.stdout_fd)
        self.stderr_fd = _closed(self.stderr_fd)
        self._status_fd = _closed(self._status_fd)

    def _poll_command(self) -> Exited | Stopped | None:
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            pid, status = self.pid, 0
        if pid == 0:
            return None
        return self._note(status)

    def _poll_monitor(self) -> Exited | Stopped | None:
        told = self._told_by_monitor()
        if isinstance(told, Exited):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._monitor_pid, 0)
        if told is not None:
            return told
        try:
            pid, status = os.waitpid(self._monitor_pid, os.WNOHANG)
        except ChildProcessError:
            pid, status = self._monitor_pid, int(signal.SIGKILL)
        if pid == 0:
            return None
        told = self._told_by_monitor()  # it may have spoken between the two looks
        if isinstance(told, Exited):
            return told
        return self._note(status)  # the monitor was killed: its end is all that can be known of the command's

    def _told_by_monitor(self) -> Exited | Stopped | None:
        """The last word: of a stop that the end followed, the end counts."""
        with contextlib.suppress(BlockingIOError):
            words = os.read(self._status_fd, 4096)
            if words:
                return self._note(struct.unpack("=i", words[-4:])[0])
        return None

    def _note(self, status: int) -> Exited | Stopped:
        if os.WIFSTOPPED(status):
            return Stopped(os.WSTOPSIG(status))
        if os.WIFSIGNALED(status):
            self._exited = Exited(None, os.WTERMSIG(status))
        else:
            self._exited = Exited(os.WEXITSTATUS(status), None)
        return self._exited


@dataclass(frozen=True, slots=True)
class PtyOptions:
    """How the PTY is made. ``attributes`` are termios settings to begin with; ``stderr_apart`` gives stderr a pipe."""

    size: Size
    attributes: list[object] | None = None
    job_control: bool = False
    stderr_apart: bool = False


def start_on_pty(command: Sequence[str], environ: Mapping[str, str], options: PtyOptions) -> Child:
    """Start ``command`` on a new PTY. Raises CommandNotFound, CommandNotExecutable or NoRoom, and nothing runs then."""
    try:
        master, slave = os.openpty()
    except OSError as error:
        raise NoRoom(command[0], error) from error
    if options.attributes is not None:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(slave, termios.TCSANOW, options.attributes)  # type: ignore[arg-type]
    set_size(slave, options.size)
    err_read, err_write = os.pipe() if options.stderr_apart else (-1, -1)
    fds = (slave, slave, err_write if options.stderr_apart else slave)
    launch = _Launch(command, environ, fds, slave)
    try:
        pid, monitor, status_fd = launch.under_monitor() if options.job_control else launch.as_leader()
    except CommandError:
        for fd in (master, slave, err_read, err_write):
            _closed(fd)
        raise
    _closed(err_write)
    os.set_blocking(master, False)
    return Child(pid, terminal_fd=master, stderr_fd=err_read, _slave_fd=slave, _monitor_pid=monitor, _status_fd=status_fd)


def start_on_pipes(command: Sequence[str], environ: Mapping[str, str]) -> Child:
    """Start ``command`` with three pipes, in our own process group (Ctrl-C reaches it as before). Raises CommandError."""
    (in_read, in_write), (out_read, out_write), (err_read, err_write) = os.pipe(), os.pipe(), os.pipe()
    try:
        pid, _, _ = _Launch(command, environ, (in_read, out_write, err_write), -1).in_our_group()
    except CommandError:
        for fd in (in_write, out_read, err_read):
            _closed(fd)
        raise
    finally:
        for fd in (in_read, out_write, err_write):
            _closed(fd)
    for fd in (in_write, out_read, err_read):
        os.set_blocking(fd, False)
    return Child(pid, stdin_fd=in_write, stdout_fd=out_read, stderr_fd=err_read, group=False)


def start_unattended(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Start ``command`` in a session of its own, with nothing to read and nobody who reads it; its pid. Raises CommandError."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        return _Launch(command, environ, (null, null, null), -1).apart()
    finally:
        os.close(null)


def replace_process(command: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Become ``command``: for when it can be run and nothing else can. Raises CommandError."""
    for ignored in _RESTORED_SIGNALS:
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvpe(command[0], list(command), dict(environ))  # noqa: S606 - no shell is wanted
    except (OSError, ValueError) as error:
        raise _exec_error(command[0], getattr(error, "errno", None) or errno.EINVAL) from error


def set_size(fd: int, size: Size) -> None:
    """TIOCSWINSZ. Raises OSError."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.cols, 0, 0))


def get_size(fd: int) -> Size | None:
    """TIOCGWINSZ; None where ``fd`` is no terminal or does not know."""
    try:
        rows, cols, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return None
    return Size(rows=rows, cols=cols) if rows and cols else None


class _Launch:
    """One fork and exec; a close-on-exec pipe brings the error of exec home."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], fds: tuple[int, int, int], tty_fd: int) -> None:
        self._command = list(command)
        self._environ = dict(environ)
        self._fds = fds
        self._tty_fd = tty_fd
        # Under `nohup` and the like: the command must find them ignored as well.
        self._ignored = {number for number in _MONITOR_IGNORES if signal.getsignal(number) is signal.SIG_IGN}
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            self._ignored.add(signal.SIGHUP)

    def in_our_group(self) -> tuple[int, int, int]:
        return self._fork_command(lambda: None), -1, -1

    def apart(self) -> int:
        return self._fork_command(os.setsid)

    def as_leader(self) -> tuple[int, int, int]:
        return self._fork_command(self._lead_session), -1, -1

    def under_monitor(self) -> tuple[int, int, int]:
        """Fork the monitor, which forks the command; returns command pid, monitor pid and the status pipe."""
        status_read, status_write = os.pipe()
        result_read, result_write = os.pipe()
        monitor = self._fork(status_read, status_write, result_read, result_write)
        if monitor == 0:
            _Monitor(self, status_write, result_write).run()
        os.close(status_write)
        os.close(result_write)
        number, pid = struct.unpack("=ii", _read_all(result_read).ljust(8, b"\xff"))
        if number != 0:
            os.close(status_read)
            os.waitpid(monitor, 0)
            raise _exec_error(self._command[0], number)
        os.set_blocking(status_read, False)
        return pid, monitor, status_read

    def _lead_session(self) -> None:
        os.setsid()
        fcntl.ioctl(self._tty_fd, termios.TIOCSCTTY, 0)

    def lead_session(self) -> None:
        """For the monitor: become the session's leader with the PTY as its terminal."""
        self._lead_session()

    def fork_in_foreground(self) -> int:
        """For the monitor: the command in a process group of its own, which gets the terminal. Raises CommandError."""
        return self._fork_command(self._take_foreground)

    def _take_foreground(self) -> None:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a background group that takes the terminal would be stopped
        os.tcsetpgrp(self._tty_fd, os.getpid())
        for number in (*_MONITOR_IGNORES, signal.SIGHUP):
            if number not in self._ignored:
                signal.signal(number, signal.SIG_DFL)

    def _fork_command(self, prepare: object) -> int:
        error_read, error_write = os.pipe()
        pid = self._fork(error_read, error_write)
        if pid == 0:
            self._exec(prepare, error_write)
        os.close(error_write)
        report = _read_all(error_read)
        if report:
            os.waitpid(pid, 0)
            raise _exec_error(self._command[0], struct.unpack("=i", report)[0])
        return pid

    def _fork(self, *pipes: int) -> int:
        try:
            return os.fork()
        except OSError as error:
            for fd in pipes:
                _closed(fd)
            raise NoRoom(self._command[0], error) from error

    def _exec(self, prepare: object, error_fd: int) -> NoReturn:
        number = errno.EIO
        try:
            prepare()  # type: ignore[operator]
            for target, fd in enumerate(self._fds):
                os.dup2(fd, target)
                os.set_inheritable(target, True)  # dup2 of a descriptor to itself would leave it close-on-exec
            for ignored in _RESTORED_SIGNALS:
                signal.signal(ignored, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            os.execvpe(self._command[0], self._command, self._environ)  # noqa: S606 - no shell is wanted
        except OSError as error:
            number = error.errno or errno.EIO
        except ValueError:  # a NUL byte in the command or the environment
            number = errno.EINVAL
        finally:
            os.write(error_fd, struct.pack("=i", number))
            os._exit(127)


class _Monitor:
    """The session's leader above the command: waits, reports, passes a hang-up on. Never returns."""

    def __init__(self, launch: _Launch, status_fd: int, result_fd: int) -> None:
        self._launch = launch
        self._status_fd = status_fd
        self._result_fd = result_fd
        self._host_pid = os.getppid()
        self._pid = 0

    def run(self) -> NoReturn:
        code = 1
        try:
            self._start()
            self._watch()
            code = 0
        finally:
            os._exit(code)

    def _start(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ignored_hangup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        for ignored in _MONITOR_IGNORES:
            signal.signal(ignored, signal.SIG_IGN)
        number, pid = 0, 0
        try:
            self._launch.lead_session()
            pid = self._pid = self._launch.fork_in_foreground()
        except CommandNotFound:
            number = errno.ENOENT
        except CommandNotExecutable as error:
            number = int(error.args[2]) if len(error.args) > 2 else errno.EACCES
        except NoRoom as error:
            number = error.number or errno.EIO
        except OSError as error:
            number = error.errno or errno.EIO
        if not ignored_hangup:
            signal.signal(signal.SIGHUP, self._hang_up)
        os.write(self._result_fd, struct.pack("=ii", number, pid))
        os.close(self._result_fd)
        if number:
            os._exit(1)
        # Whatever is kept open here would keep a dead host's PTY, or a reader of our output, waiting.
        os.closerange(0, self._status_fd)
        os.closerange(self._status_fd + 1, os.sysconf("SC_OPEN_MAX"))

    def _hang_up(self, *_: object) -> None:
        # The terminal is gone (its host died): the kernel tells the session's leader only.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGHUP)
            os.killpg(self._pid, signal.SIGCONT)

    def _watch(self) -> None:
        while True:
            _, status = os.waitpid(self._pid, os.WUNTRACED)
            with contextlib.suppress(BrokenPipeError):
                os.write(self._status_fd, struct.pack("=i", status))
            if not os.WIFSTOPPED(status):
                return  # our own end wakes the host
            if os.getppid() == self._host_pid:
                os.kill(self._host_pid, signal.SIGCHLD)  # as the kernel would for a child of its own


def _exec_error(command: str, number: int) -> CommandError:
    if number in {errno.ENOENT, errno.ENOTDIR}:
        return CommandNotFound(command)
    if number in {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}:
        return NoRoom(command, OSError(number, os.strerror(number)))
    error = CommandNotExecutable(command, os.strerror(number).lower() if number > 0 else "it could not be started")
    error.args = (*error.args, number)
    return error


def _read_all(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 64):
        parts.append(part)
    os.close(fd)
    return b"".join(parts)


def _closed(fd: int) -> int:
    if fd >= 0:
        with contextlib.suppress(OSError):
            os.close(fd)
    return -1
