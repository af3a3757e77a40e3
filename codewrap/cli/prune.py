"""`codewrap prune`: deletes logs of sessions that are over, as by itself once an hour, or more of them."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from codewrap import config
from codewrap.cli import console, environment
from codewrap.cli.kept import archive, how
from codewrap.errors import ConfigError
from codewrap.store.archive import Archive, Kept, Policy
from codewrap.store.retrieval import forget


def prune(
    everything: Annotated[bool, typer.Option("--all", help="Every session that is over.")] = False,
    older_than: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Those that were over 12h, 7d ago; default: CODEWRAP_RETENTION.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Delete nothing; list what would be.")] = False,
) -> None:
    """Delete the logs of sessions that are over: what is kept too long or takes too much, or as the options say.

    Never that of a session that runs. Those of this machine only: a server deletes what it stores by its own settings.
    """
    if everything and older_than is not None:
        raise ConfigError("--all", "cannot go with --older-than", "give one of them")
    values = environment.current().values
    age_s, most_bytes = config.recordings_kept(values)
    if everything:
        policy = Policy(0.0)
    elif older_than is not None:
        policy = Policy(config.parse_duration("--older-than", older_than))
    else:
        policy = Policy(age_s, most_bytes)
    if dry_run:
        _list(archive(values).doomed(policy, time.time()))
    else:
        _delete(archive(values), policy)


def _list(doomed: list[Kept]) -> None:
    total = 0
    for kept in doomed:
        state, size = kept.state, kept.size_bytes()
        total += size
        when = console.moment(state.at) if state.at else "?"
        sys.stdout.write(f"{kept.name}@{kept.epoch}  {how(state)}  {when}  {console.amount(size)}\n")
    console.say(f"{_sessions(len(doomed))} would be deleted ({console.amount(total)})")


def _delete(place: Archive, policy: Policy) -> None:
    sizes = {kept.directory: kept.size_bytes() for kept in place.doomed(policy, time.time())}
    gone = place.prune(policy, time.time())
    forget(gone)
    total = sum(sizes.get(kept.directory, 0) for kept in gone)
    console.say(f"{_sessions(len(gone))} deleted ({console.amount(total)})")


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count} sessions"
