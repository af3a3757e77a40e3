"""A session with 1 GiB behind it: the memory of `run` by kind of viewer, and how long who joins waits for the right screen.

The same log lines over and over, with no viewer, one that is read as fast as can be, and one that is not read.
"""

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.floods import FloodSize, done, draining, flooding
from benchmarks.peers import Codewrap, Peer, Session
from benchmarks.processes import Memory, memory_of
from benchmarks.report import Result, cell, rounded
from benchmarks.screens import Screens
from benchmarks.taps import Tap, outputs, tap_viewer
from benchmarks.terminals import Drain
from benchmarks.workbench import Flood, Unavailable, Workbench

LOG_MIB = 16
DONE_WITHIN_S = 600.0
SETTLE_S = 2.0
SHOWN_WITHIN_S = 20.0
QUIET_S, QUIET_WITHIN_S = 1.0, 5.0
CASES = ("no viewer", "fast viewer", "stalled viewer")
SUBSCRIBED = "pusher_internal:subscription_succeeded"


@dataclass(frozen=True, slots=True)
class JoinSample:
    """Milliseconds to the right screen, from `attach` being subscribed to all its channels and from its launch; events it got."""

    ready_to_right_ms: float | None
    launch_to_right_ms: float | None
    events: int
    event_bytes: int


@dataclass(frozen=True, slots=True)
class LargeSample:
    """One gigabyte: the command's time, memory afterwards, and the joins that followed (no viewer only)."""

    case: str
    done_s: float
    memory: Sequence[Memory]
    joins: Sequence[JoinSample]


Samples = dict[str, list[LargeSample]]


def measure(
    peers: Sequence[Peer], bench: Workbench, runs: int, size_mib: int, *, embedded_cases: Sequence[str] = CASES
) -> tuple[Samples, dict[str, str]]:
    """Each case once; `runs` joins. Over Soketi the joins alone: the memory is of the same processes."""
    samples: Samples = defaultdict(list)
    failed: dict[str, str] = {}
    for peer in peers:
        if not isinstance(peer, Codewrap):
            continue
        for case in embedded_cases if peer.name == Codewrap.name else CASES[:1]:
            try:
                samples[peer.name].append(one(peer, bench, case, runs, size_mib))
                print(f"  {peer.name}, {case}: {samples[peer.name][-1]}", file=sys.stderr)
            except Unavailable as reason:
                failed[peer.name] = f"{case}: {reason}"
    return samples, failed


