"""Whoever guesses waits, for longer each time; told with a clock."""

from __future__ import annotations

import asyncio
import logging

import pytest

from codewrap.server.counting import TRACKED, MemoryStorage
from codewrap.server.guessing import FREE, Block, Guessing, address_group
from tests.server.test_counting import Clock


def guess(guessing: Guessing, subject: str = "192.0.2.1", times: int = FREE) -> None:
    for _ in range(times):
        asyncio.run(guessing.failed(subject))


def test_guessing_stops_after_the_tenth_failure_for_its_subject_alone() -> None:
    clock = Clock()
    guessing = Guessing(clock=clock)
    guess(guessing, times=FREE - 1)
    assert guessing.wait_s("192.0.2.1") is None
    guess(guessing, times=1)
    assert guessing.wait_s("192.0.2.1") == 60
    assert guessing.wait_s("192.0.2.2") is None
    clock.now_s += 59.5
    assert guessing.wait_s("192.0.2.1") == 1
    clock.now_s += 0.5
    assert guessing.wait_s("192.0.2.1") is None


def test_a_clock_that_goes_on_while_a_storage_is_asked_is_no_block() -> None:
    clock = Clock()

    def ticking() -> float:
        clock.now_s += 0.001
        return clock.now_s

    guessing = Guessing(clock=ticking)
    guess(guessing, times=FREE - 1)
    assert len(guessing) == 0
    guess(guessing, times=1)
    assert guessing.wait_s("192.0.2.1") == 60


def test_failures_that_are_seldom_stop_nobody() -> None:
    clock = Clock()
    guessing = Guessing(clock=clock)
    for _ in range(100):
        guess(guessing, times=1)
        clock.now_s += 7
        assert guessing.wait_s("192.0.2.1") is None


def test_each_block_of_a_day_is_twice_as_long_as_the_one_before_up_to_a_quarter_of_an_hour() -> None:
    clock = Clock()
    blocks: list[Block] = []
    guessing = Guessing(report=blocks.append, clock=clock)
    for _ in range(7):
        guess(guessing)
        clock.now_s += guessing.wait_s("192.0.2.1") or 0
    assert [block.length_s for block in blocks] == [60, 120, 240, 480, 900, 900, 900]
    assert [block.number for block in blocks] == [1, 2, 3, 4, 5, 6, 7]
    clock.now_s += 86_400
    guess(guessing)
    assert blocks[-1] == Block("192.0.2.1", 60, 1)


def test_a_block_is_said_once_with_who_and_how_long(caplog: pytest.LogCaptureFixture) -> None:
    guessing = Guessing(clock=Clock())
    with caplog.at_level(logging.WARNING):
        guess(guessing, times=FREE + 5)  # those that were under way come after the block
    assert [record.message for record in caplog.records] == [
        "too many failed authentications of 192.0.2.1: nothing more is tried for 60 s"
    ]


def test_a_block_holds_at_another_copy_from_the_first_failure_there() -> None:
    clock = Clock()
    shared = MemoryStorage(clock)
    one, other = Guessing(shared, clock=clock), Guessing(shared, clock=clock)
    guess(one)
    assert other.wait_s("192.0.2.1") is None
    guess(other, times=1)
    assert other.wait_s("192.0.2.1") == one.wait_s("192.0.2.1") == 60


def test_failures_at_several_copies_are_one_count() -> None:
    clock = Clock()
    shared = MemoryStorage(clock)
    blocks: list[Block] = []
    copies = [Guessing(shared, blocks.append, clock) for _ in range(2)]
    for number in range(FREE):
        guess(copies[number % 2], times=1)
    assert len(blocks) == 1
    clock.now_s += 61
    guess(copies[1])
    assert [block.length_s for block in blocks] == [60, 120]


def test_a_failure_that_comes_late_shortens_no_block() -> None:
    clock = Clock()
    shared = MemoryStorage(clock)
    guessing = Guessing(shared, clock=clock)
    guess(guessing)
    clock.now_s += 60
    guess(guessing)
    assert guessing.wait_s("192.0.2.1") == 120
    guess(guessing, times=3)
    assert guessing.wait_s("192.0.2.1") == 120


def test_memory_is_bounded_whatever_addresses_guess() -> None:
    guessing = Guessing(clock=Clock())
    for number in range(TRACKED + 100):
        guessing._block(f"name-{number}", 2_000_000)
    assert len(guessing) == TRACKED


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::"),
        ("unknown", "unknown"),
        ("a/b\n" + "x" * 100, "a?b?" + "x" * 60),
    ],
)
def test_addresses_of_one_ipv6_network_count_as_one(address: str, group: str) -> None:
    assert address_group(address) == group
