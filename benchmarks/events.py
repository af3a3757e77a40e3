"""Messages spent: events published while a command floods with a viewer on a terminal.

Counted by relays between the processes and the broker, not by what anybody says of itself; what `codewrap run` says at its end
stands beside it.
"""

import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.floods import END_MARK_WITHIN_S, FloodSize, done, draining, flooding
from benchmarks.peers import Codewrap, Naive, Peer, Session
from benchmarks.report import Result, cell, median, ratio, rounded
from benchmarks.taps import Noted, Tap, broker_port, outputs, tap_viewer, through
from benchmarks.terminals import Drain, wait_exit
from benchmarks.workbench import Unavailable, Workbench

NAIVE_RUNS = 1  # it reads what it reads: the count hardly varies, and a run takes long
QUIET_S, QUIET_WITHIN_S = 1.0, 10.0
YARDSTICK = "naive"
SAID = re.compile(rb"([\d,]+) events (?:sent|published|spent)")


@dataclass(frozen=True, slots=True)
class EventSample:
    """Events of one flood: published (None where the publisher cannot be listened to), and those that reached the viewer.

    `requests`: HTTP requests that carried them. `whole` and `said`: reached the viewer in the whole session, and what `run` said
    of it at its end.
    """

    round: int
    published: int | None
    requests: int | None
    received: int
    received_bytes: int
    asked: int
    whole: int
    said: int | None

    @property
    def spent(self) -> int:
        """Published; with one viewer, what reached it where only that is known."""
        return self.received if self.published is None else self.published


Samples = dict[str, list[EventSample]]


def measure(peers: Sequence[Peer], bench: Workbench, runs: int, size_bytes: int) -> tuple[Samples, dict[str, str]]:
    """`runs` floods of each peer that has a broker."""
    samples: Samples = defaultdict(list)
    failed: dict[str, str] = {}
    peers = [peer for peer in peers if isinstance(peer, Codewrap | Naive)]
    for number in range(runs):
        for peer in random.sample(peers, len(peers)):
            if peer.name in failed or (isinstance(peer, Naive) and number >= NAIVE_RUNS):
                continue
            try:
                samples[peer.name].append(count(peer, bench, number, size_bytes))
                print(f"  round {number + 1}, {peer.name}: {samples[peer.name][-1]}", file=sys.stderr)
            except Unavailable as reason:
                failed[peer.name] = str(reason)
    return samples, failed


@contextmanager
def tapped(peer: Peer, bench: Workbench) -> Iterator[tuple[Tap | None, Mapping[str, str]]]:
    """A relay for the host where its broker is a process of its own, and the host's environment."""
    port = broker_port(peer)
    if port is None:
        yield None, {}
        return
    with Tap(bench, port) as tap:
        yield tap, through(peer, tap)


def count(peer: Peer, bench: Workbench, number: int, size_bytes: int) -> EventSample:
    """One flood, all messages counted from its start until nothing more comes."""
    with ExitStack() as stack:
        host_tap, env = stack.enter_context(tapped(peer, bench))
        work, session = stack.enter_context(flooding(peer, bench, FloodSize(size_bytes), env))
        viewer_tap, viewer_env = tap_viewer(session)
        stack.enter_context(viewer_tap)
        session.attach(viewer_env)
        mark = work.mark.encode()
        drains = [Drain(each, mark, f"{peer.name}-{i}") for i, each in enumerate(session.terminals)]
        with draining(*drains):
            work.go()
            started_ns = done(work, session).started_ns
            drains[0].wait_found(END_MARK_WITHIN_S)
            drains[0].wait_quiet(QUIET_S, QUIET_WITHIN_S)
        during = viewer_tap.noted(started_ns)
        sent = None if host_tap is None else host_tap.noted(started_ns)
        work.end()
        said = last_words(session)
        return sample(number, during, sent, viewer_tap.noted(), said)


def sample(
    number: int, viewer: Sequence[Noted], host: Sequence[Noted] | None, whole: Sequence[Noted], said: int | None
) -> EventSample:
    """What the relays' notes come to."""
    received = outputs(viewer)
    return EventSample(
        round=number,
        published=None if host is None else len([note for note in outputs(host) if note.kind == "published"]),
        requests=None if host is None else len([note for note in host if note.kind == "request"]),
        received=len(received),
        received_bytes=sum(note.size_bytes for note in received),
        asked=len([note for note in viewer if note.direction == "up" and note.kind == "event" and not note.is_keep_alive]),
        whole=len(outputs(whole)),
        said=said,
    )


def last_words(session: Session) -> int | None:
    """How many events `run` says at its end that it sent."""
    wait_exit(session.own, [each for each in session.terminals if each is not session.own])
    while session.own.read():
        pass
    found = SAID.findall(session.own.tail)
    return int(found[-1].replace(b",", b"")) if found else None


def result(samples: Samples, size_bytes: int) -> Result:
    """Medians, and their ratio to the naive publisher's."""
    header = ["peer", "n", "events p50", "range", "naive ÷ events", "requests p50", "reached viewer p50", "MB to viewer"]
    table, figures = [[*header, "asked by viewer", "whole session: counted / said"]], {}
    base = median([each.spent for each in samples.get(YARDSTICK, [])])
    for name, each in samples.items():
        data = figures_of(each, base)
        spent = [one.spent for one in each]
        cells = [cell(data["events_p50"], 0), f"{min(spent)}–{max(spent)}", cell(data["naive_ratio"], 1)]
        cells += [cell(data["requests_p50"], 0), cell(data["received_p50"], 0), cell(data["received_p50_mb"])]
        words = ", ".join(f"{one.whole} / {'–' if one.said is None else one.said}" for one in each)
        table.append([name, str(len(each)), *cells, cell(data["asked_p50"], 0), words])
        figures[name] = data
    notes = (
        f"{size_bytes / 2**20:g} MiB of log lines, one viewer on a terminal; from the start of `cat` until nothing more comes.",
        "events: published into the broker, counted by a relay in front of it; the embedded hub is reached inside a process, "
        "so there it is what reached the one viewer, counted by a relay in front of that.",
        "Soketi drops for a viewer that lags; what reached the viewer may therefore be less than what was published.",
        "said: by `codewrap run` in its last line, for the whole session.",
    )
    return Result("events", "Messages of a flood", table, figures, notes)


def figures_of(samples: Sequence[EventSample], base: float | None) -> dict[str, Any]:
    """One peer, as data."""
    spent = median([sample.spent for sample in samples])
    return {
        "n": len(samples),
        "events_p50": spent,
        "naive_ratio": rounded(ratio(base, spent)),
        "requests_p50": median([sample.requests for sample in samples]),
        "received_p50": median([sample.received for sample in samples]),
        "received_p50_mb": rounded(median([sample.received_bytes / 1e6 for sample in samples])),
        "asked_p50": median([sample.asked for sample in samples]),
        "samples": [asdict(sample) for sample in samples],
    }
