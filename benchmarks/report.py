"""Medians and ratios of a run, the machine it ran on, and the two files it leaves: JSON with every sample, and a table.

Says nothing about the machine that would name it: no host name, no user, no paths.
"""

import datetime
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.echo import EchoSamples
from benchmarks.peers import PEERS, Peer
from benchmarks.startup import StartSample
from benchmarks.throughput import FloodSample, Samples

RESULTS = Path(__file__).with_name("results")
BASE = "bare"
ECHO_YARDSTICK = "tty-share"


@dataclass(frozen=True, slots=True)
class Result:
    """What one run found: a table (header first), its figures as data, and what the reader must know of it."""

    name: str
    title: str
    table: list[list[str]]
    figures: dict[str, Any]
    notes: Sequence[str]


def percentile(values: Sequence[float], percent: int) -> float:
    """By linear interpolation between the two nearest samples."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def ratio(value: float | None, base: float | None) -> float | None:
    """`value / base` where there are both."""
    return value / base if value is not None and base else None


def cell(value: float | None, digits: int = 2, unit: str = "") -> str:
    """A number for the table; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}{unit}"


def echo_result(samples: Mapping[str, EchoSamples]) -> Result:
    """p50 and p95 of each peer's keystrokes, and their ratios to the bare terminal and to tty-share."""
    spread = {
        name: (percentile(each.milliseconds, 50), percentile(each.milliseconds, 95))
        for name, each in samples.items()
        if each.milliseconds
    }
    header = ["peer", "n", "lost", "p50 ms", "p95 ms", f"p50 × {BASE}", f"p50 × {ECHO_YARDSTICK}", f"p95 × {ECHO_YARDSTICK}"]
    table, figures = [header], {}
    for name, each in samples.items():
        p50, p95 = spread.get(name, (None, None))
        bases = [spread.get(base, (None, None)) for base in (BASE, ECHO_YARDSTICK)]
        ratios = [ratio(p50, bases[0][0]), ratio(p50, bases[1][0]), ratio(p95, bases[1][1])]
        shown = [cell(p50), cell(p95), *(cell(each_ratio) for each_ratio in ratios)]
        table.append([name, str(len(each.milliseconds)), str(each.lost), *shown])
        figures[name] = {
            "n": len(each.milliseconds),
            "lost": each.lost,
            "p50_ms": rounded(p50),
            "p95_ms": rounded(p95),
            "p50_ratio_to_bare": rounded(ratios[0]),
            "p50_ratio_to_tty_share": rounded(ratios[1]),
            "p95_ratio_to_tty_share": rounded(ratios[2]),
            "samples_ms": [rounded(value) for value in each.milliseconds],
        }
    notes = (
        "A key typed at the viewer's terminal until that character shows there; `cat` on a raw terminal echoes.",
        "`bare`, `script` and `ssh` are typed at on their own terminal; the others at an attached viewer's, "
        "with the wrapper's own terminal read as well.",
        "Keys 10 to 40 ms apart at random, one in flight, in rounds of 20 that go from peer to peer in random order.",
    )
    return Result("echo", "Keystroke to echo", table, figures, notes)


def throughput_result(samples: Samples, size_bytes: int) -> Result:
    """Medians of done and end times, and their ratios to the bare terminal's medians."""
    header = ["peer", "case", "n", "done p50 s", "range s", f"done × {BASE}"]
    header += ["end at viewer p50 s", f"end × {BASE}", "end missed", "right screen p50 s", "never right", "MB at viewer"]
    bare = samples.get(BASE, {}).get("unwatched", [])
    base_done_s = median([sample.done_s for sample in bare])
    base_end_s = median([sample.viewer_end_s for sample in bare])
    table = [header]
    figures: dict[str, dict[str, Any]] = {}
    for name, cases in samples.items():
        figures[name] = {}
        for case, each in cases.items():
            label = case if PEERS[name].has_viewer else "own terminal"
            data = flood_figures(each, base_done_s, base_end_s, has_viewer=label != "unwatched")
            table.append([name, label, *flood_cells(data, each)])
            figures[name][label] = data
    notes = (
        f"{size_bytes / 2**20:g} MiB of log lines through `cat`; times from the start of `cat`, "
        "taken by the wrapped program: starting the wrapper is not in them.",
        "done: `cat` has exited. end: the mark that follows showed at the viewer (missed: not within a minute). "
        "Ratios: of the medians. right screen: text and cursor at the viewer are what the command's terminal shows, "
        "judged by xterm.js; never right: lines were lost.",
        "The wrapper's own terminal is read as fast as can be. `unwatched`: no viewer; `watched`: one viewer, "
        "read as fast as can be. `bare`, `script` and `ssh` have one terminal, which is both.",
        "MB at viewer below the input: the viewer was not sent every byte (tmux redraws; a naive viewer may lose some).",
    )
    return Result("throughput", "Slow-down of the wrapped command", table, figures, notes)


