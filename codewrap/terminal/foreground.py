"""What the processes in a terminal's foreground wait for, as far as this system tells: Linux, out of /proc.

``syscall`` is exact, and only readable where we could trace the process; ``wchan`` (any process of this user) names the place in
the kernel; ``stat`` is for everybody. In a container, under Yama, for a program of another user (sudo) or on another system less
of it is to be had: then the answer is UNKNOWN, and other evidence counts. Reads a bounded number of files, changes nothing.
"""

from __future__ import annotations

import contextlib
import enum
import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
MAX_PROCESSES = 256
MAX_THREADS = 64
_CONTROLLING_TERMINAL = os.makedev(5, 0)  # /dev/tty
# By machine: the number of read(2), and those of the calls that wait for one of several things.
_CALLS: dict[str, tuple[int, frozenset[int]]] = {
    "x86_64": (0, frozenset({7, 23, 232, 270, 271, 281, 426, 441})),
    "aarch64": (63, frozenset({22, 72, 73, 426, 441})),
}
_POLL_PLACES = ("poll_schedule_timeout", "do_select", "do_poll", "do_sys_poll", "ep_poll", "do_epoll_wait")


class Blocked(enum.Enum):
    """What a process waits for."""

    READS = "reads"
    """A line, or a key, of its terminal."""
    POLLS = "polls"
    """One of several things; its terminal may be among them."""
    BUSY = "busy"
    """Something else, or nothing."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Foreground:
    """The foreground group of a terminal. ``program`` is its leader's name, empty where that is not known."""

    blocked: Blocked
    program: str = ""


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    name: str
    state: str
    group: int
    terminal: int


def foreground(root_pid: int, group: int, proc: Path = PROC) -> Foreground:
    """What process group ``group`` waits for, of those that descend from ``root_pid``. Never raises."""
    members = [process for process in _descendants(root_pid, proc) if process.group == group]
    if not any(member.pid == group for member in members) and (leader := _process(group, proc)) is not None:
        members.append(leader)
    waits = [_blocked(member, proc) for member in members if member.state not in "ZXTt"]
    program = next((member.name for member in members if member.pid == group), "")
    return Foreground(_together(waits), program)


def _together(waits: list[Blocked]) -> Blocked:
    """One that reads is enough; one that is not known may read; one that polls might."""
    for kind in (Blocked.READS, Blocked.UNKNOWN, Blocked.POLLS, Blocked.BUSY):
        if kind in waits:
            return kind
    return Blocked.UNKNOWN


def _descendants(root_pid: int, proc: Path) -> list[_Process]:
    found: list[_Process] = []
    waiting, seen = [root_pid], {root_pid}
    while waiting and len(found) < MAX_PROCESSES:
        pid = waiting.pop(0)
        process = _process(pid, proc)
        if process is not None:
            found.append(process)
        for thread in _threads(pid, proc):
            with contextlib.suppress(OSError, ValueError):
                children = [int(word) for word in (thread / "children").read_text().split()]
                waiting += [child for child in children if child not in seen]
                seen.update(children)
    return found


def _process(pid: int, proc: Path) -> _Process | None:
    try:
        before, _, after = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")
        fields = after.split()
        return _Process(pid, before.partition("(")[2], fields[0], int(fields[2]), int(fields[4]))
    except (OSError, ValueError, IndexError):
        return None


def _threads(pid: int, proc: Path) -> list[Path]:
    try:
        return list((proc / str(pid) / "task").iterdir())[:MAX_THREADS]
    except OSError:
        return []


def _blocked(process: _Process, proc: Path) -> Blocked:
    return _together([_thread_blocked(thread, process, proc) for thread in _threads(process.pid, proc)])


def _thread_blocked(thread: Path, process: _Process, proc: Path) -> Blocked:
    calls = _CALLS.get(os.uname().machine)
    with contextlib.suppress(OSError, ValueError, IndexError):
        words = (thread / "syscall").read_text().split()
        if words[0] in ("running", "-1"):
            return Blocked.BUSY
        number = int(words[0])
        if calls is not None and number == calls[0]:
            return Blocked.READS if _is_terminal(int(words[1], 16), process, proc) else Blocked.BUSY
        if calls is not None and number in calls[1]:
            return Blocked.POLLS
    return _by_place(thread, process, proc)


def _by_place(thread: Path, process: _Process, proc: Path) -> Blocked:
    """Less exact: who reads a connection waits in the same place as who reads a terminal, so its stdin must be the terminal."""
    try:
        place = (thread / "wchan").read_text().strip()
    except OSError:
        return Blocked.UNKNOWN
    if place in ("", "0"):  # not told; or it runs
        return Blocked.BUSY if process.state == "R" else Blocked.UNKNOWN
    if place == "n_tty_read":
        return Blocked.READS
    if place == "wait_woken":
        return Blocked.READS if _is_terminal(0, process, proc) else Blocked.BUSY
    return Blocked.POLLS if place.startswith(_POLL_PLACES) else Blocked.BUSY


def _is_terminal(fd: int, process: _Process, proc: Path) -> bool:
    """Whether that descriptor is the process's own terminal; where it may not be looked at, the first three count as such."""
    try:
        device = (proc / str(process.pid) / "fd" / str(fd)).stat().st_rdev
    except OSError:
        return fd < 3
    return device != 0 and device in (process.terminal, _CONTROLLING_TERMINAL)
