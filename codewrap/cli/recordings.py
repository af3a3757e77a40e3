"""Recordings as the commands that show them need them: found by name, opened, told as events. No network."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codewrap.cli import environment
from codewrap.errors import CodewrapError, SessionNotFound
from codewrap.protocol.asciicast import Event, Header
from codewrap.store import files
from codewrap.store.archive import Archive, Fate, Kept
from codewrap.store.recording import TERM, Account, Narrator, command_line, first_size
from codewrap.store.sessionlog import LogReader

if TYPE_CHECKING:
    from codewrap.cli.stored import Fetched

SESSION_HELP = "Name of a session that runs, is kept, or stored at the server; NAME@ID is an earlier one."


def archive() -> Archive:
    """This user's. Raises StoreError."""
    return Archive(files.state_directory(environment.current().values) / "sessions")


def find(name: str) -> Kept:
    """The session of that name, the newest if there are several, whether or not it runs; else what the server stores of it.

    Raises SessionNotFound, and what `stored.fetch` raises.
    """
    kept, fetched = follow(name)
    if fetched is not None:
        fetched.close()
    return kept


def follow(name: str) -> tuple[Kept, Fetched | None]:
    """The same; of one that is elsewhere more can be fetched as it comes, and whoever calls closes it."""
    kept = archive().find(name)
    if kept is not None:
        return kept, None
    here = environment.current()
    if here.values.get("CODEWRAP_URL"):
        from codewrap.cli import hosted, stored

        server = hosted.gateway(here)
        if server is not None:
            fetched = stored.follow(here, server, name)
            return fetched.kept, fetched
    raise SessionNotFound(name, "neither running nor kept on this machine (codewrap ls --all)")


def complete_recording(incomplete: str) -> list[str]:
    """Names of all sessions whose logs are here, for the shell."""
    with contextlib.suppress(CodewrapError, OSError):
        kept = Archive(files.state_directory(os.environ) / "sessions").names()
        return sorted(name for name in kept if name.startswith(incomplete))
    return []


@dataclass(frozen=True, slots=True)
class Recording:
    """One session's log, to be told from the beginning as often as is wanted."""

    kept: Kept

    @property
    def is_over(self) -> bool:
        """Nobody writes any more."""
        return self.kept.state.fate is not Fate.RUNNING

    @property
    def plain(self) -> bool:
        """The command had no terminal."""
        return self.kept.pty is False

    def open(self) -> LogReader:
        """Its log. Raises StoreError."""
        return LogReader(self.kept.directory)

    def header(self) -> Header:
        """What the recording says of itself."""
        kept = self.kept
        reader = self.open()
        try:
            size = first_size(reader)
        finally:
            reader.close()
        began = int(kept.started_at) if kept.started_at else None
        environ = surroundings(kept)
        return Header(size, began, command_line(kept.command), kept.name, environ.get("TERM", TERM), environ.get("SHELL", ""))

    def events(self, until_s: float | None = None) -> Iterator[Event]:
        """Everything that happened up to now, or up to ``until_s`` seconds after the beginning."""
        is_over = self.is_over  # asked before the log is read: what its host wrote last is in it then
        reader = self.open()
        try:
            narrator = Narrator(plain=self.plain)
            for moment in Account(reader).advance(final=is_over):
                if until_s is not None and moment.time_s > until_s:
                    break
                yield from narrator.tell(moment)
            yield from narrator.end()
        finally:
            reader.close()


def surroundings(kept: Kept) -> dict[str, str]:
    """TERM and SHELL as `run` had them, where they are known."""
    environ = kept.facts.get("environ")
    known = environ.items() if isinstance(environ, dict) else ()
    return {name: text for name, text in known if isinstance(text, str) and text}
