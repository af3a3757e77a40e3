"""An attachment on a real terminal: what the person sees, what is sent, how it ends. The test is broker and host."""

from __future__ import annotations

import os
import queue
import signal
import termios
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from codewrap.errors import TransportError
from codewrap.protocol import channels, frames, grants
from codewrap.protocol.frames import Acked, Beat, Ended, HostFrame, Input, Notice, Output, Resize, Resized, Sync
from codewrap.protocol.frames import Screen as ScreenFrame
from codewrap.protocol.geometry import Size
from codewrap.terminal.child import set_size
from codewrap.terminal.emulator import Cell, Screen
from codewrap.terminal.local import RawTerminal
from codewrap.transport.base import (
    ClientEventsRefused,
    ConnectionState,
    Event,
    Member,
    MemberAdded,
    MemberRemoved,
    Received,
    Renewed,
    Silence,
    StateChanged,
    Subscribed,
    SubscriptionFailed,
)
from codewrap.viewer.attendance import HOST_GONE_S, NO_ANSWER_S, Departure
from codewrap.viewer.linkstate import LATE_S
from codewrap.viewer.localecho import Predict
from codewrap.viewer.mailbox import Mailbox
from codewrap.viewer.sender import EXPIRY_S
from codewrap.viewer.session import LAST_SCREEN_S, ViewerPlan, ViewerSession
from codewrap.viewer.statusline import NOTE_S
from tests.support.inplace import played, standard_streams
from tests.support.ptydriver import Collected
from tests.support.subscribers import ScriptedSubscriber, Sent

GRANT = grants.make_grant(bytes(32), "anna.0123456789ab", 1_800_000_900)
SIZE = Size(rows=10, cols=100)
PLAN = ViewerPlan(
    session="s",
    encrypted=True,
    read_only=False,
    detach_keys=b"\x1d",
    raw=False,
    allow_clipboard=False,
    endpoint="https://broker.example",
    challenge="challenge",
)
OUTPUT = channels.output_channel("s", encrypted=True)
PRESENCE = channels.presence_channel("s")
HOST = Member("host.1", {"role": "host"})
NOBODY = MemberRemoved(PRESENCE, Member("nobody", {}))
WAIT_S = 15.0


