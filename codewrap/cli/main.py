"""The command line's door: commands, and the one place where errors become a line and an exit status."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from codewrap import __version__
from codewrap.cli import attach, console, environment, ls, run, serve_auth
from codewrap.errors import EXIT_FAILED, EXIT_INTERRUPTED, CodewrapError

app = typer.Typer(
    name="codewrap",
    help="Wrap any command; watch and drive its terminal from anywhere over Pusher Channels.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(context_settings={"allow_interspersed_args": False})(run.run)
app.command()(attach.attach)
app.command()(ls.ls)
app.command("serve-auth")(serve_auth.serve_auth)


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
