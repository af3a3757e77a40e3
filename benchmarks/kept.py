"""Ten thousand sessions that are kept: how long `codewrap ls` and `codewrap search` take with them, here and stored at a server.

Sessions are written as hosts write them, without hosts: most have a few KB of output, some hundreds. What is stored at the server
is random, as sealed bytes are; a list does not open it.
"""

import os
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import Result, cell, percentile, rounded
from benchmarks.workbench import Unavailable, Workbench
from codewrap.protocol.geometry import Size
from codewrap.server.recordingfiles import RecordingFiles
from codewrap.store import sessionfile
from codewrap.store.sessionlog import LogWriter

CODEWRAP = (sys.executable, "-m", "codewrap.cli.main")
WITHIN_S = 1.0
DAY_S = 86_400.0
NAMES = 500
STORED_BYTES = 4096
# Output in KB: three of four sessions have a few screens, one in a hundred is a long build.
SIZES = (1,) * 30 + (4,) * 45 + (16,) * 20 + (40,) * 4 + (400,)
WORDS = tuple(
    "compiling linking error warning test passed failed module request answer of in to at file line 0x7f connection".split()
)
RARE, COMMON, ABSENT = "needle-in-a-haystack", "connection", "nobody-ever-wrote-this"
UNINDEXED = "search, before anything was searched"
TOKEN = secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True)
class KeptSample:
    """Seconds until the command had ended, and of processor time that it took; for the server's answer the first alone."""

    took_s: float
    cpu_s: float | None


Samples = dict[str, list[KeptSample]]


def measure(bench: Workbench, sessions: int, runs: int) -> tuple[Samples, dict[str, int]]:
    """Every command ``runs`` times, after one that is not counted; and what there was to list and search."""
    state = bench.directory / "many"
    output_bytes = write_sessions(state / "codewrap" / "sessions", sessions)
    print(f"  {sessions} sessions written, {output_bytes / 2**20:.0f} MiB", file=sys.stderr)
    here = bench.env | {"XDG_STATE_HOME": str(state)}
    samples: Samples = {UNINDEXED: [command(("search", RARE), here)]}
    for name, arguments in local_commands(state).items():
        samples[name] = repeated(runs, lambda arguments=arguments: command(arguments, here))
    samples |= at_server(bench, sessions, runs)
    return samples, {"sessions": sessions, "output_bytes": output_bytes}


def local_commands(state: Path) -> dict[str, Sequence[str]]:
    """What is measured, by what the table calls it."""
    name = min((state / "codewrap" / "sessions").iterdir()).name.rpartition("-")[0]
    return {
        "ls": ("ls",),
        "ls --all": ("ls", "--all"),
        "ls --all --json": ("ls", "--all", "--json"),
        "show NAME": ("show", name),
        "logs NAME": ("logs", name),
        "search, in one session": ("search", RARE),
        "search, in most": ("search", COMMON),
        "search, in none": ("search", ABSENT),
        "search --regex, in most": ("search", "--regex", "error .* [0-9]+ failed"),
        "search --ignore-case, in one": ("search", "--ignore-case", RARE.upper()),
        "prune --dry-run": ("prune", "--dry-run"),
    }


def repeated(runs: int, once: Callable[[], KeptSample]) -> list[KeptSample]:
    """The first finds cold caches, which is another question."""
    return [once() for _ in range(runs + 1)][1:]


