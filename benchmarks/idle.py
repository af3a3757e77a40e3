"""A session at rest with a viewer: what travels although nothing happens, and how much memory that takes.

All sessions rest at the same time; relays count what goes between their processes and the broker. A session may say a last few
words after it came to rest, so an hour is not a window multiplied: it is all before the window, and then the window's rate.
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
from benchmarks.terminals import Terminal, settle
from benchmarks.workbench import Unavailable, Workbench

HOUR_S = 3600.0
# Acknowledgements of the last key have come by then; they are not rest.
SETTLE_S = 1.0
# The end of the rest, for the rate: the last words have been said, and pings come at least once in this time.
WINDOW_S = 30.0
NO_MEMORY_OF = ("bare", "script")
MAIN = ("host", "uplink", "viewer")


@dataclass(frozen=True, slots=True)
class IdleSample:
    """One session at rest: seconds, notes of the relays by who was listened to ("host", "viewer"), and the memory at the end."""

    seconds: float
    window_from_ns: int
    notes: Mapping[str, Sequence[Noted]]
    memory: Sequence[Memory]

    @property
    def window_s(self) -> float:
        """Length of the window at the end."""
        return min(WINDOW_S, self.seconds)


@dataclass(frozen=True, slots=True)
class Resting:
    """An open session and the relays around it."""

    session: Session
    taps: Mapping[str, Tap]


Samples = dict[str, IdleSample]


class Rest:
    """Sessions that rest from `begin` to `look`; other things may be measured in between. Close it whatever happens."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._stack = ExitStack()
        self._resting: dict[str, Resting] = {}
        self._failed: dict[str, str] = {}
        self._since_ns = 0

    def __enter__(self) -> "Rest":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin(self, peers: Sequence[Peer]) -> None:
        """Start a session of each, with a viewer; type a little; leave them alone. Nothing when they rest already."""
        if self._since_ns:
            return
        for peer in peers:
            if peer.name in NO_MEMORY_OF:
                continue
            print(f"  {peer.name}: starting", file=sys.stderr)
            try:
                self._resting[peer.name] = rest(peer, self._bench, self._stack)
            except Unavailable as reason:
                self._failed[peer.name] = str(reason)
        settle(self._terminals(), SETTLE_S, 2 * SETTLE_S)
        self._since_ns = time.monotonic_ns()

    def look(self, seconds: float) -> tuple[Samples, dict[str, str]]:
        """Wait until they have rested for `seconds`, tell what was seen, and end them."""
        left_s = self._since_ns / 1e9 + seconds - time.monotonic()
        if left_s > 0:
            print(f"  at rest for {left_s:.0f} s", file=sys.stderr)
            settle(self._terminals(), left_s, left_s)
        now_ns = time.monotonic_ns()
        samples = {name: self._sample(each, now_ns) for name, each in self._resting.items()}
        self._stack.close()
        return samples, self._failed

    def _sample(self, resting: Resting, now_ns: int) -> IdleSample:
        notes = {who: tap.noted(self._since_ns) for who, tap in resting.taps.items()}
        seconds = (now_ns - self._since_ns) / 1e9
        return IdleSample(seconds, now_ns - int(min(WINDOW_S, seconds) * 1e9), notes, memory_of(resting.session))

    def _terminals(self) -> list[Terminal]:
        return [terminal for each in self._resting.values() for terminal in each.session.terminals]


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


def spent(notes: Mapping[str, Sequence[Noted]]) -> list[Noted]:
    """Messages that went into the broker and are no keep-alive: published ones, and client events of either side."""
    typed = [each for some in notes.values() for each in some if each.direction == "up" and each.name.startswith("client-")]
    if "host" in notes:
        return [*typed, *(each for each in notes["host"] if each.kind == "published")]
    return [*typed, *(each for each in notes.get("viewer", []) if each.is_output)]


def pings(notes: Mapping[str, Sequence[Noted]]) -> list[Noted]:
    """Pings and pongs of either kind, on all connections."""
    return [each for some in notes.values() for each in some if each.is_keep_alive]


def an_hour(sample: IdleSample, seen: Sequence[Noted]) -> float:
    """What an hour of rest comes to: all that was seen before the window, then its rate."""
    inside = sum(each.at_ns >= sample.window_from_ns for each in seen)
    rest_s = HOUR_S - (sample.seconds - sample.window_s)
    return len(seen) - inside + inside * rest_s / sample.window_s


def result(samples: Samples) -> Result:
    """Messages, keep-alive apart from all else, and MiB by part."""
    header = ["peer", "events", "in the window", "an hour", "pings", "an hour", "RSS MiB: host", "uplink", "viewer"]
    header += ["together", "small ones, server", "PSS MiB of all"]
    table, figures = [header], {}
    for name, each in samples.items():
        data = figures[name] = figures_of(each)
        keys = ("events", "events_in_window", "events_per_hour", "pings", "pings_per_hour")
        row = [cell(data[key], 0) for key in keys]
        row += [cell(data["rss_mib"].get(part), 1) for part in MAIN]
        row += [cell(data["rss_together_mib"], 1), cell(data["rss_rest_mib"], 1), cell(data["pss_mib"], 1)]
        table.append([name, *row])
    seconds = max((each.seconds for each in samples.values()), default=0.0)
    notes = (
        f"One session each with one viewer on a terminal, all at rest at the same time for {seconds:.0f} s, from a second after "
        f"the last key. Window: the last {min(WINDOW_S, seconds):.0f} s; an hour: all seen before it, and then its rate.",
        "events: messages into the broker that are no pings or pongs (what a hosted broker counts, with one delivery each); over "
        "Soketi counted at host and viewer, for the embedded hub at the viewer. pings: pings and pongs, both ways.",
        "RSS counts pages that processes share once for each; PSS divides them. small ones: the host's and viewer's forks that "
        "only wait (monitor, guards). Neither the broker (Soketi) nor the wrapped program is in it; `ssh`: client and sshd's "
        "processes of the login; `tmux`: clients and server.",
    )
    return Result("idle", "A session at rest", table, figures, notes)


def figures_of(sample: IdleSample) -> dict[str, Any]:
    """One peer, as data."""
    said, kept = spent(sample.notes), pings(sample.notes)
    rss: Counter[str] = Counter()
    for process in sample.memory:
        rss[process.part] += process.rss_kib
    data: dict[str, Any] = {
        "seconds": rounded(sample.seconds),
        "events": len(said),
        "events_in_window": sum(each.at_ns >= sample.window_from_ns for each in said),
        "events_per_hour": rounded(an_hour(sample, said)),
        "pings": len(kept),
        "pings_per_hour": rounded(an_hour(sample, kept)),
    }
    if not sample.notes:
        data = dict.fromkeys(data)
    return data | {
        "messages": {who: by_name(some) for who, some in sample.notes.items()},
        "rss_mib": {part: rounded(kib / 1024) for part, kib in rss.items()},
        "rss_together_mib": rounded(sum(rss[part] for part in MAIN) / 1024),
        "rss_rest_mib": rounded(sum(kib for part, kib in rss.items() if part not in MAIN) / 1024),
        "pss_mib": rounded(sum(process.pss_kib for process in sample.memory) / 1024),
        "processes": [asdict(process) for process in sample.memory],
    }


def by_name(notes: Sequence[Noted]) -> dict[str, int]:
    """How many of each, by direction, kind and name."""
    return dict(Counter(f"{note.direction} {note.kind} {note.name}".rstrip() for note in notes))
