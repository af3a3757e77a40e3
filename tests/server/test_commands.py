"""From request bodies to events: what passes, what is refused, and that it fits the broker."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewrap.protocol import frames, grants, sealing
from codewrap.server.commands import Commands
from codewrap.server.refusals import Refusal
from codewrap.transport.base import Event

MASTER_KEY = bytes(range(32))
NOW = 1_800_000_000.5
COMMANDS = Commands(MASTER_KEY, 10_240)
INPUT_CHANNEL = "private-input-build"
BASE_KEY = sealing.shared_secret("private-encrypted-input-build", MASTER_KEY)
UNTIL = 1_800_000_900
SEALED: dict[str, object] = {
    "nonce": base64.b64encode(b"n" * 24).decode(),
    "ciphertext": base64.b64encode(b"c" * 40).decode(),
    "writer": "alice.0123456789ab",
    "until": UNTIL,
}


def opened(event: Event) -> frames.Input:
    envelope = grants.decode(event.data)
    assert envelope.writer == "alice.http"
    assert envelope.until == UNTIL
    frame = frames.decode_viewer(grants.unseal(envelope, grants.writer_key(BASE_KEY, envelope.writer, envelope.until)))
    assert isinstance(frame, frames.Input)
    return frame


def status_of(call: Any, *arguments: Any) -> int:
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    return caught.value.status


@given(st.text(min_size=1, max_size=500).filter(lambda text: text.isprintable() or text.isascii()))
def test_simple_input_is_sealed_for_the_host_alone(text: str) -> None:
    event = COMMANDS.input({"sessionId": "build", "input": text}, NOW, "alice")
    assert (event.channel, event.name) == (INPUT_CHANNEL, "input")
    frame = opened(event)
    assert (frame.epoch, frame.offset, frame.data) == (frames.ANY_EPOCH, 0, text.encode())


def test_each_simple_input_has_a_writer_of_its_own_that_says_when() -> None:
    writers = {opened(COMMANDS.input({"sessionId": "build", "input": "x"}, NOW, "alice")).writer for _ in range(100)}
    assert len(writers) == 100
    assert all(writer.startswith(f"http-{int(NOW * 1000)}-") for writer in writers)


def test_no_nonce_is_used_twice() -> None:
    sealed = [COMMANDS.input({"sessionId": "build", "input": "x"}, NOW, "alice").data for _ in range(100)]
    assert len({json.loads(text)["nonce"] for text in sealed}) == 100


def test_sealed_input_is_passed_on_as_it_is() -> None:
    event = COMMANDS.input({"sessionId": "build", "sealed": SEALED}, NOW, "alice")
    assert (event.channel, event.name) == (INPUT_CHANNEL, "input")
    assert json.loads(event.data) == SEALED


def test_a_grant_that_has_just_ended_is_left_to_the_hosts_clock() -> None:
    assert COMMANDS.input({"sessionId": "build", "sealed": SEALED | {"until": UNTIL - 900 - 59}}, NOW, "alice").name == "input"


@pytest.mark.parametrize("user", ["bob", "alice.0123456789ab", "Alice", ""])
def test_nobody_passes_on_what_is_sealed_in_anothers_name(user: str) -> None:
    assert status_of(COMMANDS.input, {"sessionId": "build", "sealed": SEALED}, NOW, user) == 403


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"sessionId": "build"},
        {"input": "x"},
        {"sessionId": "build", "input": ""},
        {"sessionId": "build", "input": 5},
        {"sessionId": "build", "input": "\ud800"},
        {"sessionId": "Build", "input": "x"},
        {"sessionId": "a-client-b", "input": "x"},
        {"sessionId": ["build"], "input": "x"},
        {"sessionId": "build", "input": "x", "sealed": SEALED},
        {"sessionId": "build", "input": "x", "extra": 1},
        {"sessionId": "build", "sealed": "x"},
        {"sessionId": "build", "sealed": {}},
        {"sessionId": "build", "sealed": SEALED | {"more": "x"}},
        {"sessionId": "build", "sealed": {name: SEALED[name] for name in ("nonce", "ciphertext")}},
        {"sessionId": "build", "sealed": SEALED | {"writer": "alice"}},
        {"sessionId": "build", "sealed": SEALED | {"writer": "alice.b.0123456789ab"}},
        {"sessionId": "build", "sealed": SEALED | {"until": str(UNTIL)}},
        {"sessionId": "build", "sealed": SEALED | {"until": UNTIL + 0.5}},
        {"sessionId": "build", "sealed": SEALED | {"until": UNTIL - 900 - 61}},
        {"sessionId": "build", "sealed": SEALED | {"until": UNTIL + 62}},
        {"sessionId": "build", "sealed": SEALED | {"nonce": "AAAA"}},
        {"sessionId": "build", "sealed": SEALED | {"nonce": "not base64!"}},
        {"sessionId": "build", "sealed": SEALED | {"nonce": "ä"}},
        {"sessionId": "build", "sealed": SEALED | {"ciphertext": base64.b64encode(b"x" * 16).decode()}},
    ],
)
def test_input_of_another_form_is_refused(fields: dict[str, object]) -> None:
    assert status_of(COMMANDS.input, fields, NOW, "alice") == 400


def test_input_that_would_not_fit_an_event_is_refused_by_its_encoded_size() -> None:
    # 3 000 characters, but 9 000 bytes, and random enough not to compress below the limit.
    text = "".join(chr(0x4E00 + (n * 7919) % 20_000) for n in range(3_400))
    assert status_of(COMMANDS.input, {"sessionId": "build", "input": text}, NOW, "alice") == 413
    assert status_of(COMMANDS.input, {"sessionId": "build", "input": "x" * 10_241}, NOW, "alice") == 413
    big = SEALED | {"ciphertext": base64.b64encode(b"c" * 10_240).decode()}
    assert status_of(COMMANDS.input, {"sessionId": "build", "sealed": big}, NOW, "alice") == 413


def test_the_largest_input_that_fits_is_taken() -> None:
    text = "".join(chr(0x4E00 + (n * 7919) % 20_000) for n in range(2_000))
    event = COMMANDS.input({"sessionId": "build", "input": text}, NOW, "alice")
    assert event.size_bytes <= 10_240
    assert opened(event).data.decode() == text


def test_sync_goes_to_the_presence_channel_in_its_normal_form() -> None:
    asked = {"v": 1, "type": "sync", "epoch": "", "from": 5, "want": "screen", "unknown": "dropped"}
    event = COMMANDS.sync({"sessionId": "build", "frame": asked})
    assert (event.channel, event.name) == ("presence-command-build", "sync")
    assert frames.decode_viewer(event.data) == frames.Sync("", 5, "screen")
    assert "unknown" not in event.data


@pytest.mark.parametrize(
    "frame",
    [
        None,
        "x",
        {},
        {"v": 2, "type": "sync", "epoch": "", "from": 5, "want": "screen"},
        {"v": 1, "type": "sync", "epoch": "", "from": -1, "want": "screen"},
        {"v": 1, "type": "sync", "epoch": "", "from": 1 << 53, "want": "screen"},
        {"v": 1, "type": "sync", "epoch": "", "from": True, "want": "screen"},
        {"v": 1, "type": "sync", "epoch": "\x1b", "from": 0, "want": "screen"},
        {"v": 1, "type": "sync", "epoch": "", "from": 0, "want": "everything"},
        {"v": 1, "type": "resize", "epoch": "e", "writer": "w", "cols": 80, "rows": 24},
        {"v": 1, "type": "input", "epoch": "e", "writer": "w", "offset": 0, "data": "x"},
    ],
)
def test_only_sync_frames_go_there(frame: object) -> None:
    assert status_of(COMMANDS.sync, {"sessionId": "build", "frame": frame}) == 400


def event_of(**changes: object) -> dict[str, object]:
    fields: dict[str, object] = {"name": "output", "channel": "private-encrypted-command-build", "data": "{}"}
    return {name: value for name, value in (fields | changes).items() if value is not ...}


def test_a_host_publishes_to_each_channel_of_its_session() -> None:
    channels = [
        "private-encrypted-command-build",
        "private-command-build",
        "private-encrypted-input-build",
        "private-input-build",
        "presence-command-build",
    ]
    events = COMMANDS.published("build", event_of(channel=..., channels=channels))
    assert events == [Event(channel, "output", "{}") for channel in channels]
    assert COMMANDS.published("build", event_of()) == [Event(channels[0], "output", "{}")]


def test_a_batch_keeps_its_order() -> None:
    batch = [event_of(data=str(number)) for number in range(10)]
    events = COMMANDS.published_batch("build", {"batch": batch})
    assert [event.data for event in events] == [str(number) for number in range(10)]


@pytest.mark.parametrize(
    "channel",
    ["private-command-other", "private-command-build-2", "public", "#server-to-user-admin", "private-command-build ", ""],
)
def test_a_host_publishes_nowhere_else(channel: str) -> None:
    assert status_of(COMMANDS.published, "build", event_of(channel=channel)) == 403
    assert status_of(COMMANDS.published, "build", event_of(channel=..., channels=["private-command-build", channel])) == 403
    assert status_of(COMMANDS.published_batch, "build", {"batch": [event_of(), event_of(channel=channel)]}) == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ...},
        {"name": ""},
        {"name": "x" * 201},
        {"name": "pusher:error"},
        {"name": "pusher_internal:subscription_succeeded"},
        {"name": "client-input"},
        {"name": "out\nput"},
        {"data": ...},
        {"data": ""},
        {"data": {"a": 1}},
        {"channel": ...},
        {"channel": 5},
        {"socket_id": "1.2"},
        {"info": "user_count"},
        {"surprise": 1},
    ],
)
def test_events_of_another_form_are_refused(changes: dict[str, object]) -> None:
    assert status_of(COMMANDS.published, "build", event_of(**changes)) == 400
    assert status_of(COMMANDS.published_batch, "build", {"batch": [event_of(**changes)]}) == 400


@pytest.mark.parametrize("channels", [[], "private-command-build", [1], ["private-command-build"] * 2, ["x"] * 101, None])
def test_lists_of_channels_are_checked(channels: object) -> None:
    assert status_of(COMMANDS.published, "build", event_of(channel=..., channels=channels)) == 400


@pytest.mark.parametrize("batch", [None, [], {}, [1], [{"name": "x"}], [event_of()] * 11])
def test_batches_are_checked(batch: object) -> None:
    assert status_of(COMMANDS.published_batch, "build", {"batch": batch}) == 400


def test_sizes_are_those_of_encoded_bytes() -> None:
    assert COMMANDS.published("build", event_of(data="é" * 5_120))[0].size_bytes == 10_240
    assert status_of(COMMANDS.published, "build", event_of(data="é" * 5_120 + "x")) == 413


def test_the_master_key_does_not_show() -> None:
    assert repr(MASTER_KEY) not in repr(COMMANDS)
