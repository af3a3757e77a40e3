"""A viewer for programs: what it knows of the screen, types once, and waits for. The test is broker and host."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from codewrap.errors import NotAttached, SessionEnded, SessionLost, TypingRefused, WaitTimeout
from codewrap.protocol import channels, frames, grants
from codewrap.protocol.frames import Acked, Beat, Ended, HostFrame, Input, Notice, Output, Resized
from codewrap.protocol.frames import Screen as ScreenFrame
from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen
from codewrap.transport.base import ConnectionState, Event, Member, MemberRemoved, Received, StateChanged, SubscriptionFailed
from codewrap.viewer.attendance import HOST_GONE_S, NO_ANSWER_S
from codewrap.viewer.conversation import Terms
from codewrap.viewer.remote import LAST_WORD_S, MAX_QUEUED, Inbox, Remote
from codewrap.viewer.sender import EXPIRY_S
from tests.support.ptydriver import eventually
from tests.support.subscribers import ScriptedSubscriber

GRANT = grants.make_grant(bytes(32), "anna.0123456789ab", 1_800_000_900)
SIZE = Size(rows=5, cols=30)
TERMS = Terms(session="s", encrypted=True, read_only=False, endpoint="https://broker.example", challenge="challenge")
OUTPUT = channels.output_channel("s", encrypted=True)
INPUT = channels.input_channel("s")
PRESENCE = channels.presence_channel("s")
HOST = Member("host.1", {"role": "host"})
LONG_S = 30.0


class Clock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Call:
    """A method that waits, in a thread of its own."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(function, arguments), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        try:
            self._result = function(*arguments)
        except BaseException as error:  # handed on below
            self._error = error

    def result(self) -> Any:
        self._thread.join(LONG_S)
        assert not self._thread.is_alive(), "it still waits"
        if self._error is not None:
            raise self._error
        return self._result


class Attached:
    def __init__(self, terms: Terms = TERMS) -> None:
        self.inbox, self.clock = Inbox(), Clock()
        self.subscriber = ScriptedSubscriber(self.inbox.deliver)
        self.subscriber.grants[INPUT] = GRANT
        self.said: list[str] = []
        self.remote = Remote(terms, self.subscriber, self.inbox, self._over_http, self.said.append, self.clock)
        self.remote.start()

    def _over_http(self, event: Event) -> None:
        raise AssertionError(event)

    def connects(self) -> None:
        self.subscriber.connects(PRESENCE, HOST)

    def says(self, *said: HostFrame) -> None:
        for frame in said:
            self.subscriber.tells(Received(OUTPUT, frame.event, frames.encode(frame)))

    def shows(self, text: bytes = b"$ ", offset: int = 0, size: Size = SIZE, run: str = "run", **values: Any) -> None:
        drawn = Screen(size)
        drawn.feed(text)
        self.says(ScreenFrame(run, offset, size, drawn.snapshot(), answers=("challenge",), **values))

    def begins(self, text: bytes = b"$ ") -> None:
        self.connects()
        self.shows(text)
        self.remote.join(LONG_S)

    def input(self) -> Input:
        """The next that was sent."""
        sent = self.subscriber.wait_sent(lambda sent: sent.channel == INPUT)
        frame = frames.decode_viewer(grants.unseal(grants.decode(sent.data), GRANT.key))
        assert isinstance(frame, Input)
        return frame

    def turns(self, seconds: float) -> None:
        """Time goes by."""
        self.clock.now_s += seconds
        self.subscriber.tells(MemberRemoved(PRESENCE, Member("nobody", {})))

    def settles(self) -> None:
        """All that has come was taken in."""
        eventually(lambda: not self.inbox.events, "it was heard")
        assert self.remote.ended is None  # which takes the lock: the turn that heard it is over

    def types(self, data: bytes) -> Input:
        """Have ``data`` typed and confirmed; the frame."""
        call = Call(self.remote.type, data, LONG_S)
        frame = self.input()
        self.says(Acked("run", {frame.writer: frame.offset + len(data)}))
        call.result()
        return frame


@pytest.fixture
def viewer() -> Iterator[Attached]:
    made = Attached()
    yield made
    made.remote.close()
    assert made.subscriber.closed


def test_it_shows_what_the_session_shows(viewer: Attached) -> None:
    viewer.begins(b"hello")
    viewer.says(Output("run", 0, b"\r\nworld"))
    eventually(lambda: viewer.remote.shown().text == "hello\nworld", "both")
    assert viewer.remote.shown().size == SIZE


def test_what_is_seen_comes_with_its_run_and_place(viewer: Attached) -> None:
    viewer.begins(b"hello")
    viewer.says(Output("run", 0, b"\r\nworld"))
    eventually(lambda: viewer.remote.seen()[2] == 7, "both")
    shown, epoch, _ = viewer.remote.seen()
    assert (shown.text, epoch) == ("hello\nworld", "run")


