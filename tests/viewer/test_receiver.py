"""What a viewer makes of the host's frames, in whatever order they come."""

from __future__ import annotations

import itertools

import pytest

from codewrap.protocol.frames import Acked, Beat, Ended, HostFrame, Notice, Output, Resized, Screen, Sync
from codewrap.protocol.geometry import Size
from codewrap.protocol.stream import REPLAY_BYTES
from codewrap.viewer.receiver import (
    ASK_AHEAD_BYTES,
    FIRST_SCREEN_PATIENCE_S,
    GAP_PATIENCE_S,
    MOST_REPEAT_S,
    REPEAT_S,
    Confirmed,
    Effect,
    Gap,
    NewRun,
    Over,
    Receiver,
    Show,
    ShowScreen,
    ShowSize,
    Told,
)

SIZE = Size(rows=5, cols=20)
CHALLENGE = "challenge"


class Viewer:
    """A receiver and a clock turned by hand."""

    def __init__(self, *, wants_bytes: bool = False) -> None:
        self.receiver = Receiver(CHALLENGE, wants_bytes=wants_bytes)
        self.now_s = 100.0
        self.receiver.connected(self.now_s)

    def gets(self, *frames: HostFrame) -> list[Effect]:
        return [effect for frame in frames for effect in self.receiver.receive(frame, self.now_s)]

    def asks(self) -> Sync | tuple[int, str] | None:
        return self.receiver.ask(self.now_s)

    def asks_after(self, seconds: float) -> Sync | tuple[int, str] | None:
        self.now_s += seconds
        return self.asks()


def out(offset: int, data: bytes, stream: str = "stdout") -> Output:
    return Output("e", offset, data, stream)


def screen(offset: int, data: bytes = b"screen", epoch: str = "e") -> Screen:
    return Screen(epoch, offset, SIZE, data, answers=(CHALLENGE,))


def answer(epoch: str = "e", offset: int = 0) -> Beat:
    """A run proves that it is of now."""
    return Beat(epoch, offset, answers=("another", CHALLENGE))


def joined(offset: int = 10) -> Viewer:
    """One that has its first screen."""
    viewer = Viewer()
    assert viewer.gets(screen(offset)) == [ShowScreen(b"screen", SIZE, 0, True)]
    return viewer


def reader() -> Viewer:
    """One that wants every byte, knows which run it hears, and has just come back."""
    viewer = Viewer(wants_bytes=True)
    assert viewer.gets(answer()) == []
    viewer.receiver.connected(viewer.now_s)
    return viewer


# -- on a terminal ---------------------------------------------------------------------------------------------


def test_nothing_is_shown_before_the_first_screen() -> None:
    viewer = Viewer()
    assert viewer.gets(out(0, b"half a picture")) == []
    assert viewer.gets(screen(14), out(14, b"!")) == [ShowScreen(b"screen", SIZE, 0, True), Show(b"!", "stdout")]


def test_a_host_that_offers_no_screen_is_asked_and_asked_again() -> None:
    viewer = Viewer()
    assert viewer.asks() is None
    assert viewer.receiver.wait_s(viewer.now_s) == pytest.approx(FIRST_SCREEN_PATIENCE_S)
    assert viewer.asks_after(FIRST_SCREEN_PATIENCE_S) is not None
    assert viewer.asks_after(REPEAT_S / 2) is None
    assert viewer.asks_after(REPEAT_S / 2) is not None
    viewer.gets(screen(0))
    assert viewer.asks_after(10.0) is None
    assert viewer.receiver.wait_s(viewer.now_s) is None


def test_repeats_are_shown_once() -> None:
    viewer = joined()
    assert viewer.gets(out(10, b"abc"), out(10, b"abc"), out(8, b"xxabcd"), screen(10)) == [
        Show(b"abc", "stdout"),
        Show(b"d", "stdout"),
    ]


