"""Deletes what is kept too long or takes too much: ``python -m codewrap.cli.sweep DIRECTORY AGE_S BYTES``.

Started by `run`, never by a person, after a command that was over before its uplink began.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from codewrap.errors import StoreError
from codewrap.store.sessionfile import clean_is_due

_NO_LIMIT = "-"


def start_if_due(directory: Path, age_s: int | None, most_bytes: int | None, environ: Mapping[str, str]) -> int:
    """Start it, if it was not done of late; nobody needs to wait for it. ``directory`` is that of session logs.

    The pid; 0 where nothing was started.
    """
    if not clean_is_due(directory, time.time()):
        return 0
    limits = [_NO_LIMIT if limit is None else str(limit) for limit in (age_s, most_bytes)]
    command = [sys.executable, "-P", "-m", "codewrap.cli.sweep", str(directory), *limits]
    with contextlib.suppress(OSError):  # then the next run does it
        return os.posix_spawn(
            command[0],
            command,
            dict(environ),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,
        )
    return 0


def main() -> None:
    """The process."""
    from codewrap.store.archive import Archive, Policy
    from codewrap.store.retrieval import forget

    directory, age_s, most_bytes = sys.argv[1:]
    os.nice(10)
    with contextlib.suppress(StoreError):
        policy = Policy(*(None if limit == _NO_LIMIT else int(limit) for limit in (age_s, most_bytes)))
        forget(Archive(Path(directory)).clean_up(policy, time.time()))


if __name__ == "__main__":
    main()
