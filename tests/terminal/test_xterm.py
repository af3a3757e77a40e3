"""The same snapshots on xterm.js, the terminal of browsers: another author's idea of every sequence."""

from __future__ import annotations

import base64
import json
import random
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from codewrap.protocol.geometry import Size
from codewrap.protocol.safety import Sanitizer
from codewrap.terminal.emulator import Screen
from tests.support.node import Node
from tests.terminal.recorder import COLS, ROWS, STORED
from tests.terminal.test_emulator import CASES, DIRT, recording

# Where the engine and xterm.js disagree about the output itself, whatever the snapshot.
DISAGREEMENTS = {
    "colours": "avt erases with all of the style, xterm.js with the background alone",
    "invalid": "xterm.js shows nothing for bytes that are not UTF-8",
    "inside osc end": "xterm.js sets a title at the first half of its end",
    "tab stops in alternate": "xterm.js has tab stops for each screen",
}
SCRIPT = Path(__file__).parent / "xterm_state.js"


def drawn(node: Node, streams: Iterable[list[bytes]], size: Size) -> list[dict[str, Any]]:
    """The state of a fresh xterm.js after each of ``streams``, all in one process."""
    jobs = "".join(
        json.dumps({"cols": size.cols, "rows": size.rows, "data": [base64.b64encode(part).decode() for part in parts]}) + "\n"
        for parts in streams
    )
    done = subprocess.run(
        [str(node.binary), str(SCRIPT)], input=jobs, cwd=node.root, capture_output=True, text=True, timeout=90, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def differences(node: Node, streams: list[tuple[bytes, int]], size: Size) -> list[str]:
    """What a viewer that joins at the cut sees otherwise than one that was there from the beginning."""
    jobs: list[list[bytes]] = []
    for stream, cut in streams:
        host = Screen(size)
        host.feed(stream[:cut])
        snapshot = host.snapshot()
        safe = Sanitizer()
        jobs += [
            [stream[:cut]],
            [snapshot],
            [DIRT, snapshot],
            [safe.feed(snapshot)],
            [stream],
            [snapshot, stream[cut:]],
        ]
    states = drawn(node, jobs, size)
    found = []
    for number, (_, cut) in enumerate(streams):
        truth, fresh, dirty, safe_one, later, joined = states[number * 6 : number * 6 + 6]
        pairs = {"fresh": (truth, fresh), "dirty": (truth, dirty), "safe": (truth, safe_one), "later": (later, joined)}
        for name, (wanted, got) in pairs.items():
            found += [f"{number} at {cut}, {name}: {key}" for key in wanted if wanted[key] != got[key]]
    return found


@pytest.mark.parametrize("name", STORED)
def test_joining_viewer_sees_what_the_others_see(node: Node, name: str) -> None:
    stream = recording(name)
    generator = random.Random(name)
    cuts = [generator.randrange(len(stream) + 1) for _ in range(12)]
    assert differences(node, [(stream, cut) for cut in cuts], Size(ROWS, COLS)) == []


def test_joining_viewer_sees_the_odd_cases_too(node: Node) -> None:
    streams = [(stream + b" and \x1b\\ on\r\n", len(stream)) for name, stream in CASES.items() if name not in DISAGREEMENTS]
    assert differences(node, streams, Size(ROWS, COLS)) == []


def test_sanitized_output_draws_the_same(node: Node) -> None:
    streams = [recording(name) for name in STORED]
    raw = drawn(node, [[stream] for stream in streams], Size(ROWS, COLS))
    safe = drawn(node, [[Sanitizer().feed(stream)] for stream in streams], Size(ROWS, COLS))
    assert safe == raw
