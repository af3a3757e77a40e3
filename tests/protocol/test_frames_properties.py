"""Frames, whatever is in them and whatever was done to them on the way."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import frames
from codewrap.protocol.frames import (
    Acked,
    Beat,
    Ended,
    HostFrame,
    Input,
    Notice,
    Output,
    Resize,
    Resized,
    Screen,
    Sync,
    ViewerFrame,
)
from codewrap.protocol.geometry import MAX_COLS, MAX_ROWS, MIN_COLS, MIN_ROWS, Size

ids = st.text(alphabet="abcXYZ019_-", min_size=1, max_size=64)
offsets = st.integers(0, frames.MAX_OFFSET - 1) | st.integers(0, 300)
blocks = st.one_of(st.binary(max_size=400), st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
runs = st.builds(lambda block, times: block * times, st.binary(max_size=20), st.integers(0, 200))
data = blocks | runs
sizes = st.builds(Size, rows=st.integers(MIN_ROWS, MAX_ROWS), cols=st.integers(MIN_COLS, MAX_COLS))
acks = st.dictionaries(ids, offsets, max_size=5)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=32)
lines = st.text(st.characters(exclude_categories=["Cs"]), max_size=500)
streams = st.sampled_from(["stdout", "stderr"])
parts = st.integers(1, frames.MAX_SCREEN_PARTS).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n)))
missing = st.none() | st.tuples(offsets, offsets).map(lambda pair: (min(pair), max(pair)))
statuses = st.tuples(st.none() | st.integers(0, 255), st.none() | st.integers(0, 255))

host_frames: st.SearchStrategy[HostFrame] = st.one_of(
    st.builds(Output, ids, offsets, data, streams, acks),
    st.builds(
        lambda epoch, offset, size, block, part, plain, resizes: Screen(epoch, offset, size, block, *part, plain, resizes),
        *(ids, offsets, sizes, data, parts, st.booleans(), offsets),
    ),
    st.builds(Resized, ids, offsets, sizes, offsets),
    st.builds(Beat, ids, offsets, offsets, st.none() | st.binary(min_size=32, max_size=32)),
    st.builds(Acked, ids, acks),
    st.builds(Notice, ids, offsets, words, lines, missing),
    st.builds(lambda epoch, offset, how: Ended(epoch, offset, *how), ids, offsets, statuses),
)
viewer_frames: st.SearchStrategy[ViewerFrame] = st.one_of(
    st.builds(Input, ids, ids, offsets, data),
    st.builds(Resize, ids, ids, sizes),
    st.builds(Sync, ids | st.just(""), offsets, st.sampled_from(["screen", "bytes", "nothing"])),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
TYPES = ("stdout", "stderr", "screen", "resize", "beat", "ack", "notice", "exit", "input", "sync")
MEMBERS = ("epoch", "writer", "offset", "from", "want", "cols", "rows", "data", "z", "acks", "part", "parts", "plain")
MEMBERS = (*MEMBERS, "resizes", "kind", "text", "missing", "code", "signal", "key", "v", "type")


def refused_or_a_frame(text: str) -> None:
    """Nothing else comes of any text."""
    for decode in (frames.decode_host, frames.decode_viewer):
        try:
            frame = decode(text)
        except RemoteProtocolError:
            continue
        frames.encode(frame)  # what was taken can be said


def test_every_frame_has_a_strategy() -> None:
    built = {Output, Screen, Resized, Beat, Acked, Notice, Ended, Input, Resize, Sync}
    assert set(frames.HostFrame.__args__) | set(frames.ViewerFrame.__args__) == built  # type: ignore[attr-defined]


@given(host_frames)
def test_what_a_host_says_is_what_a_viewer_hears(frame: HostFrame) -> None:
    text = frames.encode(frame)
    assert frames.decode_host(text) == frame
    assert frames.encode(frames.decode_host(text)) == text
    text.encode()  # it travels as UTF-8


@given(viewer_frames)
def test_what_a_viewer_says_is_what_a_host_hears(frame: ViewerFrame) -> None:
    assert frames.decode_viewer(frames.encode(frame)) == frame


@given(st.text() | json_values.map(lambda value: json.dumps(value)))
@example("[" * 100_000)
@example('{"v":1,"type":"sync","epoch":"e","want":"bytes","from":' + "9" * 5000 + "}")
@example('{"v":1,"type":"stdout","epoch":"e","offset":0,"data":"\\ud800"}')
def test_any_text_is_a_frame_or_refused(text: str) -> None:
    refused_or_a_frame(text)


@settings(max_examples=300)
@given(st.sampled_from(TYPES), st.dictionaries(st.sampled_from(MEMBERS), json_values, max_size=8))
def test_any_members_make_a_frame_or_are_refused(kind: str, members: dict[str, Any]) -> None:
    refused_or_a_frame(json.dumps({"v": 1, "type": kind, "epoch": "e", "offset": 0} | members))


@settings(max_examples=300)
@given(host_frames | viewer_frames, st.sampled_from(MEMBERS), json_values)
def test_a_frame_with_one_member_changed_is_a_frame_or_refused(
    frame: HostFrame | ViewerFrame, member: str, value: object
) -> None:
    fields = json.loads(frames.encode(frame))
    refused_or_a_frame(json.dumps(fields | {member: value}))
    fields.pop(member, None)
    refused_or_a_frame(json.dumps(fields))


@settings(max_examples=300)
@given(host_frames | viewer_frames, st.data())
def test_a_frame_that_was_damaged_is_a_frame_or_refused(frame: HostFrame | ViewerFrame, draw: st.DataObject) -> None:
    text = frames.encode(frame)
    start = draw.draw(st.integers(0, len(text)))
    end = draw.draw(st.integers(start, min(start + 4, len(text))))
    refused_or_a_frame(text[:start] + draw.draw(st.text(max_size=4)) + text[end:])
    refused_or_a_frame(text[:start])
    refused_or_a_frame(text + text[:start])
