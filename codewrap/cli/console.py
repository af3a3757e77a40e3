"""Every word that `run`, `attach` and the error path show on stderr, in one place and one style. No network, no rich."""

from __future__ import annotations

import atexit
import contextlib
import errno
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from codewrap.errors import EXIT_FAILED, EXIT_USAGE, CodewrapError
from codewrap.protocol.channels import printable

# What the system says when there is no more of something: nothing of ours is wrong then.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_SCARCE = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
EXIT_CLOSED = 1  # as typer has it
_DIM, _BOLD, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"


def styled() -> bool:
    """Colours on stderr: a terminal that is not dumb, and no NO_COLOR."""
    return os.isatty(2) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(text: str) -> None:
    """One line of ours on stderr. A terminal in raw mode needs the carriage return; a file does not get it."""
    prefix, plain = (f"{_DIM}[codewrap]", _PLAIN) if styled() else ("[codewrap]", "")
    end = "\r\n" if os.isatty(2) else "\n"
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{prefix} {text}{plain}{end}")
        sys.stderr.flush()


def json_line(value: object) -> str:
    """``value`` as a line of JSON that any terminal may be shown: all that does not print is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():  # most are, and some are long
        return text + "\n"
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text) + "\n"


def say_json(value: dict[str, Any]) -> None:
    """One JSON object on a line of stderr."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(json_line(value))
        sys.stderr.flush()


def fail(error: CodewrapError) -> int:
    """One line that says what is wrong; returns the exit status to leave with."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"codewrap: {printable(str(error), 500)}\n")
        sys.stderr.flush()
    return error.exit_status


def misused(problem: str, command: str) -> int:
    """One line for a command line that is not understood; returns the exit status to leave with."""
    text = " ".join(problem.split()).rstrip(".")
    if not text:  # no command at all: the help is shown already
        return EXIT_USAGE
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"codewrap: {printable(text, 500)} (see: {command} --help)\n")
    return EXIT_USAGE


def broken(error: Exception) -> None:
    """One line for an error that is ours. Its text is not shown: it may hold anything."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"codewrap: an error of ours: {type(error).__name__} (CODEWRAP_DEBUG=1 shows more)\n")


def refused(error: OSError) -> int:
    """One line for what the system refuses; returns the exit status to leave with. Anything else is `broken`."""
    if error.errno in {errno.EPIPE, *_FULL}:  # what is left of it is not tried again
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if error.errno == errno.EPIPE:  # whoever reads has seen enough
        return EXIT_CLOSED
    if error.errno in _FULL:
        problem = "what is to be shown cannot be written"
    elif error.errno in _SCARCE:
        problem = "the system has no more to give"
    else:
        broken(error)
        return EXIT_FAILED
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"codewrap: {problem}: {os.strerror(error.errno)}\n")
    return EXIT_FAILED


def amount(size: int) -> str:
    """Bytes as people say them: 512 B, 4.2 KB, 1.0 GB (powers of ten)."""
    value = float(size)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def count(number: float) -> str:
    """Numbers as people say them: 950, 1.2k, 35k, 1.3M."""
    for limit, unit in ((999.5, ""), (999_500.0, "k"), (float("inf"), "M")):
        if number < limit:
            value = number / {"": 1, "k": 1000, "M": 1_000_000}[unit]
            return f"{value:.1f}{unit}" if unit and value < 9.95 else f"{value:.0f}{unit}"
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """Seconds as people say them: 0.4 s, 12 s, 3 min 5 s, 2 h 1 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def moment(unix_s: float) -> str:
    """A time as people here say it: 2026-11-23 14:05."""
    at = time.localtime(unix_s)
    return f"{at.tm_year}-{at.tm_mon:02}-{at.tm_mday:02} {at.tm_hour:02}:{at.tm_min:02}"


_at_end: list[Callable[[], None]] = []


def at_end(callback: Callable[[], None]) -> None:
    """Have ``callback`` called when this process ends, also by `leave`."""
    _at_end.append(callback)
    atexit.register(callback)


def leave(status: int) -> NoReturn:
    """Exit at once: taking the interpreter apart takes longer than many a command, and no thread may hold the person up."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    for callback in _at_end:
        callback()
    os._exit(status)
