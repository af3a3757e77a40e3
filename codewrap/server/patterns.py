"""Regular expressions of people who are not this server's own: searched in linear time. The one place that imports RE2.

Python's own would let one request stop the server for as long as it likes: `(a+)+$`.
"""

from __future__ import annotations

import re
from typing import Final, cast

import re2

MAX_CHARACTERS: Final = 500
# Of one pattern's automaton; a search that would need more begins it anew.
_MEMORY_BYTES: Final = 1024 * 1024


class NotAPattern(ValueError):
    """What cannot be searched for; the text says why, in a line."""


def compile_pattern(text: str) -> re.Pattern[str]:
    """``text`` in RE2's syntax (no look-around, no back references), ^ and $ being ends of lines. Raises NotAPattern.

    The answer searches as Python's own does; it is no more than that.
    """
    if not 0 < len(text) <= MAX_CHARACTERS:
        raise NotAPattern(f"empty, or longer than {MAX_CHARACTERS} characters")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    try:
        compiled = re2.compile(f"(?m){text}", options)
    except re2.error as error:
        raise NotAPattern(_reason(error)) from None
    finally:
        re2.purge()  # it keeps the last 128, with all their memory
    return cast("re.Pattern[str]", compiled)


def _reason(error: Exception) -> str:
    """RE2's words in front of what it quotes."""
    said = error.args[0] if error.args else ""
    words = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return words.partition(":")[0]
