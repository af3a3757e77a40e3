"""Real commands on real terminals and pipes: how they start, what they find, how they stop, go on and end."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from codewrap.errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, CommandError, CommandNotExecutable, CommandNotFound, NoRoom
from codewrap.protocol.geometry import Size
from codewrap.terminal.child import (
    Child,
    Exited,
    PtyOptions,
    Stopped,
    get_size,
    set_size,
    start_on_pipes,
    start_on_pty,
    start_unattended,
)
from codewrap.terminal.wakeup import SignalWakeup
from tests.support.ptydriver import eventually

DEADLINE_S = 20.0
SIZE = Size(rows=24, cols=80)
Start = Callable[[Sequence[str]], Child]
STARTS = ["on pipes", "on a terminal", "under a monitor"]


def leader(command: Sequence[str], **options: object) -> Child:
    return start_on_pty(command, os.environ, PtyOptions(SIZE, **options))  # type: ignore[arg-type]


def monitored(command: Sequence[str]) -> Child:
    return leader(command, job_control=True)


@pytest.fixture
def started() -> Iterator[list[Child]]:
    """Whatever a test starts is killed and closed."""
    children: list[Child] = []
    yield children
    for child in children:
        if not isinstance(child.poll(), Exited):
            child.signal(signal.SIGKILL)
            ended(child)
        child.close()


@pytest.fixture
def keep(started: list[Child]) -> Callable[[Child], Child]:
    def note(child: Child) -> Child:
        started.append(child)
        return child

    return note


@pytest.fixture(params=STARTS)
def start(request: pytest.FixtureRequest, keep: Callable[[Child], Child]) -> Start:
    if request.param == STARTS[0]:
        return lambda command: keep(start_on_pipes(command, os.environ))
    return lambda command: keep(leader(command, job_control=request.param == STARTS[2]))


def ended(child: Child) -> Exited:
    eventually(lambda: isinstance(child.poll(), Exited), "the command's end", DEADLINE_S)
    exited = child.poll()
    assert isinstance(exited, Exited)
    return exited


def change(child: Child) -> Exited | Stopped:
    """The next thing that becomes of the command."""
    found: list[Exited | Stopped | None] = [None]

    def look() -> bool:
        found[0] = child.poll()
        return found[0] is not None

    eventually(look, "a change", DEADLINE_S)
    assert found[0] is not None
    return found[0]


def read_until(fd: int, wanted: bytes = b"") -> bytes:
    """Up to ``wanted``, or all of it up to the end."""
    data, deadline = b"", time.monotonic() + DEADLINE_S
    while not wanted or wanted not in data:
        assert select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0], data
        try:
            block = os.read(fd, 65_536)
        except OSError as error:
            assert error.errno == errno.EIO
            block = b""
        if not block:
            assert not wanted, data
            return data
        data += block
    return data


def output(child: Child) -> bytes:
    """All that it writes."""
    ended(child)
    child.close_slave()
    return read_until(child.terminal_fd if child.on_terminal else child.stdout_fd)


def open_descriptors() -> set[int]:
    found = set()
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            os.fstat(fd)  # that of the listing is closed
            found.add(fd)
    return found


# -- starting ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def unstartable(tmp_path: Path) -> Path:
    (tmp_path / "directory").mkdir()
    (tmp_path / "plain").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "garbage").write_bytes(b"\x7fnot a program")
    (tmp_path / "garbage").chmod(0o755)
    (tmp_path / "orphan").write_text("#!/no/such/interpreter\n", encoding="utf-8")
    (tmp_path / "orphan").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "kind", "said"),
    [
        (["no-such-command-anywhere"], CommandNotFound, "no-such-command-anywhere: command not found"),
        (["{}/nothing"], CommandNotFound, "command not found"),
        (["{}/plain/below"], CommandNotFound, "command not found"),
        (["{}/orphan"], CommandNotFound, "command not found"),
        (["{}/plain"], CommandNotExecutable, "cannot be executed: permission denied"),
        (["{}/directory"], CommandNotExecutable, "cannot be executed: permission denied"),
        (["{}/garbage"], CommandNotExecutable, "cannot be executed: exec format error"),
        (["true", "\x00"], CommandNotExecutable, "cannot be executed: invalid argument"),
        (["true", "x" * 3_000_000], CommandNotExecutable, "cannot be executed: argument list too long"),
    ],
    ids=["name", "path", "below a file", "interpreter", "mode", "directory", "format", "nul", "size"],
)
def test_a_command_that_cannot_be_started_is_told_and_leaves_nothing(
    start: Start, unstartable: Path, command: list[str], kind: type[CommandError], said: str
) -> None:
    gc.collect()  # what tests before this one have left is not to be closed meanwhile
    descriptors, processes = open_descriptors(), psutil.Process().children()
    with pytest.raises(kind) as caught:
        start([word.format(unstartable) for word in command])
    assert str(caught.value).endswith(said)
    assert caught.value.exit_status == (EXIT_NOT_FOUND if kind is CommandNotFound else EXIT_NOT_EXECUTABLE)
    assert open_descriptors() == descriptors
    assert psutil.Process().children() == processes


def refuse() -> int:
    """As fork(2) and openpty(3) where a limit is reached."""
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def test_a_system_without_room_for_another_process_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()
    descriptors = open_descriptors()
    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(NoRoom, match="true: cannot be started: resource temporarily unavailable"):
        start(["true"])
    assert open_descriptors() == descriptors


def test_a_system_without_room_for_another_terminal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "openpty", refuse)
    with pytest.raises(NoRoom, match="true: cannot be started"):
        leader(["true"])


def test_commands_are_looked_for_on_their_own_path(tmp_path: Path, keep: Callable[[Child], Child]) -> None:
    (tmp_path / "mine").write_text("#!/bin/sh\necho found $WORD\n", encoding="utf-8")
    (tmp_path / "mine").chmod(0o755)
    child = keep(start_on_pipes(["mine"], {"PATH": str(tmp_path), "WORD": "it"}))
    assert output(child) == b"found it\n"


def test_on_pipes_the_three_streams_are_apart(keep: Callable[[Child], Child]) -> None:
    child = keep(start_on_pipes(["sh", "-c", "cat; echo problem >&2"], os.environ))
    assert (child.on_terminal, child.group, child.input_fd) == (False, False, child.stdin_fd)
    os.write(child.input_fd, b"to and fro")
    child.close_stdin()
    assert child.input_fd == -1
    assert read_until(child.stdout_fd) == b"to and fro"
    assert read_until(child.stderr_fd) == b"problem\n"
    assert ended(child) == Exited(0, None)


def test_on_pipes_the_command_stays_in_our_process_group(keep: Callable[[Child], Child]) -> None:
    child = keep(start_on_pipes(["cat"], os.environ))
    assert os.getpgid(child.pid) == os.getpgrp()


def test_no_descriptor_of_ours_blocks(start: Start) -> None:
    child = start(["cat"])
    fds = [fd for fd in (child.terminal_fd, child.stdin_fd, child.stdout_fd, child.stderr_fd) if fd >= 0]
    assert not any(os.get_blocking(fd) for fd in fds)
    assert not any(os.get_inheritable(fd) for fd in fds)


@pytest.mark.parametrize("under", [leader, monitored])
def test_on_a_terminal_the_command_has_it_and_its_foreground(
    under: Callable[[Sequence[str]], Child], keep: Callable[[Child], Child]
) -> None:
    child = keep(
        under(["sh", "-c", "test -t 0 && test -t 1 && test -t 2 && (: </dev/tty) && tty && read line && echo got $line"])
    )
    assert read_until(child.terminal_fd, b"/dev/pts/")
    assert os.getpgid(child.pid) == child.pid
    assert os.tcgetpgrp(child.terminal_fd) == child.pid
    os.write(child.terminal_fd, b"it\n")
    read_until(child.terminal_fd, b"got it\r\n")
    assert ended(child) == Exited(0, None)


@pytest.mark.parametrize("job_control", [False, True])
def test_stderr_can_be_apart_from_the_terminal(job_control: bool, keep: Callable[[Child], Child]) -> None:
    child = keep(leader(["sh", "-c", "echo out; echo err >&2"], job_control=job_control, stderr_apart=True))
    assert output(child) == b"out\r\n"
    assert read_until(child.stderr_fd) == b"err\n"


def test_the_terminal_begins_with_the_size_and_settings_it_is_given(keep: Callable[[Child], Child]) -> None:
    master, slave = os.openpty()
    attributes = termios.tcgetattr(slave)
    os.close(master)
    os.close(slave)
    attributes[3] &= ~termios.ECHO
    child = keep(start_on_pty(["stty", "-a"], os.environ, PtyOptions(Size(rows=50, cols=132), attributes)))
    shown = output(child)
    assert b"rows 50; columns 132" in shown
    assert b" -echo " in shown


def test_a_new_size_is_told_to_the_command(keep: Callable[[Child], Child]) -> None:
    child = keep(monitored(["sh", "-c", "trap 'stty size; exit 0' WINCH; echo ready; sleep 60 & wait"]))
    read_until(child.terminal_fd, b"ready")
    child.resize(Size(rows=10, cols=20))
    read_until(child.terminal_fd, b"10 20\r\n")
    assert ended(child) == Exited(0, None)


def test_sizes_are_asked_for_where_there_is_no_terminal_or_it_is_gone(keep: Callable[[Child], Child]) -> None:
    read_end, write_end = os.pipe()
    master, slave = os.openpty()
    try:
        assert get_size(read_end) is None
        assert get_size(slave) is None, "a new terminal knows no size"
        set_size(slave, SIZE)
        assert get_size(master) == SIZE
        with pytest.raises(OSError, match="ioctl"):
            set_size(read_end, SIZE)
    finally:
        for fd in (read_end, write_end, master, slave):
            os.close(fd)
    assert get_size(slave) is None
    piped = keep(start_on_pipes(["true"], os.environ))
    piped.resize(SIZE)
    ended(piped)
    closed = keep(leader(["true"]))
    ended(closed)
    fd = closed.terminal_fd
    os.close(fd)
    closed.resize(SIZE)
    closed.terminal_fd = -1


# -- what the command finds --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def ignoring(numbers: set[signal.Signals]) -> Iterator[None]:
    old = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, before in old.items():
            signal.signal(number, before)


def ignored_by(shown: bytes) -> set[int]:
    mask = int(shown.split(b"SigIgn:")[1].split()[0], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


STATUS = ["grep", "-E", "Sig(Ign|Blk|Cgt)", "/proc/self/status"]


@pytest.mark.parametrize(
    "ignored",
    [
        set(),
        {signal.SIGHUP},
        {signal.SIGINT, signal.SIGQUIT},
        {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU},
        {signal.SIGTERM, signal.SIGUSR1},
    ],
    ids=["none", "nohup", "background", "no job control", "others"],
)
def test_the_command_ignores_what_was_ignored_before_and_nothing_else(start: Start, ignored: set[signal.Signals]) -> None:
    with ignoring(ignored):
        bare = subprocess.run(STATUS, stdout=subprocess.PIPE, check=True).stdout
        shown = output(start(STATUS))
    assert ignored_by(shown) == ignored_by(bare) >= ignored
    assert not ignored_by(shown) & {signal.SIGPIPE, signal.SIGXFSZ}
    assert shown.replace(b"\r", b"") == bare


def test_a_command_writes_into_a_closed_pipe_and_dies_as_without_us(start: Start) -> None:
    child = start(["bash", "-c", "yes | true; echo ${PIPESTATUS[0]}"])
    assert output(child).strip() == b"141"


def test_descriptors_that_we_were_given_are_handed_on_and_ours_are_not(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "given"
    path.write_text("given\n", encoding="utf-8")
    given, ours = os.open(path, os.O_RDONLY), os.open(path, os.O_RDONLY)
    os.set_inheritable(given, True)
    try:
        expected = {fd for fd in open_descriptors() if os.get_inheritable(fd)} | {0, 1, 2}
        child = start(["ls", "/proc/self/fd"])
        found = {int(word) for word in output(child).split()}
        assert found >= expected
        assert len(found - expected) == 1, "the directory that ls reads"
    finally:
        os.close(given)
        os.close(ours)


def test_the_monitor_keeps_nothing_open_but_its_report(keep: Callable[[Child], Child]) -> None:
    """Whatever it held would keep a reader of our output waiting, or the terminal of a host that died."""
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    child = keep(monitored(["bash", "-c", f"exec {write_end}>&-; cat"]))
    os.close(write_end)
    eventually(lambda: len(os.listdir(f"/proc/{child.waited_pid}/fd")) == 1, "one descriptor", DEADLINE_S)
    assert read_until(read_end) == b""
    os.close(read_end)


WITHOUT_STDIN = """
import os, sys
os.close(0)
from codewrap.terminal.child import start_on_pipes
child = start_on_pipes(["cat"], os.environ)
os.write(child.stdin_fd, b"text")
child.close_stdin()
os.waitpid(child.pid, 0)
os.write(1, os.read(child.stdout_fd, 100))
"""


def test_a_command_has_its_stdin_where_we_have_none() -> None:
    """The pipe got the free number 0, and dup2 onto itself left it to be closed at exec."""
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_STDIN], capture_output=True, cwd=Path(__file__).parents[2], check=False
    )
    assert (result.stdout, result.stderr) == (b"text", b"")


# -- how it ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "exited", "status"),
    [
        ("exit 0", Exited(0, None), 0),
        ("exit 3", Exited(3, None), 3),
        ("exit 255", Exited(255, None), 255),
        ("kill -TERM $$", Exited(None, signal.SIGTERM), 143),
        ("kill -KILL $$", Exited(None, signal.SIGKILL), 137),
    ],
)
def test_the_end_is_told_as_it_was_and_as_often_as_asked(start: Start, script: str, exited: Exited, status: int) -> None:
    child = start(["sh", "-c", script])
    assert [ended(child) for _ in range(3)] == [exited] * 3
    assert exited.status == status
    child.signal(signal.SIGTERM)
    assert not psutil.pid_exists(child.waited_pid), "no zombie is left"


def test_while_it_runs_there_is_nothing_to_tell(start: Start) -> None:
    child = start(["cat"])
    assert child.poll() is None
    child.signal(signal.SIGTERM)
    assert ended(child) == Exited(None, signal.SIGTERM)


def test_a_signal_reaches_the_whole_group_of_a_terminal(keep: Callable[[Child], Child]) -> None:
    child = keep(monitored(["sh", "-c", "sleep 60 & echo $! ready; wait"]))
    sleeper = int(read_until(child.terminal_fd, b"ready").split()[0])
    child.signal(signal.SIGKILL)
    assert ended(child) == Exited(None, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(sleeper) or psutil.Process(sleeper).status() == "zombie", "its end", DEADLINE_S)


def test_a_stopped_command_is_told_goes_on_and_ends(start: Start) -> None:
    child = start(["sh", "-c", "kill -STOP $$; exit 5"])
    assert change(child) == Stopped(signal.SIGSTOP)
    assert child.poll() is None
    child.signal(signal.SIGCONT)
    assert change(child) == Exited(5, None)


def test_ctrl_z_stops_a_command_under_a_monitor_and_wakes_the_host(keep: Callable[[Child], Child]) -> None:
    """The monitor told its pipe and nobody listened: `codewrap run vim`, Ctrl-Z, and the shell never came back."""
    with SignalWakeup([signal.SIGCHLD]) as wakeup:
        child = keep(monitored(["sh", "-c", "echo ready; exec cat"]))
        read_until(child.terminal_fd, b"ready")
        for _ in range(2):
            wakeup.take()
            os.write(child.terminal_fd, b"\x1a")
            assert select.select([wakeup], [], [], DEADLINE_S)[0], "no signal"
            assert change(child) == Stopped(signal.SIGTSTP)
            child.signal(signal.SIGCONT)
        os.write(child.terminal_fd, b"still here\n")
        read_until(child.terminal_fd, b"still here\r\nstill here\r\n")
        os.write(child.terminal_fd, b"\x04")
        assert ended(child) == Exited(0, None)


def test_of_a_stop_and_the_end_after_it_the_end_is_told(keep: Callable[[Child], Child]) -> None:
    """Both stood in the pipe, the first was read, and no second signal came to look for the other."""
    child = keep(monitored(["sh", "-c", "kill -STOP $$"]))
    eventually(lambda: psutil.Process(child.pid).status() == "stopped", "the stop", DEADLINE_S)
    child.signal(signal.SIGKILL)
    eventually(lambda: psutil.Process(child.waited_pid).status() == "zombie", "the monitor's end", DEADLINE_S)
    assert child.poll() == Exited(None, signal.SIGKILL)


def test_a_monitor_that_is_killed_ends_the_command_and_the_wait_for_it(keep: Callable[[Child], Child]) -> None:
    child = keep(monitored(["cat"]))
    os.kill(child.waited_pid, signal.SIGKILL)
    assert ended(child) == Exited(None, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(child.pid) or psutil.Process(child.pid).status() == "zombie", "its end", DEADLINE_S)


def test_a_monitor_that_somebody_else_waited_for_does_not_hold_us_up(keep: Callable[[Child], Child]) -> None:
    child = keep(monitored(["cat"]))
    os.kill(child.waited_pid, signal.SIGKILL)
    os.waitpid(child.waited_pid, 0)
    assert ended(child) == Exited(None, signal.SIGKILL)


def test_a_command_that_somebody_else_waited_for_does_not_hold_us_up(keep: Callable[[Child], Child]) -> None:
    child = keep(leader(["true"]))
    os.waitpid(child.pid, 0)
    assert isinstance(ended(child), Exited)


HANG_UP = "trap 'echo hung up > {}; exit 0' HUP; echo ready; {}; sleep 60 & wait"


@pytest.mark.parametrize("first", [":", "kill -STOP $$"], ids=["running", "stopped"])
@pytest.mark.parametrize("under", [leader, monitored])
def test_a_terminal_that_is_gone_hangs_up_on_the_command(
    under: Callable[[Sequence[str]], Child], first: str, keep: Callable[[Child], Child], tmp_path: Path
) -> None:
    child = keep(under(["sh", "-c", HANG_UP.format(tmp_path / "told", first)]))
    read_until(child.terminal_fd, b"ready")
    if first != ":":
        assert change(child) == Stopped(signal.SIGSTOP)
    os.close(child.terminal_fd)
    child.terminal_fd = -1
    child.close_slave()
    eventually(lambda: (tmp_path / "told").exists(), "the command hears of it", DEADLINE_S)
    assert ended(child) == Exited(0, None)


def test_the_monitor_passes_a_hang_up_of_its_own_on(keep: Callable[[Child], Child], tmp_path: Path) -> None:
    child = keep(monitored(["sh", "-c", HANG_UP.format(tmp_path / "told", ":")]))
    read_until(child.terminal_fd, b"ready")
    os.kill(child.waited_pid, signal.SIGHUP)
    assert ended(child) == Exited(0, None)
    assert (tmp_path / "told").exists()


def test_under_nohup_a_hang_up_is_not_passed_on(keep: Callable[[Child], Child]) -> None:
    with ignoring({signal.SIGHUP}):
        child = keep(monitored(["sh", "-c", "echo ready; read line; exit 7"]))
    read_until(child.terminal_fd, b"ready")
    os.kill(child.waited_pid, signal.SIGHUP)
    os.write(child.terminal_fd, b"\n")
    assert ended(child) == Exited(7, None)


def test_the_monitor_ignores_what_the_keyboard_sends(keep: Callable[[Child], Child]) -> None:
    child = keep(monitored(["cat"]))
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP):
        os.kill(child.waited_pid, number)
    os.write(child.terminal_fd, b"\x03")
    assert ended(child) == Exited(None, signal.SIGINT)


HOST_THAT_DIES = """
import os, select, signal, sys
from codewrap.protocol.geometry import Size
from codewrap.terminal.child import PtyOptions, start_on_pty
child = start_on_pty(["sh", "-c", sys.argv[1]], os.environ, PtyOptions(Size(24, 80), job_control=True))
select.select([child.terminal_fd], [], [], 10)
assert os.read(child.terminal_fd, 100).strip() == b"ready"
print(child.pid, child.waited_pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_host_that_is_killed_takes_neither_status_nor_processes_with_it(tmp_path: Path) -> None:
    script = HANG_UP.format(tmp_path / "told", ":")
    command = [sys.executable, "-c", HOST_THAT_DIES, script]
    result = subprocess.run(command, capture_output=True, cwd=Path(__file__).parents[2], timeout=DEADLINE_S, check=False)
    assert result.returncode == -signal.SIGKILL, result.stderr
    pids = [int(word) for word in result.stdout.split()]
    assert len(pids) == 2
    eventually(lambda: (tmp_path / "told").exists(), "the command hears of it", DEADLINE_S)
    eventually(lambda: not any(map(psutil.pid_exists, pids)), "both are gone", DEADLINE_S)


def test_what_was_written_before_the_end_is_read_to_the_last_byte(keep: Callable[[Child], Child]) -> None:
    tool = shutil.which("seq")
    assert tool is not None
    child = keep(monitored([tool, "500"]))
    assert output(child) == b"".join(b"%d\r\n" % number for number in range(1, 501))


def test_what_nobody_attends_to_has_a_session_of_its_own_and_nothing_else(tmp_path: Path) -> None:
    found = tmp_path / "found"
    streams = "readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2"
    script = f"({streams}; ps -o sid= -p $$) > {found}"
    pid = start_unattended(["sh", "-c", script], os.environ)
    assert os.waitpid(pid, 0)[1] == 0
    assert found.read_text().split() == [os.devnull, os.devnull, os.devnull, str(pid)]


def test_what_nobody_attends_to_is_told_of_where_it_cannot_start() -> None:
    before = open_descriptors()
    with pytest.raises(CommandNotFound):
        start_unattended(["no-such-command-anywhere"], os.environ)
    assert open_descriptors() == before


def test_closing_gives_every_descriptor_back(start: Start) -> None:
    before = open_descriptors()
    child = start(["true"])
    ended(child)
    child.close()
    child.close()
    assert open_descriptors() == before
