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

from benchmarks.floods import END_MARK_WITHIN_S, FloodSize, done, draining, flooding
from benchmarks.peers import Peer, Session
from benchmarks.screens import Screens
from benchmarks.terminals import Drain
from benchmarks.workbench import Flood, Unavailable, Workbench

# A peer that has used this much time has no further rounds.
PEER_BUDGET_S = 120.0
# A peer that draws screens may show the mark in a screen that is not its last.
QUIET_S, QUIET_WITHIN_S = 0.3, 5.0


@dataclass(frozen=True, slots=True)
class FloodSample:
    """Seconds since the command began: until it was done, until the end mark showed; None where it never did.

    `viewer_right_s`: until the viewer's whole screen was right.
    """

    round: int
    done_s: float
    own_end_s: float | None
    viewer_end_s: float | None
    viewer_right_s: float | None
    viewer_bytes: int


Samples = dict[str, dict[str, list[FloodSample]]]
CASES = ("unwatched", "watched")


def measure(
    peers: Sequence[Peer], bench: Workbench, runs: int, size_bytes: int, budget_s: float = PEER_BUDGET_S
) -> tuple[Samples, dict[str, str]]:
    """`runs` rounds of all peers: samples by peer and case, and the reason for each peer that failed."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    failed: dict[str, str] = {}
    spent_s: dict[str, float] = defaultdict(float)
    screens = bench.screens()
    for number in range(runs):
        for peer in random.sample(peers, len(peers)):
            if peer.name in failed or spent_s[peer.name] > budget_s:
                continue
            began = time.monotonic()
            try:
                for case in CASES if peer.has_viewer else CASES[:1]:
                    sample = flood(peer, bench, screens, number, size_bytes, watched=case == "watched")
                    samples[peer.name][case].append(sample)
            except Unavailable as reason:
                failed[peer.name] = str(reason)
            spent_s[peer.name] += time.monotonic() - began
            print(f"  round {number + 1}, {peer.name}: {describe(samples[peer.name])}", file=sys.stderr)
    return samples, failed


def describe(cases: dict[str, list[FloodSample]]) -> str:
    """The last sample of each case, for who waits at the terminal."""
    return ", ".join(f"{case} {samples[-1].done_s:.2f} s" for case, samples in cases.items())


def flood(peer: Peer, bench: Workbench, screens: Screens, number: int, size_bytes: int, *, watched: bool) -> FloodSample:
    """One command from start to end, with a viewer attached beforehand where `watched`."""
    with flooding(peer, bench, FloodSize(size_bytes)) as (work, session):
        if watched:
            session.attach()
        seen = watched or not peer.has_viewer
        mark = work.mark.encode()
        drains = [Drain(each, mark, f"{peer.name}-{i}", keep=seen and i == 0) for i, each in enumerate(session.terminals)]
        with draining(*drains):
            return run_flood(work, session, drains, screens if seen else None, number)


def run_flood(work: Flood, session: Session, drains: Sequence[Drain], screens: Screens | None, number: int) -> FloodSample:
    """Let the command go, wait for its times and for the end mark at each terminal (the viewer's is first)."""
    work.go()
    times = done(work, session)
    for drain in drains:
        drain.wait_found(END_MARK_WITHIN_S)

    def since_start(at_ns: int | None) -> float | None:
        return None if at_ns is None else (at_ns - times.started_ns) / 1e9

    right_ns = None
    if screens is not None:
        drains[0].wait_quiet(QUIET_S, QUIET_WITHIN_S)
        right_ns = screens.judge(drains[0].chunks, work.mark.encode(), work.screen()).right_ns
    return FloodSample(
        round=number,
        done_s=(times.done_ns - times.started_ns) / 1e9,
        own_end_s=since_start(drains[-1].found_ns),
        viewer_end_s=since_start(drains[0].found_ns) if screens is not None else None,
        viewer_right_s=since_start(right_ns),
        viewer_bytes=drains[0].size_bytes if screens is not None else 0,
    )
