"""What a session takes of the machine: its memory is bounded, however much the command writes and whoever watches or does not.

Proportional set sizes (proc(5), smaps_rollup): a page that processes share counts once. How long it takes is in `benchmarks/`.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from codewrap.cli.uplink import NICENESS, SESSION_NICENESS
from tests.support.ptydriver import Piped, Terminal, eventually
from tests.support.sessions import CODEWRAP, Machine, embedded, session_name

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no /proc/PID/smaps_rollup here"),
]

MIB = 1024 * 1024
FLOOD_MIB = 100
# Host, its two small helpers, and uplink. What is measured is about two thirds of it; a buffer that keeps what the command
# writes, or a session log that was read into memory, would go far beyond.
RUN_MAX_MIB = 80.0
# The same and one viewer, all idle.
ALL_MAX_MIB = 80.0
# What is there beforehand is imported code; what a flood may add: the log's terminal with its scrollback, one batch, buffers.
GROWTH_MAX_MIB = 24.0
FLOOD = f"""
    import sys
    print("standing", flush=True)
    sys.stdin.readline()
    block = "".join("line %06d of a log that nobody can read as fast as it comes \\n" % n for n in range(16384))
    for _ in range({FLOOD_MIB}):
        sys.stdout.write(block)
    print("that was", "it", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with embedded(tmp_path) as relay:
        yield relay.host


def resident_mib(processes: list[psutil.Process]) -> float:
    """Their memory, and what they had of it in the swap."""
    sizes = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            info = process.memory_full_info()
            sizes.append(info.pss + info.swap)
    return sum(sizes) / MIB


def of_run(machine: Machine, host: Piped | Terminal) -> list[psutil.Process]:
    """`run`, its monitor and guard, and the uplink; not the command, nor viewers."""
    own = psutil.Process(host.pid)
    helpers = [process for process in own.children() if CODEWRAP in process.cmdline()]
    return [own, *helpers, machine.uplink()]


def flooded(machine: Machine, host: Terminal) -> tuple[float, float]:
    """MiB of `run` before and after the command has written FLOOD_MIB."""
    before_mib = resident_mib(of_run(machine, host))
    host.send("\r")
    host.shows("that was it", timeout_s=120.0)
    return before_mib, resident_mib(of_run(machine, host))


def started(machine: Machine) -> tuple[str, Terminal]:
    name = session_name()
    host = machine.run("--quiet", "--name", name, "--", *machine.script(FLOOD))
    host.shows("standing")
    machine.uplink()
    return name, host


def assert_bounded(before_mib: float, after_mib: float) -> None:
    assert after_mib < RUN_MAX_MIB
    assert after_mib - before_mib < GROWTH_MAX_MIB


def test_a_flood_that_nobody_watches_leaves_nothing_in_memory(machine: Machine) -> None:
    _, host = started(machine)
    assert_bounded(*flooded(machine, host))
    host.send("\r")
    assert host.status() == 0


def test_a_flood_with_a_viewer_that_reads_leaves_nothing_in_memory(machine: Machine) -> None:
    name, host = started(machine)
    viewer = machine.attach("--quiet", name)
    viewer.shows("standing")
    before_mib, after_mib = flooded(machine, host)
    viewer.shows("that was it")
    assert_bounded(before_mib, max(after_mib, resident_mib(of_run(machine, host))))
    assert resident_mib([psutil.Process(viewer.pid)]) < RUN_MAX_MIB
    host.send("\r")
    assert (host.status(), viewer.status()) == (0, 0)


@pytest.mark.parametrize("output", ["terminal", "file"])
def test_a_flood_with_a_viewer_that_stalls_leaves_nothing_in_memory(machine: Machine, output: str, tmp_path: Path) -> None:
    """On a terminal it gets the last screen when it goes on; in a file it gets every byte, from the log."""
    name, host = started(machine)
    path = tmp_path / "output"
    viewer: Terminal | Piped
    if output == "terminal":
        viewer = machine.attach("--quiet", name)
        viewer.shows("standing")
    else:
        with path.open("wb") as file:
            viewer = machine.attach_piped("--quiet", name, stdout=file)
        eventually(lambda: b"standing" in path.read_bytes(), "the viewer is there")
    viewer.signal(signal.SIGSTOP)
    before_mib, after_mib = flooded(machine, host)
    assert_bounded(before_mib, after_mib)
    viewer.signal(signal.SIGCONT)
    if isinstance(viewer, Terminal):
        viewer.shows("that was it")
        assert_bounded(before_mib, resident_mib(of_run(machine, host)))
    host.send("\r")
    assert host.status() == 0
    viewer.kill()


def test_host_uplink_and_viewer_are_small_when_idle(machine: Machine) -> None:
    name, host = started(machine)
    viewer = machine.attach("--quiet", name)
    viewer.shows("standing")
    everything = [process for process in machine.processes() if "python3" not in process.cmdline()[:1]]
    assert len(everything) >= len(of_run(machine, host)) + 2  # the viewer and its guard
    assert resident_mib(everything) < ALL_MAX_MIB
    host.send("\r\r")
    assert (host.status(), viewer.status()) == (0, 0)


@pytest.mark.skipif(not SESSION_NICENESS.exists(), reason="this kernel shares processors out by process")
def test_an_uplink_is_nice_also_where_sessions_are_what_is_weighed(machine: Machine) -> None:
    """It was nice to itself: each session weighed the same, and the uplink is one."""
    _, host = started(machine)
    uplink = machine.uplink()
    path = Path(f"/proc/{uplink.pid}/autogroup")
    eventually(lambda: path.read_text().split()[-1] == str(NICENESS), "the uplink's session is nice")
    assert uplink.nice() >= NICENESS
    assert Path(f"/proc/{host.pid}/autogroup").read_text().split()[-1:] != [str(NICENESS)]
    assert os.getsid(uplink.pid) == uplink.pid
    host.send("\r\r")
    assert host.status() == 0