def test_it_is_live_while_what_comes_next_would_arrive(viewer: Attached) -> None:
    assert not viewer.remote.is_live
    viewer.begins()
    assert viewer.remote.is_live
    viewer.subscriber.tells(StateChanged(ConnectionState.RECONNECTING, "gone", 1.0))
    eventually(lambda: not viewer.remote.is_live, "the connection is known to be gone")
    viewer.connects()
    eventually(lambda: viewer.remote.is_live, "it is back")
    viewer.remote.close()
    assert not viewer.remote.is_live


def test_nothing_is_shown_before_the_host_has_answered(viewer: Attached) -> None:
    viewer.connects()
    with pytest.raises(NotAttached):
        viewer.remote.shown()
    with pytest.raises(WaitTimeout):
        viewer.remote.join(0)
    viewer.says(ScreenFrame("old", 0, SIZE, b"of before", answers=("of somebody else",)))
    with pytest.raises(WaitTimeout):
        viewer.remote.join(0)


def test_typing_returns_when_the_host_has_written_all_of_it(viewer: Attached) -> None:
    viewer.begins()
    call = Call(viewer.remote.type, b"ls\r", LONG_S)
    frame = viewer.input()
    assert (frame.data, frame.offset) == (b"ls\r", 0)
    viewer.says(Acked("run", {frame.writer: 2}), Acked("run", {"another": 3}), Output("run", 0, b"ls", acks={frame.writer: 3}))
    call.result()


def test_what_is_not_read_in_time_is_dropped_and_not_sent_later(viewer: Attached) -> None:
    viewer.begins()
    with pytest.raises(WaitTimeout, match="waiting for the command to read"):
        viewer.remote.type(b"first\r", 0.01)
    first = viewer.input()
    second = viewer.types(b"second\r")
    assert (second.data, second.offset) == (b"second\r", 0)
    assert second.writer != first.writer
    with pytest.raises(WaitTimeout, match="not typed into"):
        viewer.remote.type(b"third\r", 0)
    assert viewer.types(b"fourth").data == b"fourth"


def test_what_a_session_that_does_not_answer_was_sent_is_given_up(viewer: Attached) -> None:
    viewer.begins()
    call = Call(viewer.remote.type, b"ls\r", LONG_S)
    viewer.input()
    viewer.turns(EXPIRY_S + 1)
    with pytest.raises(SessionLost, match="dropped"):
        call.result()


def test_a_match_is_found_in_what_follows_typing_and_not_in_its_echo(viewer: Attached) -> None:
    viewer.begins(b"hello\r\n$ ")
    viewer.types(b"echo hello\r")
    call = Call(viewer.remote.find, re.compile("hello"), LONG_S)
    viewer.says(Output("run", 0, b"echo hello\r\n"))
    viewer.says(Output("run", 12, b"hello\r\n$ "))
    found = call.result()
    assert (found[0], found.string[: found.start()].count("hello")) == ("hello", 1)
    prompt = re.compile(r"^\$ $", re.MULTILINE)
    assert viewer.remote.find(prompt, LONG_S)[0] == "$ "
    with pytest.raises(WaitTimeout, match="waiting for a match"):
        viewer.remote.find(prompt, 0)


def test_what_a_flood_left_on_the_screen_is_found(viewer: Attached) -> None:
    viewer.begins()
    viewer.types(b"seq 99999\r")
    viewer.shows(b"99998\r\n99999\r\n$ ", offset=600_000)
    assert viewer.remote.find(re.compile(r"^\$ $", re.MULTILINE), LONG_S)[0] == "$ "


def test_a_screen_of_another_size_is_no_news(viewer: Attached) -> None:
    viewer.begins(b"some longer words\r\n$ ")
    viewer.types(b"x")
    viewer.says(Resized("run", 0, Size(5, 10), 1))
    viewer.shows(b"some longer words\r\n$ x", size=Size(5, 10), resizes=1)
    eventually(lambda: viewer.remote.shown().size == Size(5, 10), "the new size")
    with pytest.raises(WaitTimeout):
        viewer.remote.find(re.compile("longer|words"), 0)


def test_before_anything_was_typed_what_the_screen_shows_is_found(viewer: Attached) -> None:
    viewer.begins(b"login: ")
    assert viewer.remote.find(re.compile("login: $"), 0)[0] == "login: "