def test_output_out_of_order_is_put_in_order() -> None:
    parts = [out(10 + 2 * n, b"%d." % n) for n in range(4)]
    for order in itertools.permutations(parts):
        viewer = joined()
        shown = [effect.data for effect in viewer.gets(*order) if isinstance(effect, Show)]
        assert b"".join(shown) == b"0.1.2.3.", order
        assert viewer.receiver.wait_s(viewer.now_s) is None


def test_a_gap_is_waited_out_for_a_moment_and_then_asked_about() -> None:
    viewer = joined()
    viewer.now_s += 10
    viewer.gets(out(12, b"later"))
    assert viewer.asks() is None
    assert viewer.receiver.wait_s(viewer.now_s) == pytest.approx(GAP_PATIENCE_S)
    asked = viewer.asks_after(GAP_PATIENCE_S)
    assert asked is not None
    assert viewer.gets(out(10, b"ab")) == [Show(b"ab", "stdout"), Show(b"later", "stdout")]
    assert viewer.receiver.offset == 17
    assert viewer.asks_after(10.0) is None


def test_a_screen_closes_a_gap_and_says_how_much_went_by() -> None:
    viewer = joined()
    viewer.gets(out(20, b"held"))
    assert viewer.gets(screen(15, b"s2")) == [ShowScreen(b"s2", SIZE, 5, False)]
    assert viewer.receiver.wait_s(viewer.now_s) is not None
    assert viewer.gets(out(15, b"12345")) == [Show(b"12345", "stdout"), Show(b"held", "stdout")]


def test_what_waited_behind_a_screen_is_shown_after_it() -> None:
    viewer = joined()
    viewer.gets(out(15, b"held"))
    assert viewer.gets(screen(15, b"s2")) == [ShowScreen(b"s2", SIZE, 5, False), Show(b"held", "stdout")]
    assert viewer.receiver.wait_s(viewer.now_s) is None


def test_an_old_screen_and_one_for_others_are_not_drawn() -> None:
    viewer = joined()
    viewer.gets(out(10, b"abc"))
    assert viewer.gets(screen(12), screen(13)) == []


def test_a_spoilt_screen_is_asked_for_once_a_second_and_drawn_though_nothing_was_missed() -> None:
    viewer = joined()
    viewer.receiver.repaint()
    assert viewer.asks() is not None
    viewer.receiver.repaint()
    assert viewer.asks() is None
    assert viewer.receiver.wait_s(viewer.now_s) == pytest.approx(REPEAT_S)
    assert viewer.asks_after(REPEAT_S) is not None
    assert viewer.gets(screen(10, b"again")) == [ShowScreen(b"again", SIZE, 0, True)]
    assert viewer.asks_after(10.0) is None


def test_a_viewer_that_had_everything_does_not_go_on_asking_once_it_is_told_so() -> None:
    viewer = joined()
    viewer.receiver.connected(viewer.now_s)
    assert viewer.asks_after(FIRST_SCREEN_PATIENCE_S) is not None
    viewer.gets(out(10, b""))
    assert viewer.asks_after(10.0) is None
    assert viewer.receiver.wait_s(viewer.now_s) is None


def test_a_screen_in_parts_is_drawn_when_all_are_there_in_any_order() -> None:
    parts = [Screen("e", 10, SIZE, data, number, 3) for number, data in enumerate((b"a", b"b", b"c"))]
    for order in itertools.permutations(parts):
        viewer = Viewer()
        assert viewer.gets(answer(), *order[:2], order[0]) == []
        assert viewer.gets(order[2]) == [ShowScreen(b"abc", SIZE, 0, True)]


def test_parts_of_two_screens_do_not_mix() -> None:
    viewer = Viewer()
    small = Size(rows=3, cols=9)
    viewer.gets(answer(), Screen("e", 10, SIZE, b"a", 0, 3), Screen("e", 10, SIZE, b"b", 1, 3))
    assert viewer.gets(Screen("e", 10, small, b"x", 0, 2)) == []
    assert viewer.gets(Screen("e", 12, small, b"y", 1, 2)) == []
    assert viewer.gets(Screen("e", 12, small, b"z", 0, 2)) == [ShowScreen(b"zy", small, 0, True)]


