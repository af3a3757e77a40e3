"""A session at rest with a viewer: what travels although nothing happens, and how much memory that takes.

All sessions rest at the same time; relays count what goes between their processes and the broker.
"""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.events import tapped
from benchmarks.peers import Codewrap, Naive, Peer, Session
from benchmarks.processes import Memory, memory_of
from benchmarks.report import Result, cell, rounded
from benchmarks.taps import Noted, Tap, tap_viewer
from benchmarks.terminals import settle
from benchmarks.workbench import Unavailable, Workbench

# After the last key: acknowledgements, first pings.
SETTLE_S = 3.0
NO_MEMORY_OF = ("bare", "script")


@dataclass(frozen=True, slots=True)
class IdleSample:
    """One session at rest: notes of the relays by who was listened to ("host", "viewer"), and the memory of its processes."""

    seconds: float
    notes: Mapping[str, Sequence[Noted]]
    memory: Sequence[Memory]


@dataclass(frozen=True, slots=True)
class Resting:
    """An open session and the relays around it."""

    session: Session
    taps: Mapping[str, Tap]


Samples = dict[str, IdleSample]


def measure(peers: Sequence[Peer], bench: Workbench, seconds: float) -> tuple[Samples, dict[str, str]]:
    """One session each, all at rest for `seconds`."""
    failed: dict[str, str] = {}
    resting: dict[str, Resting] = {}
    with ExitStack() as stack:
        for peer in peers:
            if peer.name in NO_MEMORY_OF:
                continue
            print(f"  {peer.name}: starting", file=sys.stderr)
            try:
                resting[peer.name] = rest(peer, bench, stack)
            except Unavailable as reason:
                failed[peer.name] = str(reason)
        terminals = [terminal for each in resting.values() for terminal in each.session.terminals]
        settle(terminals, SETTLE_S, 2 * SETTLE_S)
        since_ns = time.monotonic_ns()
        print(f"  at rest for {seconds:g} s", file=sys.stderr)
        settle(terminals, seconds, seconds)
        return {name: looked_at(each, since_ns) for name, each in resting.items()}, failed


def rest(peer: Peer, bench: Workbench, stack: ExitStack) -> Resting:
    """A session with a viewer, and relays where there is a broker."""
    host_tap, env = stack.enter_context(tapped(peer, bench))
    session = Session(peer, bench.echo_program(), env)
    stack.callback(session.close)
    session.wait_ready()
    taps = {} if host_tap is None else {"host": host_tap}
    viewer_env: Mapping[str, str] = {}
    if isinstance(peer, Codewrap | Naive):
        taps["viewer"], viewer_env = tap_viewer(session)
        stack.enter_context(taps["viewer"])
    session.attach(viewer_env)
    return Resting(session, taps)


def looked_at(resting: Resting, since_ns: int) -> IdleSample:
    """What has travelled since, and the memory now."""
    notes = {who: tap.noted(since_ns) for who, tap in resting.taps.items()}
    return IdleSample((time.monotonic_ns() - since_ns) / 1e9, notes, memory_of(resting.session))


def result(samples: Samples) -> Result:
    """Messages an hour, keep-alive apart from all else, and MiB by part."""
    header = ["peer", "events in the window", "× 1 h", "pings in the window", "× 1 h", "RSS MiB: host", "uplink", "viewer"]
    header += ["together", "small ones, server", "PSS MiB of all"]
    table, figures = [header], {}
    for name, each in samples.items():
        data = figures[name] = figures_of(each)
        row = [cell(data["events"], 0), cell(data["events_per_hour"], 0), cell(data["pings"], 0), cell(data["pings_per_hour"], 0)]
        row += [cell(data["rss_mib"].get(part), 1) for part in ("host", "uplink", "viewer")]
        row += [cell(data["rss_together_mib"], 1), cell(data["rss_rest_mib"], 1), cell(data["pss_mib"], 1)]
        table.append([name, *row])
    seconds = max((each.seconds for each in samples.values()), default=0.0)
    notes = (
        f"One session each with one viewer on a terminal, all at rest at the same time for {seconds:.0f} s, 3 s after "
        "the last key; an hour is that window multiplied.",
        "events: messages that are no pings or pongs, in both directions, between viewer and broker and (Soketi) host and "
        "broker, and HTTP requests. pings: pings and pongs of either kind, on the same connections.",
        "RSS counts pages that processes share once for each; PSS divides them. small ones: the host's and viewer's forks that "
        "only wait (monitor, guards). Neither the broker (Soketi) nor the wrapped program is in it; `ssh`: client and sshd's "
        "processes of the login; `tmux`: clients and server.",
    )
    return Result("idle", "A session at rest", table, figures, notes)


def figures_of(sample: IdleSample) -> dict[str, Any]:
    """One peer, as data."""
    notes = [note for some in sample.notes.values() for note in some if note.kind != "published"]
    pings = len([note for note in notes if note.is_keep_alive])
    per_hour = 3600 / sample.seconds
    rss: Counter[str] = Counter()
    for process in sample.memory:
        rss[process.part] += process.rss_kib
    main = ("host", "uplink", "viewer")
    listened = bool(sample.notes)
    return {
        "seconds": rounded(sample.seconds),
        "events": len(notes) - pings if listened else None,
        "events_per_hour": rounded((len(notes) - pings) * per_hour) if listened else None,
        "pings": pings if listened else None,
        "pings_per_hour": rounded(pings * per_hour) if listened else None,
        "messages": {who: by_name(some) for who, some in sample.notes.items()},
        "rss_mib": {part: rounded(kib / 1024) for part, kib in rss.items()},
        "rss_together_mib": rounded(sum(rss[part] for part in main) / 1024),
        "rss_rest_mib": rounded(sum(kib for part, kib in rss.items() if part not in main) / 1024),
        "pss_mib": rounded(sum(process.pss_kib for process in sample.memory) / 1024),
        "processes": [asdict(process) for process in sample.memory],
    }


def by_name(notes: Sequence[Noted]) -> dict[str, int]:
    """How many of each, by direction and name."""
    return dict(Counter(f"{note.direction} {note.name or note.kind}" for note in notes))
