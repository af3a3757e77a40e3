"""The speed that codewrap wants, beside what one run of all benchmarks found: one row for each target, met or not.

Reads the figures of the other benchmarks and measures nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.kept import UNINDEXED, WITHIN_S
from benchmarks.report import Result, ratio, rounded

PEERS = ("codewrap", "codewrap-soketi")
# Rounds of the same thing differ by as much on a quiet machine.
NOISE = 1.1
MEMORY_MIB = 80
SHOWN_WITHIN_MS = 300
# A session that comes to rest may say so a few times, so that a loss of the last thing said is noticed.
IDLE_EVENTS = 5
Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for; `found` is None where it was not measured. `least`: the limit is from below."""

    text: str
    peer: str
    limit: float
    found: float | None
    unit: str = "×"
    least: bool = False

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.found is None:
            return "not measured"
        return "met" if (self.found >= self.limit if self.least else self.found <= self.limit) else "MISSED"


def find(figures: Any, *path: str) -> Any:
    """A figure by its path; None where there is none."""
    for name in path:
        if not isinstance(figures, Mapping) or name not in figures:
            return None
        figures = figures[name]
    return figures


def compared(figures: Figures, mine: tuple[str, ...], theirs: tuple[str, ...]) -> float | None:
    """The ratio of two figures, where there are both."""
    value: float | None = find(figures, *mine)
    return rounded(ratio(value, find(figures, *theirs)))


def targets(figures: Figures) -> Iterator[Target]:
    """Every target with what was found."""
    for rows in (echo, flood, whole_file, stall, events, idle, large, kept):
        yield from rows(figures)


def echo(figures: Figures) -> Iterator[Target]:
    """Keystroke to echo."""
    for percent in ("p50", "p95"):
        found = find(figures, "echo", "codewrap", f"{percent}_ratio_to_tty_share")
        yield Target(f"echo {percent}, no worse than tty-share's", "codewrap", 1, found)
    found = find(figures, "echo", "codewrap-soketi", "p50_ratio_to_tty_share")
    yield Target("echo p50, at most 1.5 times tty-share's", "codewrap-soketi", 1.5, found)


def flood(figures: Figures) -> Iterator[Target]:
    """A flood with a viewer on a terminal."""
    for peer in PEERS:
        mine = ("throughput", peer, "watched")
        done = compared(figures, (*mine, "done_p50_s"), ("throughput", "script", "own terminal", "done_p50_s"))
        yield Target("flood with a viewer: command done, against `script`", peer, 1, done)
        right = compared(figures, (*mine, "viewer_right_p50_s"), ("throughput", "ssh", "own terminal", "viewer_right_p50_s"))
        yield Target("flood: right end on the viewer's screen, against ssh", peer, 1, right)
        yield Target("flood: viewer's screen never right", peer, 0, find(figures, *mine, "viewer_never_right"), "times")


def whole_file(figures: Figures) -> Iterator[Target]:
    """`attach > file`."""
    for peer in PEERS:
        for case, name in (("live", "mb_per_s"), ("behind", "mb_per_s"), ("behind", "flowing_mb_per_s")):
            first = ", from its first byte" if name.startswith("flowing") else ""
            text = f"every byte into a file, {case}{first}"
            yield Target(text, peer, 10, find(figures, "file", peer, case, name), "MB/s", least=True)
        cases = [case for case in ("live", "behind") if find(figures, "file", peer, case)]
        wrong = sum(find(figures, "file", peer, case, "n") - find(figures, "file", peer, case, "identical") for case in cases)
        yield Target("file not identical", peer, 0, wrong if cases else None, "times")


def stall(figures: Figures) -> Iterator[Target]:
    """A viewer that stalls."""
    for peer in PEERS:
        mine = find(figures, "stall", peer)
        yield Target("stalled viewer: command, against unwatched", peer, NOISE, find(mine, "stalled_ratio_to_unwatched"))
        yield Target("stalled viewer: right screen once read again", peer, SHOWN_WITHIN_MS, find(mine, "right_p50_ms"), "ms")
        yield Target("stalled viewer: screen never right", peer, 0, find(mine, "never_right"), "times")


def events(figures: Figures) -> Iterator[Target]:
    """Messages of that flood."""
    for peer in PEERS:
        found = find(figures, "events", peer, "naive_ratio")
        yield Target("events of a flood: naive publisher's, against ours", peer, 20, found, least=True)


def idle(figures: Figures) -> Iterator[Target]:
    """A session at rest."""
    for peer in PEERS:
        mine = find(figures, "idle", peer)
        yield Target("an idle hour: events beside keep-alive", peer, IDLE_EVENTS, find(mine, "events_per_hour"), "events")
        together = find(mine, "rss_together_mib")
        yield Target("idle: host, uplink and viewer resident", peer, MEMORY_MIB, together, "MiB")


def large(figures: Figures) -> Iterator[Target]:
    """A session with a gigabyte behind it."""
    for peer in PEERS:
        mine = find(figures, "large", peer, "no viewer")
        yield Target("join far behind: right screen once ready", peer, SHOWN_WITHIN_MS, find(mine, "ready_p50_ms"), "ms")
        yield Target("join far behind: screen never right", peer, 0, find(mine, "never_right"), "times")
        yield Target("join far behind: events", peer, 5, find(mine, "events_most"), "events")
    for case, mine in (find(figures, "large", "codewrap") or {}).items():
        yield Target(f"far behind, {case}: peak of host and uplink", "codewrap", MEMORY_MIB, find(mine, "run_peak_mib"), "MiB")


def kept(figures: Figures) -> Iterator[Target]:
    """Many sessions that are over."""
    for name, each in (find(figures, "kept", "codewrap", "commands") or {}).items():
        if name != UNINDEXED:
            yield Target(f"ten thousand kept sessions: {name}", "codewrap", WITHIN_S, find(each, "p50_s"), "s")


def result(figures: Figures) -> Result:
    """A row for each target."""
    table = [["target", "peer", "found", "limit", "verdict"]]
    rows = list(targets(figures))
    for each in rows:
        found = "–" if each.found is None else f"{each.found:.4g} {each.unit}"
        table.append([each.text, each.peer, found, f"{'≥' if each.least else '≤'} {each.limit:g} {each.unit}", each.verdict])
    notes = (
        "One run of all benchmarks; each has its own file here, with peers, samples and method.",
        f"An idle hour counts as silent up to {IDLE_EVENTS} events: last words of a session that comes to rest.",
        f"A command beside a stalled viewer counts as fast as unwatched up to {NOISE:g} times: rounds differ by as much.",
    )
    return Result("targets", "Targets", table, {"targets": [{**asdict(each), "verdict": each.verdict} for each in rows]}, notes)
