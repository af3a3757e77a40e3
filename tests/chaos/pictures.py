"""What a terminal shows after what it was sent, as xterm.js has it: not the engine that the project itself uses."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from types import TracebackType
from typing import Any, Self

from codewrap.protocol.geometry import Size
from tests.support.node import Node
from tests.support.ptydriver import DEADLINE_S, Terminal
from tests.terminal.test_xterm import SCRIPT

Picture = dict[str, Any]


class Recorded:
    """A terminal and the moments at which its window changed its size."""

    def __init__(self, terminal: Terminal, size: Size) -> None:
        self.terminal = terminal
        self._first = size
        self.size = size
        self._sizes: list[tuple[int, Size]] = []

    def resize(self, size: Size) -> None:
        self._sizes.append((len(self.terminal.output.data), size))
        self.size = size
        self.terminal.resize(size)

    def job(self) -> dict[str, Any]:
        """What `xterm_state.js` takes."""
        data = self.terminal.output.data
        parts: list[Any] = []
        at = 0
        for position, size in self._sizes:
            parts += [_base64(data[at:position]), {"cols": size.cols, "rows": size.rows}]
            at = position
        return {"cols": self._first.cols, "rows": self._first.rows, "data": [*parts, _base64(data[at:])]}


class Pictures:
    """One Node that draws for everybody."""

    def __init__(self, node: Node) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [str(node.binary), str(SCRIPT)], cwd=node.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def of(self, *terminals: Recorded) -> list[Picture]:
        """What each of them shows now."""
        jobs = [each.job() for each in terminals]
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        pictures = []
        with self._lock:
            for job in jobs:
                stdin.write(json.dumps(job).encode() + b"\n")
                stdin.flush()
                pictures.append(json.loads(stdout.readline()))
        return pictures

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait(DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def differences(wanted: Picture, got: Picture) -> list[str]:
    """Where two pictures differ, row by row, in words."""
    found = [f"{key}: {got[key]!r} is not {wanted[key]!r}" for key in wanted if key != "shown" and wanted[key] != got[key]]
    for row, (ours, theirs) in enumerate(zip(got["shown"]["rows"], wanted["shown"]["rows"], strict=False)):
        if ours != theirs:
            found.append(f"row {row}: {ours!r} is not {theirs!r}")
    for row, (ours, theirs) in enumerate(zip(got["shown"]["styles"], wanted["shown"]["styles"], strict=False)):
        cells = enumerate(zip(ours.split(), theirs.split(), strict=False))
        first = next((f"cell {col}: {our} is not {their}" for col, (our, their) in cells if our != their), "")
        if first:
            found.append(f"style of row {row} {wanted['shown']['rows'][row]!r}, {first}")
    return found


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