class Clock:
    """Real time that can be turned forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


class Attached:
    """One attachment. ``run`` gives its departure; meanwhile a script acts through the other methods."""

    def __init__(self, plan: ViewerPlan = PLAN, *, terminal: bool = True) -> None:
        self.plan = plan
        self.subscriber = ScriptedSubscriber()
        self.subscriber.grants[channels.input_channel("s")] = GRANT
        self.http: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.http_failure: Exception | None = None
        self.clock = Clock()
        self.mailbox = Mailbox()
        self.subscriber.deliver = self.mailbox.deliver
        self.screen = Screen(SIZE)
        self._terminal = terminal
        self._to_close: list[int] = []
        self.settings_after: list[object] = []
        if terminal:
            self.keyboard, self.stdout = os.openpty()
            self.stdin = self.stderr = self.stdout
            set_size(self.stdout, SIZE)
            self._to_close += [self.keyboard, self.stdout]
            self.out = Collected(self.keyboard, self.screen.feed)
            self.err = self.out
        else:
            self.stdin, self.keyboard = os.pipe()
            out, self.stdout = os.pipe()
            err, self.stderr = os.pipe()
            self._to_close += [self.stdin, out, self.stdout, err, self.stderr]
            self.out, self.err = Collected(out), Collected(err)

    def run(self, script: Callable[[Attached], None]) -> Departure:
        try:
            with standard_streams(self.stdin, self.stdout, self.stderr):
                session = ViewerSession(self.plan, self.subscriber, self.mailbox, self._send_over_http, self.clock)
                if not self._terminal:
                    return played(lambda: session.run(None, 0), lambda: script(self))
                with RawTerminal(0) as terminal:
                    return played(lambda: session.run(terminal, 0), lambda: script(self))
        finally:
            if self._terminal:
                self.settings_after = termios.tcgetattr(self.stdout)
                os.write(self.stdout, b"the shell again")
                self.out.expect(b"the shell again")
            self.out.close()
            self.err.close()
            for fd in self._to_close:
                os.close(fd)

    def _send_over_http(self, event: Event) -> None:
        self.http.put(event)
        if self.http_failure is not None:
            raise self.http_failure

    # -- as the broker and the host ----------------------------------------------------------------------------

    def connects(self, *members: Member) -> None:
        self.subscriber.wait_started()
        self.subscriber.connects(PRESENCE, *(members or (HOST,)))

    def says(self, *said: HostFrame) -> None:
        for frame in said:
            self.subscriber.tells(Received(OUTPUT, frame.event, frames.encode(frame)))

    def shows(self, text: bytes = b"welcome", offset: int = 0) -> None:
        """The host sends a screen that says ``text``."""
        drawn = Screen(SIZE)
        drawn.feed(text)
        self.says(ScreenFrame("run", offset, SIZE, drawn.snapshot(), answers=(self.plan.challenge,)))

    def answers(self) -> None:
        """The host proves that it is there now."""
        self.says(Beat("run", 0, answers=(self.plan.challenge,)))

    def begins(self, text: bytes = b"welcome") -> None:
        self.connects()
        self.shows(text)
        self.sees(text.decode())

    def input(self, where: Callable[[frames.ViewerFrame], bool] = lambda frame: isinstance(frame, Input)) -> frames.ViewerFrame:
        """The next input that was sent as a client event, opened."""
        while True:
            sent = self.subscriber.wait_sent(lambda sent: sent.channel == "private-input-s")
            assert sent.name == channels.EVENT_CLIENT_INPUT
            frame = frames.decode_viewer(grants.unseal(grants.decode(sent.data), GRANT.key))
            if where(frame):
                return frame

    def request(self) -> Sync:
        """The next request that was sent as a client event."""
        sent = self.subscriber.wait_sent(lambda sent: sent.channel == PRESENCE)
        frame = frames.decode_viewer(sent.data)
        assert isinstance(frame, Sync)
        return frame

    # -- as the person -----------------------------------------------------------------------------------------

    def types(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)

    def text(self) -> str:
        with self.out.changed:
            return "\n".join(self.screen.text())

    def sees(self, wanted: str) -> None:
        assert self.out.wait_for(lambda: wanted in self.text(), WAIT_S), f"not seen: {wanted!r}; but\n{self.text()}"

    def sees_no_more(self, unwanted: str) -> None:
        assert self.out.wait_for(lambda: unwanted not in self.text(), WAIT_S), f"still seen: {unwanted!r}; in\n{self.text()}"

    def later(self, seconds: float) -> None:
        """Time goes by."""
        self.clock.ahead_s += seconds
        self.subscriber.tells(NOBODY)


def requests(sent: list[Sent]) -> int:
    return sum(event.channel == PRESENCE for event in sent)


# -- how it ends -----------------------------------------------------------------------------------------------


def test_it_leaves_with_the_session_s_status_when_all_is_shown() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.says(Ended("run", 3, 7, None))
        viewer.says(Output("run", 0, b" ab"))

    assert Attached().run(script) == Departure(7, "session s ended: exit 7")


def test_a_signal_that_killed_the_command_is_the_status_too() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.says(Ended("run", 0, None, 9))

    assert Attached().run(script) == Departure(137, "session s ended: signal 9")


def test_it_does_not_leave_a_status_line_in_its_last_screen() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins(b"the first row")
        viewer.says(Notice("run", 0, "budget", "a note over it"))
        viewer.sees("a note over it")
        viewer.says(Ended("run", 0, 7, None))
        assert viewer.request().epoch == ""
        viewer.shows(b"the first row")

    viewer = Attached()
    assert viewer.run(script) == Departure(7, "session s ended: exit 7")
    assert "the first row" in viewer.text()
    assert "a note over it" not in viewer.text()


def test_who_has_no_leave_is_shown_the_code_to_say_until_there_is_an_answer() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins(b"the first row")
        viewer.types(b"x")
        asked = viewer.input()
        assert isinstance(asked, Input)
        viewer.says(Notice("run", 0, "asked", "say 00 00 00", writer="somebody else's"))
        viewer.says(Notice("run", 0, "asked", "say 00 00 00", writer=asked.writer))
        viewer.sees(f"say this code: {grants.check_code(GRANT.key, asked.writer)}")
        viewer.types(b"y")
        again = viewer.input()
        assert isinstance(again, Input)
        assert again.writer != asked.writer
        assert (again.offset, again.data) == (0, b"y")
        viewer.says(Notice("run", 0, "approved", "text", writer=again.writer))
        viewer.sees("you may type now")
        viewer.says(Ended("run", 0, 0, None))
        viewer.request()
        viewer.shows(b"the first row")

    attached = Attached()
    assert attached.run(script).status == 0
    assert "00 00 00" not in attached.out.everything().decode()


def test_where_the_last_screen_does_not_come_it_leaves_all_the_same() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.says(Notice("run", 0, "budget", "a note over the screen"), Ended("run", 0, 7, None))
        assert viewer.request().epoch == ""
        viewer.later(LAST_SCREEN_S)

    assert Attached().run(script) == Departure(7, "session s ended: exit 7")


@pytest.mark.parametrize("keys", [b"~.", b"\r~.", b"\x1d", b"ab\x1d"])
def test_detaching_is_no_failure(keys: bytes) -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.types(keys)

    assert Attached().run(script).status == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_detaches(number: signal.Signals) -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        os.kill(os.getpid(), number)

    assert Attached().run(script).status == 128 + number


def test_nobody_answers() -> None:
    def script(viewer: Attached) -> None:
        viewer.connects(Member("viewer", {"role": "viewer"}))
        viewer.request()
        viewer.later(NO_ANSWER_S)

    departure = Attached().run(script)
    assert departure.status == 255
    assert "nobody runs it" in departure.text


def test_a_host_that_says_nothing_we_can_open_was_perhaps_started_without_encryption() -> None:
    def script(viewer: Attached) -> None:
        viewer.connects()
        viewer.request()
        viewer.later(NO_ANSWER_S)

    assert "--no-encrypt" in Attached().run(script).text


@pytest.mark.parametrize("seen", [False, True])
def test_who_may_not_watch_could_not_attach_or_may_not_any_more(seen: bool) -> None:
    def refused(viewer: Attached) -> None:
        viewer.begins() if seen else viewer.connects()
        viewer.subscriber.tells(SubscriptionFailed(OUTPUT, 403, "not you"))

    departure = Attached().run(refused)
    assert departure.status == 255
    assert "not you" in departure.text
    assert ("any more" in departure.text) is seen


@pytest.mark.parametrize(("seen", "status"), [(False, 255), (True, 254)])
def test_a_broker_that_ends_it_before_and_after_the_first_screen(seen: bool, status: int) -> None:
    def failed(viewer: Attached) -> None:
        viewer.begins() if seen else viewer.connects()
        viewer.subscriber.tells(StateChanged(ConnectionState.FAILED, "no such app"))

    departure = Attached().run(failed)
    assert departure.status == status
    assert "no such app" in departure.text


def test_who_may_watch_and_not_type_goes_on() -> None:
    def script(viewer: Attached) -> None:
        viewer.connects()
        viewer.subscriber.tells(SubscriptionFailed("private-input-s", 403, "watch only"))
        viewer.shows(b"welcome\r\nto all")
        viewer.sees("to all")
        viewer.sees("you may not type here: watch only")
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_who_is_refused_another_grant_is_told_and_types_again_once_there_is_one() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.subscriber.tells(SubscriptionFailed("private-input-s", 401, "this token was revoked"))
        viewer.out.expect(b"you may not type here: this token was revoked")
        viewer.types(b"x")
        viewer.subscriber.tells(Renewed("private-input-s"))
        typed = viewer.input()
        assert isinstance(typed, Input)
        assert typed.data == b"x"
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_a_server_that_cannot_be_asked_now_refuses_nothing() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.subscriber.tells(SubscriptionFailed("private-input-s", None, "the broker does not answer"))
        viewer.types(b"x")
        viewer.input()
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_a_host_that_died_ends_it_as_lost() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.says(Notice("run", 0, "lost", "the host process is gone"))

    assert Attached().run(script).status == 254


def test_a_host_that_stays_away_is_lost_in_the_end_and_said_to_be_away_before() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.subscriber.tells(MemberRemoved(PRESENCE, HOST))
        viewer.later(HOST_GONE_S / 2)
        viewer.sees("the host is away")
        viewer.later(HOST_GONE_S)

    assert Attached().run(script).status == 254


def test_a_host_that_comes_back_is_not() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.subscriber.tells(MemberRemoved(PRESENCE, HOST))
        viewer.later(HOST_GONE_S / 2)
        viewer.sees("the host is away")
        viewer.subscriber.tells(MemberAdded(PRESENCE, HOST))
        assert viewer.request().epoch == ""
        viewer.shows(b"back again")
        viewer.sees("back again")
        viewer.sees_no_more("away")
        viewer.later(HOST_GONE_S * 2)
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


# -- what is seen ----------------------------------------------------------------------------------------------


def test_screen_and_output_are_shown_and_the_terminal_is_left_as_it_was() -> None:
    viewer = Attached()
    before = termios.tcgetattr(viewer.stdout)

    def script(viewer: Attached) -> None:
        viewer.begins(b"hello")
        viewer.says(Output("run", 0, b" and more"))
        viewer.sees("hello and more")
        viewer.says(Output("run", 9, b"\x1b[?1049h\x1b[?1000h\x1b[?25lfull"))
        viewer.sees("full")
        viewer.types(b"~.")

    assert viewer.run(script).status == 0
    assert viewer.settings_after == before
    modes = viewer.screen.modes.known_modes()
    assert (modes[1000], modes[1049], modes[25]) == (False, False, True)


def test_what_is_dangerous_is_not_shown() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.says(Output("run", 0, b"\x1b]52;c;cm0gLXJm\x07\x1b[6nend"))
        viewer.sees("end")
        assert b"]52" not in viewer.out.data
        assert b"\x1b[6n" not in viewer.out.data
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_garbage_from_the_relay_is_dropped() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        renamed = frames.encode(Ended("run", 0, 0, None))
        viewer.subscriber.tells(Received(OUTPUT, "output", "garbage"), Received(OUTPUT, "output", renamed))
        viewer.says(Output("run", 0, b" still here"))
        viewer.sees("welcome still here")
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_a_lost_link_is_shown_over_the_screen_and_gone_when_it_is_back() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.subscriber.tells(StateChanged(ConnectionState.RECONNECTING, "", 4.0))
        assert "link lost" not in viewer.text()
        viewer.later(3.0)
        viewer.sees("link lost 3 s ago")
        viewer.connects()
        viewer.request()
        viewer.shows(b"welcome back", 0)
        viewer.sees("welcome back")
        viewer.sees_no_more("link lost")
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_a_session_that_does_not_answer_is_shown_to_be_silent_until_it_does() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.types(b"x")
        typed = viewer.input()
        assert isinstance(typed, Input)
        viewer.later(LATE_S + 1.0)
        viewer.sees("s: last heard 4 s ago; 1 typed bytes wait")
        viewer.says(Acked("run", {typed.writer: 1}))
        assert viewer.request().epoch == ""
        viewer.shows(b"as before")
        viewer.sees("as before")
        viewer.sees_no_more("last heard")
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_a_broker_that_does_not_answer_is_shown_to_be_silent_until_it_does() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.subscriber.tells(Silence(23.0))
        viewer.sees("s: last heard 23 s ago")
        viewer.subscriber.tells(Silence(None))
        viewer.request()
        viewer.shows(b"as before")
        viewer.sees_no_more("last heard")
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_what_is_typed_over_a_slow_link_is_shown_at_once_and_again_when_it_is_confirmed() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins(b"ready>")
        for char in (b"l", b"s"):
            viewer.types(char)
            typed = viewer.input()
            assert isinstance(typed, Input)
            viewer.sees("ready>ls" if char == b"s" else "ready>")
            viewer.says(Output("run", typed.offset, char, acks={typed.writer: typed.end}))
            viewer.sees("ready>l")
        viewer.out.expect(b"\x1b[0;4ms")
        assert viewer.out.wait_for(lambda: viewer.screen.cells(0)[7] == Cell("s", 1, ""), WAIT_S)
        viewer.types(b"\x1d")

    assert Attached(replace(PLAN, predict=Predict.ALWAYS)).run(script).status == 0


def test_a_short_break_is_not_worth_a_word() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.subscriber.tells(StateChanged(ConnectionState.RECONNECTING, "", 0.1))
        viewer.connects()
        viewer.says(Output("run", 0, b" x"))
        viewer.sees("welcome x")
        assert b"[codewrap]" not in viewer.out.data
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_a_screen_is_asked_for_once_while_a_status_line_waits_to_go() -> None:
    """Each turn of the loop asked again: a broker refuses so many client events."""

    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.subscriber.tells(StateChanged(ConnectionState.RECONNECTING, "", 4.0))
        viewer.later(3.0)
        viewer.sees("link lost")
        viewer.connects()
        viewer.request()
        for number in range(50):
            viewer.subscriber.tells(NOBODY)
            viewer.types(b"x")
            viewer.input(lambda frame, end=number + 1: isinstance(frame, Input) and frame.end == end)
        assert requests(viewer.subscriber.sent) <= 3
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_help_is_shown_and_goes_with_the_next_screen() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.types(b"~?")
        viewer.sees("~. detach")
        assert viewer.request().epoch == ""
        viewer.shows(b"as before")
        viewer.sees("as before")
        viewer.sees_no_more("~. detach")
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_a_note_can_be_read_before_a_screen_is_asked_for_that_takes_it_away() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        asked = requests(viewer.subscriber.sent)
        viewer.says(Notice("run", 0, "word", "mind the gap"))
        viewer.sees("mind the gap")
        viewer.types(b"x")
        typed = viewer.input()
        assert isinstance(typed, Input)
        viewer.says(Acked("run", {typed.writer: 1}))
        assert requests(viewer.subscriber.sent) == asked
        viewer.later(NOTE_S)
        assert viewer.request().epoch == ""
        viewer.shows(b"as before")
        viewer.sees_no_more("mind the gap")
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_another_size_of_the_session_asks_for_its_screen() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.says(Resized("run", 0, Size(rows=5, cols=30), 1))
        assert viewer.request().epoch == ""
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


# -- what is sent ----------------------------------------------------------------------------------------------


def test_keys_are_sent_sealed_and_again_until_they_are_confirmed() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.types(b"ls\r")
        first = viewer.input()
        assert isinstance(first, Input)
        assert (first.epoch, first.offset, first.data) == ("run", 0, b"ls\r")
        viewer.later(1.1)
        assert viewer.input() == first
        viewer.says(Acked("run", {first.writer: 3}))
        viewer.types(b"x")
        second = viewer.input()
        assert isinstance(second, Input)
        assert (second.writer, second.offset, second.data) == (first.writer, 3, b"x")
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_our_size_is_told_and_told_anew_when_it_changes() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        first = viewer.input(lambda frame: isinstance(frame, Resize))
        assert isinstance(first, Resize)
        assert first.size == SIZE
        set_size(viewer.keyboard, Size(rows=20, cols=90))
        os.kill(os.getpid(), signal.SIGWINCH)
        second = viewer.input(lambda frame: isinstance(frame, Resize))
        assert isinstance(second, Resize)
        assert second.size == Size(rows=20, cols=90)
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_what_is_typed_while_the_link_is_down_arrives_when_it_is_back_soon() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.subscriber.takes = False
        viewer.subscriber.tells(StateChanged(ConnectionState.RECONNECTING, "", 1.0))
        viewer.types(b"held")
        viewer.later(5.0)
        viewer.sees("4 typed bytes wait")
        viewer.subscriber.takes = True
        viewer.connects()
        typed = viewer.input()
        assert isinstance(typed, Input)
        assert typed.data == b"held"
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_what_is_typed_while_the_link_is_down_for_long_is_dropped_and_said_to_be() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.subscriber.takes = False
        viewer.subscriber.tells(StateChanged(ConnectionState.RECONNECTING, "", 1.0))
        viewer.types(b"\x03")
        viewer.later(5.0)
        viewer.sees("1 typed bytes wait")
        viewer.later(EXPIRY_S)
        viewer.out.expect(b"1 typed bytes could not be delivered")
        viewer.subscriber.takes = True
        viewer.connects()
        viewer.shows(b"back")
        viewer.types(b"x")
        typed = viewer.input()
        assert isinstance(typed, Input)
        assert (typed.offset, typed.data) == (0, b"x")
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_where_client_events_are_refused_keys_and_requests_go_over_http() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.types(b"a")
        viewer.input()
        viewer.subscriber.tells(ClientEventsRefused("private-input-s", 4301, "not enabled"))
        event = viewer.http.get(timeout=WAIT_S)
        assert (event.channel, event.name) == ("private-input-s", channels.EVENT_INPUT)
        again = frames.decode_viewer(grants.unseal(grants.decode(event.data), GRANT.key))
        assert isinstance(again, Input)
        assert again.data == b"a"
        viewer.types(b"~?") if again.offset else viewer.types(b"\r~?")
        names = set()
        while channels.EVENT_SYNC not in names:
            event = viewer.http.get(timeout=WAIT_S)
            names.add(event.name)
        assert event.channel == PRESENCE
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_a_slow_way_that_fails_is_tried_again() -> None:
    viewer = Attached()
    viewer.http_failure = TransportError("server", "away")

    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.subscriber.tells(ClientEventsRefused("private-input-s", 4301, "not enabled"))
        viewer.types(b"a")
        first = viewer.http.get(timeout=WAIT_S)
        viewer.later(1.1)
        assert viewer.http.get(timeout=WAIT_S).channel == first.channel
        viewer.types(b"\x1d")

    assert viewer.run(script).status == 0


def test_without_its_key_nothing_typed_leaves_in_clear() -> None:
    viewer = Attached()
    viewer.subscriber.grants.clear()

    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.types(b"secret\x1d")

    assert viewer.run(script).status == 0
    assert {sent.channel for sent in viewer.subscriber.sent} <= {PRESENCE}


def test_who_only_watches_sends_nothing_and_leaves_with_q() -> None:
    viewer = Attached(replace(PLAN, read_only=True))

    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.types(b"ls\r")
        viewer.subscriber.tells(NOBODY)
        viewer.says(Output("run", 0, b"!"))
        viewer.sees("welcome!")
        viewer.types(b"q")

    assert viewer.run(script).status == 0
    assert viewer.subscriber.channels == [OUTPUT, PRESENCE]
    assert {sent.channel for sent in viewer.subscriber.sent} <= {PRESENCE}


def test_a_new_run_does_not_get_what_was_typed_for_the_one_before() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.types(b"rm -rf\r")
        viewer.input()
        viewer.says(ScreenFrame("next", 0, SIZE, b"\r\nfresh", answers=(viewer.plan.challenge,)))
        viewer.sees("fresh")
        viewer.later(2.0)
        viewer.types(b"x")
        typed = viewer.input(lambda frame: isinstance(frame, Input) and frame.epoch == "next")
        assert isinstance(typed, Input)
        assert (typed.offset, typed.data) == (0, b"x")
        viewer.types(b"\x1d")

    assert Attached().run(script).status == 0


def test_what_answers_no_challenge_is_not_shown_and_not_told_for_the_session() -> None:
    def script(viewer: Attached) -> None:
        viewer.connects()
        viewer.says(ScreenFrame("old", 0, SIZE, b"of old", answers=("another-viewer-s",)), Ended("old", 0, 0, None))
        assert viewer.request().challenge == viewer.plan.challenge
        viewer.later(10.0)

    viewer = Attached()
    departure = viewer.run(script)
    assert departure.status == 255
    assert "may be a recording of an earlier session" in departure.text
    assert b"of old" not in viewer.out.data


def test_a_recording_beside_the_session_is_not_shown() -> None:
    def script(viewer: Attached) -> None:
        viewer.begins()
        viewer.says(ScreenFrame("old", 0, SIZE, b"of old", answers=("another-viewer-s",)), Ended("old", 0, 0, None))
        assert viewer.request() == Sync("run", 0, "screen", viewer.plan.challenge)
        viewer.answers()
        viewer.says(Output("run", 0, b", and on"))
        viewer.sees("welcome, and on")
        viewer.types(b"\x1d")

    viewer = Attached()
    assert viewer.run(script).status == 0
    assert b"of old" not in viewer.out.data


# -- without a terminal ----------------------------------------------------------------------------------------


def test_into_a_file_go_all_bytes_and_errors_stay_apart() -> None:
    viewer = Attached(terminal=False)
    heard: list[bytes] = []

    def script(viewer: Attached) -> None:
        viewer.connects()
        asked = viewer.request()
        assert (asked.offset, asked.want, asked.challenge) == (0, "bytes", viewer.plan.challenge)
        viewer.answers()
        viewer.says(Output("run", 4, b"err", "stderr"), Output("run", 0, b"\x1bout"))
        viewer.out.expect(b"\x1bout")
        viewer.err.expect(b"err")
        viewer.says(Output("run", 7, b"!"), Ended("run", 8, 0, None))
        viewer.out.expect(b"!")
        heard.append(viewer.out.data)

    assert viewer.run(script) == Departure(0, "session s ended: exit 0")
    assert heard == [b"\x1bout!"]


def test_into_a_file_a_gap_is_said_on_stderr() -> None:
    viewer = Attached(terminal=False)

    def script(viewer: Attached) -> None:
        viewer.connects()
        viewer.answers()
        viewer.says(Notice("run", 0, "gap", "gone", (0, 100)), Output("run", 100, b"rest"), Ended("run", 104, 0, None))
        viewer.out.expect(b"rest")
        viewer.err.expect(b"gap: output bytes 0 to 100 are lost\n")

    assert viewer.run(script).status == 0


def test_what_is_piped_in_is_typed() -> None:
    viewer = Attached(terminal=False)

    def script(viewer: Attached) -> None:
        viewer.connects()
        viewer.answers()
        viewer.says(Output("run", 0, b"$ "))
        viewer.types(b"~.\x1d is no command here\n")
        os.close(viewer.keyboard)
        typed = viewer.input()
        assert isinstance(typed, Input)
        assert typed.data == b"~.\x1d is no command here\n"
        viewer.says(Ended("run", 2, 0, None))

    assert viewer.run(script).status == 0


# -- the mailbox -----------------------------------------------------------------------------------------------


def test_output_is_handled_in_the_thread_that_brings_it_while_the_loop_waits() -> None:
    mailbox = Mailbox()
    handled: list[Received] = []
    mailbox.handle_at_once(lambda event: event.channel == "out", lambda event: handled.append(event) is not None)
    event = Received("out", "output", "x")
    mailbox.deliver(event)
    assert handled == [event]
    assert list(mailbox.take()) == []
    with mailbox.busy:
        mailbox.deliver(event)
    assert handled == [event]
    mailbox.deliver(event)  # must not overtake the one that waits
    assert handled == [event]
    assert list(mailbox.take()) == [event, event]


def test_output_beyond_the_bound_is_dropped_and_noticed_and_nothing_else_is() -> None:
    mailbox = Mailbox()
    mailbox.handle_at_once(lambda event: event.channel == "out", lambda _: False)
    with mailbox.busy:
        for number in range(3000):
            mailbox.deliver(Received("out", "output", str(number)))
        mailbox.deliver(Subscribed("out"))
    assert mailbox.dropped
    taken = list(mailbox.take())
    assert taken[:-1] == [Received("out", "output", str(number)) for number in range(2000)]
    assert taken[-1] == Subscribed("out")