def one(peer: Peer, bench: Workbench, case: str, runs: int, size_mib: int) -> LargeSample:
    """One flood of `size_mib`; the memory when it has settled; then the joins."""
    with flooding(peer, bench, FloodSize(LOG_MIB * 2**20, max(1, size_mib // LOG_MIB))) as (work, session):
        if case != CASES[0]:
            session.attach()
        mark = work.mark.encode()
        read = [session.own, *([session.viewer] if case == CASES[1] else [])]
        with draining(*(Drain(each, mark, f"{peer.name}-{i}") for i, each in enumerate(read))):
            work.go()
            times = done(work, session, DONE_WITHIN_S)
            time.sleep(SETTLE_S)
            memory = memory_of(session)
            joins = join_often(work, session, bench.screens(), runs) if case == CASES[0] else []
        return LargeSample(case, (times.done_ns - times.started_ns) / 1e9, memory, joins)


def join_often(work: Flood, session: Session, screens: Screens, runs: int) -> list[JoinSample]:
    """One viewer after the other, through a relay that tells when it was subscribed and what it was sent."""
    with ExitStack() as stack:
        tap, env = tap_viewer(session)
        stack.enter_context(tap)
        return [join(work, session, screens, tap, env) for _ in range(runs)]


def join(work: Flood, session: Session, screens: Screens, tap: Tap, env: Any) -> JoinSample:
    """Launch one viewer and watch its terminal until it rests."""
    mark = work.mark.encode()
    viewer = session.open_viewer(env)
    drain = Drain(viewer, mark, "viewer", keep=True)
    with draining(drain):
        drain.wait_found(SHOWN_WITHIN_S)
        drain.wait_quiet(QUIET_S, QUIET_WITHIN_S)
    right_ns = screens.judge(drain.chunks, mark, work.screen()).right_ns
    notes = tap.noted(viewer.launched_ns)
    subscribed = [note.at_ns for note in notes if note.name == SUBSCRIBED]
    events = outputs(notes)
    ready = right_ns is not None and subscribed
    return JoinSample(
        ready_to_right_ms=max(0.0, (right_ns - max(subscribed)) / 1e6) if ready and right_ns is not None else None,
        launch_to_right_ms=None if right_ns is None else (right_ns - viewer.launched_ns) / 1e6,
        events=len(events),
        event_bytes=sum(note.size_bytes for note in events),
    )


def result(samples: Samples, size_mib: int) -> Result:
    """Memory by case, joins where there were any."""
    header = ["peer", "case", "done s", "host RSS MiB (peak)", "uplink RSS MiB (peak)", "`run` together, peaks"]
    header += [
        "joins",
        "ready to right screen p50 ms (worst)",
        "launch to right screen p50 ms",
        "never right",
        "events p50 (most)",
    ]
    table = [header]
    figures: dict[str, dict[str, Any]] = {}
    for name, each in samples.items():
        figures[name] = {sample.case: figures_of(sample) for sample in each}
        for case, data in figures[name].items():
            cells = [cell(data["done_s"], 1)]
            cells += [f"{cell(data['rss_mib'][part], 1)} ({cell(data['peak_mib'][part], 1)})" for part in ("host", "uplink")]
            cells += [cell(data["run_peak_mib"], 1), str(data["joins"])]
            cells += [f"{cell(data['ready_p50_ms'], 0)} ({cell(data['ready_worst_ms'], 0)})", cell(data["launch_p50_ms"], 0)]
            cells += [str(data["never_right"]), f"{cell(data['events_p50'], 0)} ({cell(data['events_most'], 0)})"]
            table.append([name, case, *cells])
    notes = (
        f"{size_mib} MiB of log lines through one session, its own terminal read as fast as can be. Memory 2 s after the command "
        "was done; peak: the most the process ever had resident (VmHWM).",
        "fast viewer: read as fast as can be. stalled viewer: attached, then not read at all.",
        "joins: one after the other, the first after the memory. ready: the broker's confirmation of the last subscription, on "
        "its way to `attach`. right: text and cursor are what the command's terminal shows, judged by xterm.js; never: not in "
        f"{SHOWN_WITHIN_S:.0f} s. events: all that the viewer was sent until it rested.",
    )
    return Result("large", f"A session with {size_mib} MiB behind it", table, figures, notes)


def figures_of(sample: LargeSample) -> dict[str, Any]:
    """One case, as data."""
    rss = dict.fromkeys(("host", "uplink"), 0.0)
    peak = dict(rss)
    for process in sample.memory:
        if process.part in rss:
            rss[process.part] += process.rss_kib / 1024
            peak[process.part] += process.peak_kib / 1024
    ready = [join.ready_to_right_ms for join in sample.joins if join.ready_to_right_ms is not None]
    launched = [join.launch_to_right_ms for join in sample.joins if join.launch_to_right_ms is not None]
    events = [join.events for join in sample.joins]
    return {
        "done_s": rounded(sample.done_s),
        "rss_mib": {part: rounded(mib) for part, mib in rss.items()},
        "peak_mib": {part: rounded(mib) for part, mib in peak.items()},
        "run_peak_mib": rounded(sum(peak.values())),
        "joins": len(sample.joins),
        "ready_p50_ms": rounded(statistics.median(ready)) if ready else None,
        "ready_worst_ms": rounded(max(ready)) if ready else None,
        "launch_p50_ms": rounded(statistics.median(launched)) if launched else None,
        "launch_worst_ms": rounded(max(launched)) if launched else None,
        "never_right": len(sample.joins) - len(ready),
        "events_p50": statistics.median(events) if events else None,
        "events_most": max(events) if events else None,
        "samples": asdict(sample),
    }
