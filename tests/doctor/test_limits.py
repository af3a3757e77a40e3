"""Sizes and batches, measured in a room."""

from __future__ import annotations

from typing import Any

import pytest

from codewrap.doctor.conversation import Conversation, Patience
from codewrap.doctor.limits import CHECKS, HOSTED_EVENT_BYTES, Limits, sizes_to_try
from codewrap.doctor.report import Check, Status
from codewrap.errors import TransportError
from codewrap.transport.base import Endpoint
from tests.support.room import SESSION, SPELLING, Room

HOSTED = Endpoint("ws-eu.pusher.com", 443, True, "key")


def measured(room: Room, *, works: bool = True, after: Any = lambda _: None, **changes: Any) -> dict[str, Check]:
    broker, patience = room.broker(**changes), Patience(0.05, 30.0)
    conversation = Conversation(broker, SESSION, SPELLING, patience)
    list(conversation.run())
    room.published.clear()
    after(room)
    return {check.name: check for check in Limits(broker, conversation, SESSION, patience).run(works=works)}


def test_what_passes_and_what_does_not_is_said() -> None:
    found = measured(Room())
    assert tuple(found) == CHECKS
    assert found["event size"].detail == "102400 bytes pass, not 204800; codewrap sends up to 100000"
    assert (found["batch of 10"].status, found["batch of 10"].ms is not None) == (Status.OK, True)


def test_a_server_that_takes_less_than_we_send_is_a_failure_with_the_setting_to_make() -> None:
    found = measured(Room(largest=50_000))
    assert found["event size"].status is Status.FAIL
    assert found["event size"].detail.endswith("set CODEWRAP_MAX_EVENT_BYTES=10240")


def test_through_a_gateway_it_is_serve_auth_that_is_to_be_set() -> None:
    room = Room(largest=50_000)
    found = measured(room, send_input=lambda _: None)
    assert found["event size"].detail.endswith("set CODEWRAP_MAX_EVENT_BYTES=10240 for serve-auth")


def test_a_server_that_takes_nothing_has_no_setting_to_make() -> None:
    found = measured(Room(largest=2000))
    assert found["event size"].status is Status.FAIL
    assert "CODEWRAP_MAX_EVENT_BYTES" not in found["event size"].detail


def test_what_is_accepted_and_dropped_does_not_pass() -> None:
    found = measured(Room(), after=lambda room: room.silent.add(f"private-command-{SESSION}"))
    assert "accepted, and not delivered" in found["event size"].detail
    assert found["batch of 10"].detail.startswith("10 of 10 events did not arrive")


def test_a_batch_out_of_order_is_noticed() -> None:
    found = measured(Room(reverses_batches=True))
    assert found["event size"].status is Status.OK
    assert "another order" in found["batch of 10"].detail


def test_a_refused_batch_names_the_servers_setting() -> None:
    def breaks(room: Room) -> None:
        room.failure = TransportError("s", "batch too large", retry=False, status=400)

    found = measured(Room(), after=breaks)
    assert found["event size"].status is Status.FAIL
    assert "SOKETI_EVENT_MAX_BATCH_SIZE" in found["batch of 10"].detail


def test_where_publishing_does_not_work_nothing_is_measured() -> None:
    room = Room()
    found = measured(room, works=False)
    assert room.published == []
    assert {check.status for check in found.values()} == {Status.SKIP}


def test_pusher_is_asked_for_nothing_above_its_limit_and_for_one_size_only() -> None:
    room = Room()
    found = measured(room, ws=HOSTED, event_bytes=HOSTED_EVENT_BYTES)
    assert max(event.size_bytes for event in room.published) == HOSTED_EVENT_BYTES
    assert len(room.published) == 1 + 10
    assert found["event size"].status is Status.OK


@pytest.mark.parametrize(
    ("event_bytes", "metered", "bounded", "sizes"),
    [
        (100_000, False, False, [10_240, 100_000, 102_400, 204_800]),
        (10_240, False, False, [10_240, 102_400, 204_800]),
        (100_000, False, True, [10_240, 100_000]),
        (5000, False, True, [5000]),
        (100_000, True, False, [10_240]),
        (5000, True, False, [5000]),
    ],
)
def test_a_handful_of_sizes_is_tried(event_bytes: int, metered: bool, bounded: bool, sizes: list[int]) -> None:
    assert sizes_to_try(event_bytes, metered=metered, bounded=bounded) == sizes