def command(arguments: Sequence[str], env: dict[str, str]) -> KeptSample:
    """One process, with its output into a pipe that is read; raises Unavailable where it does not do what it is asked."""
    began_s = time.monotonic()
    process = subprocess.Popen(
        [*CODEWRAP, *arguments], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    with process.stdout:
        process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise Unavailable(f"codewrap {arguments[0]} left with status {process.returncode}")
    return KeptSample(time.monotonic() - began_s, usage.ru_utime + usage.ru_stime)


def at_server(bench: Workbench, sessions: int, runs: int) -> Samples:
    """The same number of recordings at a `serve-auth`, listed by somebody who has none."""
    from tests.support.served import Served

    directory = bench.directory / "served"
    write_recordings(directory / "state" / "codewrap" / "serve-auth" / "recordings", sessions)
    with Served(directory, settings={"AUTH_TOKEN": TOKEN, "CODEWRAP_RETENTION": "forever"}, log=directory / "log") as served:
        away = bench.env | {
            "XDG_STATE_HOME": str(bench.directory / "away"),
            "CODEWRAP_URL": served.url,
            "CODEWRAP_TOKEN": TOKEN,
        }

        def asked(path: str) -> KeptSample:
            began_s = time.monotonic()
            if served.request("GET", path)[0] != 200:
                raise Unavailable(f"serve-auth does not answer {path}")
            return KeptSample(time.monotonic() - began_s, None)

        return {
            "GET /api/recordings": repeated(runs, lambda: asked("/api/recordings")),
            "ls --all, of the server's": repeated(runs, lambda: command(("ls", "--all"), away)),
            "ls --all --json, of the server's": repeated(runs, lambda: command(("ls", "--all", "--json"), away)),
        }


def write_sessions(directory: Path, count: int) -> int:
    """Sessions that have ended in the last four weeks; how many bytes they wrote."""
    chance = random.Random(count)
    directory.mkdir(parents=True, mode=0o700)
    directory.parent.chmod(0o700)
    begins = time.time() - 28 * DAY_S
    total = 0
    for number in range(count):
        output = text(chance, chance.choice(SIZES) * 1024, RARE if number == count // 2 else "")
        began = begins + number * 28 * DAY_S / count
        write_session(directory / f"build-{number % NAMES:03}-{number + 1:016x}", began, output)
        total += len(output)
    return total


def write_session(place: Path, began: float, output: bytes) -> None:
    """One, as its host leaves it; its output comes in pieces over a minute."""
    log = LogWriter(place, 0.0)
    log.resized(Size(24, 80), 0.0)
    for at in range(0, len(output), 1024):
        log.append(output[at : at + 1024], "stdout", 60.0 * at / len(output))
    log.ended(0, None, 60.0)
    log.close()
    name, _, epoch = place.name.rpartition("-")
    facts = {"name": name, "epoch": epoch, "pid": 2**22 + 1, "pid_started": "another boot:1", "command": ["make", "-j8", "all"]}
    facts |= {"directory": "/srv/project", "started_at": began, "mode": "gateway", "endpoint": "https://where.example"}
    facts |= {"encrypted": True, "share": "ask", "pty": True, "size": [24, 80], "kept": True}
    written = sessionfile.write_start(place, facts)
    sessionfile.write_end(place, written, code=0, signal=None, duration_s=60.0, output_bytes=len(output), at=began + 60)


def text(chance: random.Random, size_bytes: int, contained: str) -> bytes:
    """Lines of words and numbers, with ``contained`` as one of them."""
    lines = [contained] if contained else []
    held = 0
    while held < size_bytes:
        lines.append(
            f"{chance.randrange(10**6):06} " + " ".join(chance.choices(WORDS, k=9)) + f" {chance.randrange(1000)} failed"
        )
        held += len(lines[-1]) + 2
    return ("\r\n".join(lines) + "\r\n").encode()


def write_recordings(directory: Path, count: int) -> None:
    """As many, of three users."""
    directory.parent.mkdir(parents=True, mode=0o700)
    files = RecordingFiles(directory, None, None)
    now_s = time.time()
    for number in range(count):
        name, epoch, owner = f"build-{number % NAMES:03}", f"{number + 1:016x}", f"user-{number % 3}"
        files.put(name, epoch, owner, 0, os.urandom(STORED_BYTES), last=True, now_s=now_s - number)


def result(samples: Samples, found: dict[str, int]) -> Result:
    """Medians, and whether they are below a second."""
    table = [["command", "n", "p50 s", "slowest s", "processor p50 s", f"below {WITHIN_S:g} s"]]
    figures: dict[str, Any] = {}
    for name, each in samples.items():
        took = [sample.took_s for sample in each]
        cpu = [sample.cpu_s for sample in each if sample.cpu_s is not None]
        p50, cpu_p50 = percentile(took, 50), percentile(cpu, 50) if cpu else None
        verdict = "–" if name == UNINDEXED else "met" if p50 < WITHIN_S else "MISSED"
        table.append([name, str(len(each)), cell(p50), cell(max(took)), cell(cpu_p50), verdict])
        figures[name] = {"p50_s": rounded(p50), "cpu_p50_s": rounded(cpu_p50), "samples": [asdict(sample) for sample in each]}
    notes = (
        f"{found['sessions']} sessions of {NAMES} names with {found['output_bytes'] / 2**20:.0f} MiB of output, of the last "
        "four weeks; none runs. At the server as many recordings, none of them here.",
        "From the start of the process, the interpreter's included, to its end, its output read through a pipe. "
        "One run each beforehand is not counted.",
        "processor: what the command itself takes of it, however busy the machine is.",
        f"{UNINDEXED}: reads all logs and makes the index, which else every session adds to when it ends.",
    )
    return Result(
        "kept", "Ten thousand kept sessions", table, {"codewrap": {**found, "commands": figures}} if figures else {}, notes
    )
