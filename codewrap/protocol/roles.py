"""Who may do what, as one table: which role may subscribe to which channel of a session and ask for which act.

Pure. Both sides decide by it: `serve-auth` when it signs, the host at every input frame. Source: `docs/protocol.md`, "Roles".
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from codewrap.errors import RemoteProtocolError
from codewrap.protocol.channels import ChannelRole

MAX_NAME_CHARACTERS = 40
# In a viewer's presence: it understands output that comes as a client event, signed by the host.
TAKES_CLIENT_OUTPUT = "client_output"
# And what it made up for this attachment: a host that has heard it can answer, a recording of one cannot.
CHALLENGE = "challenge"
# Pusher's rule for user ids is "as for channels"; without `.`, which stands before the socket's own part of a presence id.
USER = re.compile(r"[A-Za-z0-9_=@,;-]{1,64}")


class Role(enum.Enum):
    """What a token makes of its bearer; each later one may all that the earlier ones may."""

    VIEWER = "viewer"
    WRITER = "writer"
    HOST = "host"
    ADMIN = "admin"


class Act(enum.Enum):
    """What is asked for over HTTP, beside subscribing."""

    SIGN_IN = "sign in"
    SYNC = "ask for a screen or bytes"
    TYPE = "type into a session"
    LIST = "list sessions"
    PUBLISH = "publish as a session's host"
    KILL = "end a session's command"
    APPROVE = "let somebody type into a session"
    SHARE = "share a session"
    RECALL = "read a stored recording"
    STORE = "store a recording"
    TOKENS = "issue or revoke tokens"
    METRICS = "read the metrics"


@dataclass(frozen=True, slots=True)
class Rights:
    """What one role may."""

    channels: frozenset[ChannelRole]
    acts: frozenset[Act]


_WATCHED = frozenset({ChannelRole.SEALED_OUTPUT, ChannelRole.OUTPUT, ChannelRole.PRESENCE})
# Whoever is authorized for this gets a key of their own, and with it can type: never a viewer.
_TYPED = frozenset({ChannelRole.INPUT})
# Whoever is authorized for this gets the key that those of all writers are made of, and can be any of them: the host alone.
_HOSTED = _TYPED | {ChannelRole.SEALED_INPUT}
_VIEWS = frozenset({Act.SIGN_IN, Act.SYNC, Act.LIST, Act.RECALL})
_HOSTS = _VIEWS | {Act.TYPE, Act.PUBLISH, Act.KILL, Act.APPROVE, Act.SHARE, Act.STORE}

RIGHTS = {
    Role.VIEWER: Rights(_WATCHED, _VIEWS),
    Role.WRITER: Rights(_WATCHED | _TYPED, _VIEWS | {Act.TYPE}),
    Role.HOST: Rights(_WATCHED | _HOSTED, _HOSTS),
    Role.ADMIN: Rights(_WATCHED | _HOSTED, frozenset(Act)),
}
_RANK = {role: rank for rank, role in enumerate(Role)}


def may_subscribe(role: Role, channel: ChannelRole) -> bool:
    """Whether ``role`` may hear (and be given the key of) such a channel."""
    return channel in RIGHTS[role].channels


def may(role: Role, act: Act) -> bool:
    """Whether ``role`` may do ``act``."""
    return act in RIGHTS[role].acts


def bounded(wanted: Role, held: Role) -> Role:
    """The role somebody plays who asks for ``wanted`` and whose token allows ``held``: the lesser one."""
    return min(wanted, held, key=_RANK.__getitem__)


def played(text: str | None, held: Role) -> Role:
    """`bounded`, from a request's ``role`` parameter (writer where there is none). Raises RemoteProtocolError.

    Nobody plays ADMIN: it is what a token is, not what one is to a session.
    """
    try:
        wanted = Role(text) if text is not None else Role.WRITER
    except ValueError:
        raise RemoteProtocolError("role is none of viewer, writer and host") from None
    if wanted is Role.ADMIN:
        raise RemoteProtocolError("role is none of viewer, writer and host")
    return bounded(wanted, held)


def shown_name(text: str, fallback: str) -> str:
    """A name as others may be shown it: one line of printable characters, cut; ``fallback`` where nothing is left."""
    kept = "".join(c if c.isprintable() else " " for c in text[: 4 * MAX_NAME_CHARACTERS])
    return " ".join(kept.split())[:MAX_NAME_CHARACTERS].strip() or fallback


def is_user(text: str) -> bool:
    """Whether ``text`` can be a user's id."""
    return bool(USER.fullmatch(text))