def flood_figures(
    samples: Sequence[FloodSample], base_done_s: float | None, base_end_s: float | None, *, has_viewer: bool
) -> dict[str, Any]:
    """One peer in one case, as data."""
    done_s = [sample.done_s for sample in samples]
    end_p50_s = median([sample.viewer_end_s for sample in samples])
    missed = sum(sample.viewer_end_s is None for sample in samples) if has_viewer else None
    return {
        "n": len(samples),
        "done_p50_s": rounded(median(done_s)),
        "done_p95_s": rounded(percentile(done_s, 95)),
        "done_ratio_to_bare": rounded(ratio(median(done_s), base_done_s)),
        "viewer_end_p50_s": rounded(end_p50_s),
        "viewer_end_ratio_to_bare": rounded(ratio(end_p50_s, base_end_s)),
        "viewer_end_missed": missed,
        "viewer_right_p50_s": rounded(median([sample.viewer_right_s for sample in samples])),
        "viewer_never_right": sum(sample.viewer_right_s is None for sample in samples) if has_viewer else None,
        "viewer_p50_mb": rounded(median([sample.viewer_bytes / 1e6 for sample in samples])) if has_viewer else None,
        "samples": [asdict(sample) for sample in samples],
    }


def flood_cells(data: Mapping[str, Any], samples: Sequence[FloodSample]) -> list[str]:
    """The same as cells of the table."""
    done_s = [sample.done_s for sample in samples]
    return [
        str(data["n"]),
        cell(data["done_p50_s"]),
        f"{min(done_s):.2f}–{max(done_s):.2f}",
        cell(data["done_ratio_to_bare"]),
        cell(data["viewer_end_p50_s"]),
        cell(data["viewer_end_ratio_to_bare"]),
        cell(data["viewer_end_missed"], 0),
        cell(data["viewer_right_p50_s"]),
        cell(data["viewer_never_right"], 0),
        cell(data["viewer_p50_mb"], 1),
    ]


def startup_result(samples: Mapping[str, Sequence[StartSample]]) -> Result:
    """p50 and p95 of launch to first output, and of launch to exit."""
    header = ["peer", "n", "output p50 ms", "output p95 ms", f"p50 − {BASE} ms", "end p50 ms"]
    base = percentile([each.output_ms for each in samples[BASE]], 50) if samples.get(BASE) else None
    table, figures = [header], {}
    for name, each in samples.items():
        shown = [sample.output_ms for sample in each]
        gone = [sample.end_ms for sample in each if sample.end_ms is not None]
        p50, p95 = percentile(shown, 50), percentile(shown, 95)
        end_p50 = percentile(gone, 50) if gone else None
        over = None if base is None else p50 - base
        table.append([name, str(len(each)), cell(p50, 1), cell(p95, 1), cell(over, 1), cell(end_p50, 1)])
        figures[name] = {
            "n": len(each),
            "output_p50_ms": rounded(p50),
            "output_p95_ms": rounded(p95),
            "output_over_bare_ms": rounded(over),
            "end_p50_ms": rounded(end_p50),
            "samples": [asdict(sample) for sample in each],
        }
    notes = (
        "Launch of the wrapper on a terminal until the first word of its child (`#!/bin/sh`, `echo WORD`) shows there.",
        "end: from the key that lets the child end until the wrapper is gone (seen to 2 ms).",
        "One launch each beforehand is not counted.",
    )
    return Result("startup", "Launch to first output", table, figures, notes)


def median(values: Sequence[float | None]) -> float | None:
    """Of those that are there."""
    present = [value for value in values if value is not None]
    return statistics.median(present) if present else None


def rounded(value: float | None) -> float | None:
    """To four decimals: microseconds would be noise."""
    return None if value is None else round(value, 4)


def machine() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "CPU": processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }


def processor() -> str:
    """The model of the first core."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def versions_of(peers: Sequence[Peer]) -> dict[str, str]:
    """Names and versions of what was measured."""
    return {name: version for peer in peers for name, version in peer.versions().items()}


def write(result: Result, versions: Mapping[str, str], skipped: Mapping[str, str], *, record: bool) -> str:
    """Write both files and return the table's text. Not `record`: under a name that git ignores."""
    about = {
        "benchmark": result.name,
        "when": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "versions": dict(versions),
        "skipped": dict(skipped),
    }
    text = markdown(result, about)
    suffix = "" if record else ".tmp"
    RESULTS.mkdir(exist_ok=True)
    data = json.dumps({**about, "results": result.figures}, indent=1, ensure_ascii=False)
    (RESULTS / f"{result.name}.json{suffix}").write_text(data + "\n")
    (RESULTS / f"{result.name}.md{suffix}").write_text(text)
    return text


def markdown(result: Result, about: Mapping[str, Any]) -> str:
    """The table with the machine above and the method below it."""
    facts = {**about["machine"], **about["versions"]}
    lines = [f"# {result.title}", "", f"{about['when']}. " + ", ".join(f"{k} {v}" for k, v in facts.items()) + ".", ""]
    header, *rows = result.table
    numbers = len(header) - 1
    lines += [row(header), row(["---"] + ["---:"] * numbers), *(row(each) for each in rows), ""]
    lines += [f"- not measured, or not to the end: {name}: {reason}" for name, reason in about["skipped"].items()]
    lines += [f"- {note}" for note in result.notes]
    return "\n".join(lines) + "\n"


def row(cells: Sequence[str]) -> str:
    """One line of a markdown table."""
    return "| " + " | ".join(cells) + " |"
