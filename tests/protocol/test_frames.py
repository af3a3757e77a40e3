"""Frames: the vectors, round trips, truncation, and garbage that may raise RemoteProtocolError only."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import frames
from codewrap.protocol.frames import (
    ANY_EPOCH,
    MAX_ANSWERS,
    MAX_OFFSET,
    Acked,
    Beat,
    Control,
    Ended,
    HostFrame,
    Input,
    Notice,
    OnlyAt,
    Output,
    Resize,
    Resized,
    Screen,
    Sync,
    ViewerFrame,
    decode_control,
    decode_host,
    decode_viewer,
    encode,
)
from codewrap.protocol.geometry import MAX_COLS, MAX_ROWS, MIN_COLS, MIN_ROWS, Size

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "protocol.json").read_text(encoding="utf-8"))
KINDS = {kind.__name__: kind for kind in (Output, Screen, Resized, Beat, Acked, Notice, Ended, Input, Resize, Sync, Control)}
DECODERS: dict[str, Callable[[str], HostFrame | ViewerFrame | Control]] = {
    "host": decode_host,
    "viewer": decode_viewer,
    "server": decode_control,
}

IDS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
OFFSETS = st.integers(0, MAX_OFFSET - 1)
SIZES = st.builds(Size, rows=st.integers(MIN_ROWS, MAX_ROWS), cols=st.integers(MIN_COLS, MAX_COLS))
DATA = st.binary(max_size=400) | st.text(max_size=400).map(str.encode) | st.binary(max_size=3).map(lambda some: some * 200)
ACKS = st.dictionaries(IDS, OFFSETS, max_size=5)
SMALL = st.none() | st.integers(0, 255)
RANGES = st.tuples(OFFSETS, OFFSETS).map(lambda pair: (min(pair), max(pair)))
PARTS = st.tuples(st.integers(0, 199), st.integers(1, 200)).filter(lambda pair: pair[0] < pair[1])
ANSWERS = st.lists(IDS, max_size=MAX_ANSWERS).map(tuple)
SCREENS = st.tuples(IDS, OFFSETS, SIZES, DATA, PARTS, st.booleans(), OFFSETS, ANSWERS).map(
    lambda drawn: Screen(*drawn[:4], *drawn[4], *drawn[5:])
)
HOST_FRAMES = st.one_of(
    st.builds(Output, IDS, OFFSETS, DATA, st.sampled_from(["stdout", "stderr"]), ACKS),
    SCREENS,
    st.builds(Resized, IDS, OFFSETS, SIZES, OFFSETS),
    st.builds(Beat, IDS, OFFSETS, OFFSETS, st.none() | st.binary(min_size=32, max_size=32), ANSWERS),
    st.builds(Acked, IDS, ACKS),
    st.builds(Notice, IDS, OFFSETS, st.text(max_size=32), st.text(max_size=500), st.none() | RANGES, st.just("") | IDS),
    st.builds(Ended, IDS, OFFSETS, SMALL, SMALL),
)
VIEWER_FRAMES = st.one_of(
    st.builds(Input, IDS, IDS, OFFSETS, DATA),
    st.builds(Resize, IDS, IDS, SIZES),
    st.builds(Sync, IDS | st.just(""), OFFSETS, st.sampled_from(["screen", "bytes"]), st.just("") | IDS),
)
USERS = st.from_regex(r"[A-Za-z0-9_=@,;-]{1,64}", fullmatch=True)
CONTROLS = st.one_of(
    st.builds(Control, IDS, OFFSETS, st.just("revoke"), USERS, OFFSETS),
    st.builds(Control, IDS, OFFSETS, st.sampled_from(["approve", "deny"]), USERS),
    st.builds(Control, IDS, OFFSETS, st.just("kill"), USERS | st.just(""), st.none(), st.none() | st.integers(1, 255)),
    st.builds(
        Control,
        IDS,
        OFFSETS,
        st.just("answer"),
        epoch=IDS.filter(lambda epoch: epoch != ANY_EPOCH),
        text=st.text(min_size=1, max_size=50),
        only_at=st.builds(OnlyAt, OFFSETS, OFFSETS),
    ),
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


def named(vector: dict[str, Any]) -> str:
    return f"{vector['from']}: {vector['name']}"


def built(vector: dict[str, Any]) -> HostFrame | ViewerFrame | Control:
    """The frame that a vector's fields describe."""
    fields = dict(vector["fields"])
    if "data" in fields:
        fields["data"] = bytes.fromhex(fields["data"]["hex"])
    if "key" in fields:
        fields["key"] = bytes.fromhex(fields["key"]["hex"])
    if "size" in fields:
        fields["size"] = Size(**fields["size"])
    if "only_at" in fields:
        fields["only_at"] = OnlyAt(**fields["only_at"])
    for name in ("missing", "answers"):
        if fields.get(name):
            fields[name] = tuple(fields[name])
    return KINDS[vector["kind"]](**fields)


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=named)
def test_vectors_decode_to_their_fields(vector: dict[str, Any]) -> None:
    assert DECODERS[vector["from"]](vector["text"]) == built(vector)


