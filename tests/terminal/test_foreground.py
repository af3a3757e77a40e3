"""What the foreground waits for: told of real processes on a real terminal, and of a /proc that tells less."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from codewrap.protocol.geometry import Size
from codewrap.terminal.child import Child, PtyOptions, start_on_pty
from codewrap.terminal.foreground import Blocked, Foreground, foreground
from tests.support.ptydriver import eventually

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc of Linux")


@pytest.fixture
def start() -> Iterator[Callable[[Sequence[str]], Child]]:
    children: list[Child] = []

    def begin(command: Sequence[str]) -> Child:
        children.append(start_on_pty(command, dict(os.environ), PtyOptions(Size(rows=24, cols=80))))
        return children[-1]

    yield begin
    for child in children:
        child.signal(signal.SIGKILL)
        child.close()
        os.waitpid(child.waited_pid, 0)


def seen(child: Child) -> Foreground:
    return foreground(child.pid, os.tcgetpgrp(child.terminal_fd))


def becomes(child: Child, blocked: Blocked, program: str) -> None:
    eventually(lambda: seen(child) == Foreground(blocked, program), f"{program} {blocked.value}; it is {seen(child)}")


@linux
@pytest.mark.parametrize(
    ("command", "blocked", "program"),
    [
        (["cat"], Blocked.READS, "cat"),
        (["sleep", "100"], Blocked.BUSY, "sleep"),
        (["sh", "-c", "read answer; echo"], Blocked.READS, "sh"),
        (["sh", "-c", "sleep 100; echo"], Blocked.BUSY, "sh"),
        (["bash", "--norc", "--noprofile"], Blocked.POLLS, "bash"),
        ([sys.executable, "-c", "import getpass; getpass.getpass()"], Blocked.READS, Path(sys.executable).resolve().name),
        (["sh", "-c", "sleep 100 | cat"], Blocked.BUSY, "sh"),
        (["sh", "-c", "sleep 100 | (read answer < /dev/tty)"], Blocked.READS, "sh"),
        ([sys.executable, "-c", "while True: pass"], Blocked.BUSY, Path(sys.executable).resolve().name),
    ],
)
def test_real_program_is_told_for_what_it_does(
    start: Callable[[Sequence[str]], Child], command: list[str], blocked: Blocked, program: str
) -> None:
    child = start(command)
    eventually(lambda: seen(child).blocked is blocked, f"{command} {blocked.value}")
    assert seen(child).program[:6] == program[:6]


@linux
def test_job_of_a_shell_is_looked_at_and_not_the_shell(start: Callable[[Sequence[str]], Child]) -> None:
    child = start(["bash", "--norc", "--noprofile"])
    becomes(child, Blocked.POLLS, "bash")
    os.write(child.terminal_fd, b"sleep 100\n")
    becomes(child, Blocked.BUSY, "sleep")
    os.write(child.terminal_fd, b"\x03cat\n")
    becomes(child, Blocked.READS, "cat")


def test_process_that_is_gone_is_not_known() -> None:
    assert foreground(2**22 + 1, 2**22 + 1) == Foreground(Blocked.UNKNOWN)


class Proc:
    """A /proc in which a test says what may be read."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def process(self, pid: int, name: str, group: int = 10, state: str = "S", children: str = "") -> Path:
        thread = self.root / str(pid) / "task" / str(pid)
        thread.mkdir(parents=True)
        (self.root / str(pid) / "stat").write_text(f"{pid} ({name}) {state} 1 {group} {group} 0 {group} 0 0")
        (thread / "children").write_text(children)
        return thread

    def look(self, root_pid: int = 10, group: int = 10) -> Foreground:
        return foreground(root_pid, group, self.root)


@pytest.mark.parametrize(
    ("place", "blocked"),
    [
        ("n_tty_read", Blocked.READS),
        ("wait_woken", Blocked.READS),  # its stdin may not be looked at either
        ("do_wait", Blocked.BUSY),
        ("hrtimer_nanosleep", Blocked.BUSY),
        ("poll_schedule_timeout.constprop.0", Blocked.POLLS),
        ("ep_poll", Blocked.POLLS),
        ("0", Blocked.UNKNOWN),
        ("", Blocked.UNKNOWN),
        (None, Blocked.UNKNOWN),
    ],
)
def test_without_the_system_call_the_place_in_the_kernel_counts(tmp_path: Path, place: str | None, blocked: Blocked) -> None:
    proc = Proc(tmp_path)
    thread = proc.process(10, "cat")
    if place is not None:
        (thread / "wchan").write_text(place)
    assert proc.look() == Foreground(blocked, "cat")


def test_program_of_another_user_is_not_known_unless_another_one_reads(tmp_path: Path) -> None:
    proc = Proc(tmp_path)
    proc.process(10, "sudo", children="11")
    (proc.process(11, "tee") / "wchan").write_text("pipe_read")
    assert proc.look() == Foreground(Blocked.UNKNOWN, "sudo")
    (proc.root / "11" / "task" / "11" / "wchan").write_text("n_tty_read")
    assert proc.look() == Foreground(Blocked.READS, "sudo")


def test_what_is_in_the_background_stopped_or_dead_does_not_count(tmp_path: Path) -> None:
    proc = Proc(tmp_path)
    (proc.process(10, "bash", group=10, children="11 12 13 14") / "wchan").write_text("do_wait")
    (proc.process(11, "sleep", group=11) / "wchan").write_text("hrtimer_nanosleep")
    (proc.process(12, "cat", group=12) / "wchan").write_text("n_tty_read")
    (proc.process(13, "cat", group=11, state="T") / "wchan").write_text("n_tty_read")
    (proc.process(14, "cat", group=11, state="Z") / "wchan").write_text("n_tty_read")
    assert proc.look(group=11) == Foreground(Blocked.BUSY, "sleep")


def test_leader_that_has_left_the_tree_is_looked_at_all_the_same(tmp_path: Path) -> None:
    proc = Proc(tmp_path)
    (proc.process(10, "bash") / "wchan").write_text("do_wait")
    (proc.process(20, "cat", group=20) / "wchan").write_text("n_tty_read")
    assert proc.look(group=20) == Foreground(Blocked.READS, "cat")


def test_name_with_parentheses_and_nonsense_do_no_harm(tmp_path: Path) -> None:
    proc = Proc(tmp_path)
    (proc.process(10, "a) S (b", children="11 x") / "wchan").write_text("n_tty_read")
    assert proc.look() == Foreground(Blocked.READS, "a) S (b")
    (tmp_path / "10" / "stat").write_text("10 (")
    assert proc.look() == Foreground(Blocked.UNKNOWN)
