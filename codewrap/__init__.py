"""codewrap: wrap any command, watch and drive its terminal from anywhere over Pusher Channels.

For programs: `attach` and `run` give a `Session`; docs/python.md.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: whatever the command line imports, a link's token waits for (cli/arguments.py)
if TYPE_CHECKING:
    from codewrap.api import Session as Session
    from codewrap.api import attach as attach
    from codewrap.api import run as run

__version__ = "0.1.0"
__all__ = ["Session", "__version__", "attach", "run"]


def __getattr__(name: str) -> object:
    """The command line imports this package too, and must not wait for what it does not need."""
    if name not in ("Session", "attach", "run"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from codewrap import api

    return getattr(api, name)
