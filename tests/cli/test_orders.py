"""Orders to a session on this machine: the reply comes back, and a host that says nothing is not waited for."""

from __future__ import annotations

from typing import Any

import pytest

from codewrap.cli.orders import ask
from codewrap.errors import StoreError
from codewrap.protocol.orders import Order, Reply, Standing
from codewrap.store.sessions import SessionRecord
from tests.support.answering import Answering


def record(lane: str) -> SessionRecord:
    fields: dict[str, Any] = {"name": "build", "pid": 1, "pid_started": "", "epoch": "e", "mode": "direct", "endpoint": ""}
    rest: dict[str, Any] = {"encrypted": True, "read_only": False, "command": [], "started_at": 0.0, "log_directory": ""}
    return SessionRecord(**fields, **rest, lane=lane)


def test_the_reply_of_the_host_comes_back() -> None:
    reply = Reply("", (Standing("bob", "48 29 13", 5.0),), 3)
    with Answering(reply) as host:
        assert ask(record(host.name), Order("requests")) == reply
        assert ask(record(host.name), Order("approve", "bob")) == reply
    assert host.asked == [Order("requests"), Order("approve", "bob")]


def test_a_host_that_says_nothing_is_not_waited_for() -> None:
    with Answering(None) as host, pytest.raises(StoreError, match="does not answer"):
        ask(record(host.name), Order("requests"), 0.05)


@pytest.mark.parametrize("lane", ["", "nobody-listens-by-this-name"])
def test_a_session_without_a_lane_takes_no_orders(lane: str) -> None:
    with pytest.raises(StoreError, match="does not take orders"):
        ask(record(lane), Order("requests"))