def test_a_screen_of_another_size_is_drawn_though_nothing_was_missed() -> None:
    viewer = joined()
    wide = Size(rows=5, cols=40)
    assert viewer.gets(Screen("e", 10, wide, b"wide", resizes=1)) == [ShowScreen(b"wide", wide, 0, False)]
    assert viewer.gets(Screen("e", 10, wide, b"wide", resizes=1)) == []


def test_a_screen_of_the_size_before_is_not_drawn_however_late_it_comes() -> None:
    """Both stand at one offset: a relay that reorders them must not take the size back."""
    viewer = joined()
    wide = Size(rows=5, cols=40)
    viewer.gets(Screen("e", 10, wide, b"wide", resizes=1))
    viewer.receiver.repaint()
    assert viewer.gets(screen(10), Resized("e", 10, SIZE, 1)) == []
    assert viewer.gets(Screen("e", 10, wide, b"a", 0, 2, resizes=2), Screen("e", 10, wide, b"old", 1, 2, resizes=1)) == []
    assert viewer.gets(Screen("e", 10, wide, b"b", 1, 2, resizes=2)) == [ShowScreen(b"ab", wide, 0, True)]


def test_the_first_screen_after_a_reconnect_is_drawn() -> None:
    viewer = joined()
    viewer.receiver.connected(viewer.now_s)
    assert viewer.gets(screen(10), screen(10)) == [ShowScreen(b"screen", SIZE, 0, False)]


def test_a_size_is_told() -> None:
    viewer = joined()
    resized = Resized("e", 10, Size(rows=9, cols=9), 1)
    assert viewer.gets(resized) == [ShowSize(Size(rows=9, cols=9))]
    viewer.gets(Screen("e", 10, Size(rows=9, cols=9), b"screen", resizes=1))
    assert viewer.gets(resized) == []


# -- where the session stands ----------------------------------------------------------------------------------


def test_output_that_was_lost_with_none_after_it_is_asked_for_when_a_beat_tells_of_it() -> None:
    for viewer in (joined(), reader()):
        viewer.gets(out(0, b"0123456789"))
        viewer.now_s += 10
        assert viewer.asks() is None
        viewer.gets(Beat("e", 15))
        assert viewer.asks_after(GAP_PATIENCE_S) is not None
        viewer.gets(out(10, b"abcde"))
        assert viewer.receiver.wait_s(viewer.now_s) is None


def test_a_beat_that_overtakes_output_asks_for_nothing() -> None:
    viewer = joined()
    viewer.gets(Beat("e", 15))
    assert viewer.asks_after(GAP_PATIENCE_S / 2) is None
    viewer.gets(out(10, b"abcde"))
    assert viewer.asks_after(10.0) is None


def test_a_lost_screen_of_another_size_is_asked_for_when_a_beat_tells_of_it() -> None:
    viewer = joined()
    viewer.now_s += 10
    viewer.gets(Beat("e", 10, 1))
    assert viewer.asks_after(0.0) is not None
    assert reader().gets(Beat("e", 0, 1)) == []


def test_the_host_s_key_is_kept_for_its_run() -> None:
    viewer = joined()
    viewer.gets(Beat("e", 10, 0, bytes(32)), Beat("e", 10))
    assert viewer.receiver.key == bytes(32)
    viewer.gets(answer("new"))
    assert viewer.receiver.key is None


# -- every byte ------------------------------------------------------------------------------------------------


def test_a_reader_begins_at_the_first_byte_and_asks_for_it_at_once() -> None:
    viewer = reader()
    assert viewer.asks() is not None
    assert viewer.gets(out(0, b"ab")) == [Show(b"ab", "stdout")]


