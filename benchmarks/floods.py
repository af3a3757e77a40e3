"""One flood through one session, taken apart so that each benchmark can do its own thing in the middle."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.peers import Peer, Session
from benchmarks.terminals import Drain, wait_exit
from benchmarks.workbench import Flood, FloodTimes, Workbench

DONE_WITHIN_S = 120.0
END_MARK_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class FloodSize:
    """The log of `log_bytes`, `repeats` times."""

    log_bytes: int
    repeats: int = 1


@contextmanager
def flooding(
    peer: Peer, bench: Workbench, size: FloodSize, env: Mapping[str, str] | None = None
) -> Iterator[tuple[Flood, Session]]:
    """A session whose program waits to begin its flood; ended afterwards, whatever happened. Raises Unavailable."""
    work = Flood(bench, size.log_bytes, size.repeats)
    session = Session(peer, work.program, env)
    try:
        session.wait_ready()
        yield work, session
    finally:
        work.end()
        wait_exit(session.own, [each for each in session.terminals if each is not session.own])
        session.close()
        work.close()


@contextmanager
def draining(*drains: Drain) -> Iterator[None]:
    """Their terminals may be read by others, or closed, afterwards."""
    try:
        yield
    finally:
        for drain in drains:
            drain.stop()


def done(work: Flood, session: Session, within_s: float = DONE_WITHIN_S) -> FloodTimes:
    """The command's own times, once it is done; raises Unavailable."""
    times = work.times(within_s, lambda: session.own.process.poll() is None)
    if times is None:
        raise session.failure(session.own, f"the command was not done in {within_s:.0f} s")
    return times
