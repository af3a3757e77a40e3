"""Memory of processes, from /proc: resident (RSS), proportional (PSS: shared pages divided among who shares them), and the peak.

Knows which processes of a session play which part.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import Codewrap, Peer, Session, Ssh

# What the harness wraps; it is nobody's cost.
WRAPPED = frozenset({"cat", "sh", "dash", "bash", "stty"})


@dataclass(frozen=True, slots=True)
class Memory:
    """One process: its part in the session, and KiB."""

    part: str
    rss_kib: int
    pss_kib: int
    peak_kib: int


def memory_of(session: Session) -> list[Memory]:
    """Every process of the session but what it wraps; the host's first."""
    found = []
    for pid, part in parts(session):
        with suppress(OSError, StopIteration):  # gone meanwhile
            found.append(measured(pid, part))
    return found


def measured(pid: int, part: str) -> Memory:
    """One process now, and the most it ever had."""
    status = lines_of(pid, "status")
    return Memory(part, status["VmRSS"], lines_of(pid, "smaps_rollup")["Pss"], status["VmHWM"])


def lines_of(pid: int, name: str) -> dict[str, int]:
    """The sizes in one of a process's files, in KiB."""
    sizes = {}
    for line in Path(f"/proc/{pid}/{name}").read_text().splitlines():
        key, _, value = line.partition(":")
        if value.endswith(" kB"):
            sizes[key] = int(value.split()[0])
    return sizes


def parts(session: Session) -> Iterator[tuple[int, str]]:
    """The processes of a session and what each is for."""
    if isinstance(session.peer, Codewrap):
        yield from codewrap_parts(session)
        return
    yield from named(tree(session.own.process.pid), "host")
    if session.viewer is not session.own:
        yield from named(tree(session.viewer.process.pid), "viewer")
    yield from named(servers(session.peer, session.name), "server")


def named(pids: Sequence[int], part: str) -> Iterator[tuple[int, str]]:
    """All of them but wrapped programs."""
    return ((pid, part) for pid in pids if command_name(pid) not in WRAPPED)


def codewrap_parts(session: Session) -> Iterator[tuple[int, str]]:
    """Host and uplink, and the small ones: forks of the host and of the viewer that wait."""
    for pid, part in ((session.own.process.pid, "host"), (session.viewer.process.pid, "viewer")):
        if part == "viewer" and session.viewer is session.own:
            return
        yield pid, part
        for child in tree(pid)[1:]:
            words = command_line(child)
            if "codewrap.cli.uplink" in words:
                yield child, "uplink"
            elif words == command_line(pid):
                yield child, "small"


def servers(peer: Peer, session: str) -> list[int]:
    """What a session's processes talk to without being their parent: sshd's for a login, tmux's server."""
    if isinstance(peer, Ssh):
        return tree(peer.server.pid)[1:]
    return [pid for pid in everyone() if "new-session" in (words := command_line(pid)) and session in words and parent(pid) == 1]


def tree(pid: int) -> list[int]:
    """A process and all below it, parents first."""
    children: dict[int, list[int]] = {}
    for each in everyone():
        children.setdefault(parent(each), []).append(each)
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def everyone() -> list[int]:
    """Every process there is."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def parent(pid: int) -> int:
    """Its parent's pid; 0 when it is gone."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    return 0


def command_line(pid: int) -> list[str]:
    """Its words; none when it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


def command_name(pid: int) -> str:
    """The kernel's name for it."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