def test_a_reader_takes_no_screen_but_learns_from_it_what_it_lacks() -> None:
    viewer = reader()
    viewer.gets(out(0, b"ab"))
    viewer.now_s += 10
    assert viewer.gets(screen(500)) == []
    assert viewer.asks() == (2, "bytes")
    assert viewer.receiver.offset == 2


def test_streams_are_told_apart_however_they_came() -> None:
    parts = [out(0, b"one "), out(4, b"ERR ", "stderr"), out(8, b"two "), out(12, b"ERR2", "stderr")]
    for order in itertools.permutations(parts):
        viewer = reader()
        shown = [effect for effect in viewer.gets(*order) if isinstance(effect, Show)]
        for stream, expected in (("stdout", b"one two "), ("stderr", b"ERR ERR2")):
            assert b"".join(show.data for show in shown if show.stream == stream) == expected, order


def test_a_stated_gap_is_told_and_what_comes_behind_it_is_shown() -> None:
    viewer = reader()
    viewer.gets(out(0, b"ab"), out(20, b"held"))
    assert viewer.gets(Notice("e", 2, "gap", "gone", (2, 20))) == [Gap(2, 20), Show(b"held", "stdout")]
    assert viewer.asks_after(10.0) is None
    assert viewer.receiver.wait_s(viewer.now_s) is None


def test_only_what_is_lacking_of_a_stated_gap_is_told() -> None:
    viewer = reader()
    viewer.gets(out(0, b"abcdef"))
    assert viewer.gets(Notice("e", 0, "gap", "gone", (0, 10))) == [Gap(6, 10)]
    assert viewer.gets(Notice("e", 0, "gap", "gone", (0, 10)), Notice("e", 20, "gap", "gone", (20, 30))) == []
    assert viewer.receiver.offset == 10


def test_a_stream_that_began_in_what_is_missing_keeps_its_name() -> None:
    viewer = reader()
    viewer.gets(out(0, b"ab"), out(15, b"stderr", "stderr"), out(21, b"stdout"))
    effects = viewer.gets(Notice("e", 2, "gap", "gone", (2, 18)))
    assert effects == [Gap(2, 18), Show(b"err", "stderr"), Show(b"stdout", "stdout")]


def test_the_next_question_goes_while_the_rest_of_the_answer_is_on_its_way() -> None:
    viewer = reader()
    viewer.gets(out(0, b"ab"), Screen("e", 10 * REPLAY_BYTES, SIZE, b"others jump ahead"))
    assert viewer.asks() == (2, "bytes")
    viewer.gets(out(2, bytes(ASK_AHEAD_BYTES - 1)))
    assert viewer.asks_after(REPEAT_S / 2) is None
    viewer.gets(out(1 + ASK_AHEAD_BYTES, b"c"))
    assert viewer.asks() == (2 + ASK_AHEAD_BYTES, "bytes")
    assert viewer.asks() is None


def test_an_answer_that_stops_half_way_is_asked_for_again() -> None:
    viewer = reader()
    viewer.gets(out(0, b"ab"), out(50, b"x"))
    assert viewer.asks_after(GAP_PATIENCE_S) == (2, "bytes")
    viewer.gets(out(2, b"cd"))
    assert viewer.asks_after(REPEAT_S / 2) is None
    assert viewer.asks_after(REPEAT_S / 2) == (4, "bytes")


# -- runs, words, the end --------------------------------------------------------------------------------------


def test_a_new_run_begins_from_nothing() -> None:
    viewer = joined()
    viewer.gets(out(10, b"abc"))
    assert viewer.gets(answer("new"), Output("new", 0, b"x")) == [NewRun()]
    assert viewer.gets(screen(1, epoch="new")) == [ShowScreen(b"screen", SIZE, 0, True)]


