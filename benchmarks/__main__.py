"""The command line: which benchmark, how much of it, which peers, and whether the result is kept."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from benchmarks import complete, echo, events, idle, kept, large, report, stall, startup, targets, throughput
from benchmarks.amounts import ALL, FULL, QUICK, Amounts
from benchmarks.peers import PEERS, Peer, prepare
from benchmarks.workbench import Workbench

Samples = TypeVar("Samples")
Outcome = tuple[report.Result, dict[str, str]]
HELP = {
    "echo": "keystroke to echo",
    "throughput": "a flood, unwatched and with a viewer",
    "file": "every byte of a flood through `attach > file`",
    "stall": "a flood beside a viewer that is not read",
    "events": "messages of a flood",
    "large": "memory and joining, a gigabyte behind",
    "idle": "messages and memory at rest",
    "startup": "launch to first output",
    "kept": "ls and search with ten thousand sessions",
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of all benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for name, text in {**HELP, "all": "all of these, shorter, and a table of targets"}.items():
        kind = kinds.add_parser(name, help=text)
        kind.add_argument("--quick", action="store_true", help="too little to be believed, enough to see that it works")
        kind.add_argument(
            "--peers", type=peer_names, default=list(PEERS), help=f"of {','.join(PEERS)} (default: all, in this order)"
        )
        kind.add_argument("--record", action="store_true", help="keep the result; otherwise results/*.tmp")
        kind.add_argument("--mib", type=positive, help="size of the log that floods, or lies behind")
        if name != "all":
            words = "seconds at rest" if name == "idle" else "samples per peer"
            kind.add_argument("--runs", type=positive, help=f"{words} (default {FULL.runs(name)})")
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
    """Measure, write the files, print the tables; 1 when no peer could be measured."""
    options = parse()
    amounts = QUICK if options.quick else ALL if options.kind == "all" else FULL
    if options.kind != "all":
        amounts = amounts.with_runs(options.kind, options.runs)
    if options.mib:
        amounts = amounts.with_size(options.mib, large=options.kind == "large")
    kinds = list(HELP) if options.kind == "all" else [options.kind]
    figures: dict[str, object] = {}
    with Workbench() as bench:
        peers, skipped = prepare(options.peers, bench)
        for name, reason in skipped.items():
            print(f"  skipped {name}: {reason}", file=sys.stderr)
        for kind, (result, failed) in outcomes(kinds, peers, bench, amounts):
            measured = [peer for peer in peers if peer.name in result.figures]
            print(report.write(result, report.versions_of(measured), {**skipped, **failed}, record=options.record))
            figures[kind] = result.figures
        if options.kind == "all":
            print(report.write(targets.result(figures), report.versions_of(peers), skipped, record=options.record))
    return 0 if any(figures.values()) else 1


def outcomes(kinds: Sequence[str], peers: Sequence[Peer], bench: Workbench, amounts: Amounts) -> Iterator[tuple[str, Outcome]]:
    """One benchmark after the other; sessions at rest rest while the gigabytes flow."""
    with idle.Rest(bench) as resting:
        for kind in kinds:
            began = time.monotonic()
            print(f"{kind}:", file=sys.stderr)
            if kind == "idle" or (kind == "large" and "idle" in kinds):
                resting.begin(peers)
            if kind == "idle":
                samples, failed = resting.look(amounts.idle_s)
                yield kind, (idle.result(in_order(samples, peers)), failed)
            else:
                yield kind, BENCHMARKS[kind](peers, bench, amounts)
            print(f"  {kind} took {time.monotonic() - began:.0f} s", file=sys.stderr)


def run_echo(peers: Sequence[Peer], bench: Workbench, amounts: Amounts) -> Outcome:
    """Keystrokes."""
    samples, failed = echo.measure(peers, bench, amounts.echo_keys)
    return report.echo_result(in_order(samples, peers)), failed


def run_throughput(peers: Sequence[Peer], bench: Workbench, amounts: Amounts) -> Outcome:
    """Floods, read at once."""
    samples, failed = throughput.measure(peers, bench, amounts.flood_rounds, amounts.flood_bytes, amounts.peer_budget_s)
    return report.throughput_result(in_order(samples, peers), amounts.flood_bytes), failed


def run_file(peers: Sequence[Peer], bench: Workbench, amounts: Amounts) -> Outcome:
    """Floods into a file."""
    samples, failed = complete.measure(peers, bench, amounts.file_rounds, amounts.flood_bytes)
    return complete.result(in_order(samples, peers)), failed


def run_stall(peers: Sequence[Peer], bench: Workbench, amounts: Amounts) -> Outcome:
    """Floods, not read for a while."""
    samples, failed = stall.measure(peers, bench, amounts.stall_rounds, amounts.flood_bytes, amounts.stall_s)
    return stall.result(in_order(samples, peers), amounts.flood_bytes, amounts.stall_s), failed


def run_events(peers: Sequence[Peer], bench: Workbench, amounts: Amounts) -> Outcome:
    """Floods, counted."""
    samples, failed = events.measure(peers, bench, amounts.event_rounds, amounts.flood_bytes)
    return events.result(in_order(samples, peers), amounts.flood_bytes), failed


def run_large(peers: Sequence[Peer], bench: Workbench, amounts: Amounts) -> Outcome:
    """A gigabyte."""
    samples, failed = large.measure(peers, bench, amounts.joins, amounts.large_mib)
    return large.result(in_order(samples, peers), amounts.large_mib), failed


def run_startup(peers: Sequence[Peer], bench: Workbench, amounts: Amounts) -> Outcome:
    """Launches."""
    samples, failed = startup.measure(peers, bench, amounts.launches)
    return report.startup_result(in_order(samples, peers)), failed


def run_kept(peers: Sequence[Peer], bench: Workbench, amounts: Amounts) -> Outcome:
    """Many sessions that are over; of codewrap alone."""
    if not any(peer.name == "codewrap" for peer in peers):
        return kept.result({}, {"sessions": 0, "output_bytes": 0}), {}
    samples, found = kept.measure(bench, amounts.kept_sessions, amounts.kept_runs)
    return kept.result(samples, found), {}


BENCHMARKS: dict[str, Callable[[Sequence[Peer], Workbench, Amounts], Outcome]] = {
    "echo": run_echo,
    "throughput": run_throughput,
    "file": run_file,
    "stall": run_stall,
    "events": run_events,
    "large": run_large,
    "startup": run_startup,
    "kept": run_kept,
}


def in_order(samples: Mapping[str, Samples], peers: Sequence[Peer]) -> dict[str, Samples]:
    """The samples in the order in which the peers were named."""
    return {peer.name: samples[peer.name] for peer in peers if peer.name in samples}


if __name__ == "__main__":
    sys.exit(main())
