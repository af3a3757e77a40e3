"""A viewer that stalls: its terminal is not read for some seconds while the command floods, then it is read again.

Two questions: whether the command was held up, and how soon the viewer's screen is right once it is read again.
"""

import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import throughput
from benchmarks.floods import FloodSize, done, draining, flooding
from benchmarks.peers import Codewrap, Naive, Peer
from benchmarks.report import Result, cell, median, ratio, rounded
from benchmarks.screens import Screens
from benchmarks.terminals import Drain
from benchmarks.workbench import Unavailable, Workbench

STALL_S = 10.0
# Those whose own terminal is the viewer's block by their nature; ssh stands for them.
NOT_STALLED = ("bare", "script")
END_WITHIN_S = 30.0
QUIET_S, QUIET_WITHIN_S = 1.0, 10.0
# The peers are for comparison: theirs hardly varies, and each round costs the stall.
PEER_RUNS = 1


@dataclass(frozen=True, slots=True)
class StallSample:
    """The command's time unwatched and beside a stalled viewer, and from reading again to the right screen (None: never)."""

    round: int
    unwatched_s: float | None
    done_s: float
    right_ms: float | None
    bytes_after: int


Samples = dict[str, list[StallSample]]


def measure(
    peers: Sequence[Peer], bench: Workbench, runs: int, size_bytes: int, stall_s: float
) -> tuple[Samples, dict[str, str]]:
    """`runs` rounds of codewrap, PEER_RUNS of its peers."""
    samples: Samples = defaultdict(list)
    failed: dict[str, str] = {}
    screens = bench.screens()
    peers = [peer for peer in peers if peer.name not in NOT_STALLED]
    for number in range(runs):
        for peer in random.sample(peers, len(peers)):
            if peer.name in failed or (number >= PEER_RUNS and not isinstance(peer, Codewrap)):
                continue
            try:
                alone = None
                if not isinstance(peer, Naive):  # it takes as long as it takes, and that is long
                    alone = throughput.flood(peer, bench, screens, number, size_bytes, watched=False).done_s
                samples[peer.name].append(stall(peer, bench, screens, number, size_bytes, stall_s, alone))
                print(f"  round {number + 1}, {peer.name}: {samples[peer.name][-1]}", file=sys.stderr)
            except Unavailable as reason:
                failed[peer.name] = str(reason)
    return samples, failed


def stall(
    peer: Peer, bench: Workbench, screens: Screens, number: int, size_bytes: int, stall_s: float, alone_s: float | None
) -> StallSample:
    """One flood with nobody reading the viewer's terminal for `stall_s` from its start."""
    with flooding(peer, bench, FloodSize(size_bytes)) as (work, session):
        session.attach()
        mark = work.mark.encode()
        others = [Drain(each, mark, f"{peer.name}-own") for each in session.terminals[1:]]
        with draining(*others):
            work.go()
            time.sleep(stall_s)
            resumed_ns = time.monotonic_ns()
            viewer = Drain(session.viewer, mark, f"{peer.name}-viewer", keep=True)
            with draining(viewer):
                times = done(work, session)
                viewer.wait_found(END_WITHIN_S)
                viewer.wait_quiet(QUIET_S, QUIET_WITHIN_S)
        right_ns = screens.judge(viewer.chunks, mark, work.screen()).right_ns
        return StallSample(
            round=number,
            unwatched_s=alone_s,
            done_s=(times.done_ns - times.started_ns) / 1e9,
            right_ms=None if right_ns is None else (right_ns - resumed_ns) / 1e6,
            bytes_after=viewer.size_bytes,
        )


def result(samples: Samples, size_bytes: int, stall_s: float) -> Result:
    """Medians; the command's time beside a stalled viewer as a multiple of its time unwatched, pair by pair."""
    header = ["peer", "n", "unwatched p50 s", "stalled p50 s", "stalled × unwatched", "right screen p50 ms", "worst ms"]
    table, figures = [[*header, "never right", "MB after"]], {}
    for name, each in samples.items():
        data = figures_of(each)
        worst = None if data["never_right"] else data["right_worst_ms"]
        cells = [cell(data["unwatched_p50_s"]), cell(data["stalled_p50_s"]), cell(data["stalled_ratio_to_unwatched"])]
        cells += [cell(data["right_p50_ms"], 0), cell(worst, 0), str(data["never_right"]), cell(data["after_p50_mb"])]
        table.append([name, str(len(each)), *cells])
        figures[name] = data
    notes = (
        f"{size_bytes / 2**20:g} MiB of log lines; the viewer's terminal is not read for {stall_s:g} s from the start of `cat`, "
        "then as fast as can be. The wrapper's own terminal is read all the time (`ssh` has but one).",
        "stalled: start of `cat` to its exit. × unwatched: median over the rounds, each with its own unwatched run.",
        "right screen: from the moment the terminal is read again until it shows what the command's terminal shows "
        "(text and cursor, judged by xterm.js); never right: lines were lost.",
    )
    return Result("stall", "A viewer that stalls", table, figures, notes)


def figures_of(samples: Sequence[StallSample]) -> dict[str, Any]:
    """One peer, as data."""
    right = [sample.right_ms for sample in samples if sample.right_ms is not None]
    return {
        "n": len(samples),
        "unwatched_p50_s": rounded(median([sample.unwatched_s for sample in samples])),
        "stalled_p50_s": rounded(median([sample.done_s for sample in samples])),
        "stalled_ratio_to_unwatched": rounded(median([ratio(each.done_s, each.unwatched_s) for each in samples])),
        "right_p50_ms": rounded(median(right)),
        "right_worst_ms": rounded(max(right)) if right else None,
        "never_right": len(samples) - len(right),
        "after_p50_mb": rounded(median([sample.bytes_after / 1e6 for sample in samples])),
        "samples": [asdict(sample) for sample in samples],
    }
