"""From a sealed event to the host: what is passed on and as whose, and what never is."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator

import pytest

from codewrap.protocol import channels, frames, grants, sealing
from codewrap.protocol.frames import Control, Input, OnlyAt, Resize, Sync
from codewrap.protocol.geometry import Size
from codewrap.protocol.hostlink import Decoder, Kind, Message
from codewrap.transport.base import Received
from codewrap.uplink.hostsocket import HostSocket
from codewrap.uplink.inputpath import DOUBT_EVERY_S, KEY_KEEP_S, InputPath, UplinkPlan

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
NOW = 1_000_000
WRITER, UNTIL = "alice.0123456789ab", NOW + 900
TYPED = Input("epoch", "writer", 7, b"ls\r")
CLIENT_CHANNEL = channels.input_channel("s")
CONTROL_CHANNEL = channels.sealed_input_channel("s")
BY_ALICE = {"user": "alice", "by": WRITER, "code": grants.check_code(grants.writer_key(KEY, WRITER, UNTIL), "writer")}


class Bench:
    """An input path and the host that it leads to."""

    def __init__(self) -> None:
        self.ours, self.host = socket.socketpair()
        self.host.setblocking(False)
        self.key: bytes | None = KEY
        self.asked_for: list[str] = []
        self.doubts = 0
        self.now_s = float(NOW)

    def path(self, *, encrypted: bool = True, read_only: bool = False, keyless: bool = False, began_at: float = 0.0) -> InputPath:
        plan = UplinkPlan("s", "epoch", encrypted, read_only, answers_queries=False, keyless=keyless, began_at=began_at)
        return InputPath(plan, HostSocket(self.ours), self._secret, lambda: self.now_s, self._doubt)

    def heard(self) -> list[Message]:
        """What the host got."""
        try:
            return Decoder().feed(self.host.recv(65_536))
        except BlockingIOError:
            return []

    def _doubt(self) -> None:
        self.doubts += 1

    def _secret(self, channel: str) -> bytes | None:
        self.asked_for.append(channel)
        return self.key


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.ours.close()
    bench.host.close()


def sealed(frame: frames.ViewerFrame, key: bytes = KEY, writer: str = WRITER, until: int = UNTIL) -> Received:
    """As a writer sends it whose grant is made of ``key``."""
    grant = grants.make_grant(key, writer, until)
    text = grants.seal(frames.encode(frame), grant, os.urandom(sealing.NONCE_BYTES))
    return Received(CLIENT_CHANNEL, channels.EVENT_CLIENT_INPUT, text)


def altered(event: Received, **changes: object) -> Received:
    return Received(event.channel, event.name, json.dumps(json.loads(event.data) | changes))


def in_clear(frame: frames.ViewerFrame, channel: str = CLIENT_CHANNEL) -> Received:
    return Received(channel, channels.EVENT_CLIENT_INPUT, frames.encode(frame))


def control(do: str = "approve", user: str = "alice", at: int = NOW, **more: int) -> Received:
    """As the subscriber has opened it."""
    text = frames.encode(Control("c1", at, do, user, **more))
    return Received(CONTROL_CHANNEL, channels.EVENT_CONTROL, text)


def test_sealed_keystrokes_reach_the_host_with_whose_they_are(bench: Bench) -> None:
    assert bench.path().take(sealed(TYPED))
    assert bench.heard() == [Message(Kind.INPUT, {"writer": "writer", "offset": 7, **BY_ALICE}, b"ls\r")]
    assert bench.asked_for == [CONTROL_CHANNEL]


def test_a_writers_size_reaches_the_host(bench: Bench) -> None:
    bench.path().take(sealed(Resize("epoch", "writer", Size(rows=10, cols=40))))
    assert bench.heard() == [Message(Kind.RESIZE, {"rows": 10, "cols": 40, "writer": "writer", **BY_ALICE})]


def test_input_over_http_is_sealed_by_its_writer_too(bench: Bench) -> None:
    event = sealed(TYPED)
    assert bench.path().take(Received(event.channel, channels.EVENT_INPUT, event.data))
    assert bench.heard() == [Message(Kind.INPUT, {"writer": "writer", "offset": 7, **BY_ALICE}, b"ls\r")]


def test_two_users_who_type_are_told_apart(bench: Bench) -> None:
    path = bench.path()
    for writer in ("alice.0123456789ab", "bob=40x.http", "alice.ba9876543210"):
        path.take(sealed(TYPED, writer=writer))
    heard = bench.heard()
    assert [message.header["user"] for message in heard] == ["alice", "bob=40x", "alice"]
    assert len({message.header["code"] for message in heard}) == 3


@pytest.mark.parametrize(
    "changes",
    [{"writer": "bob.0123456789ab"}, {"writer": "alice.http"}, {"until": UNTIL + 600}, {"until": UNTIL - 1}],
    ids=["another user", "another socket", "for longer", "for less"],
)
def test_nobody_types_as_another_or_longer_than_was_granted(bench: Bench, changes: dict[str, object]) -> None:
    bench.path().take(altered(sealed(TYPED), **changes))
    assert bench.heard() == []


def test_a_grant_that_is_over_is_refused_as_soon_as_clocks_cannot_differ_so_much(bench: Bench) -> None:
    path = bench.path()
    bench.now_s = UNTIL + 60.0
    path.take(sealed(TYPED))
    assert len(bench.heard()) == 1
    bench.now_s = UNTIL + 61.0
    path.take(sealed(TYPED))
    assert bench.heard() == []


def test_after_a_new_input_key_the_one_before_it_opens_for_a_minute_and_no_older_one(bench: Bench) -> None:
    path = bench.path()
    path.take(sealed(TYPED))
    bench.key = OTHER_KEY
    for key in (KEY, OTHER_KEY, KEY):
        path.take(sealed(TYPED, key))
    assert len(bench.heard()) == 4
    bench.now_s += KEY_KEEP_S
    path.take(sealed(TYPED, KEY))
    assert bench.heard() == []
    path.take(sealed(TYPED, OTHER_KEY))
    assert len(bench.heard()) == 1
    bench.key = b"3" * 32
    path.take(sealed(TYPED, KEY))
    assert bench.heard() == []


def test_while_the_link_is_down_the_last_key_is_remembered(bench: Bench) -> None:
    """The subscriber forgets its keys with the connection, and what came just before is dealt with after."""
    path = bench.path()
    path.take(sealed(TYPED))
    bench.key = None
    path.take(sealed(TYPED))
    assert len(bench.heard()) == 2


def test_what_is_sealed_with_the_input_key_itself_is_not_a_writers(bench: Bench) -> None:
    event = Received(CLIENT_CHANNEL, channels.EVENT_CLIENT_INPUT, sealing.seal(frames.encode(TYPED), KEY, bytes(24)))
    bench.path().take(event)
    bench.path().take(altered(event, writer=WRITER, until=UNTIL))
    assert bench.heard() == []


def test_a_session_without_any_key_takes_input_as_it_comes_and_of_nobody(bench: Bench) -> None:
    bench.key = None
    assert bench.path(encrypted=False, keyless=True).take(in_clear(TYPED))
    nobody = {"user": "", "by": "", "code": ""}
    assert bench.heard() == [Message(Kind.INPUT, {"writer": "writer", "offset": 7, **nobody}, b"ls\r")]


@pytest.mark.parametrize(("encrypted", "keyless"), [(True, False), (False, False), (True, True)])
def test_nothing_in_clear_is_taken_elsewhere_not_even_before_the_key_is_known(
    bench: Bench, encrypted: bool, keyless: bool
) -> None:
    """A relay could type into the session in the moment before the input channel is authorized."""
    for key in (None, KEY):
        bench.key = key
        path = bench.path(encrypted=encrypted, keyless=keyless)
        for channel in (CLIENT_CHANNEL, CONTROL_CHANNEL):
            assert path.take(in_clear(TYPED, channel))
        assert bench.heard() == [], key


def test_before_its_key_is_known_a_session_takes_nothing_sealed_either(bench: Bench) -> None:
    bench.key = None
    bench.path().take(sealed(TYPED))
    assert bench.heard() == []


@pytest.mark.parametrize(
    "event",
    [
        sealed(TYPED, OTHER_KEY),
        sealed(Input("another", "writer", 0, b"x")),
        sealed(Sync("epoch", 0, "screen")),
        Received(CLIENT_CHANNEL, "client-input", "garbage"),
        Received(CLIENT_CHANNEL, "client-input", '{"nonce":"","ciphertext":""}'),
        Received(CLIENT_CHANNEL, "client-input", "[" * 100_000),
        Received(CONTROL_CHANNEL, "control", "garbage"),
        Received(CONTROL_CHANNEL, "control", '{"v":1,"type":"control","epoch":"any","at":1000000,"id":"c","do":"approve"}'),
    ],
    ids=["wrong key", "another run", "not input", "garbage", "empty box", "deep", "not a control", "about nobody"],
)
def test_what_cannot_be_opened_or_is_not_for_us_is_dropped(bench: Bench, event: Received) -> None:
    assert bench.path().take(event)
    assert bench.heard() == []


def test_an_altered_event_is_dropped(bench: Bench) -> None:
    event = sealed(TYPED)
    at = event.data.index("ciphertext") + 20
    other = "A" if event.data[at] != "A" else "B"
    bench.path().take(Received(event.channel, event.name, event.data[:at] + other + event.data[at + 1 :]))
    assert bench.heard() == []


def test_a_read_only_session_takes_none_and_still_deals_with_the_event(bench: Bench) -> None:
    assert bench.path(read_only=True).take(sealed(TYPED))
    assert bench.heard() == []


@pytest.mark.parametrize(
    "channel", [channels.presence_channel("s"), channels.input_channel("s2"), channels.output_channel("s", encrypted=True)]
)
def test_other_channels_are_left_to_the_session(bench: Bench, channel: str) -> None:
    assert not bench.path().take(in_clear(TYPED, channel))
    assert bench.heard() == []


def test_what_a_program_posts_without_knowing_the_run_reaches_the_host(bench: Bench) -> None:
    posted = Input(frames.ANY_EPOCH, f"http-{(1_000_000 - 500) * 1000}-{'0a' * 16}", 0, b"make\n")
    bench.path().take(sealed(posted, writer="bot.http"))
    assert [(message.body, message.header["user"]) for message in bench.heard()] == [(b"make\n", "bot")]


@pytest.mark.parametrize(
    "writer",
    [
        f"http-{(1_000_000 - 700) * 1000}-{'0a' * 16}",
        f"http-{(1_000_000 + 700) * 1000}-{'0a' * 16}",
        "http-1000000000",
        "writer",
    ],
    ids=["old", "from the future", "not random", "of nobody"],
)
def test_posted_input_that_somebody_kept_is_dropped(bench: Bench, writer: str) -> None:
    bench.path().take(sealed(Input(frames.ANY_EPOCH, writer, 0, b"make\n"), writer="bot.http"))
    assert bench.heard() == []


@pytest.mark.parametrize(("before_s", "heard"), [(0.001, False), (0.0, True)])
def test_what_was_posted_to_an_earlier_run_of_this_name_is_not_for_this_one(bench: Bench, before_s: float, heard: bool) -> None:
    began_at = NOW - 5.5
    made_ms = round((began_at - before_s) * 1000)
    posted = Input(frames.ANY_EPOCH, f"http-{made_ms}-{'0a' * 16}", 0, b"make\n")
    bench.path(began_at=began_at).take(sealed(posted, writer="bot.http"))
    assert bool(bench.heard()) is heard


@pytest.mark.parametrize(("at", "heard"), [(NOW - 7, False), (NOW - 5, True)])
def test_a_servers_word_to_an_earlier_run_is_not_for_this_one(bench: Bench, at: int, heard: bool) -> None:
    bench.path(began_at=NOW - 5.5).take(control(at=at))
    assert bool(bench.heard()) is heard


def test_a_servers_word_reaches_the_host_once(bench: Bench) -> None:
    path = bench.path()
    for _ in range(2):
        assert path.take(control("kill", "", signal=15))
    said = {"id": "c1", "at": NOW, "do": "kill", "user": "", "before": None, "signal": 15, "text": "", "only_at": None}
    assert bench.heard() == [Message(Kind.CONTROL, said)]


@pytest.mark.parametrize(("epoch", "place"), [("epoch", {"offset": 120, "typed": 7}), ("earlier", None)])
def test_answer_reaches_the_host_with_its_place_which_is_none_where_it_is_for_another_run(
    bench: Bench, epoch: str, place: dict[str, int] | None
) -> None:
    path = bench.path()
    text = frames.encode(Control("c1", NOW, "answer", epoch=epoch, text="y\r", only_at=OnlyAt(120, 7)))
    for _ in range(2):
        assert path.take(Received(CONTROL_CHANNEL, channels.EVENT_CONTROL, text))
    [word] = bench.heard()
    assert (word.header["do"], word.header["text"], word.header["only_at"]) == ("answer", "y\r", place)


def test_a_servers_word_comes_to_a_read_only_session_too(bench: Bench) -> None:
    bench.path(read_only=True).take(control("kill", ""))
    assert len(bench.heard()) == 1


@pytest.mark.parametrize(
    "event",
    [
        control(at=NOW - 601),
        control(at=NOW + 601),
        Received(CONTROL_CHANNEL, "input", control().data),
        Received(CONTROL_CHANNEL, channels.EVENT_CONTROL, frames.encode(TYPED)),
        Received(CLIENT_CHANNEL, channels.EVENT_CONTROL, control().data),
        altered(sealed(TYPED), **json.loads(control().data)),
    ],
    ids=["old", "from the future", "another event", "keystrokes", "where writers are", "among keystrokes"],
)
def test_no_other_word_is_a_servers(bench: Bench, event: Received) -> None:
    assert bench.path().take(event)
    assert [message.kind for message in bench.heard()].count(Kind.CONTROL) == 0


def test_a_writer_cannot_speak_as_the_server(bench: Bench) -> None:
    text = grants.seal(control().data, grants.make_grant(KEY, WRITER, UNTIL), bytes(24))
    bench.path().take(Received(CLIENT_CHANNEL, channels.EVENT_CONTROL, text))
    assert bench.heard() == []


def test_who_was_revoked_types_no_more_with_what_was_granted_before(bench: Bench) -> None:
    path = bench.path()
    path.take(control("revoke", before=NOW))
    bench.heard()
    path.take(sealed(TYPED))
    assert bench.heard() == []
    path.take(sealed(TYPED, writer="bob.http"))
    path.take(sealed(TYPED, until=NOW + 900 + 61))
    assert [message.header["user"] for message in bench.heard()] == ["bob", "alice"]


def test_where_nothing_opens_input_a_newer_key_is_asked_for_but_not_at_every_frame(bench: Bench) -> None:
    path = bench.path()
    assert path.take(sealed(TYPED))
    assert bench.doubts == 0
    for _ in range(3):
        path.take(sealed(TYPED, key=OTHER_KEY))
    assert bench.doubts == 1
    bench.now_s += DOUBT_EVERY_S
    path.take(sealed(TYPED, key=OTHER_KEY))
    assert bench.doubts == 2
    path.take(sealed(TYPED, until=NOW - 1000))
    assert bench.doubts == 2
