"""Keeps secrets out of logs: a filter for `logging` that knows the process' own secrets, and what tokens look like.

The last line of defence: nothing should log a secret in the first place. Imports nothing of the rest.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable

HIDDEN = "[hidden]"
SHORTEST = 6  # shorter ones would take ordinary words out of every line
_PATTERNS = (
    # JSON Web Tokens (RFC 7519), what stands behind a bearer's scheme, and credentials in URLs.
    re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),
    re.compile(r"(?i)(?<=bearer )[^\s'\",;]+"),
    re.compile(r"(?i)(?<=auth_signature=)[0-9a-f]{16,}"),
    re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"),
)


class RedactingFilter(logging.Filter):
    """Replaces secrets in a record's message, arguments and traceback before any handler formats it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True)

    def redact(self, text: str) -> str:
        """``text`` without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        for pattern in _PATTERNS:
            text = pattern.sub(HIDDEN, text)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record. One whose arguments do not fit its message is passed on as text."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg!r} {record.args!r}"
        record.msg, record.args = self.redact(message), None
        if record.exc_info:
            record.exc_text = self.redact("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
        elif record.exc_text:
            record.exc_text = self.redact(record.exc_text)
        if record.stack_info:
            record.stack_info = self.redact(record.stack_info)
        return True


def redact_all(secrets: Iterable[str]) -> RedactingFilter:
    """Put a filter before every handler of the root logger. Call it after `logging.basicConfig`."""
    found = RedactingFilter(secrets)
    for handler in logging.getLogger().handlers:
        handler.addFilter(found)
    return found
