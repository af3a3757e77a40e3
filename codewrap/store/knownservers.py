"""Which servers links have led to from this account: a private file with an address on each line, the latest last.

Forgetting costs a line that is said once more: nothing here is worth failing for, so nothing is raised.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from codewrap.errors import StoreError
from codewrap.store.files import write_private

_FILE = "known-servers"
MOST = 200


class KnownServers:
    """The list in ``directory``, which is private already; None where there is none: then every server is new."""

    def __init__(self, directory: Path | None) -> None:
        self._path = directory / _FILE if directory is not None else None

    def knows(self, address: str) -> bool:
        """Whether `add` was called with it."""
        return address in self._addresses()

    def add(self, address: str) -> None:
        """Remember it; the oldest is forgotten."""
        if self._path is None or not address.isprintable():
            return
        kept = [known for known in self._addresses() if known != address][1 - MOST :]
        with contextlib.suppress(StoreError):
            write_private(self._path, "".join(f"{known}\n" for known in [*kept, address]).encode())

    def _addresses(self) -> list[str]:
        if self._path is None or self._path.is_symlink():
            return []
        try:
            return self._path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return []