@pytest.mark.parametrize("wants_bytes", [False, True])
def test_a_run_that_is_over_does_not_come_back(wants_bytes: bool) -> None:
    viewer = Viewer(wants_bytes=wants_bytes)
    viewer.gets(screen(0), out(0, b"old"))
    viewer.gets(screen(0, epoch="new"), Output("new", 0, b"fresh"))
    assert viewer.gets(out(3, b"replayed"), screen(50), Ended("e", 3, 0, None)) == []
    assert (viewer.receiver.epoch, viewer.receiver.offset) == ("new", 5)


def test_parts_of_a_screen_of_the_run_before_do_not_count() -> None:
    viewer = Viewer()
    viewer.gets(answer(), Screen("e", 0, SIZE, b"old", 0, 2))
    assert viewer.gets(answer("new"), Screen("new", 0, SIZE, b"new", 1, 2)) == [NewRun()]
    assert viewer.gets(Screen("new", 0, SIZE, b"the ", 0, 2)) == [ShowScreen(b"the new", SIZE, 0, True)]


def test_acknowledgements_come_alone_or_with_output() -> None:
    viewer = joined()
    assert viewer.gets(Acked("e", {"w": 3})) == [Confirmed({"w": 3})]
    assert viewer.gets(Output("e", 10, b"x", "stdout", {"w": 4})) == [Confirmed({"w": 4}), Show(b"x", "stdout")]


def test_words_of_the_host_are_passed_on() -> None:
    assert joined().gets(Notice("e", 10, "lost", "the host died")) == [Told("lost", "the host died")]


def test_the_end_comes_when_all_is_shown() -> None:
    viewer = joined()
    end = Ended("e", 13, 3, None)
    assert viewer.gets(end) == []
    assert viewer.receiver.ended == end
    assert viewer.asks_after(REPEAT_S) is not None
    assert viewer.gets(out(10, b"abc")) == [Show(b"abc", "stdout"), Over(end)]


def test_the_end_of_a_session_that_was_never_seen_waits_for_its_screen() -> None:
    viewer = Viewer()
    end = Ended("e", 0, 0, None)
    assert viewer.gets(answer(), end) == []
    assert viewer.gets(screen(0)) == [ShowScreen(b"screen", SIZE, 0, True), Over(end)]


# -- which run is of now ---------------------------------------------------------------------------------------


def recorded(epoch: str) -> list[HostFrame]:
    """Some of what was once said to other viewers, and could be opened."""
    told = ("another-viewer-s",)
    beat, drawn = Beat(epoch, 9, 0, bytes(32), told), Screen(epoch, 9, SIZE, b"of old", answers=told)
    return [
        beat,
        drawn,
        Output(epoch, 9, b"of old", "stdout", {"w": 9}),
        Notice(epoch, 9, "lost", "of old"),
        Ended(epoch, 9, 0, None),
    ]


@pytest.mark.parametrize("wants_bytes", [False, True])
def test_nothing_is_taken_before_somebody_has_answered(wants_bytes: bool) -> None:
    viewer = Viewer(wants_bytes=wants_bytes)
    assert viewer.gets(*recorded("old"), Output("old", 0, b"of old")) == []
    assert (viewer.receiver.epoch, viewer.receiver.offset, viewer.receiver.key, viewer.receiver.ended) == ("", 0, None, None)
    assert viewer.receiver.unsure
    assert viewer.asks_after(FIRST_SCREEN_PATIENCE_S) == (0, "bytes" if wants_bytes else "screen")
    viewer.gets(answer())
    assert (viewer.receiver.epoch, viewer.receiver.unsure) == ("e", False)


def test_a_recording_ends_nothing_and_is_asked_who_it_is() -> None:
    viewer = joined()
    assert viewer.gets(*recorded("old"), out(10, b"go on")) == [Show(b"go on", "stdout")]
    assert viewer.receiver.unsure
    assert viewer.asks() is None
    assert viewer.asks_after(GAP_PATIENCE_S) == (15, "screen")
    assert viewer.gets(answer(offset=15), *recorded("old")) == []
    assert (viewer.receiver.epoch, viewer.receiver.key) == ("e", None)


