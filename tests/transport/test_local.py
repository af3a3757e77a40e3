"""The subscriber on a hub of this process."""

from __future__ import annotations

import json
from collections.abc import Callable

from codewrap.transport.base import ConnectionState, OnText, Received, StateChanged, Subscribed
from codewrap.transport.keeper import Timing
from codewrap.transport.local import LocalSubscriber
from tests.support.deliveries import Deliveries
from tests.support.wires import ScriptedAuthorizer


class Hub:
    """The least hub: grants every subscription, relays client events to the others, all in the caller's thread."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.opened = 0

    def open(self, on_text: OnText, on_close: Callable[[int, str], None]) -> Connection:
        self.opened += 1
        connection = Connection(self, on_text, on_close)
        self.connections.append(connection)
        hello = json.dumps({"socket_id": f"{self.opened}.1", "activity_timeout": 30})
        on_text(json.dumps({"event": "pusher:connection_established", "data": hello}))
        return connection


class Connection:
    def __init__(self, hub: Hub, on_text: OnText, on_close: Callable[[int, str], None]) -> None:
        self.hub, self.on_text, self.on_close = hub, on_text, on_close

    def send(self, text: str) -> None:
        frame = json.loads(text)
        if frame["event"] == "pusher:subscribe":
            channel = frame["data"]["channel"]
            self.on_text(json.dumps({"event": "pusher_internal:subscription_succeeded", "channel": channel, "data": "{}"}))
            return
        for other in self.hub.connections:
            if other is not self:
                other.on_text(text)

    def close(self) -> None:
        self.hub.connections.remove(self)


def test_two_subscribers_hear_each_other_through_a_hub_that_answers_in_the_callers_thread() -> None:
    hub, heard_by_a, heard_by_b = Hub(), Deliveries(), Deliveries()
    a = LocalSubscriber(hub.open, ScriptedAuthorizer(), heard_by_a)
    b = LocalSubscriber(hub.open, ScriptedAuthorizer(), heard_by_b)
    for subscriber, heard in ((a, heard_by_a), (b, heard_by_b)):
        subscriber.subscribe("private-x")
        subscriber.start()
        heard.wait_for(Subscribed)
    assert a.send("private-x", "client-e", "from a")
    assert heard_by_b.wait_for(Received).data == "from a"
    assert b.send("private-x", "client-e", "from b")
    assert heard_by_a.wait_for(Received).data == "from b"
    a.close()
    b.close()
    assert hub.connections == []
    assert not a.send("private-x", "client-e", "late")


def test_a_hub_that_closes_is_connected_to_again() -> None:
    hub, heard = Hub(), Deliveries()
    subscriber = LocalSubscriber(hub.open, ScriptedAuthorizer(), heard, timing=Timing(first_retry_s=0.01))
    subscriber.subscribe("private-x")
    subscriber.start()
    heard.wait_for(Subscribed)
    hub.connections[0].on_close(4200, "restart")
    assert heard.wait_for_state(ConnectionState.RECONNECTING).reason == "restart"
    heard.wait_for(Subscribed)
    subscriber.close()
    assert hub.opened == 2


def test_a_hub_that_refuses_for_good_is_left_alone() -> None:
    hub, heard = Hub(), Deliveries()
    subscriber = LocalSubscriber(hub.open, ScriptedAuthorizer(), heard)
    subscriber.start()
    heard.wait_for_state(ConnectionState.CONNECTED)
    hub.connections[0].on_close(4009, "not you")
    heard.wait_for_state(ConnectionState.FAILED)
    subscriber.close()
    assert hub.opened == 1
    assert heard.all[-1] == StateChanged(ConnectionState.CLOSED)
