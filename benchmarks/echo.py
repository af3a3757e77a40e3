"""Keystroke to echo: a key typed at the viewer's terminal until that very character shows there.

All sessions are open for the whole run; rounds of keystrokes go from peer to peer in random order, one in flight at a time.
"""

import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.peers import Peer, Session, visible
from benchmarks.terminals import Poll, settle
from benchmarks.workbench import Unavailable, Workbench

ROUND_KEYS = 20
WARM_UP_KEYS = 10
SPACING_S = (0.010, 0.040)
LOST_AFTER_S = 2.0
QUIET_S = 0.05
# Letters that do not end common control sequences, should one ever be cut in half between two reads.
KEYS = b"aejkovwxyzIOQUVWY"


@dataclass(slots=True)
class EchoSamples:
    """Milliseconds of each keystroke that came back, and how many did not within two seconds."""

    milliseconds: list[float] = field(default_factory=list)
    lost: int = 0


def measure(peers: Sequence[Peer], bench: Workbench, runs: int) -> tuple[dict[str, EchoSamples], dict[str, str]]:
    """`runs` keystrokes for each peer: the samples, and the reason for each peer that failed."""
    sessions: dict[str, Session] = {}
    failed: dict[str, str] = {}
    try:
        for peer in peers:
            print(f"  {peer.name}: starting", file=sys.stderr)
            session = Session(peer, bench.echo_program())
            try:
                session.wait_ready()
                session.attach()
            except Unavailable as reason:
                failed[peer.name] = str(reason)
                session.close()
            else:
                sessions[peer.name] = session
        return type_rounds(sessions, runs), failed
    finally:
        for session in sessions.values():
            session.close()


def type_rounds(sessions: dict[str, Session], runs: int) -> dict[str, EchoSamples]:
    """Warm each session up, then type in interleaved rounds until each has had `runs` keystrokes."""
    samples = {name: EchoSamples() for name in sessions}
    for session in sessions.values():
        type_keys(session, WARM_UP_KEYS, EchoSamples())
    for done in range(0, runs, ROUND_KEYS):
        order = list(sessions)
        random.shuffle(order)
        for name in order:
            type_keys(sessions[name], min(ROUND_KEYS, runs - done), samples[name])
        print(f"  {min(done + ROUND_KEYS, runs)} of {runs} keystrokes", file=sys.stderr)
    return samples


def type_keys(session: Session, count: int, samples: EchoSamples) -> None:
    """Type `count` random keys at the viewer, never the same twice running, and add the times to `samples`."""
    settle(session.terminals, QUIET_S)
    last = b""
    for _ in range(count):
        settle(session.terminals, random.uniform(*SPACING_S))
        last = bytes([random.choice(KEYS.replace(last, b"") if last else KEYS)])
        took_ms = echo_ms(session, last)
        if took_ms is None:
            samples.lost += 1
            settle(session.terminals, QUIET_S)
        else:
            samples.milliseconds.append(took_ms)


def echo_ms(session: Session, key: bytes) -> float | None:
    """Type one key at the viewer and wait for it there; None when it did not come back in time."""
    poll = Poll(session.terminals)
    viewer = session.viewer
    deadline = time.monotonic() + LOST_AFTER_S
    start_ns = time.monotonic_ns()
    viewer.write(key)
    while (left_s := deadline - time.monotonic()) > 0 and not viewer.ended:
        for terminal in poll.wait(left_s):
            data = terminal.read()
            if terminal is viewer and key in visible(data):
                return (time.monotonic_ns() - start_ns) / 1e6
    return None