def test_a_recording_that_goes_on_and_on_is_asked_ever_more_rarely() -> None:
    viewer = joined()
    asked = []
    for turn in range(600):
        viewer.gets(*recorded(f"old-{turn % 7}"))
        if viewer.asks_after(0.1) is not None:
            asked.append(turn / 10)
            viewer.gets(answer(offset=10))
    waits = [after - before for before, after in itertools.pairwise(asked)]
    assert all(after > before - 0.01 for before, after in itertools.pairwise(waits))
    assert waits[-1] == pytest.approx(MOST_REPEAT_S, abs=0.2)


def test_who_did_not_answer_is_asked_again_until_somebody_does() -> None:
    viewer = joined()
    viewer.gets(*recorded("new"))
    assert viewer.asks_after(GAP_PATIENCE_S) is not None
    assert viewer.asks_after(REPEAT_S) is not None
    assert viewer.asks_after(2 * REPEAT_S) is not None
    assert viewer.gets(screen(0, epoch="new")) == [NewRun(), ShowScreen(b"screen", SIZE, 0, True)]
    assert not viewer.receiver.unsure
    assert viewer.asks_after(60.0) is None


def test_a_reader_hears_the_end_of_an_empty_session_at_once() -> None:
    end = Ended("e", 0, 0, None)
    assert reader().gets(end) == [Over(end)]


def test_a_gap_at_the_end_ends_it_too() -> None:
    viewer = reader()
    end = Ended("e", 10, None, 9)
    assert viewer.gets(end, Notice("e", 0, "gap", "gone", (0, 10))) == [Gap(0, 10), Over(end)]


def test_what_could_not_be_taken_is_asked_for_unless_nothing_is_missing_after_all() -> None:
    for viewer in (joined(), reader()):
        viewer.gets(out(0, b"0123456789"))
        viewer.now_s += 10
        viewer.receiver.doubt(viewer.now_s)
        viewer.gets(Acked("e", {}))
        assert viewer.asks_after(GAP_PATIENCE_S) is not None
        viewer.gets(Beat("e", 10))
        assert viewer.asks_after(10.0) is None
        viewer.receiver.doubt(viewer.now_s)
        viewer.gets(Beat("e", 10))
        assert viewer.asks_after(10.0) is None


def test_a_host_that_says_nothing_is_asked_ever_more_rarely_until_it_is_heard() -> None:
    viewer = joined()
    viewer.now_s += 10
    viewer.gets(out(12, b"later"))
    assert viewer.asks_after(GAP_PATIENCE_S) is not None
    waits = []
    for _ in range(5):
        wait_s = viewer.receiver.wait_s(viewer.now_s)
        assert wait_s is not None
        waits.append(wait_s)
        assert viewer.asks_after(wait_s) is not None
    assert waits == pytest.approx([REPEAT_S, 2 * REPEAT_S, 4 * REPEAT_S, MOST_REPEAT_S, MOST_REPEAT_S])
    viewer.gets(Acked("e", {}))
    assert viewer.receiver.wait_s(viewer.now_s) == pytest.approx(REPEAT_S)


def test_an_answer_that_ended_where_the_output_then_stood_is_followed_at_once_by_the_next_question() -> None:
    """The host answers as far as it has said; others may have jumped far ahead since."""
    viewer = reader()
    viewer.gets(out(0, b"ab"), Screen("e", 1000, SIZE, b"others jump ahead"))
    assert viewer.asks() == (2, "bytes")
    viewer.gets(Screen("e", 5000, SIZE, b"and again"))
    viewer.gets(out(2, bytes(997)))
    assert viewer.asks() is None
    viewer.gets(out(999, b"x"))
    assert viewer.asks() == (1000, "bytes")
    viewer.gets(out(1000, bytes(4000)))
    assert viewer.asks_after(10.0) is None
