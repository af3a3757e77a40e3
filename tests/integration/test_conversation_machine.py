"""Host and viewers as a state machine: any order of writing, resizing, coming, leaving, loss, repetition and delay.

Viewers on pipes are complete at every moment up to where they are, or were told the gap; viewers on a terminal end with the
session's screen. The failure is the shortest such story.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from codewrap.protocol import frames
from codewrap.protocol.frames import Ended, Screen
from codewrap.protocol.geometry import Size
from codewrap.protocol.pacing import BrokerLimits
from codewrap.terminal.emulator import Screen as Picture
from codewrap.uplink.composer import MAX_BACKLOG_BYTES, Composer
from codewrap.viewer.receiver import Gap, Over, Receiver, Show, ShowScreen, ShowSize
from tests.support.sessionlogs import SessionLog

SIZE = Size(rows=5, cols=20)
# Within so many turns of a relay that loses nothing, everybody has everything.
MANY_TURNS = 600
TURN_S = 0.25
outputs = st.one_of(
    st.sampled_from(
        [
            b"line\r\n",
            b"\x1b[2;3H*",
            b"\x1b[31m\xc3\xa9\xe6\xbc\xa2",
            b"\x1b[?1049h",
            b"\x1b[?1049l",
            b"\x1b[2J",
            b"\x1b[2;4r\n",
            b"\x1b[r",
            b"\x1b[",
            b"\x1b]0;title",
            b"\x07",
            b"\xf0\x9f",
            b"\x98\x80",
            b"wraps " * 8,
        ]
    ),
    st.binary(min_size=1, max_size=40),
    st.integers(1, 3000).map(lambda lines: b"one of many lines\r\n" * lines),
    st.just(b"flood\r\n" * (MAX_BACKLOG_BYTES // 7 + 500)),
)


@dataclass(eq=False)
class Viewer:
    """One attachment, and what is under way to it."""

    receiver: Receiver
    screen: Picture = field(default_factory=lambda: Picture(SIZE))
    under_way: list[str] = field(default_factory=list)
    at: int = 0
    """Up to where its bytes are accounted for."""
    over: Ended | None = None
    gaps: list[tuple[int, int]] = field(default_factory=list)


class Conversation(RuleBasedStateMachine):
    """Rules are what can happen; `teardown` mends the relay and looks at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.log = SessionLog(Path(self.directory.name))
        self.written = bytearray()
        self.streams: list[str] = []
        self.viewers: list[Viewer] = []
        self.now_s = 1000.0
        self.has_ended = False
        self.spoken = 0
        self.challenges = 0

    @initialize(
        on_pipes=st.booleans(),
        event_bytes=st.sampled_from([1024, 10_240, 100_000]),
        readers=st.lists(st.booleans(), min_size=1, max_size=2),
        last_words_are_lost=st.booleans(),
    )
    def begin(self, on_pipes: bool, event_bytes: int, readers: list[bool], last_words_are_lost: bool) -> None:
        self.on_pipes = on_pipes
        self.last_words_are_lost = last_words_are_lost
        self.truth = Picture(SIZE)
        limits = BrokerLimits(event_bytes=event_bytes)
        self.composer = Composer("run", self.log.follower, None if on_pipes else Picture(SIZE), SIZE, limits, sealed=True)
        for wants_bytes in readers:
            self.a_viewer_comes(wants_bytes)
            self._speak(None)

    # -- the session -----------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.has_ended)
    @rule(data=outputs, stream=st.sampled_from(["stdout", "stderr"]), is_said=st.booleans())
    def child_writes(self, data: bytes, stream: str, is_said: bool) -> None:
        stream = stream if self.on_pipes else "stdout"
        self.log.out(data, stream)
        self.written += data
        self.streams += [stream] * len(data)
        self.truth.feed(data)
        if is_said:
            self._speak(None)

    @precondition(lambda self: not self.has_ended and not self.on_pipes)
    @rule(rows=st.integers(2, 8), cols=st.integers(4, 40), is_said=st.booleans())
    def window_is_resized(self, rows: int, cols: int, is_said: bool) -> None:
        self.log.resized(Size(rows=rows, cols=cols))
        self.truth.resize(Size(rows=rows, cols=cols))
        if is_said:
            self.host_catches_up(1 << 20)
            self._speak(None)

    @precondition(lambda self: not self.has_ended and len(self.written) > 20)
    @rule(code=st.integers(0, 255))
    def child_ends(self, code: int) -> None:
        self.log.ended(code)
        self.has_ended = True

    @rule(most_bytes=st.sampled_from([1, 100, 1 << 20]))
    def host_catches_up(self, most_bytes: int) -> None:
        self.log.follower.refresh()
        self.composer.catch_up(most_bytes)

    @precondition(lambda self: self._has_something_to_say())
    @rule(most_events=st.none() | st.integers(1, 3), times=st.integers(1, 3))
    def host_speaks(self, most_events: int | None, times: int) -> None:
        for _ in range(times):
            self._speak(most_events)

    @precondition(lambda self: self._has_something_to_say())
    @rule()
    def a_publish_fails_and_is_said_again(self) -> None:
        """Nobody knows whether the first one arrived: it did."""
        batch = self.composer.compose(self.now_s)
        for _ in range(2):
            self._publish([text for _, text in batch.texts])
        self.composer.published(batch)

    @rule(seconds=st.sampled_from([0.02, 0.2, 1.0, 15.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    # -- the viewers and the relay ---------------------------------------------------------------------------------

    @precondition(lambda self: len(self.viewers) < 3)
    @rule(wants_bytes=st.booleans())
    def a_viewer_comes(self, wants_bytes: bool) -> None:
        self.challenges += 1
        viewer = Viewer(Receiver(f"challenge-{self.challenges}", wants_bytes=wants_bytes or self.on_pipes))
        self.viewers.append(viewer)
        self.composer.watched_by(len(self.viewers))
        self.composer.challenges.add(viewer.receiver.challenge)
        self.composer.want_screen(joined=True)
        viewer.receiver.connected(self.now_s)

    @precondition(lambda self: len(self.viewers) > 1)
    @rule(which=st.integers(0, 2))
    def a_viewer_leaves(self, which: int) -> None:
        self.viewers.pop(which % len(self.viewers))
        self.composer.watched_by(len(self.viewers))

    @precondition(lambda self: self.viewers)
    @rule(which=st.integers(0, 2))
    def a_viewer_loses_its_link_and_comes_back(self, which: int) -> None:
        viewer = self.viewers[which % len(self.viewers)]
        viewer.under_way.clear()
        viewer.receiver.connected(self.now_s)
        self.composer.challenges.add(viewer.receiver.challenge)
        self.composer.want_screen(joined=True)

    @precondition(lambda self: any(viewer.under_way for viewer in self.viewers))
    @rule(which=st.integers(0, 2), how=st.sampled_from(["arrives"] * 4 + ["lost", "repeated", "early"]), count=st.integers(1, 8))
    def the_relay_does_something(self, which: int, how: str, count: int) -> None:
        viewer = self.viewers[which % len(self.viewers)]
        for _ in range(min(count, len(viewer.under_way))):
            match how:
                case "arrives":
                    self._hear(viewer, viewer.under_way.pop(0))
                case "lost":
                    viewer.under_way.pop(0)
                case "repeated":
                    self._hear(viewer, viewer.under_way[0])
                case _:
                    self._hear(viewer, viewer.under_way.pop())

    @precondition(lambda self: any(viewer.receiver.wait_s(self.now_s) == 0.0 for viewer in self.viewers))
    @rule(which=st.integers(0, 2), lost=st.booleans())
    def a_viewer_asks(self, which: int, lost: bool) -> None:
        self._ask(self.viewers[which % len(self.viewers)], lost=lost)

    @precondition(lambda self: self.viewers)
    @rule(which=st.integers(0, 2))
    def a_screen_is_spoilt(self, which: int) -> None:
        self.viewers[which % len(self.viewers)].receiver.repaint()

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def readers_have_everything_up_to_where_they_are(self) -> None:
        for viewer in self.viewers:
            assert viewer.gaps == []  # the log holds everything
            if viewer.receiver.wants_bytes:
                assert viewer.at == viewer.receiver.offset

    def teardown(self) -> None:
        try:
            if hasattr(self, "composer"):
                self._end_well()
        finally:
            self.log.close()
            self.directory.cleanup()

    def _end_well(self) -> None:
        """The relay loses nothing any more: everybody has what was said, then sees the end."""
        if not self.has_ended:
            self._lose_last_words()
            self._turns_until(lambda: self._everybody_is_up_to_date() or self._nobody_has_a_reason_to_speak())
            # The beats are few: where all of them were lost too, only what comes later is noticed.
            assert self._everybody_is_up_to_date() or self.spoken == self.spoken_before_mending
            self.child_ends(7)
        self._lose_last_words()
        self._turns_until(lambda: all(viewer.over for viewer in self.viewers))
        for viewer in self.viewers:
            assert viewer.over is not None
            if viewer.receiver.wants_bytes:
                assert viewer.at == len(self.written)
            else:
                assert viewer.screen.size == self.truth.size
                assert viewer.screen.text() == self.truth.text()
                assert viewer.screen.cursor == self.truth.cursor

    def _lose_last_words(self) -> None:
        for _ in range(3 * self.last_words_are_lost):
            self.host_catches_up(1 << 20)
            self._speak(None)
            for viewer in self.viewers:
                viewer.under_way.clear()
        self.spoken_before_mending = self.spoken

    def _nobody_has_a_reason_to_speak(self) -> bool:
        waits = [self.composer.wait_s(self.now_s), *(viewer.receiver.wait_s(self.now_s) for viewer in self.viewers)]
        return all(wait_s is None for wait_s in waits)

    def _everybody_is_up_to_date(self) -> bool:
        return all(
            viewer.at == len(self.written)
            and (
                viewer.receiver.wants_bytes or (viewer.screen.size, viewer.screen.text()) == (self.truth.size, self.truth.text())
            )
            for viewer in self.viewers
        )

    def _turns_until(self, done: Callable[[], bool]) -> None:
        for _ in range(MANY_TURNS):
            if done():
                return
            self.now_s += TURN_S
            self.host_catches_up(1 << 20)
            self._speak(None)
            for viewer in self.viewers:
                while viewer.under_way:
                    self._hear(viewer, viewer.under_way.pop(0))
                self._ask(viewer, lost=False)
        where = [(viewer.receiver.offset, viewer.receiver.begun, viewer.receiver.ended) for viewer in self.viewers]
        raise AssertionError(f"somebody never gets there: {where} of {len(self.written)}")

    # -- how it is done --------------------------------------------------------------------------------------------

    def _has_something_to_say(self) -> bool:
        self.log.follower.refresh()
        return self.composer.wait_s(self.now_s) == 0.0

    def _speak(self, most_events: int | None) -> None:
        if self._has_something_to_say():
            batch = self.composer.compose(self.now_s, most_events)
            self._publish([text for _, text in batch.texts])
            self.composer.published(batch)

    def _publish(self, texts: list[str]) -> None:
        self.spoken += len(texts)
        for viewer in self.viewers:
            viewer.under_way += texts

    def _ask(self, viewer: Viewer, *, lost: bool) -> None:
        """The host's part is `UplinkSession`'s rule: bytes where they are few and still held, else a screen."""
        request = viewer.receiver.ask(self.now_s)
        if request is None or lost:
            return
        offset, want = request
        if viewer.receiver.unsure:
            self.composer.challenges.add(viewer.receiver.challenge)
        known = viewer.receiver.begun and viewer.receiver.epoch == "run"
        if want == "bytes":
            self.composer.want_bytes(offset if known else 0)
        elif known and self.composer.can_repeat(offset):
            self.composer.want_bytes(offset)
        else:
            self.composer.want_screen()

    def _hear(self, viewer: Viewer, text: str) -> None:
        frame = frames.decode_host(text)
        for effect in viewer.receiver.receive(frame, self.now_s):
            match effect:
                case Show(data=data, stream=stream):
                    assert data == self.written[viewer.at : viewer.at + len(data)]
                    assert {stream} == set(self.streams[viewer.at : viewer.at + len(data)])
                    viewer.at += len(data)
                    viewer.screen.feed(data)
                case ShowScreen(data=data, size=size):
                    assert isinstance(frame, Screen)
                    assert size is not None
                    viewer.at = frame.offset
                    viewer.screen.resize(size)
                    viewer.screen.feed(data)
                case ShowSize():
                    viewer.receiver.repaint()  # as `ViewerSession` does
                case Gap(start=start, end=end):
                    viewer.gaps.append((start, end))
                case Over(ended=ended):
                    viewer.over = ended
                case _:
                    pass


Conversation.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestConversation = Conversation.TestCase