def test_the_end_is_told_with_its_status_and_to_whoever_waits(viewer: Attached) -> None:
    viewer.begins()
    viewer.types(b"exit 3\r")
    waits, ends = Call(viewer.remote.find, re.compile("never"), LONG_S), Call(viewer.remote.wait, LONG_S)
    assert viewer.remote.ended is None
    viewer.says(Ended("run", 4, 3, None), Output("run", 0, b"last"))
    assert ends.result() == 3
    with pytest.raises(SessionEnded) as caught:
        waits.result()
    assert caught.value.status == 3
    assert viewer.remote.find(re.compile("last"), 0)[0] == "last"
    assert viewer.remote.shown().text == "$ last"
    with pytest.raises(SessionEnded):
        viewer.remote.type(b"more", LONG_S)


def test_what_ended_the_session_was_typed_all_the_same(viewer: Attached) -> None:
    viewer.begins()
    call = Call(viewer.remote.type, b"exit\r", LONG_S)
    frame = viewer.input()
    viewer.says(Ended("run", 0, 0, None), Acked("run", {frame.writer: 5}))
    call.result()
    assert viewer.remote.wait(LONG_S) == 0


def test_what_was_typed_into_a_session_that_ended_without_a_word_of_it_was_not_read(viewer: Attached) -> None:
    viewer.begins()
    call = Call(viewer.remote.type, b"exit\r", LONG_S)
    viewer.input()
    viewer.says(Ended("run", 0, 0, None))
    viewer.settles()
    viewer.turns(LAST_WORD_S + 1)
    with pytest.raises(SessionEnded):
        call.result()


def test_a_session_that_nobody_runs_is_not_attached_to() -> None:
    viewer = Attached()
    call = Call(viewer.remote.join, LONG_S)
    viewer.connects()
    viewer.settles()
    viewer.turns(NO_ANSWER_S + 1)
    with pytest.raises(NotAttached, match="no answer from session s"):
        call.result()
    viewer.remote.close()


def test_a_host_that_goes_away_is_a_session_lost(viewer: Attached) -> None:
    viewer.begins()
    call = Call(viewer.remote.wait, LONG_S)
    viewer.subscriber.tells(MemberRemoved(PRESENCE, HOST))
    viewer.turns(1.0)
    viewer.settles()
    viewer.turns(HOST_GONE_S + 1)
    with pytest.raises(SessionLost, match="its host is gone"):
        call.result()


def test_a_host_that_died_is_a_session_lost(viewer: Attached) -> None:
    viewer.begins()
    viewer.says(Notice("run", 0, "lost", "gone"))
    with pytest.raises(SessionLost, match="its host has died"):
        viewer.remote.wait(LONG_S)


def test_leave_to_type_is_asked_for_with_a_code_and_what_was_typed_is_typed_again_when_it_is_given(viewer: Attached) -> None:
    viewer.begins()
    call = Call(viewer.remote.type, b"ls\r", LONG_S)
    first = viewer.input()
    viewer.says(Notice("run", 0, "asked", "x", writer=first.writer))
    code = grants.check_code(GRANT.key, first.writer)
    eventually(lambda: code in viewer.remote.asked, "the code")
    viewer.says(Notice("run", 0, "approved", "x", writer=first.writer))
    again = viewer.input()
    assert (again.data, again.writer != first.writer) == (b"ls\r", True)
    viewer.says(Acked("run", {again.writer: 3}))
    call.result()
    assert viewer.said == [f"waiting for leave to type; say this code: {code}"]


def test_leave_that_is_not_given_in_time_is_said_with_the_code_and_nothing_is_typed_later(viewer: Attached) -> None:
    viewer.begins()
    call = Call(viewer.remote.type, b"ls\r", 0.5)
    first = viewer.input()
    viewer.says(Notice("run", 0, "asked", "x", writer=first.writer))
    with pytest.raises(WaitTimeout, match=grants.check_code(GRANT.key, first.writer)):
        call.result()
    viewer.says(Notice("run", 0, "approved", "x", writer=first.writer))
    eventually(lambda: len(viewer.said) == 2, "that it was approved")
    assert viewer.types(b"pwd\r").data == b"pwd\r"


def test_leave_that_is_denied_is_an_error(viewer: Attached) -> None:
    viewer.begins()
    call = Call(viewer.remote.type, b"ls\r", LONG_S)
    viewer.says(Notice("run", 0, "denied", "it was denied", writer=viewer.input().writer))
    with pytest.raises(TypingRefused, match="it was denied"):
        call.result()


def test_a_server_that_does_not_let_us_type_is_an_error_until_it_does(viewer: Attached) -> None:
    viewer.begins()
    viewer.subscriber.tells(SubscriptionFailed(INPUT, 403, "viewers may not type"))
    with pytest.raises(TypingRefused, match="viewers may not type"):
        viewer.remote.type(b"x", LONG_S)
    viewer.connects()
    assert viewer.types(b"y").data == b"y"


