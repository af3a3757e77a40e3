"""Launch to the first output of the child: the wrapper is started on a terminal around a program that prints one word.

Then a key lets the child end: the time until the wrapper is gone as well, with what it does at the end.
"""

import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers import Peer, Session
from benchmarks.terminals import read_until, settle, wait_exit
from benchmarks.workbench import Unavailable, Workbench, new_mark

OUTPUT_WITHIN_S = 20.0
QUIET_S = 0.1


@dataclass(frozen=True, slots=True)
class StartSample:
    """Milliseconds: launch until the child's word showed; key until the wrapper was gone (None: it was killed)."""

    output_ms: float
    end_ms: float | None


def measure(peers: Sequence[Peer], bench: Workbench, runs: int) -> tuple[dict[str, list[StartSample]], dict[str, str]]:
    """`runs` interleaved launches of each peer, after one that is not counted."""
    samples: dict[str, list[StartSample]] = defaultdict(list)
    failed: dict[str, str] = {}
    for number in range(runs + 1):
        for peer in random.sample(peers, len(peers)):
            if peer.name in failed:
                continue
            try:
                sample = launch(peer, bench)
            except Unavailable as reason:
                failed[peer.name] = str(reason)
                continue
            if number:
                samples[peer.name].append(sample)
        if number % 5 == 0:
            print(f"  {number} of {runs} launches", file=sys.stderr)
    return samples, failed


def launch(peer: Peer, bench: Workbench) -> StartSample:
    """One launch, and its end; raises Unavailable when the child's word never came."""
    mark = new_mark()
    # The word is nowhere on a command line, so a wrapper that prints what it runs does not count as output.
    # The child stays until a line comes: tmux and tty-share may drop what a child printed just before it ended.
    session = Session(peer, bench.program(f"echo {mark}", "read -r _"))
    own = session.own
    try:
        shown_ns = read_until(own, [], mark.encode(), OUTPUT_WITHIN_S)
        if shown_ns is None:
            raise session.failure(own, "no output of the wrapped program")
        settle([own], QUIET_S)
        key_ns = time.monotonic_ns()
        own.write(b"\r")
        gone_ns = wait_exit(own)
        return StartSample(
            output_ms=(shown_ns - own.launched_ns) / 1e6,
            end_ms=None if gone_ns is None else (gone_ns - key_ns) / 1e6,
        )
    finally:
        session.close()
