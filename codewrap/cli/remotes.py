"""Attaches without a terminal: for `send`, `screen` and the Python API."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

from codewrap.cli.destination import Destination, new_challenge
from codewrap.errors import ConfigError, NotAttached, SessionNotFound
from codewrap.viewer.conversation import Terms
from codewrap.viewer.remote import Inbox, Remote

_TIMEOUT = re.compile(r"(?P<number>\d{1,9}(?:\.\d{1,6})?)\s*(?P<unit>ms|s|m|h|)", re.ASCII)
_UNITS_S = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}


def attached(
    to: Destination, timeout_s: float | None, *, encrypted: bool, read_only: bool, say: Callable[[str], None] = lambda _: None
) -> Remote:
    """Whoever calls closes it.

    Raises SessionNotFound, NotAttached, SessionEnded, SessionLost, AuthError, TransportError, WaitTimeout.
    """
    try:
        return _attached(to, timeout_s, encrypted=encrypted, read_only=read_only, say=say)
    except (SessionNotFound, NotAttached) as error:
        if isinstance(error, NotAttached) and not error.absent:
            raise
        from codewrap.cli import past

        raise past.explained(to, error) from error


def _attached(
    to: Destination, timeout_s: float | None, *, encrypted: bool, read_only: bool, say: Callable[[str], None]
) -> Remote:
    challenge, inbox = new_challenge(), Inbox()
    read_only = read_only or not to.may_type
    parts = to.connect(challenge, inbox.deliver, read_only=read_only)
    terms = Terms(
        session=to.name,
        encrypted=to.encrypted(encrypted),
        read_only=read_only,
        endpoint=parts.endpoint,
        challenge=challenge,
        input_interval_s=parts.input_interval_s,
    )
    remote = Remote(terms, parts.subscriber, inbox, parts.send_over_http, say)
    remote.start()
    try:
        remote.join(timeout_s)
    except BaseException:
        remote.close()
        raise
    return remote


def parse_timeout(name: str, text: str) -> float:
    """Seconds in `30s`, `500ms`, `2m`, `1h` or `30`. Raises ConfigError."""
    found = _TIMEOUT.fullmatch(text.strip())
    if found is None:
        raise ConfigError(name, "is not a time", "such as 30s, 500ms or 2m")
    return float(found["number"]) * _UNITS_S[found["unit"]]


def parse_pattern(name: str, text: str) -> re.Pattern[str]:
    """A regular expression in which ^ and $ are ends of lines. Raises ConfigError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a later Python may read in another way
            return re.compile(text, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(name, f"is not a regular expression: {error}") from error
