"""What a command of this user asks of a session on this machine, and the answer. Pure; carried by `protocol/hostlink.py`.

Whoever may ask is told by the kernel (`transport/lane.py`); here is only what is asked.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from codewrap.errors import LocalProtocolError
from codewrap.protocol.hostlink import Kind, Message
from codewrap.protocol.roles import is_user

REQUESTS, APPROVE, DENY, KILL = "requests", "approve", "deny", "kill"
_OF_A_USER = (APPROVE, DENY)


@dataclass(frozen=True, slots=True)
class Order:
    """``do`` is REQUESTS, APPROVE or DENY of ``user``, or KILL: send the command ``signal``."""

    do: str
    user: str = ""
    signal: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """A request to type: of whom, with which code, since when (Unix time)."""

    user: str
    code: str
    since: float


@dataclass(frozen=True, slots=True)
class Reply:
    """``problem`` is "" where it was done. ``requests`` are those that stand now, ``turned_away`` so many users more."""

    problem: str = ""
    requests: tuple[Standing, ...] = ()
    turned_away: int = 0


def encode_order(order: Order) -> Message:
    """As a message to the host."""
    return Message(Kind.ORDER, asdict(order))


def decode_order(message: Message) -> Order:
    """Raises LocalProtocolError for what is no order, as one of a later version."""
    do, user, signal = message.header.get("do"), message.header.get("user"), message.header.get("signal", 0)
    if message.kind is not Kind.ORDER or not isinstance(do, str) or not isinstance(user, str) or type(signal) is not int:
        raise LocalProtocolError("this is not an order")
    if do not in (REQUESTS, KILL) and (do not in _OF_A_USER or not is_user(user)):
        raise LocalProtocolError("an order is not known here")
    return Order(do, user, signal)


def encode_reply(reply: Reply) -> Message:
    """As a message from the host."""
    return Message(Kind.REPLY, asdict(reply))


def decode_reply(message: Message) -> Reply:
    """Raises LocalProtocolError."""
    header = message.header
    try:
        standing = tuple(_standing(each) for each in header["requests"])
        problem, turned_away = header["problem"], header["turned_away"]
    except (KeyError, TypeError) as error:
        raise LocalProtocolError("this is not a reply") from error
    if message.kind is not Kind.REPLY or not isinstance(problem, str) or type(turned_away) is not int:
        raise LocalProtocolError("this is not a reply")
    return Reply(problem, standing, turned_away)


def _standing(fields: dict[str, Any]) -> Standing:
    user, code, since = fields["user"], fields["code"], fields["since"]
    if isinstance(user, str) and isinstance(code, str) and isinstance(since, int | float):
        return Standing(user, code, float(since))
    raise LocalProtocolError("a reply names no request")