@pytest.mark.parametrize("vector", [vector for vector in VECTORS["frames"] if vector["exact"]], ids=named)
def test_vectors_are_what_an_encoder_writes(vector: dict[str, Any]) -> None:
    assert encode(built(vector)) == vector["text"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=named)
def test_vectors_that_break_a_rule_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        DECODERS[vector["from"]](vector["text"])


def test_every_kind_of_frame_has_a_vector() -> None:
    assert {vector["kind"] for vector in VECTORS["frames"]} == set(KINDS)


@given(frame=HOST_FRAMES)
def test_host_frames_come_back(frame: HostFrame) -> None:
    assert decode_host(encode(frame)) == frame


@given(frame=VIEWER_FRAMES)
def test_viewer_frames_come_back(frame: ViewerFrame) -> None:
    assert decode_viewer(encode(frame)) == frame


@given(frame=CONTROLS)
def test_controls_come_back(frame: Control) -> None:
    assert decode_control(encode(frame)) == frame


@given(frame=HOST_FRAMES | VIEWER_FRAMES | CONTROLS)
def test_every_truncation_and_trailing_bytes_are_refused(frame: HostFrame | ViewerFrame | Control) -> None:
    text = encode(frame)
    side = "viewer" if isinstance(frame, Input | Resize | Sync) else "server" if isinstance(frame, Control) else "host"
    decode = DECODERS[side]
    for cut in [text[:size] for size in range(0, len(text), 7)] + [text[:-1], text + "}", text + text]:
        with pytest.raises(RemoteProtocolError):
            decode(cut)


@given(text=st.text(max_size=100) | JSON_VALUES.map(json.dumps))
@example(text="[" * 100_000)
@example(text='{"v":' + "1" * 5000 + "}")
@example(text="NaN")
@example(text="\ud800")
def test_garbage_raises_remote_protocol_errors_only(text: str) -> None:
    for decode in DECODERS.values():
        with pytest.raises(RemoteProtocolError):
            decode(text)


@given(frame=HOST_FRAMES | VIEWER_FRAMES | CONTROLS, value=JSON_VALUES, drawn=st.data())
def test_a_frame_with_any_field_altered_is_a_frame_or_refused(
    frame: HostFrame | ViewerFrame | Control, value: object, drawn: st.DataObject
) -> None:
    fields = json.loads(encode(frame))
    fields[drawn.draw(st.sampled_from(sorted(fields)))] = value
    for decode in DECODERS.values():
        with contextlib.suppress(RemoteProtocolError):
            again = decode(json.dumps(fields))
            assert decode(encode(again)) == again


def test_a_thousand_writers_may_be_acknowledged_and_no_more() -> None:
    acks = {f"w{number}": number for number in range(1000)}
    assert decode_host(encode(Acked("e", acks))) == Acked("e", acks)
    with pytest.raises(RemoteProtocolError, match="acks"):
        decode_host(encode(Acked("e", acks | {"one-more": 1})))


def test_text_travels_as_text_until_compression_makes_it_shorter() -> None:
    short, long, random = "a" * (frames.MIN_DEFLATED_BYTES - 1), "a" * 1000, bytes(range(32, 127)).decode() * 2
    assert json.loads(encode(Output("e", 0, short.encode())))["data"] == short
    assert len(json.loads(encode(Output("e", 0, long.encode())))["z"]) < 100
    assert "z" in json.loads(encode(Output("e", 0, b"\xff")))
    incompressible = random[:128]
    assert json.loads(encode(Output("e", 0, incompressible.encode())))["data"] == incompressible


def test_a_screen_that_is_whole_does_not_speak_of_parts() -> None:
    assert "parts" not in json.loads(encode(Screen("e", 0, Size(24, 80), b"")))


@pytest.mark.parametrize(("code", "signal", "status"), [(0, None, 0), (3, None, 3), (None, 15, 143), (None, None, 0)])
def test_the_status_of_an_end_is_a_shells(code: int | None, signal: int | None, status: int) -> None:
    assert Ended("e", 0, code, signal).status == status


def test_the_end_of_a_range_is_after_its_last_byte() -> None:
    assert Output("e", 5, b"abc").end == 8
    assert Input("e", "w", 5, b"abc").end == 8
