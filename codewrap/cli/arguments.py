"""This process's own argument list, which everybody on the machine can read (`ps`): the token of a link is taken out of it.

Called before anything else is imported, by `entry.py`: what is imported here, a token waits for.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys

# In a token's place: the descriptor that it can be read from, once.
_MARK = "fd="
_TAKE_LINKS = (["attach"], ["send"], ["screen"], ["answer"])
# What a pipe that nobody reads yet holds in any case (POSIX), and more than any token of ours has.
MAX_TOKEN_BYTES = 4096


def conceal() -> None:
    """Where an argument for a session holds a token, become this program anew, with the token in a pipe. Else return."""
    if sys.argv[1:2] not in _TAKE_LINKS or not sys.executable:
        return
    words = [sys.executable, *sys.orig_argv[1:]]
    changed = False
    for at in range(len(words) - len(sys.argv) + 2, len(words)):
        address, _, token = words[at].partition("#")
        # Text to type may look like a link too: `as_given` is for that. What a link cannot be stays.
        is_link = "://" in address and not any(map(str.isspace, words[at])) and len(os.fsencode(token)) <= MAX_TOKEN_BYTES
        if token and is_link and _marked(token) is None:
            words[at] = f"{address}#{_MARK}{_in_a_pipe(token)}"
            changed = True
    if changed:
        os.execv(sys.executable, words)  # noqa: S606  (that is the point)


def concealed(fragment: str) -> str | None:
    """The token that `conceal` put elsewhere, or ``fragment`` itself; None where it cannot be read (any more)."""
    fd = _marked(fragment)
    if fd is None:
        return fragment
    try:
        if fd < 3 or not stat.S_ISFIFO(os.fstat(fd).st_mode):
            return None
        with os.fdopen(fd, "rb") as pipe:
            return os.fsdecode(pipe.read(MAX_TOKEN_BYTES))
    except OSError:
        return None


def as_given(text: str) -> str:
    """An argument that may look like a link and is none, as it was before `conceal`."""
    address, mark, fragment = text.partition("#")
    token = concealed(fragment)
    return text if token is None else address + mark + token


def _marked(fragment: str) -> int | None:
    """The descriptor that stands in a token's place. Without `re`, which takes longer to import than all else here."""
    digits = fragment.removeprefix(_MARK)
    is_mark = digits != fragment and digits.isascii() and digits.isdigit() and len(digits) <= 4
    return int(digits) if is_mark else None


def _in_a_pipe(token: str) -> int:
    """The end to read from, which outlives `exec`. It takes the place of no standard stream, were one closed."""
    low = os.pipe()
    reads, writes = (fcntl.fcntl(end, fcntl.F_DUPFD, 3) for end in low)
    for end in low:
        os.close(end)
    os.write(writes, os.fsencode(token))
    os.close(writes)
    return reads
