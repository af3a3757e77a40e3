"""The command line: which benchmark, how many runs, which peers, and whether the result is kept."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TypeVar

from benchmarks import echo, report, startup, throughput
from benchmarks.peers import PEERS, Peer, prepare
from benchmarks.workbench import Workbench

RUNS = {"echo": 200, "throughput": 10, "startup": 20}
SIZE_MIB = 20
Samples = TypeVar("Samples")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the three benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    units = {"echo": "keystrokes", "throughput": "rounds", "startup": "launches"}
    for name, runs in RUNS.items():
        kind = kinds.add_parser(name)
        kind.add_argument("--runs", type=positive, default=runs, help=f"{units[name]} per peer (default {runs})")
        kind.add_argument(
            "--peers", type=peer_names, default=list(PEERS), help=f"of {','.join(PEERS)} (default: all, in this order)"
        )
        kind.add_argument("--record", action="store_true", help="keep the result; otherwise results/*.tmp")
        if name == "throughput":
            kind.add_argument("--mib", type=positive, default=SIZE_MIB, help=f"size of the log (default {SIZE_MIB})")
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    """A whole number above 0."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def peer_names(text: str) -> list[str]:
    """Names of peers between commas."""
    names = [name for name in text.split(",") if name]
    if unknown := [name for name in names if name not in PEERS]:
        raise argparse.ArgumentTypeError(f"no such peer: {', '.join(unknown)} (there are {', '.join(PEERS)})")
    return names


def main() -> int:
    """Measure, write the files, print the table; 1 when no peer could be measured."""
    options = parse()
    with Workbench() as bench:
        peers, skipped = prepare(options.peers, bench)
        for name, reason in skipped.items():
            print(f"  skipped {name}: {reason}", file=sys.stderr)
        result, failed = measure(options, peers, bench)
        measured = [peer for peer in peers if peer.name in result.figures]
        print(report.write(result, measured, {**skipped, **failed}, record=options.record), end="")
    return 0 if measured else 1


def measure(options: argparse.Namespace, peers: Sequence[Peer], bench: Workbench) -> tuple[report.Result, dict[str, str]]:
    """Run the benchmark that was asked for; figures in the order of the peers."""
    if options.kind == "echo":
        keys, failed = echo.measure(peers, bench, options.runs)
        return report.echo_result(in_order(keys, peers)), failed
    if options.kind == "throughput":
        size_bytes = options.mib * 2**20
        floods, failed = throughput.measure(peers, bench, options.runs, size_bytes)
        return report.throughput_result(in_order(floods, peers), size_bytes), failed
    starts, failed = startup.measure(peers, bench, options.runs)
    return report.startup_result(in_order(starts, peers)), failed


def in_order(samples: Mapping[str, Samples], peers: Sequence[Peer]) -> dict[str, Samples]:
    """The samples in the order in which the peers were named."""
    return {peer.name: samples[peer.name] for peer in peers if peer.name in samples}


if __name__ == "__main__":
    sys.exit(main())
