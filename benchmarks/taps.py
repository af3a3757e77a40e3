"""Counting relays in a session's way: `relay.py` between a viewer, or a host, and its broker, and what it noted.

A viewer of the embedded hub is sent through one by a copy of the session's record with another port, which it alone sees.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.peers import Peer, Session
from benchmarks.workbench import Unavailable, Workbench

RELAY = Path(__file__).with_name("relay.py")
# What a host says to those who watch; everything else on a connection is the protocol's own, or a viewer's.
HOST_CHANNELS = ("private-encrypted-command-", "private-command-", "private-bench-")
KEEP_ALIVE = frozenset({"pusher:ping", "pusher:pong"})


@dataclass(frozen=True, slots=True)
class Noted:
    """One line of a relay's notes."""

    at_ns: int
    connection: int
    direction: str
    kind: str
    name: str
    channel: str
    size_bytes: int

    @property
    def is_keep_alive(self) -> bool:
        """A ping or a pong, of the WebSocket or of the Pusher protocol."""
        return self.kind in ("ping", "pong") or self.name in KEEP_ALIVE

    @property
    def is_output(self) -> bool:
        """An event of the host on its way to a viewer, or into the broker."""
        arriving = self.kind == "event" and self.direction == "down"
        own = not self.name.startswith(("pusher:", "pusher_internal:", "client-"))
        return (arriving or self.kind == "published") and own and self.channel.startswith(HOST_CHANNELS)


class Tap:
    """One relay process towards a port of this machine. Leave the context when both sides are gone."""

    def __init__(self, bench: Workbench, broker_port: int) -> None:
        self._notes = bench.directory / f"{bench.fresh_name()}.notes"
        command = [sys.executable, "-I", str(RELAY), str(broker_port), str(self._notes)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def noted(self, since_ns: int = 0) -> list[Noted]:
        """Everything up to now, from `since_ns` on."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        return [note for note in (Noted(*json.loads(line)) for line in lines) if note.at_ns >= since_ns]


def broker_port(peer: Peer) -> int | None:
    """Where the peer's broker is, if it has one of its own that all sessions share."""
    port = peer.env.get("SOKETI_PORT")
    return None if port is None else int(port)


def through(peer: Peer, tap: Tap) -> Mapping[str, str]:
    """Additional environment that sends a host or viewer of a shared broker through `tap`."""
    if broker_port(peer) is None:
        raise Unavailable("it has no broker that could be listened to")
    return {"SOKETI_PORT": str(tap.port)}


def tap_viewer(session: Session) -> tuple[Tap, Mapping[str, str]]:
    """A relay for viewers of this session, and the environment that sends them through it."""
    peer, bench = session.peer, session.peer.bench
    port = broker_port(peer)
    if port is not None:
        tap = Tap(bench, port)
        return tap, through(peer, tap)
    record = session_record(session)
    tap = Tap(bench, record["hub"]["port"])
    directory = bench.directory / bench.fresh_name()
    (directory / "codewrap").mkdir(parents=True, mode=0o700)
    directory.chmod(0o700)
    record["hub"]["port"] = tap.port
    path = directory / "codewrap" / f"{session.name}.json"
    path.touch(0o600)
    path.write_text(json.dumps(record))
    return tap, {"XDG_RUNTIME_DIR": str(directory)}


def session_record(session: Session) -> dict[str, Any]:
    """The record that `codewrap run` keeps of a running session; raises Unavailable for other peers."""
    path = Path(session.peer.env["XDG_RUNTIME_DIR"]) / "codewrap" / f"{session.name}.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise Unavailable("it keeps no record of its sessions") from None
    return record


def outputs(notes: Sequence[Noted]) -> list[Noted]:
    """Those that are a host's events."""
    return [note for note in notes if note.is_output]
