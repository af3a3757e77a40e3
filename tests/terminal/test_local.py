"""The terminal is left as it was found, whatever ends us; output never blocks, keeps its order and changes no shared flag."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from codewrap.terminal.local import MAX_PENDING_BYTES, PIPE_CHUNK, RESET_MODES, RawTerminal, Sink, restore, undo_modes
from tests.support.disk import files_ending_at
from tests.support.ptydriver import eventually

DEADLINE_S = 20.0
ROOT = Path(__file__).parents[2]
HEAD = "import os, signal, sys, termios\nfrom codewrap.terminal.local import RawTerminal\n"
WAITS = HEAD + "with RawTerminal(0, b'RESET'):\n    os.write(1, b'ready')\n    os.read(0, 1)\n"


class Pty:
    """A terminal whose open file is shared with the processes on it, as a shell's is."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        self.before = self.settings
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def settings(self) -> list[Any]:
        return termios.tcgetattr(self.slave)

    @property
    def is_raw(self) -> bool:
        return not self.settings[3] & termios.ICANON

    def run(self, script: str, *, until: bytes = b"") -> subprocess.Popen[bytes]:
        """A Python process on this terminal; wait until it has written ``until``."""
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=self.slave,
            stdout=self.slave,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )
        self._processes.append(process)
        if until:
            self.reads(until)
        return process

    def reads(self, wanted: bytes) -> bytes:
        data = b""
        deadline = time.monotonic() + DEADLINE_S
        while wanted not in data:
            assert select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))[0], data
            data += os.read(self.master, 4096)
        return data

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()
        for fd in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture
def pty() -> Iterator[Pty]:
    terminal = Pty()
    yield terminal
    terminal.close()


def guard_of(process: subprocess.Popen[bytes]) -> psutil.Process:
    (guard,) = psutil.Process(process.pid).children()
    return guard


