"""When the right screen was there: what a viewer's terminal was sent is fed to xterm.js afterwards and compared.

Nothing of this happens while a clock runs. xterm.js comes with the tests' Node packages and shares no code with any peer.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.terminals import COLS, ROWS, Chunk

SCRIPT = Path(__file__).with_name("screens.js")
# Plain output of this size has scrolled away whatever stood before it, and every peer that redraws has done so many times.
ENOUGH_BYTES = 512 * 1024
# Where the mark never came in one piece: these last pieces are looked at.
LAST_CHUNKS = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """`right_ns`: when the screen first was right, None if never; `last`: whether it was right at the end."""

    right_ns: int | None
    last: bool


class Screens:
    """One Node process that plays terminals; `root` has the packages."""

    def __init__(self, node: Path, root: Path) -> None:
        command = [str(node), str(SCRIPT)]
        self._process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def judge(self, chunks: Sequence[Chunk], mark: bytes, expected: bytes) -> Verdict:
        """Compare what a terminal was sent with the screen at the end of `expected`, from the piece that has `mark` on."""
        chunks, start = recent(chunks), first_with(mark, recent(chunks))
        request = {
            "rows": ROWS,
            "cols": COLS,
            "expected": [text(expected[-ENOUGH_BYTES:])],
            "shown": [text(chunk.data) for chunk in chunks],
            "from": start,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the terminal that compares screens has ended")
        answer = json.loads(line)
        if not answer["last"]:
            print(f"  shown: {answer['screen']}\n  right: {answer['wanted']}", file=sys.stderr)
        index = answer["right"]
        return Verdict(chunks[index].at_ns if index >= 0 else None, answer["last"])


def recent(chunks: Sequence[Chunk]) -> Sequence[Chunk]:
    """The last pieces, of ENOUGH_BYTES or a little more."""
    size, at = 0, len(chunks)
    while at > 0 and size < ENOUGH_BYTES:
        at -= 1
        size += len(chunks[at].data)
    return chunks[at:]


def first_with(mark: bytes, chunks: Sequence[Chunk]) -> int:
    """The piece that completes `mark`."""
    end = b""
    for index, chunk in enumerate(chunks):
        if mark in end + chunk.data:
            return index
        end = (end + chunk.data)[-len(mark) :]
    return max(0, len(chunks) - LAST_CHUNKS)


def text(data: bytes) -> str:
    """For JSON."""
    return base64.b64encode(data).decode()
