"""`codewrap rename`: another name for a session that is over."""

from __future__ import annotations

from typing import Annotated

import typer

from codewrap.cli import console, environment
from codewrap.cli.kept import SESSION_HELP, archive, complete, find, running
from codewrap.errors import ConfigError
from codewrap.protocol.channels import check_session_name
from codewrap.store.archive import Fate


def rename(
    session: Annotated[str, typer.Argument(metavar="NAME", help=SESSION_HELP, autocompletion=complete)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its name from now on.")],
) -> None:
    """Give a session that has ended or was lost another name. One that runs keeps its own: viewers know it by that.

    What a server stores of it keeps the name it had.
    """
    check_session_name(new, "NEW")
    values = environment.current().values
    kept = find(values, session)
    if kept.state.fate is Fate.RUNNING:
        raise ConfigError("NAME", f"session {kept.name!r} runs, and keeps its name until it has ended")
    if running(values, new) is not None:
        raise ConfigError("NEW", f"a session {new!r} is running", "choose another")
    renamed = archive(values).rename(kept, new)
    console.say(f"{session} is {renamed.name} now")
