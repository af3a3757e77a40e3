"""`codewrap doctor`: options, one call, one line for each finding. What is examined is put together in `examining.py`.

Importing this module imports nothing of the network.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from codewrap.cli import console, environment
from codewrap.doctor.report import Check, Report, Status

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red", Status.SKIP: "dim"}
_WORDS = {Status.OK: "ok", Status.WARN: "warn", Status.FAIL: "FAIL", Status.SKIP: "skip"}
_NAME_WIDTH, _TIME_WIDTH = 18, 9
# A line that leaves for a file or a pipe is never cut.
_NO_WIDTH = 10_000


def doctor(
    as_json: Annotated[bool, typer.Option("--json", envvar="CODEWRAP_JSON", help="One JSON object on stdout.")] = False,
    mode: Annotated[
        str | None, typer.Option(envvar="CODEWRAP_MODE", help="embedded, direct or gateway; found by itself.")
    ] = None,
    tls: Annotated[bool | None, typer.Option("--tls/--no-tls", help="TLS to the server; on unless it is this machine.")] = None,
    timeout: Annotated[
        float, typer.Option(envvar="CODEWRAP_TIMEOUT", min=0.1, max=60, metavar="S", help="Seconds for each check.")
    ] = 5.0,
) -> None:
    """Prove that a set-up works, or say what is wrong with it and what to do.

    Two clients talk over the server on throwaway channels; no session is touched and no secret is shown.
    Exit status: 0 nothing failed, 1 something did.
    """
    from codewrap.cli import examining

    with examining.prepared(environment.current().values, mode, tls, timeout) as subject:
        page = None if as_json else Page(subject.mode, subject.server)
        found: list[Check] = []
        for check in subject.checks():
            found.append(check)
            if page is not None:
                page.add(check)
    report = Report(subject.mode, subject.server, tuple(found))
    if page is not None:
        page.end(report)
    else:
        sys.stdout.write(console.json_line(report.as_object()))
    raise typer.Exit(0 if report.ok else 1)


class Page:
    """The findings on stdout, each as soon as it is there."""

    def __init__(self, mode: str | None, server: str | None) -> None:
        self._console = _console()
        self._skipped: list[Check] = []
        if server is not None:
            where = "a hub of this process at " if mode == "embedded" else ""
            self._console.print(f"codewrap doctor will speak to {where}{server}\n", markup=False)

    def add(self, check: Check) -> None:
        """Take a finding. What was not tried for one reason becomes one line."""
        if self._skipped and (check.status is not Status.SKIP or check.detail != self._skipped[0].detail):
            self._show_skipped()
        if check.status is Status.SKIP:
            self._skipped.append(check)
        else:
            self._show(check)

    def _show_skipped(self) -> None:
        first, self._skipped, names = self._skipped[0], [], [check.name for check in self._skipped]
        if len(names) > 1:
            first = Check(f"{len(names)} checks", Status.SKIP, f"{first.detail}: {', '.join(names)}")
        self._show(first)

    def _show(self, check: Check) -> None:
        """One line; what does not fit is folded under its own column."""
        from rich.table import Table
        from rich.text import Text

        style = _STYLES[check.status]
        row = Table.grid(padding=(0, 1))
        row.add_column(width=5)
        row.add_column(width=_NAME_WIDTH, no_wrap=True)
        row.add_column(width=_TIME_WIDTH, justify="right")
        row.add_column(overflow="fold")
        time_shown = "" if check.ms is None else f"{check.ms:.1f} ms"
        detail = Text(check.detail, style="dim" if check.status is Status.SKIP else "")
        row.add_row(Text(f" {_WORDS[check.status]}", style=style), check.name, Text(time_shown, style="dim"), detail)
        self._console.print(row)

    def end(self, report: Report) -> None:
        """The sum."""
        from rich.text import Text

        if self._skipped:
            self._show_skipped()

        fails, warnings, skips = (report.count(status) for status in (Status.FAIL, Status.WARN, Status.SKIP))
        parts = [f"{report.count(Status.OK)} ok"]
        parts += [
            f"{count} {word}" for count, word in ((warnings, "to know of"), (fails, "failed"), (skips, "not tried")) if count
        ]
        verdict = "It works" if report.ok else "It does not work"
        style = _STYLES[Status.OK if report.ok else Status.FAIL]
        self._console.print(Text(f"\n{verdict}: ", style=style).append(", ".join(parts) + ".", style="default"))


def _console() -> Console:
    from rich.console import Console

    on_terminal = os.isatty(1)
    coloured = on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Console(
        highlight=False,
        markup=False,
        emoji=False,
        force_terminal=coloured,
        color_system="standard" if coloured else None,
        width=None if on_terminal else _NO_WIDTH,
    )
