"""Channel, user and socket names: which are allowed, and what a channel's prefix means.

The kind is read from the start of the name only: `cache-` right after it (or first) makes a cache channel.
"""

from __future__ import annotations

import enum
import functools
import re
from dataclasses import dataclass

from codewrap.broker.refusals import Refusal

SERVER_TO_USER = "#server-to-user-"
_ALLOWED = re.compile(r"[A-Za-z0-9_\-=@,.;]+")
_SOCKET_ID = re.compile(r"[0-9]+\.[0-9]+")
_SHOWN_CHARS = 200  # of a wrong name, in the sentence that refuses it


class ChannelKind(enum.Enum):
    """The prefix of each kind."""

    PUBLIC = ""
    PRIVATE = "private-"
    PRIVATE_ENCRYPTED = "private-encrypted-"
    PRESENCE = "presence-"
    SERVER_TO_USER = SERVER_TO_USER


_BY_PREFIX = (ChannelKind.PRIVATE_ENCRYPTED, ChannelKind.PRIVATE, ChannelKind.PRESENCE)


@dataclass(frozen=True, slots=True)
class ChannelName:
    """A valid name and what it stands for. ``cached`` channels keep their last event."""

    text: str
    kind: ChannelKind
    cached: bool = False

    @property
    def needs_authorization(self) -> bool:
        """Whether a subscription must be signed."""
        return self.kind in (ChannelKind.PRIVATE, ChannelKind.PRIVATE_ENCRYPTED, ChannelKind.PRESENCE)

    @property
    def is_presence(self) -> bool:
        """Whether members are known by name."""
        return self.kind is ChannelKind.PRESENCE

    @property
    def user_id(self) -> str:
        """The user a server-to-user channel belongs to; empty for the other kinds."""
        return self.text.removeprefix(SERVER_TO_USER) if self.kind is ChannelKind.SERVER_TO_USER else ""


def parse_channel(name: object, max_chars: int) -> ChannelName:
    """The one reading of ``name``. Raises Refusal (4009) when it is no channel name."""
    if not isinstance(name, str):
        raise Refusal(4009, "The channel must be a string")
    return _parse(name, max_chars)


@functools.lru_cache(maxsize=1024)  # the same few names come with every event
def _parse(name: str, max_chars: int) -> ChannelName:
    own = name.startswith(SERVER_TO_USER)
    rest = name.removeprefix(SERVER_TO_USER) if own else name
    if len(name) > max_chars or not _ALLOWED.fullmatch(rest):
        raise Refusal(4009, f"Invalid channel name: {name[:_SHOWN_CHARS]}")
    if own:
        return ChannelName(name, ChannelKind.SERVER_TO_USER)
    kind = next((kind for kind in _BY_PREFIX if name.startswith(kind.value)), ChannelKind.PUBLIC)
    return ChannelName(name, kind, name.removeprefix(kind.value).startswith("cache-"))


def is_socket_id(value: object) -> bool:
    """Whether ``value`` looks like a socket id: every SDK checks the same."""
    return isinstance(value, str) and _SOCKET_ID.fullmatch(value) is not None


def is_user_id(value: object, max_chars: int) -> bool:
    """Whether ``value`` may be a signed-in user's id."""
    return isinstance(value, str) and 0 < len(value) <= max_chars and _ALLOWED.fullmatch(value) is not None