def status(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    """Exit status, and what it said on stderr."""
    assert process.stderr is not None
    return process.wait(DEADLINE_S), process.stderr.read()


# -- raw mode ----------------------------------------------------------------------------------------------------------


def test_the_terminal_is_raw_inside_and_as_before_outside(pty: Pty) -> None:
    process = pty.run(WAITS, until=b"ready")
    assert pty.is_raw
    guard = guard_of(process)
    os.write(pty.master, b"x")
    assert status(process) == (0, b"")
    assert pty.settings == pty.before
    assert not guard.is_running() or guard.status() == "zombie"
    assert not select.select([pty.master], [], [], 0)[0], "nothing is reset where nothing went wrong"


def test_an_exception_leaves_the_terminal_as_before(pty: Pty) -> None:
    process = pty.run(HEAD + "with RawTerminal(0):\n    raise SystemExit(5)\n")
    assert status(process) == (5, b"")
    assert pty.settings == pty.before


def test_settings_are_given_back_for_a_while_and_taken_again(pty: Pty) -> None:
    script = HEAD + (
        "with RawTerminal(0) as terminal:\n"
        "    before = terminal.attributes\n"
        "    terminal.cooked()\n"
        "    assert termios.tcgetattr(0) == before\n"
        "    terminal.raw()\n"
        "    assert not termios.tcgetattr(0)[3] & termios.ICANON\n"
    )
    assert status(pty.run(script)) == (0, b"")
    assert pty.settings == pty.before


@pytest.mark.parametrize("stdin", [0, 5], ids=["stdin", "another descriptor"])
def test_a_process_that_is_killed_leaves_the_terminal_as_before(pty: Pty, stdin: int) -> None:
    script = WAITS if stdin == 0 else WAITS.replace("with", f"os.dup2(0, {stdin})\nwith").replace("(0, b'R", f"({stdin}, b'R")
    process = pty.run(script, until=b"ready")
    assert pty.is_raw
    guard = guard_of(process)
    process.kill()
    assert pty.reads(b"RESET").endswith(b"RESET")
    eventually(lambda: pty.settings == pty.before, "the settings", DEADLINE_S)
    eventually(lambda: not guard.is_running() or guard.status() == "zombie", "the guard's end", DEADLINE_S)
    assert os.get_blocking(pty.slave), "the shell would read EAGAIN"


def test_by_default_the_guard_resets_what_programs_leave_on(pty: Pty) -> None:
    process = pty.run(WAITS.replace(", b'RESET'", ""), until=b"ready")
    process.kill()
    assert pty.reads(RESET_MODES)


def test_a_guard_does_not_wait_for_a_terminal_that_takes_nothing(pty: Pty) -> None:
    process = pty.run(WAITS, until=b"ready")
    guard = guard_of(process)
    termios.tcflow(pty.slave, termios.TCOOFF)
    process.kill()
    eventually(lambda: pty.settings == pty.before, "the settings", DEADLINE_S)
    eventually(lambda: not guard.is_running() or guard.status() == "zombie", "the guard's end", DEADLINE_S)
    assert os.get_blocking(pty.slave)


def test_signals_for_everybody_do_not_end_the_guard(pty: Pty) -> None:
    process = pty.run(WAITS, until=b"ready")
    guard = guard_of(process)
    eventually(lambda: os.getsid(guard.pid) == guard.pid, "a session of its own", DEADLINE_S)
    eventually(lambda: len(os.listdir(f"/proc/{guard.pid}/fd")) == 2, "terminal and pipe alone", DEADLINE_S)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        guard.send_signal(number)
    process.kill()
    pty.reads(b"RESET")


def test_without_its_guard_the_terminal_is_restored_by_who_changed_it(pty: Pty) -> None:
    process = pty.run(WAITS + "os.write(1, b'%d' % len(os.listdir('/proc/self/fd')))\n", until=b"ready")
    guard_of(process).kill()
    os.write(pty.master, b"x")
    assert pty.reads(b"4").endswith(b"4"), "0, 1, 2 and the directory itself"
    assert status(process) == (0, b"")
    assert pty.settings == pty.before


def test_where_there_is_no_terminal_any_more_nothing_is_done_and_nobody_guards() -> None:
    read_end, write_end = os.pipe()
    before = psutil.Process().children()
    with RawTerminal(read_end) as terminal:
        terminal.cooked()
        terminal.raw()
        assert terminal.attributes == []
        assert psutil.Process().children() == before
    os.close(read_end)
    os.close(write_end)


def test_a_terminal_that_is_gone_is_no_error(pty: Pty) -> None:
    terminal = RawTerminal(pty.slave)
    os.close(pty.master)
    restore(pty.slave, pty.before)
    terminal.raw()
    with pytest.raises(termios.error):
        termios.tcgetattr(pty.slave)


def test_restoring_leaves_the_handler_of_its_signal(pty: Pty) -> None:
    old = signal.getsignal(signal.SIGTTOU)
    tty.setraw(pty.slave)
    restore(pty.slave, pty.before)
    assert pty.settings == pty.before
    assert signal.getsignal(signal.SIGTTOU) is old


@pytest.mark.parametrize(
    ("output", "undone"),
    [
        (b"", b""),
        (b"plain text\r\n", b""),
        (b"\x1b[?1049h\x1b[?25l drawing", b"\x1b[?1049l\x1b[?25h\x1b[0m"),
        (b"\x1b[?1000h\x1b[?1006h\x1b[?1000l", b"\x1b[?1006l\x1b[0m"),
        (b"\x1b[?2004h\x1b[?2004l\x1b[?25l\x1b[?25h", b""),
    ],
)
def test_only_what_was_left_on_is_undone(output: bytes, undone: bytes) -> None:
    assert undo_modes(output) == undone


# -- writing -----------------------------------------------------------------------------------------------------------


class End:
    """A descriptor to write to, and how to read what came out."""

    def __init__(self, write_fd: int, read_fd: int) -> None:
        self.write_fd, self.read_fd = write_fd, read_fd
        os.set_blocking(read_fd, False)

    def read(self) -> bytes:
        data = b""
        with contextlib.suppress(BlockingIOError, OSError):
            while block := os.read(self.read_fd, 65_536):
                data += block
        return data

    def close(self) -> None:
        for fd in (self.write_fd, self.read_fd):
            with contextlib.suppress(OSError):
                os.close(fd)


def opened(kind: str) -> End:
    if kind == "pipe":
        read_fd, write_fd = os.pipe()
    elif kind == "terminal":
        read_fd, write_fd = os.openpty()
        tty.setraw(write_fd)
    else:
        ours, theirs = socket.socketpair()
        read_fd, write_fd = theirs.detach(), ours.detach()
    return End(write_fd, read_fd)


@pytest.fixture(params=["pipe", "terminal", "socket"])
def end(request: pytest.FixtureRequest) -> Iterator[End]:
    made = opened(request.param)
    yield made
    made.close()


def pump(sink: Sink, end: End) -> bytes:
    """Flush as a loop would, and read along, until nothing waits."""
    data, deadline = b"", time.monotonic() + DEADLINE_S
    while sink.waiting:
        assert time.monotonic() < deadline
        if select.select([], [sink.fd], [], 0)[1]:
            sink.flush()
        data += end.read()
    return data + end.read()


def test_a_reader_that_does_not_read_never_blocks_us(end: End) -> None:
    sink = Sink(end.write_fd)
    data = random.Random(1).randbytes(2 * MAX_PENDING_BYTES)
    sink.write(data)
    assert sink.waiting
    assert sink.full
    for _ in range(200):
        if select.select([], [sink.fd], [], 0)[1]:
            sink.flush()
    assert sink.waiting
    assert pump(sink, end) == data
    assert not sink.full
    sink.close()


@pytest.mark.parametrize("seed", range(5))
def test_bytes_keep_their_order_whoever_is_slow(end: End, seed: int) -> None:
    rng = random.Random(seed)
    sink, sent, got = Sink(end.write_fd), b"", b""
    for _ in range(300):
        data = rng.randbytes(rng.choice([0, 1, 10, 5000, 40_000]))
        sink.write(data)
        sent += data
        if rng.random() < 0.3 and select.select([], [sink.fd], [], 0)[1]:
            sink.flush()
        if rng.random() < 0.2:
            got += end.read()
    got += pump(sink, end)
    assert got == sent, f"seed {seed}"
    sink.close()


def test_what_waits_stays_as_it_was_given(end: End) -> None:
    """The loop reads the next block into the same place."""
    sink = Sink(end.write_fd)
    block = bytearray(random.Random(2).randbytes(MAX_PENDING_BYTES))
    given = bytes(block)
    sink.write(memoryview(block))
    block[:] = bytes(len(block))
    assert pump(sink, end) == given
    sink.close()


def test_no_flag_of_the_shared_descriptor_changes(end: End) -> None:
    sink = Sink(end.write_fd)
    sink.write(bytes(2 * MAX_PENDING_BYTES))
    assert os.get_blocking(end.write_fd)
    sink.close()
    assert os.get_blocking(end.write_fd)
    os.fstat(end.write_fd)


@pytest.mark.parametrize("waiting", [False, True], ids=["at once", "while something waits"])
def test_without_a_reader_all_is_dropped(end: End, waiting: bool) -> None:
    """The queue was emptied under the hand that held its first item: `codewrap run yes | head -1` ended in an IndexError."""
    sink = Sink(end.write_fd)
    if waiting:
        sink.write(bytes(2 * MAX_PENDING_BYTES))
        assert sink.waiting
    os.close(end.read_fd)
    sink.write(b"more")
    sink.flush()
    assert sink.closed
    assert not sink.waiting
    assert not sink.full
    sink.write(b"and more")
    sink.flush()
    sink.drain(0)
    assert not sink.waiting
    sink.close()


def test_small_writes_to_a_pipe_or_terminal_leave_at_once() -> None:
    for kind in ("pipe", "terminal"):
        end = opened(kind)
        sink = Sink(end.write_fd)
        sink.write(b"text")
        assert not sink.waiting
        assert end.read() == b"text"
        sink.close()
        end.close()


def test_what_cannot_be_opened_anew_is_written_in_pieces_that_do_not_block() -> None:
    end = opened("socket")
    sink = Sink(end.write_fd)
    assert sink.fd == end.write_fd
    data = random.Random(2).randbytes(PIPE_CHUNK * 2 + 5)
    sink.write(data)
    assert end.read() == b""
    for size in (PIPE_CHUNK, PIPE_CHUNK, 5):
        sink.flush()
        assert len(end.read()) == size
    assert not sink.waiting
    end.close()


def test_a_file_is_written_at_once_where_others_write_too(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    sink = Sink(fd)
    sink.write(b"one ")
    os.write(fd, b"two ")
    sink.write(b"three")
    assert not sink.waiting
    sink.close()
    os.write(fd, b" four")
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"one two three four"


def test_where_nothing_is_kept_all_is_written_at_once() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        sink = Sink(null)
        sink.write(bytes(10 * PIPE_CHUNK))
        assert not sink.waiting
        assert not sink.closed
    finally:
        os.close(null)


def test_a_disk_that_is_full_ends_the_sink_and_not_us(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    with files_ending_at(100):
        sink = Sink(fd)
        sink.write(bytes(300))
        sink.flush()
        sink.flush()
    os.close(fd)
    assert (tmp_path / "file").stat().st_size == 100
    assert sink.closed
    assert not sink.waiting


def test_a_descriptor_that_is_closed_is_nobody_who_reads() -> None:
    fd = os.dup(0)
    os.close(fd)
    sink = Sink(fd)
    sink.write(b"text")
    sink.flush()
    assert sink.closed
    assert not sink.waiting


def test_nothing_is_not_written() -> None:
    end = opened("pipe")
    sink = Sink(end.write_fd)
    sink.write(b"")
    sink.flush()
    assert not sink.waiting
    sink.close()
    end.close()


def test_draining_waits_for_a_slow_reader(end: End) -> None:
    sink = Sink(end.write_fd)
    data = random.Random(4).randbytes(MAX_PENDING_BYTES)
    sink.write(data)
    got: list[bytes] = []

    def read_all() -> None:
        while sum(map(len, got)) < len(data):
            select.select([end.read_fd], [], [], DEADLINE_S)
            got.append(end.read())

    reader = threading.Thread(target=read_all, daemon=True)
    reader.start()
    sink.drain(DEADLINE_S)
    assert not sink.waiting
    reader.join(DEADLINE_S)
    assert b"".join(got) == data
    sink.close()


def test_draining_gives_up_on_one_who_does_not_read(end: End) -> None:
    sink = Sink(end.write_fd)
    sink.write(bytes(2 * MAX_PENDING_BYTES))
    begun = time.monotonic()
    sink.drain(0.05)
    assert time.monotonic() - begun < DEADLINE_S / 2
    assert sink.waiting
    sink.close()


def test_draining_ends_when_the_reader_goes() -> None:
    end = opened("pipe")
    sink = Sink(end.write_fd)
    sink.write(bytes(2 * MAX_PENDING_BYTES))
    os.close(end.read_fd)
    begun = time.monotonic()
    sink.drain(DEADLINE_S)
    assert time.monotonic() - begun < DEADLINE_S / 2
    assert sink.closed
    sink.close()
    end.close()


def test_closing_gives_back_what_was_opened_and_nothing_else(end: End) -> None:
    opened_before = set(os.listdir("/proc/self/fd"))
    sink = Sink(end.write_fd)
    sink.close()
    sink.close()
    assert set(os.listdir("/proc/self/fd")) == opened_before
    os.fstat(end.write_fd)
