"""Which part comes after which, and that everything opened is closed."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from codewrap.doctor import conversation, limits
from codewrap.doctor.access import Broker
from codewrap.doctor.examination import Examination
from codewrap.doctor.report import Checking, Status, failed, passed
from codewrap.transport.base import Endpoint
from tests.support.room import SESSION, SPELLING, Room

BEFORE = [passed("mode", "direct")]
REST = (*conversation.CHECKS, *limits.CHECKS)


@dataclass
class OpenDoor:
    """Leads to ``broker``, or to nothing."""

    broker: Broker | None
    said: list[str] = field(default_factory=list)

    def open(self) -> Checking[Broker | None]:
        self.said.append("open")
        yield passed("server", "fine") if self.broker else failed("server", "dead", "start it")
        return self.broker

    def close(self) -> None:
        self.said.append("close")


def examination(door: OpenDoor) -> Examination:
    return Examination(SESSION, door, BEFORE, SPELLING, 5.0)


def test_all_parts_run_in_order_and_are_closed() -> None:
    room = Room()
    door = OpenDoor(room.broker())
    found = list(examination(door).run())
    assert [check.name for check in found] == ["mode", "server", *REST]
    assert {check.status for check in found} == {Status.OK}
    assert door.said == ["open", "close"]
    assert all(client.is_closed for client in room.clients)


def test_without_a_broker_everything_after_is_skipped() -> None:
    door = OpenDoor(None)
    found = list(examination(door).run())
    assert [check.name for check in found] == ["mode", "server", *REST]
    assert {check.status for check in found[2:]} == {Status.SKIP}
    assert door.said == ["open", "close"]


def test_nothing_is_opened_before_it_is_asked_for_and_leaving_early_closes() -> None:
    room = Room()
    door = OpenDoor(room.broker())
    running = examination(door).run()
    assert next(running).name == "mode"
    assert door.said == []
    while next(running).name != "private channel":
        pass
    running.close()  # type: ignore[attr-defined]
    assert door.said == ["open", "close"]
    assert all(client.is_closed for client in room.clients)


@pytest.mark.parametrize(("host", "metered"), [("ws-eu.pusher.com", True), ("broker.example", False)])
def test_on_a_metered_server_the_messages_spent_are_told(host: str, metered: bool) -> None:
    room = Room()
    found = list(examination(OpenDoor(room.broker(ws=Endpoint(host, 443, True, "k"), event_bytes=10_240))).run())
    assert (found[-1].name == "messages spent") is metered
    assert not metered or "about 53 " in found[-1].detail