def test_a_session_that_may_only_be_watched_is_not_typed_into() -> None:
    viewer = Attached(replace(TERMS, read_only=True))
    viewer.begins()
    with pytest.raises(TypingRefused, match="only be watched"):
        viewer.remote.type(b"x", LONG_S)
    assert INPUT not in viewer.subscriber.channels
    viewer.remote.close()


def test_a_new_run_is_not_given_what_was_typed_for_the_one_before(viewer: Attached) -> None:
    viewer.begins()
    call = Call(viewer.remote.type, b"rm x\r", LONG_S)
    viewer.input()
    viewer.shows(b"% ", run="next")
    with pytest.raises(SessionLost, match="another run"):
        call.result()
    assert viewer.remote.shown().text == "%"


def test_a_connection_that_is_lost_is_made_good_by_a_screen(viewer: Attached) -> None:
    viewer.begins()
    viewer.subscriber.tells(StateChanged(ConnectionState.RECONNECTING, retry_in_s=1.0))
    viewer.connects()
    viewer.shows(b"what it is by now", offset=100)
    eventually(lambda: viewer.remote.shown().text == "what it is by now", "the screen")


def test_what_was_dropped_is_asked_for(viewer: Attached) -> None:
    viewer.begins()
    viewer.inbox.dropped = True
    viewer.turns(0.0)
    eventually(lambda: not viewer.inbox.dropped, "that was noticed")
    viewer.turns(1.0)
    sent = viewer.subscriber.wait_sent(lambda sent: sent.channel == PRESENCE)
    assert frames.decode_viewer(sent.data) == frames.Sync("run", 0, "screen")


def test_an_inbox_holds_so_much_of_the_output_and_all_else() -> None:
    inbox = Inbox()
    for _ in range(MAX_QUEUED + 1):
        inbox.deliver(Received(OUTPUT, "output", "{}"))
    inbox.deliver(StateChanged(ConnectionState.CONNECTED))
    assert (len(inbox.events), inbox.dropped) == (MAX_QUEUED + 1, True)
    inbox.wait(None)
    inbox.poke()
    inbox.wait(None)


def test_a_subscriber_may_deliver_while_it_is_sent_to_from_another_thread(viewer: Attached) -> None:
    viewer.begins()
    lock, sent = threading.Lock(), viewer.subscriber.send

    def locked(channel: str, name: str, data: str) -> bool:
        with lock:
            return sent(channel, name, data)

    viewer.subscriber.send = locked  # type: ignore[method-assign]
    with lock:
        call = Call(viewer.remote.type, b"x", LONG_S)
        viewer.says(Output("run", 0, b"y"))
    frame = viewer.input()
    viewer.says(Acked("run", {frame.writer: 1}))
    call.result()


def test_keys_and_text_are_what_the_session_s_terminal_would_send(viewer: Attached) -> None:
    viewer.begins()
    remote = viewer.remote
    assert remote.as_text(b"a\nb\r\n") == b"a\rb\r"
    assert (remote.as_keys(["Up", "Enter"]), remote.as_paste(b"a\n")) == (b"\x1b[A\r", b"a\r")
    viewer.says(Output("run", 0, b"\x1b[?1h\x1b[?2004h"))
    eventually(lambda: remote.shown().modes.bracketed_paste, "the modes")
    assert remote.as_keys(["Up"]) == b"\x1bOA"
    assert remote.as_paste(b"a\x1b[201~\n") == b"\x1b[200~a\r\x1b[201~"


def test_a_session_on_pipes_is_shown_line_by_line_and_enter_ends_a_line(viewer: Attached) -> None:
    viewer.connects()
    viewer.says(ScreenFrame("run", 0, SIZE, b"one\ntwo\n", plain=True, answers=("challenge",)))
    viewer.remote.join(LONG_S)
    viewer.says(Output("run", 0, b"three\n"))
    eventually(lambda: viewer.remote.shown().text == "one\ntwo\nthree", "lines")
    assert (viewer.remote.as_text(b"a\n"), viewer.remote.as_keys(["Enter"])) == (b"a\n", b"\n")


def test_what_the_host_says_to_all_is_passed_on(viewer: Attached) -> None:
    viewer.begins()
    viewer.says(Notice("run", 0, "budget", "a budget\x1b[2J runs low"), Beat("run", 0))
    eventually(lambda: len(viewer.said) == 1, "that was said")
    assert "\x1b" not in viewer.said[0]


def test_it_says_that_it_leaves_and_nothing_can_be_done_with_it_then() -> None:
    viewer = Attached()
    viewer.begins()
    viewer.remote.close()
    viewer.remote.close()
    asked = viewer.subscriber.wait_sent(lambda sent: sent.channel == PRESENCE)
    assert frames.decode_viewer(asked.data) == frames.Sync("run", 0, "nothing")
    with pytest.raises(NotAttached, match="detached"):
        viewer.remote.type(b"x", LONG_S)
