"""Orders and replies: what comes out is what went in, and nothing else is taken for one."""

from __future__ import annotations

from typing import Any

import pytest

from codewrap.errors import LocalProtocolError
from codewrap.protocol import hostlink, orders
from codewrap.protocol.hostlink import Kind, Message
from codewrap.protocol.orders import Order, Reply, Standing


def carried(message: Message) -> Message:
    (heard,) = hostlink.Decoder().feed(hostlink.encode(message))
    return heard


@pytest.mark.parametrize("order", [Order("requests"), Order("approve", "bob"), Order("deny", "b=2Eb@x"), Order("kill", signal=9)])
def test_an_order_arrives_as_it_was_given(order: Order) -> None:
    assert orders.decode_order(carried(orders.encode_order(order))) == order


@pytest.mark.parametrize("reply", [Reply(), Reply("no", (Standing("bob", "123456", 5.5), Standing("eve", "1", 7.0)), 3)])
def test_a_reply_arrives_as_it_was_given(reply: Reply) -> None:
    assert orders.decode_reply(carried(orders.encode_reply(reply))) == reply


@pytest.mark.parametrize(
    "message",
    [
        Message(Kind.ORDER, {}),
        Message(Kind.ORDER, {"do": "explode", "user": "bob"}),
        Message(Kind.ORDER, {"do": "approve", "user": ""}),
        Message(Kind.ORDER, {"do": "approve", "user": "b ob"}),
        Message(Kind.ORDER, {"do": "approve", "user": 5}),
        Message(Kind.ORDER, {"do": "approve"}),
        Message(Kind.ORDER, {"do": ["approve"], "user": "bob"}),
        Message(Kind.ORDER, {"do": "kill", "user": "", "signal": "9"}),
        Message(Kind.ORDER, {"do": "kill", "user": "", "signal": True}),
        Message(Kind.REPLY, {"do": "approve", "user": "bob"}),
    ],
)
def test_what_is_no_order_is_refused(message: Message) -> None:
    with pytest.raises(LocalProtocolError):
        orders.decode_order(message)


GOOD: dict[str, Any] = {"problem": "", "requests": [], "turned_away": 0}


@pytest.mark.parametrize(
    "message",
    [
        Message(Kind.ORDER, GOOD),
        Message(Kind.REPLY, {}),
        Message(Kind.REPLY, GOOD | {"problem": None}),
        Message(Kind.REPLY, GOOD | {"turned_away": True}),
        Message(Kind.REPLY, GOOD | {"requests": 7}),
        Message(Kind.REPLY, GOOD | {"requests": ["bob"]}),
        Message(Kind.REPLY, GOOD | {"requests": [{"user": "bob", "code": "1"}]}),
        Message(Kind.REPLY, GOOD | {"requests": [{"user": "bob", "code": "1", "since": "now"}]}),
    ],
)
def test_what_is_no_reply_is_refused(message: Message) -> None:
    with pytest.raises(LocalProtocolError):
        orders.decode_reply(message)
