"""Asks a session on this machine by its lane, and waits a little for the reply."""

from __future__ import annotations

import select
import time

from codewrap.errors import LocalProtocolError, StoreError
from codewrap.protocol import orders
from codewrap.protocol.hostlink import Kind
from codewrap.protocol.orders import Order, Reply
from codewrap.store.sessions import SessionRecord
from codewrap.transport import lane
from codewrap.transport.lane import Lane

REPLY_WAIT_S = 5.0


def ask(record: SessionRecord, order: Order, wait_s: float = REPLY_WAIT_S) -> Reply:
    """What the host of ``record`` replies. Raises StoreError where it does not."""
    connected = lane.connect(record.lane) if record.lane else None
    if connected is None:
        raise StoreError(record.name, "does not take orders on this machine")
    try:
        if connected.send(orders.encode_order(order)):
            return _reply(connected, time.monotonic() + wait_s)
    except (LocalProtocolError, OSError, TimeoutError):
        pass
    finally:
        connected.close()
    raise StoreError(record.name, "does not answer: is it stopped?")


def _reply(connected: Lane, deadline_s: float) -> Reply:
    poll = select.poll()
    poll.register(connected.fileno(), select.POLLIN)
    while (left_s := deadline_s - time.monotonic()) > 0 and poll.poll(left_s * 1000):
        messages = connected.receive()
        if messages is None:
            break
        for message in messages:
            if message.kind is Kind.REPLY:
                return orders.decode_reply(message)
    raise TimeoutError
