"""Every byte: `attach > file`, joined before the flood (live) and after it, with all of it behind the session.

The file is compared with what the program wrote. Only codewrap says that its viewers on pipes get every byte.
"""

import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.floods import FloodSize, done, draining, flooding
from benchmarks.peers import Codewrap, Peer, Session
from benchmarks.report import Result, cell, median, rounded
from benchmarks.terminals import Drain
from benchmarks.workbench import Flood, Unavailable, Workbench

CASES = ("live", "behind")
COMPLETE_WITHIN_S = 60.0
JOINED_WITHIN_S = 20.0
LEAVE_WITHIN_S = 20.0
LOOK_S = 0.002


@dataclass(frozen=True, slots=True)
class FileSample:
    """Seconds until the file had all bytes: since the start (see `result`), since its first byte, since the command was done.

    `identical`: byte for byte what the program wrote, after `attach` had ended by itself with `status`.
    """

    round: int
    size_bytes: int
    whole_s: float | None
    flowing_s: float | None
    after_done_s: float | None
    identical: bool
    status: int | None


Samples = dict[str, dict[str, list[FileSample]]]


def measure(peers: Sequence[Peer], bench: Workbench, runs: int, size_bytes: int) -> tuple[Samples, dict[str, str]]:
    """`runs` rounds of both cases."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    failed: dict[str, str] = {}
    peers = [peer for peer in peers if isinstance(peer, Codewrap)]
    for number in range(runs):
        for peer in random.sample(peers, len(peers)):
            for case in CASES:
                if peer.name in failed:
                    continue
                try:
                    sample = into_file(peer, bench, number, size_bytes, behind=case == "behind")
                except Unavailable as reason:
                    failed[peer.name] = str(reason)
                else:
                    samples[peer.name][case].append(sample)
                    print(f"  round {number + 1}, {peer.name}, {case}: {sample}", file=sys.stderr)
    return samples, failed


class FileViewer:
    """`attach > file` with nothing to type."""

    def __init__(self, session: Session) -> None:
        bench = session.peer.bench
        self.path: Path = bench.directory / f"{bench.fresh_name()}.out"
        with self.path.open("wb") as out:
            self.launched_ns = time.monotonic_ns()
            self.process = subprocess.Popen(
                [str(word) for word in session.peer.viewer_command(session.name)],
                env=session.peer.env,
                cwd=bench.directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.DEVNULL,
            )

    def wait_size(self, size_bytes: int, within_s: float) -> int | None:
        """When the file had that many bytes; None when it did not, or the viewer had ended."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if self.path.stat().st_size >= size_bytes:
                return time.monotonic_ns()
            if self.process.poll() is not None:
                return None
            time.sleep(LOOK_S)
        return None

    def leave(self, within_s: float) -> int | None:
        """Its exit status, if it ends by itself."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


def into_file(peer: Peer, bench: Workbench, number: int, size_bytes: int, *, behind: bool) -> FileSample:
    """One flood into one file; the session ends once the file is complete, or does not become so."""
    with flooding(peer, bench, FloodSize(size_bytes)) as (work, session):
        viewer = None if behind else FileViewer(session)
        if viewer is not None and viewer.wait_size(1, JOINED_WITHIN_S) is None:
            raise Unavailable("`attach > file` showed nothing of what was there")
        with draining(Drain(session.own, work.mark.encode(), f"{peer.name}-own")):
            work.go()
            done_ns, started_ns = (times := done(work, session)).done_ns, times.started_ns
            if viewer is None:
                viewer = FileViewer(session)
                started_ns = viewer.launched_ns
            return finish(work, viewer, number, started_ns, done_ns)


def finish(work: Flood, viewer: FileViewer, number: int, started_ns: int, done_ns: int) -> FileSample:
    """Wait for the file, end the session, compare."""
    wanted = work.output()
    first_ns = viewer.wait_size(1, JOINED_WITHIN_S)
    whole_ns = viewer.wait_size(len(wanted), COMPLETE_WITHIN_S)
    work.end()
    status = viewer.leave(LEAVE_WITHIN_S)
    identical = viewer.path.read_bytes() == wanted
    viewer.path.unlink()

    def since(at_ns: int | None) -> float | None:
        return None if whole_ns is None or at_ns is None else (whole_ns - at_ns) / 1e9

    return FileSample(number, len(wanted), since(started_ns), since(first_ns), since(done_ns), identical, status)


def result(samples: Samples) -> Result:
    """Medians of the times, as MB/s, and whether all files were right."""
    header = ["peer", "case", "n", "identical", "whole p50 s", "MB/s", "MB/s from first byte", "after done p50 s"]
    table, figures = [header], {}
    for name, cases in samples.items():
        figures[name] = {case: figures_of(each, behind=case == "behind") for case, each in cases.items()}
        for case, data in figures[name].items():
            n, same = data["n"], data["identical"]
            cells = [cell(data["whole_p50_s"]), cell(data["mb_per_s"], 1), cell(data["flowing_mb_per_s"], 1)]
            table.append([name, case, str(n), f"{same} of {n}", *cells, cell(data["after_done_p50_s"])])
    notes = (
        "`codewrap attach NAME > file`; identical: the file is, byte for byte, what the program wrote to its terminal.",
        "live: joined before the flood; whole: from the start of `cat` until the file had every byte; after done: from its exit.",
        "behind: started when all of it was already behind the session; whole: from the launch of `attach`, "
        "interpreter, connection and subscription included; from first byte: without those.",
    )
    return Result("file", "Every byte into a file", table, figures, notes)


def figures_of(samples: Sequence[FileSample], *, behind: bool) -> dict[str, Any]:
    """One peer in one case, as data."""
    size_mb = median([sample.size_bytes / 1e6 for sample in samples]) or 0.0
    whole_s = median([sample.whole_s for sample in samples])
    flowing_s = median([sample.flowing_s for sample in samples]) if behind else None
    return {
        "n": len(samples),
        "identical": sum(sample.identical for sample in samples),
        "whole_p50_s": rounded(whole_s),
        "mb_per_s": rounded(size_mb / whole_s if whole_s else None),
        "flowing_mb_per_s": rounded(size_mb / flowing_s if flowing_s else None),
        "after_done_p50_s": None if behind else rounded(median([sample.after_done_s for sample in samples])),
        "samples": [asdict(sample) for sample in samples],
    }
