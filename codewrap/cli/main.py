"""The command line's door: commands, and the one place where errors become a line and an exit status.

Commands are imported and built when they are asked for: `run` must start its child before the others' options are even known.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import Annotated, Any, NamedTuple, cast

import typer
import typer.core
import typer.main

from codewrap import __version__
from codewrap.cli import console, environment
from codewrap.cli.arguments import conceal
from codewrap.errors import EXIT_FAILED, EXIT_INTERRUPTED, CodewrapError


class CommandSource(NamedTuple):
    """Where a command's function is, and how its command line is read."""

    module: str
    function: str
    context_settings: dict[str, Any]


# What the parser raises for a command line it does not understand; typer names only this one of its subclasses.
UsageProblem = cast(type[typer.BadParameter], typer.BadParameter.__mro__[1])
_HELP = {"help_option_names": ["-h", "--help"]}
# By what is typed: one word, or a group of GROUPS and a word in it.
COMMANDS = {
    # Options after the first word of CMD are CMD's.
    "run": CommandSource("codewrap.cli.run", "run", {**_HELP, "allow_interspersed_args": False}),
    "attach": CommandSource("codewrap.cli.attach", "attach", _HELP),
    "send": CommandSource("codewrap.cli.send", "send", _HELP),
    "screen": CommandSource("codewrap.cli.screen", "screen", _HELP),
    "ls": CommandSource("codewrap.cli.ls", "ls", _HELP),
    "show": CommandSource("codewrap.cli.show", "show", _HELP),
    "wait": CommandSource("codewrap.cli.wait", "wait", _HELP),
    "kill": CommandSource("codewrap.cli.kill", "kill", _HELP),
    "rename": CommandSource("codewrap.cli.rename", "rename", _HELP),
    "prune": CommandSource("codewrap.cli.prune", "prune", _HELP),
    "answer": CommandSource("codewrap.cli.answer", "answer", _HELP),
    "approve": CommandSource("codewrap.cli.approve", "approve", _HELP),
    "serve-auth": CommandSource("codewrap.cli.serve_auth", "serve_auth", _HELP),
    "share": CommandSource("codewrap.cli.share", "share", _HELP),
    "token create": CommandSource("codewrap.cli.tokens", "create", _HELP),
    "token list": CommandSource("codewrap.cli.tokens", "list_all", _HELP),
    "token revoke": CommandSource("codewrap.cli.tokens", "revoke", _HELP),
    "token inspect": CommandSource("codewrap.cli.tokens", "inspect", _HELP),
    "logs": CommandSource("codewrap.cli.logs", "logs", _HELP),
    "replay": CommandSource("codewrap.cli.replay", "replay", _HELP),
    "export": CommandSource("codewrap.cli.export", "export", _HELP),
    "search": CommandSource("codewrap.cli.search", "search", _HELP),
    "doctor": CommandSource("codewrap.cli.doctor", "doctor", _HELP),
    "audit verify": CommandSource("codewrap.cli.audit", "verify", _HELP),
    "audit show": CommandSource("codewrap.cli.audit", "show", _HELP),
}


# What the help of a group says; that of its commands is only read when the group is asked for.
GROUPS: dict[str, str] = {
    "token": "Who may do what at a serve-auth: issue, list, revoke and inspect tokens.",
    "audit": "Check and show audit logs: who asked for what, and what was decided.",
}


class LazyCommands(typer.core.TyperGroup):
    """The commands of ``sources`` that begin with ``prefix``, each made when it is asked for."""

    prefix = ""
    sources = COMMANDS
    groups = GROUPS

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """In the order of the table; a group stands where its first command does."""
        names = [name.removeprefix(self.prefix) for name in self.sources if name.startswith(self.prefix)]
        return list(dict.fromkeys(name.partition(" ")[0] for name in names))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Import and build it; None when there is none of that name. A command of a group also goes by both words."""
        if (source := self.sources.get(self.prefix + cmd_name)) is not None:
            return _build(cmd_name.rpartition(" ")[2], source)
        if (help_text := self.groups.get(self.prefix + cmd_name)) is not None:
            return self._group(cmd_name, help_text)
        return None

    def _group(self, name: str, help_text: str) -> LazyCommands:
        group = type(self)(name=name, help=help_text, no_args_is_help=True, context_settings=_HELP)
        group.prefix = f"{self.prefix}{name} "
        return group


def _build(name: str, source: CommandSource) -> Any:
    single = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    function = getattr(importlib.import_module(source.module), source.function)
    single.command(name, context_settings=source.context_settings)(function)
    command = typer.main.get_command(single)
    gc.freeze()  # what was imported stays; see entry.py
    gc.enable()
    return command


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


def _open_standard_streams() -> None:
    """Where one is closed, the next file opened would take its number, and what is meant for a person would go there."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def main() -> None:
    """Entry point of the ``codewrap`` script."""
    conceal()  # `entry.py` has done it, unless this module was started itself
    _open_standard_streams()
    try:
        environment.current().export_flags()
        status = app(standalone_mode=False)
        sys.stdout.flush()  # at the exit it would be too late to say that it cannot be
    except CodewrapError as error:
        status = console.fail(error)
    except UsageProblem as error:
        status = console.misused(error.format_message(), getattr(error.ctx, "command_path", "codewrap"))
    except (KeyboardInterrupt, typer.Abort):
        status = EXIT_INTERRUPTED
    except OSError as error:
        if "CODEWRAP_DEBUG" in os.environ:
            raise
        status = console.refused(error)
    except Exception as error:
        if "CODEWRAP_DEBUG" in os.environ:
            raise
        console.broken(error)  # the last line of defence: a person gets one line, never a traceback
        status = EXIT_FAILED
    sys.exit(status)


if __name__ == "__main__":
    main()
