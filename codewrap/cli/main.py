"""The command line's door: commands, and the one place where errors become a line and an exit status.

Commands are imported and built when they are asked for: `run` must start its child before the others' options are even known.
"""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any, NamedTuple

import typer
import typer.core
import typer.main

from codewrap import __version__
from codewrap.cli import console, environment
from codewrap.errors import EXIT_FAILED, EXIT_INTERRUPTED, CodewrapError


class CommandSource(NamedTuple):
    """Where a command's function is, and how its command line is read."""

    module: str
    function: str
    context_settings: dict[str, Any]


_HELP = {"help_option_names": ["-h", "--help"]}
COMMANDS = {
    # Options after the first word of CMD are CMD's.
    "run": CommandSource("codewrap.cli.run", "run", {**_HELP, "allow_interspersed_args": False}),
    "attach": CommandSource("codewrap.cli.attach", "attach", _HELP),
    "ls": CommandSource("codewrap.cli.ls", "ls", _HELP),
    "serve-auth": CommandSource("codewrap.cli.serve_auth", "serve_auth", _HELP),
    "doctor": CommandSource("codewrap.cli.doctor", "doctor", _HELP),
}


class LazyCommands(typer.core.TyperGroup):
    """The commands of COMMANDS, each made when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """In the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Import and build it; None when there is none of that name."""
        source = COMMANDS.get(cmd_name)
        if source is None:
            return None
        single = typer.Typer(
            add_completion=False,
            pretty_exceptions_enable=False,
        )
        function = getattr(importlib.import_module(source.module), source.function)
        single.command(cmd_name, context_settings=source.context_settings)(function)
        return typer.main.get_command(single)


app = typer.Typer(
    name="codewrap",
    cls=LazyCommands,
    help="Wrap any command; watch and drive its terminal from anywhere over Pusher Channels.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_HELP,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"codewrap {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the ``codewrap`` script."""
    try:
        environment.current().export_flags()
        app()
    except CodewrapError as error:
        sys.exit(console.fail(error))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        if "CODEWRAP_DEBUG" in environment.current().values:
            raise
        sys.stderr.write(f"codewrap: an error of ours: {type(error).__name__} (CODEWRAP_DEBUG=1 shows more)\n")
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
