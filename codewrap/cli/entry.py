"""Entry point of the ``codewrap`` script: imports the command line with the garbage collector off.

Imports make garbage of no consequence and tens of thousands of objects that stay; looking through them took a tenth of the
time before the child starts. `LazyCommands` switches the collector on again once the command that was asked for is there.
"""

from __future__ import annotations

import gc
import sys

from codewrap.cli.arguments import conceal


def main() -> None:
    """As `main.main`."""
    try:
        conceal()
        gc.disable()
        from codewrap.cli.main import main as command_line

        command_line()
    except KeyboardInterrupt:  # while it was being imported: nothing has begun
        from codewrap.errors import EXIT_INTERRUPTED

        sys.exit(EXIT_INTERRUPTED)
