"""What calls a session: a poll loop of its own, or somebody's event loop. Both with a real socket and real time."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from codewrap.protocol import frames
from codewrap.protocol.frames import Acked, HostFrame, Notice, Output
from codewrap.protocol.geometry import Size
from codewrap.protocol.hostlink import Decoder, Kind, Message, encode
from codewrap.protocol.pacing import BrokerLimits
from codewrap.transport.base import ConnectionState, Member, MemberAdded, Received, StateChanged, Subscribed
from codewrap.uplink.composer import Composer
from codewrap.uplink.driving import LoopDriver, PollDriver
from codewrap.uplink.hostsocket import HostSocket
from codewrap.uplink.inputpath import UplinkPlan
from codewrap.uplink.session import UplinkSession
from tests.support.publishing import RecordingPublisher
from tests.support.sessionlogs import SessionLog
from tests.support.subscribers import ScriptedSubscriber

WAIT_S = 15.0
PRESENCE = "presence-command-s"
ANNA = Member("anna.1", {"role": "writer"})
Driver = PollDriver | LoopDriver


class LoopThread:
    """A real asyncio loop in a thread, as the embedded hub's."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.failures: list[dict[str, object]] = []
        self.loop.set_exception_handler(lambda _, context: self.failures.append(context))
        self.thread = threading.Thread(target=self.loop.run_forever, name="loop", daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(WAIT_S)
        self.loop.close()


@pytest.fixture(params=["poll", "loop"])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    if request.param == "poll":
        yield PollDriver()
        return
    thread = LoopThread()
    yield LoopDriver(thread.loop)
    thread.close()
    assert thread.failures == []


class WaitedPublisher(RecordingPublisher):
    """Says when something was published."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()

    def publish(self, events: object) -> None:
        super().publish(events)  # type: ignore[arg-type]
        with self.changed:
            self.changed.notify_all()

    def wait_for(self, where: Callable[[HostFrame], bool]) -> HostFrame:
        def found() -> list[HostFrame]:
            return [frame for event in self.events if where(frame := frames.decode_host(event.data))]

        with self.changed:
            assert self.changed.wait_for(found, WAIT_S), f"not published; but {self.events}"
        return found()[0]


class Running:
    """A session under a driver in a thread, and the test as its host."""

    def __init__(self, log: SessionLog, driver: Driver) -> None:
        self.log = log
        self._lock = threading.Lock()
        self.ours, self.host = socket.socketpair()
        self.host.settimeout(WAIT_S)
        self._decoder = Decoder()
        self._heard: list[Message] = []
        self.publisher = WaitedPublisher()
        self.subscriber = ScriptedSubscriber()
        plan = UplinkPlan("s", "run", encrypted=False, read_only=False, answers_queries=False, keyless=True)
        self.session = UplinkSession(plan, HostSocket(self.ours), log.follower, driver.wake)
        self.subscriber.deliver = self.session.deliver
        composer = Composer("run", log.follower, None, Size(24, 80), BrokerLimits(), sealed=False)
        self.session.begin(composer, self.publisher, self.subscriber, lambda _: None)
        self.thread = threading.Thread(target=driver.run, args=(self.session,), name="driven", daemon=True)
        self.thread.start()

    def says(self, *messages: Message) -> None:
        self.host.sendall(b"".join(map(encode, messages)))

    def hears(self, kind: Kind) -> Message:
        """The next message of ``kind``; others are passed over."""
        while True:
            while self._heard:
                message = self._heard.pop(0)
                if message.kind is kind:
                    return message
            data = self.host.recv(65_536)
            assert data, f"the uplink left without {kind.name}"
            self._heard += self._decoder.feed(data)

    def ended(self) -> bool:
        self.thread.join(WAIT_S)
        return not self.thread.is_alive()

    def close(self) -> None:
        self.subscriber.tells(StateChanged(ConnectionState.CONNECTED), Subscribed(PRESENCE, ()))  # nobody is waited for
        self.host.close()
        assert self.ended(), "the driver runs on"
        self.ours.close()


@pytest.fixture
def running(log: SessionLog, driver: Driver) -> Iterator[Running]:
    running = Running(log, driver)
    yield running
    running.close()


def test_news_of_the_host_and_of_the_network_are_dealt_with_as_they_come(running: Running) -> None:
    running.hears(Kind.ARM)
    running.subscriber.connects(PRESENCE)
    running.subscriber.tells(MemberAdded(PRESENCE, ANNA))
    assert running.hears(Kind.WATCHERS).header == {"count": 1}
    running.log.out(b"hello")
    running.says(Message(Kind.GROWN))
    assert running.publisher.wait_for(lambda frame: isinstance(frame, Output)) == Output("run", 0, b"hello")
    running.hears(Kind.ARM)


def test_what_is_due_later_comes_without_being_asked_for(running: Running) -> None:
    running.subscriber.connects(PRESENCE, ANNA)
    running.hears(Kind.WATCHERS)
    running.says(Message(Kind.WRITTEN, {"acks": {"w": 1}}))
    assert running.publisher.wait_for(lambda frame: isinstance(frame, Acked)) == Acked("run", {"w": 1})


def test_it_ends_when_the_end_is_delivered(running: Running) -> None:
    running.subscriber.connects(PRESENCE)
    running.log.ended(0)
    running.says(Message(Kind.FINISH))
    assert running.hears(Kind.DONE).header["peak_watchers"] == 0
    assert running.ended()


def test_it_ends_when_the_host_is_gone_and_nobody_watches(running: Running) -> None:
    running.hears(Kind.ARM)
    running.subscriber.connects(PRESENCE)
    running.host.close()
    assert running.ended()


def test_viewers_hear_that_the_host_is_gone(running: Running) -> None:
    running.subscriber.connects(PRESENCE, ANNA)
    running.hears(Kind.WATCHERS)
    running.host.close()
    running.publisher.wait_for(lambda frame: isinstance(frame, Notice) and frame.kind == "lost")
    running.subscriber.tells(Subscribed(PRESENCE, ()))
    assert running.ended()


def test_a_host_that_reads_late_gets_everything_that_was_taken(running: Running) -> None:
    running.hears(Kind.ARM)
    running.subscriber.connects(PRESENCE)
    text = '{"v":1,"type":"input","epoch":"run","writer":"w","offset":%d,"data":"' + "x" * 4000 + '"}'
    count = 200  # more than a socket's buffers hold
    for number in range(count):
        running.subscriber.tells(Received("private-input-s", "client-input", text % (number * 4000)))
    running.subscriber.tells(StateChanged(ConnectionState.CONNECTED))  # the session looks, and sees what is unsent
    for number in range(count):
        assert running.hears(Kind.INPUT).header["offset"] == number * 4000


def test_waking_it_a_thousand_times_from_many_threads_does_no_harm(running: Running, driver: Driver) -> None:
    threads = [threading.Thread(target=lambda: [driver.wake() for _ in range(1000)], daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    running.subscriber.connects(PRESENCE, ANNA)
    assert running.hears(Kind.WATCHERS).header == {"count": 1}


def test_a_loop_that_has_ended_is_not_woken() -> None:
    thread = LoopThread()
    driver = LoopDriver(thread.loop)
    thread.close()
    driver.wake()


def test_a_session_that_fails_does_not_leave_its_caller_waiting(log: SessionLog) -> None:
    thread = LoopThread()
    driver = LoopDriver(thread.loop)
    running = Running(log, driver)
    running.hears(Kind.ARM)
    log.reader.close()  # the next look at the log fails
    running.subscriber.tells(Subscribed(PRESENCE, ()))
    assert running.ended()
    assert [type(failure["exception"]) for failure in thread.failures] == [OSError]
    running.close()
    thread.close()
