"""User ids of people whom an OpenID Connect provider knows: made from its subject, injectively, in a name space of their own.

Pure. Two subjects never share an id, an id never belongs to one of codewrap's own users, and what does not fit is refused:
cut ids could not be told apart, and hashed ones not be read.
"""

from __future__ import annotations

import re

from codewrap.protocol.roles import is_user

# Reserved: no token of codewrap's own may be made for such a user (`is_reserved`). Four characters leave room for 60, the longest
# that wide-spread providers make (Dex: base64 of a UUID and a connector's name).
PREFIX = "sso@"
_ESCAPED = re.compile(r"=([0-9A-F]{2})")
_KEPT = re.compile(r"[A-Za-z0-9_@,;-]")


def of_subject(subject: str) -> str:
    """The user id of ``subject``: characters that no id has become `=XX` for each byte of their UTF-8, and so does `=`.

    Raises ValueError where it is empty, is no Unicode text, or does not fit.
    """
    if not subject:
        raise ValueError("it is empty")
    try:
        user = PREFIX + "".join(c if _KEPT.fullmatch(c) else "".join(f"={byte:02X}" for byte in c.encode()) for c in subject)
    except UnicodeEncodeError:
        raise ValueError("it is not Unicode text") from None
    if not is_user(user):
        raise ValueError("it is too long")
    return user


def subject_of(user: str) -> str | None:
    """The subject whose id ``user`` is; None where it is nobody's."""
    if not user.startswith(PREFIX) or not is_user(user):
        return None
    pieces = _ESCAPED.split(user.removeprefix(PREFIX))
    raw = b"".join(bytes.fromhex(piece) if index % 2 else piece.encode("ascii") for index, piece in enumerate(pieces))
    try:
        subject = raw.decode()
        return subject if of_subject(subject) == user else None
    except ValueError:  # UnicodeDecodeError is one
        return None


def is_reserved(user: str) -> bool:
    """Whether ``user`` stands in the provider's name space, or would look as if: nobody may be given such an id."""
    return user.lower().startswith(PREFIX)
