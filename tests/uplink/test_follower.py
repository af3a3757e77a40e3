"""The view of a session log: where it ends, which stream each byte is of, sizes, the end."""

from __future__ import annotations

import os

from codewrap.protocol.geometry import Size
from codewrap.store.sessionlog import HOLE_BYTES
from codewrap.uplink.follower import Ending, Piece, SizeChange
from tests.support.sessionlogs import LOSES_HISTORY_AFTER_BYTES, SessionLog


def pieces(log: SessionLog, start: int, end: int, most: int = 100) -> list[tuple[int, bytes, str]]:
    return [(piece.offset, piece.data, piece.stream) for piece in log.follower.pieces(start, end, most)]


def test_a_look_says_whether_there_is_anything_new(log: SessionLog) -> None:
    assert not log.follower.refresh()
    log.out(b"one")
    assert log.follower.refresh()
    assert log.follower.end == 3
    assert not log.follower.refresh()
    log.resized(Size(rows=2, cols=5))
    assert log.follower.refresh()


def test_nothing_is_seen_before_the_next_look(log: SessionLog) -> None:
    log.out(b"one")
    log.follower.refresh()
    log.out(b"two")
    assert log.follower.end == 3
    assert pieces(log, 0, log.follower.end) == [(0, b"one", "stdout")]


def test_pieces_are_of_one_stream_and_no_larger_than_asked_for(log: SessionLog) -> None:
    log.out(b"abcdef")
    log.out(b"XY", "stderr")
    log.out(b"ZW", "stderr")
    log.out(b"gh")
    log.follower.refresh()
    assert pieces(log, 0, 12) == [(0, b"abcdef", "stdout"), (6, b"XYZW", "stderr"), (10, b"gh", "stdout")]
    assert pieces(log, 0, 12, 4) == [
        (0, b"abcd", "stdout"),
        (4, b"ef", "stdout"),
        (6, b"XYZW", "stderr"),
        (10, b"gh", "stdout"),
    ]


def test_a_range_may_begin_and_end_anywhere(log: SessionLog) -> None:
    log.out(b"abcdef")
    log.out(b"XY", "stderr")
    log.out(b"gh")
    log.follower.refresh()
    whole = [b"abcdefXYgh"[n : n + 1] for n in range(10)]
    streams = ["stdout"] * 6 + ["stderr"] * 2 + ["stdout"] * 2
    for start in range(11):
        for end in range(start, 11):
            found = pieces(log, start, end)
            assert b"".join(data for _, data, _ in found) == b"".join(whole[start:end]), (start, end)
            assert [stream for _, data, stream in found for _ in data] == streams[start:end], (start, end)


def test_a_stream_that_changes_between_two_looks_is_not_mistaken(log: SessionLog) -> None:
    log.out(b"ab")
    log.follower.refresh()
    log.out(b"cd", "stderr")
    log.follower.refresh()
    log.out(b"ef", "stderr")
    log.follower.refresh()
    assert pieces(log, 0, 6) == [(0, b"ab", "stdout"), (2, b"cdef", "stderr")]


def test_a_piece_knows_where_it_ends() -> None:
    assert Piece(5, b"abc", "stdout").end == 8


def test_what_is_asked_for_beyond_the_end_is_not_there(log: SessionLog) -> None:
    log.out(b"ab")
    log.follower.refresh()
    assert pieces(log, 2, 2) == []
    assert pieces(log, 0, 50) == [(0, b"ab", "stdout")]


def test_sizes_are_told_from_any_of_them_on(log: SessionLog) -> None:
    log.resized(Size(rows=24, cols=80))
    log.out(b"ab")
    log.resized(Size(rows=10, cols=40))
    log.follower.refresh()
    first, second = SizeChange(0, Size(rows=24, cols=80)), SizeChange(2, Size(rows=10, cols=40))
    assert log.follower.sizes(0) == [first, second]
    assert log.follower.sizes(1) == [second]
    assert log.follower.sizes(2) == []


def test_the_end_is_known_with_its_code_or_signal(log: SessionLog) -> None:
    log.out(b"ab")
    log.follower.refresh()
    assert log.follower.ending is None
    log.ended(None, 15)
    log.follower.refresh()
    assert log.follower.ending == Ending(2, None, 15)


def test_words_of_a_later_version_in_the_timeline_are_passed_over(log: SessionLog) -> None:
    timeline = os.open(log.writer.directory / "timeline", os.O_WRONLY | os.O_APPEND)
    os.write(timeline, b'[0.5,0,"marker","here"]\n')
    os.close(timeline)
    log.out(b"ab")
    assert log.follower.refresh()
    assert pieces(log, 0, 2) == [(0, b"ab", "stdout")]


def test_who_is_here_is_who_has_joined_and_not_left(log: SessionLog) -> None:
    for what, user in (("join", "alice"), ("join", "bob"), ("join", "alice"), ("leave", "bob"), ("leave", "alice")):
        log.writer.mark(what, [user], 1.0)
    log.follower.refresh()
    assert +log.follower.present == {"alice": 1}


def test_what_was_given_back_to_the_disk_is_not_promised(short_log: SessionLog) -> None:
    short_log.follower.refresh()
    assert short_log.follower.start == 0
    for _ in range(LOSES_HISTORY_AFTER_BYTES // (1024 * 1024) + 1):
        short_log.out(bytes(1024 * 1024))
    short_log.follower.refresh()
    assert short_log.follower.start == 2 * HOLE_BYTES


def test_an_end_that_the_log_could_not_take_down_is_known_all_the_same(log: SessionLog) -> None:
    log.out(b"abc")
    log.follower.refresh()
    log.follower.ended(5, None)
    assert log.follower.ending == Ending(3, 5, None)
    log.follower.ended(6, None)
    assert log.follower.ending == Ending(3, 5, None)
