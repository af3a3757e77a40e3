"""`codewrap` as a process, in surroundings of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Done:
    """How a command line ended."""

    status: int
    out: str
    err: str


class CommandLine:
    """One user's surroundings: nothing configured, private directories below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("runtime", "state"):
            (directory / name).mkdir(mode=0o700, exist_ok=True)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "USER": "anna",
            "LANG": "C.UTF-8",
            "COLUMNS": "100",
            "XDG_RUNTIME_DIR": str(directory / "runtime"),
            "XDG_STATE_HOME": str(directory / "state"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }

    def __call__(self, *words: str, **environ: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "codewrap.cli.main", *words],
            env={**self.environ, **environ},
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def dotenv(self, *lines: str) -> None:
        """Write the `.env` of the working directory."""
        (self.directory / ".env").write_text("\n".join(lines) + "\n")
