"""How much a wrapper slows its command down: log lines through it, its own terminal read as fast as can be.

Each round starts every peer afresh, unwatched and with one viewer. The command's own times are taken by the command itself
(start of `cat` to its exit), so starting the wrapper is not in them.
"""

import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers import Peer, Session
from benchmarks.terminals import Drain, wait_exit
from benchmarks.workbench import Flood, Unavailable, Workbench

DONE_WITHIN_S = 120.0
END_MARK_WITHIN_S = 60.0
# A peer that has used this much time has no further rounds.
PEER_BUDGET_S = 120.0


@dataclass(frozen=True, slots=True)
class FloodSample:
    """Seconds since the command began: until it was done, until the end mark showed; None where it never did."""

    round: int
    done_s: float
    own_end_s: float | None
    viewer_end_s: float | None
    viewer_bytes: int


Samples = dict[str, dict[str, list[FloodSample]]]
CASES = ("unwatched", "watched")


def measure(peers: Sequence[Peer], bench: Workbench, runs: int, size_bytes: int) -> tuple[Samples, dict[str, str]]:
    """`runs` rounds of all peers: samples by peer and case, and the reason for each peer that failed."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    failed: dict[str, str] = {}
    spent_s: dict[str, float] = defaultdict(float)
    bench.log_file(size_bytes)
    for number in range(runs):
        for peer in random.sample(peers, len(peers)):
            if peer.name in failed or spent_s[peer.name] > PEER_BUDGET_S:
                continue
            began = time.monotonic()
            try:
                for case in CASES if peer.has_viewer else CASES[:1]:
                    sample = flood(peer, bench, number, size_bytes, watched=case == "watched")
                    samples[peer.name][case].append(sample)
            except Unavailable as reason:
                failed[peer.name] = str(reason)
            spent_s[peer.name] += time.monotonic() - began
            print(f"  round {number + 1}, {peer.name}: {describe(samples[peer.name])}", file=sys.stderr)
    return samples, failed


def describe(cases: dict[str, list[FloodSample]]) -> str:
    """The last sample of each case, for who waits at the terminal."""
    return ", ".join(f"{case} {samples[-1].done_s:.2f} s" for case, samples in cases.items())


def flood(peer: Peer, bench: Workbench, number: int, size_bytes: int, *, watched: bool) -> FloodSample:
    """One command from start to end, with a viewer attached beforehand where `watched`."""
    work = Flood(bench, size_bytes)
    session = Session(peer, work.program)
    drains: list[Drain] = []
    try:
        session.wait_ready()
        if watched:
            session.attach()
        mark = work.mark.encode()
        drains += (Drain(terminal, mark, f"{peer.name}-{i}") for i, terminal in enumerate(session.terminals))
        return run_flood(work, session, drains, number)
    finally:
        for drain in drains:
            drain.stop()
        wait_exit(session.own, [each for each in session.terminals if each is not session.own])
        session.close()
        work.close()


def run_flood(work: Flood, session: Session, drains: Sequence[Drain], number: int) -> FloodSample:
    """Let the command go, wait for its times and for the end mark at each terminal (the viewer's is first)."""
    work.go()
    times = work.times(DONE_WITHIN_S, lambda: session.own.process.poll() is None)
    if times is None:
        raise session.failure(session.own, f"the command was not done in {DONE_WITHIN_S:.0f} s")
    for drain in drains:
        drain.wait_found(END_MARK_WITHIN_S)
    work.end()
    ends = [None if drain.found_ns is None else (drain.found_ns - times.started_ns) / 1e9 for drain in drains]
    return FloodSample(
        round=number,
        done_s=(times.done_ns - times.started_ns) / 1e9,
        own_end_s=ends[-1],
        viewer_end_s=ends[0] if len(ends) > 1 or not session.peer.has_viewer else None,
        viewer_bytes=drains[0].size_bytes if len(ends) > 1 or not session.peer.has_viewer else 0,
    )
