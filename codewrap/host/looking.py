"""What of the terminals only the host can tell, or do, when the uplink asks: it looks once, calls once, and judges nothing."""

from __future__ import annotations

import contextlib
import os
import termios
from typing import Any

from codewrap.protocol.channels import printable
from codewrap.terminal.child import Child

CALL_CHARACTERS = 200


def notification(text: str) -> bytes:
    """A terminal that can shows ``text`` to who does not look at it (OSC 9); others show nothing."""
    return b"\x1b]9;" + printable(text, CALL_CHARACTERS).encode(errors="replace") + b"\x07"


def look(child: Child, typed_s: float | None) -> dict[str, Any]:
    """The header of Kind.LOOKED. ``typed_s``: when somebody typed last at a terminal of our own; None where we have none.

    Without a PTY, or where the system does not tell, nothing is said of the command's terminal.
    """
    said: dict[str, Any] = {"here": typed_s is not None, "typed_s": typed_s or 0.0}
    if child.on_terminal:
        with contextlib.suppress(OSError, termios.error):
            local = termios.tcgetattr(child.terminal_fd)[3]
            group = os.tcgetpgrp(child.terminal_fd)
            said |= {"canonical": bool(local & termios.ICANON), "echo": bool(local & termios.ECHO)}
            said |= {"pid": child.pid, "group": group}
    return said
