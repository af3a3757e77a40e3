"""Order per session, independence of sessions, bounds, and what happens to a request that is given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from codewrap.errors import TransportError
from codewrap.server.outlets import Outlets
from codewrap.server.refusals import Refusal
from codewrap.transport.base import Event
from tests.support.publishing import RecordingPublisher


def event(session: str, number: int) -> Event:
    return Event(f"private-command-{session}", "output", str(number))


def test_events_of_a_session_keep_their_order_over_many_threads() -> None:
    recorder = RecordingPublisher()

    async def publish_all() -> None:
        outlets = Outlets(recorder.make, lanes=4, waiting=200)
        await asyncio.gather(*(outlets.publish(f"s{n % 5}", [event(f"s{n % 5}", n)]) for n in range(200)))
        await outlets.close()

    asyncio.run(publish_all())
    assert len(recorder.events) == 200
    for session in range(5):
        numbers = [int(e.data) for e in recorder.events if e.channel == f"private-command-s{session}"]
        assert numbers == sorted(numbers)
    assert all(name.startswith("publish-") for name in recorder.threads)


def test_one_publisher_per_thread_and_each_is_closed() -> None:
    recorder = RecordingPublisher()

    async def publish_one() -> None:
        outlets = Outlets(recorder.make, lanes=3)
        for number in range(10):
            await outlets.publish("s", [event("s", number)])
        await outlets.close()

    asyncio.run(publish_one())
    assert recorder.made == recorder.closed == 1  # the last one freed is taken again: no more than needed are made


class _HeldUp:
    """Blocks for one session only."""

    def __init__(self, recorder: RecordingPublisher) -> None:
        self._recorder = recorder

    def publish(self, events: Sequence[Event]) -> None:
        if events[0].channel.endswith("-slow"):
            self._recorder.publish(events)

    def close(self) -> None:
        pass


def test_a_session_that_is_held_up_holds_up_nobody_else_and_is_told_to_wait() -> None:
    recorder = RecordingPublisher()
    recorder.gate.clear()

    async def scenario() -> None:
        outlets = Outlets(lambda: _HeldUp(recorder), lanes=2, waiting=3)
        slow = [asyncio.create_task(outlets.publish("slow", [event("slow", n)])) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as caught:
            await outlets.publish("slow", [event("slow", 3)])
        assert (caught.value.status, caught.value.retry_after_s) == (429, 1)
        await asyncio.wait_for(outlets.publish("quick", [event("quick", 0)]), 10)
        recorder.gate.set()
        await asyncio.gather(*slow)
        await outlets.publish("slow", [event("slow", 4)])
        await outlets.close()

    asyncio.run(scenario())
    assert [e.data for e in recorder.events] == ["0", "1", "2", "4"]


def test_a_failure_reaches_its_own_caller_only_and_the_session_goes_on() -> None:
    recorder = RecordingPublisher()

    async def scenario() -> None:
        outlets = Outlets(recorder.make, lanes=1)
        recorder.failure = TransportError("broker", "is down")
        with pytest.raises(TransportError):
            await outlets.publish("s", [event("s", 1)])
        recorder.failure = None
        await outlets.publish("s", [event("s", 2)])
        await outlets.close()

    asyncio.run(scenario())
    assert [e.data for e in recorder.events] == ["2"]


class _Gated:
    """Blocks for each event that has a gate of its own."""

    def __init__(self, gates: dict[str, threading.Event], recorder: RecordingPublisher) -> None:
        self._gates = gates
        self._recorder = recorder

    def publish(self, events: Sequence[Event]) -> None:
        gate = self._gates.get(events[0].data)
        assert gate is None or gate.wait(30), "nobody opened the gate"
        self._recorder.publish(events)

    def close(self) -> None:
        pass


def test_what_was_begun_is_not_overtaken_when_its_request_is_given_up() -> None:
    recorder = RecordingPublisher()
    gates = {"1": threading.Event(), "9": threading.Event()}

    async def scenario() -> None:
        outlets = Outlets(lambda: _Gated(gates, recorder), lanes=2)
        tasks = []
        # Both threads are held; "other" waits for one, and the session's second request for its first.
        for session, number in (("s", 1), ("held", 9), ("other", 5), ("s", 2)):
            tasks.append(asyncio.create_task(outlets.publish(session, [event(session, number)])))
            await asyncio.sleep(0)
        first, held, other, second = tasks
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        # Were the first one's thread taken for free now, "other" would wait behind it, and the second find the other thread.
        gates["9"].set()
        await asyncio.gather(held, other)
        await asyncio.wait([second], timeout=0.2)
        gates["1"].set()
        await second
        await outlets.close()

    asyncio.run(scenario())
    assert [e.data for e in recorder.events if e.channel.endswith("-s")] == ["1", "2"]


def test_closing_waits_for_what_is_under_way() -> None:
    recorder = RecordingPublisher()
    recorder.gate.clear()

    async def scenario() -> None:
        outlets = Outlets(recorder.make)
        task = asyncio.create_task(outlets.publish("s", [event("s", 1)]))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(recorder.gate.set)
        await outlets.close()
        await task

    asyncio.run(scenario())
    assert [e.data for e in recorder.events] == ["1"]
    assert recorder.closed == 1


def test_sessions_leave_nothing_behind() -> None:
    recorder = RecordingPublisher()

    async def scenario() -> Outlets:
        outlets = Outlets(recorder.make)
        await asyncio.gather(*(outlets.publish(f"s{n}", [event(f"s{n}", n)]) for n in range(100)))
        await outlets.close()
        return outlets

    outlets = asyncio.run(scenario())
    assert not outlets._turns
    assert not outlets._under_way


def test_a_hub_in_this_loop_is_published_to_without_a_thread() -> None:
    recorder = RecordingPublisher()

    async def scenario() -> None:
        outlets = Outlets(recorder.make, in_loop=True, waiting=100)
        await asyncio.gather(*(outlets.publish(f"s{n % 3}", [event(f"s{n % 3}", n)]) for n in range(60)))
        recorder.failure = TransportError("hub", "is down")
        with pytest.raises(TransportError):
            await outlets.publish("s", [event("s", 1)])
        await outlets.close()

    asyncio.run(scenario())
    assert recorder.threads == {threading.current_thread().name}
    assert (recorder.made, recorder.closed, len(recorder.events)) == (1, 1, 60)
    for session in range(3):
        numbers = [int(e.data) for e in recorder.events if e.channel == f"private-command-s{session}"]
        assert numbers == sorted(numbers)
