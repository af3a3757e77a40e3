"""Names of sessions, channels and events. Every name parses in exactly one way.

Source: `docs/protocol.md`, "Channels and events". A channel is a fixed prefix plus the session's name.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from codewrap.errors import ConfigError, RemoteProtocolError

SESSION_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
# Soketi looks for these anywhere in a channel's name and would take the channel for another kind.
FORBIDDEN_IN_NAMES = ("private-", "presence-", "cache-", "client-")

EVENT_INPUT = "input"
EVENT_CLIENT_INPUT = "client-input"
EVENT_CLIENT_OUTPUT = "client-output"
EVENT_CONTROL = "control"
EVENT_SYNC = "sync"
EVENT_CLIENT_SYNC = "client-sync"


class ChannelRole(enum.Enum):
    """What a channel of a session carries; the value is its prefix."""

    SEALED_OUTPUT = "private-encrypted-command-"
    SEALED_INPUT = "private-encrypted-input-"
    OUTPUT = "private-command-"
    INPUT = "private-input-"
    PRESENCE = "presence-command-"

    @property
    def encrypted(self) -> bool:
        """Whether Pusher's own encryption covers events of this channel."""
        return str(self.value).startswith("private-encrypted-")


@dataclass(frozen=True, slots=True)
class SessionChannel:
    """A channel name taken apart."""

    role: ChannelRole
    session: str

    def __str__(self) -> str:
        return self.role.value + self.session


def check_session_name(name: str, setting: str = "session name") -> str:
    """Return ``name``. Raises ConfigError naming ``setting`` where it cannot be a session's name."""
    if not SESSION_NAME.fullmatch(name):
        raise ConfigError(
            setting,
            f"{printable(name)!r} is not a session name",
            "use 1 to 48 of a-z, 0-9 and -, beginning with a letter or digit",
        )
    for word in FORBIDDEN_IN_NAMES:
        if word in name:
            raise ConfigError(setting, f"{name!r} contains {word!r}, which brokers give a meaning of their own")
    return name


def is_session_name(name: str) -> bool:
    """Whether ``name`` can be a session's name."""
    return bool(SESSION_NAME.fullmatch(name)) and not any(word in name for word in FORBIDDEN_IN_NAMES)


def parse_channel(channel: str) -> SessionChannel:
    """Take a channel name apart. Raises RemoteProtocolError when it is not a session's channel."""
    for role in ChannelRole:
        if channel.startswith(role.value):
            session = channel[len(role.value) :]
            if is_session_name(session):
                return SessionChannel(role, session)
    raise RemoteProtocolError("not a channel of a session")


def output_channel(session: str, *, encrypted: bool) -> str:
    """Where the host speaks: `output`, `screen`, `resize`, `beat`, `ack`, `notice`, `exit`."""
    role = ChannelRole.SEALED_OUTPUT if encrypted else ChannelRole.OUTPUT
    return f"{role.value}{session}"


def input_channel(session: str) -> str:
    """Where writers send `client-input`, and where `input` arrives that came over HTTP: both sealed with a writer's own key."""
    return ChannelRole.INPUT.value + session


def sealed_input_channel(session: str) -> str:
    """Where the server speaks to the host alone, by `control`; its shared secret is what the keys of writers are made of."""
    return ChannelRole.SEALED_INPUT.value + session


def presence_channel(session: str) -> str:
    """Who is here; carries `client-sync`, `sync` and `client-output`."""
    return ChannelRole.PRESENCE.value + session


def printable(text: str, limit: int = 80) -> str:
    """``text`` from anybody, fit to be shown: control characters escaped, cut to ``limit`` characters."""
    shown = text[: limit + 1]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
