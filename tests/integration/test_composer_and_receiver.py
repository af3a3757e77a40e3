"""Host and viewer joined by a relay that drops, repeats and reorders: what is shown is complete, or the gap is stated.

Everything is pure but the session log: hundreds of meetings, each with a seed of its own that the failure names.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from codewrap.host.inputs import PendingInput
from codewrap.protocol import frames
from codewrap.protocol.frames import Ended, HostFrame, Input
from codewrap.protocol.geometry import Size
from codewrap.protocol.pacing import BrokerLimits
from codewrap.terminal.emulator import Screen
from codewrap.uplink.composer import Composer
from codewrap.viewer.receiver import Gap, Over, Receiver, Show, ShowScreen
from codewrap.viewer.sender import EXPIRY_S, Sender
from tests.support.sessionlogs import LOSES_HISTORY_AFTER_BYTES, SessionLog

SIZE = Size(rows=8, cols=40)
TURN_S = 0.05
MANY_TURNS = 3000


class Relay:
    """Carries texts as a bad broker would; from `mend` on as a good one."""

    def __init__(self, randomness: random.Random) -> None:
        self._randomness = randomness
        self._under_way: list[str] = []
        self._bad = True

    def carry(self, texts: list[str]) -> Iterator[str]:
        """Give it ``texts``; what arrives now."""
        randomness = self._randomness
        for text in texts:
            if self._bad and randomness.random() < 0.15:
                continue
            self._under_way.append(text)
            if self._bad and randomness.random() < 0.1:
                self._under_way.append(text)
        if self._bad:
            if randomness.random() < 0.3:
                randomness.shuffle(self._under_way)
            keep = randomness.randrange(3)
        else:
            keep = 0
        arrived = self._under_way[: max(0, len(self._under_way) - keep)]
        del self._under_way[: len(arrived)]
        yield from arrived

    def mend(self) -> None:
        self._bad = False


class Meeting:
    """A host, a viewer and the relay between them, turn by turn."""

    def __init__(self, directory: Path, seed: int, *, pty: bool, keep_bytes: int = 1 << 28) -> None:
        self.randomness = random.Random(seed)
        directory.mkdir(exist_ok=True)
        self.log = SessionLog(directory, keep_bytes)
        self.truth = Screen(SIZE)
        self.size = SIZE
        self.written: list[tuple[str, bytes]] = []
        limits = BrokerLimits(event_bytes=self.randomness.choice((1024, 10_240, 100_000)))
        screen = Screen(SIZE) if pty else None
        self.composer = Composer("run", self.log.follower, screen, SIZE, limits, sealed=True)
        self.receiver = Receiver("challenge", wants_bytes=not pty)
        self.relay = Relay(self.randomness)
        self.shown = Screen(SIZE)
        self.heard: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self.gaps: list[tuple[int, int]] = []
        self.ends: list[Ended] = []
        self.now_s = 1000.0

    def writes(self, data: bytes, stream: str = "stdout") -> None:
        self.log.out(data, stream)
        self.truth.feed(data)
        self.written.append((stream, data))

    def resizes(self, size: Size) -> None:
        self.log.resized(size)
        self.truth.resize(size)
        self.size = size

    def viewer_comes(self) -> None:
        self.composer.watched_by(1)
        self.composer.want_screen()
        self.composer.challenges.add(self.receiver.challenge)
        self.receiver.connected(self.now_s)

    def turn(self) -> None:
        """The host speaks if it has to, the viewer hears and asks if it lacks something."""
        self.now_s += TURN_S
        self.log.follower.refresh()
        texts: list[str] = []
        if self.composer.wait_s(self.now_s) == 0.0:
            batch = self.composer.compose(self.now_s)
            self.composer.published(batch)
            texts = [text for _, text in batch.texts]
        for text in self.relay.carry(texts):
            self._hear(frames.decode_host(text))
        if self.randomness.random() < 0.3:
            self.composer.catch_up(self.randomness.choice((10, 1000, 1 << 20)))
        self._ask()

    def turns_until(self, condition: str) -> None:
        for _ in range(MANY_TURNS):
            if self.ends:
                return
            self.turn()
        raise AssertionError(f"{condition}: never in {MANY_TURNS} turns; at {self.receiver.offset} of {self.log.writer.end}")

    def _hear(self, frame: HostFrame) -> None:
        for effect in self.receiver.receive(frame, self.now_s):
            match effect:
                case Show(data=data, stream=stream):
                    self.heard[stream] += data
                    self.shown.feed(data)
                case ShowScreen(data=data, size=size):
                    assert size is not None
                    self.shown.resize(size)
                    self.shown.feed(data)
                case Gap(start=start, end=end):
                    self.gaps.append((start, end))
                case Over(ended=ended):
                    self.ends.append(ended)
                case _:
                    pass

    def _ask(self) -> None:
        """The host's part is `UplinkSession`'s rule: bytes where they are few and still held, else a screen."""
        request = self.receiver.ask(self.now_s)
        if request is None or self.randomness.random() < 0.1:
            return
        offset, want = request
        if self.receiver.unsure:
            self.composer.challenges.add(self.receiver.challenge)
        known = self.receiver.begun and self.receiver.epoch == "run"
        if want == "bytes":
            self.composer.want_bytes(offset if known else 0)
        elif known and self.composer.can_repeat(offset):
            self.composer.want_bytes(offset)
        else:
            self.composer.want_screen()


def words(randomness: random.Random) -> bytes:
    """A bit of output such as programs write."""
    kind = randomness.randrange(6)
    if kind == 0:
        return randomness.randbytes(randomness.randrange(1, 3000)).hex().encode()
    if kind == 1:
        return b"\x1b[%d;%dH\x1b[3%dm*" % (randomness.randrange(1, 9), randomness.randrange(1, 41), randomness.randrange(8))
    if kind == 2:
        return "żółć ─ 漢字\r\n".encode()
    if kind == 3:
        return randomness.choice((b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[2J", b"\x1b[2;6r", b"\x1b[r", b"\x1b[4h", b"\x1b[4l"))
    return b"line %d\r\n" % randomness.randrange(10**9) * randomness.randrange(1, 30)


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_a_terminal_shows_in_the_end_what_the_host_s_shows(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 20):
        meeting = Meeting(tmp_path / str(seed), seed, pty=True)
        randomness = meeting.randomness
        come_at = randomness.randrange(10)
        for turn in range(40):
            if turn == come_at:
                meeting.viewer_comes()
            for _ in range(randomness.randrange(3)):
                meeting.writes(words(randomness))
            if randomness.random() < 0.03:
                meeting.writes(b"flood\r\n" * 30_000)
            if randomness.random() < 0.05:
                meeting.resizes(Size(rows=randomness.randrange(2, 12), cols=randomness.randrange(10, 60)))
            if randomness.random() < 0.05:
                meeting.receiver.repaint()
            meeting.turn()
        meeting.log.ended(3)
        meeting.relay.mend()
        meeting.viewer_comes()  # as after each reconnect
        meeting.turns_until(f"seed {seed}: the end")
        assert meeting.ends[0].code == 3, f"seed {seed}"
        assert meeting.shown.size == meeting.truth.size, f"seed {seed}"
        assert meeting.shown.text() == meeting.truth.text(), f"seed {seed}"
        assert meeting.shown.cursor == meeting.truth.cursor, f"seed {seed}"
        meeting.log.close()


@pytest.mark.parametrize("first", range(0, 120, 40))
def test_a_reader_gets_every_byte_of_each_stream_once(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 40):
        meeting = Meeting(tmp_path / str(seed), seed, pty=False)
        randomness = meeting.randomness
        come_at = randomness.randrange(10)
        for turn in range(30):
            if turn == come_at:
                meeting.viewer_comes()
            for _ in range(randomness.randrange(4)):
                meeting.writes(randomness.randbytes(randomness.randrange(1, 4000)), randomness.choice(("stdout", "stderr")))
            meeting.turn()
        meeting.log.ended()
        meeting.relay.mend()
        meeting.receiver.connected(meeting.now_s)
        meeting.turns_until(f"seed {seed}: the end")
        for stream, heard in meeting.heard.items():
            expected = b"".join(data for name, data in meeting.written if name == stream)
            assert bytes(heard) == expected, f"seed {seed}: {stream} is not the same"
        assert meeting.gaps == [], f"seed {seed}"
        meeting.log.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_reader_of_a_session_whose_history_is_gone_is_told_the_gap(tmp_path: Path, seed: int) -> None:
    meeting = Meeting(tmp_path, seed, pty=False, keep_bytes=1024)
    block = bytes(range(256)) * 4096
    for _ in range(LOSES_HISTORY_AFTER_BYTES // len(block) + 1):
        meeting.writes(block)
    meeting.turn()
    meeting.viewer_comes()
    for _ in range(20):
        meeting.turn()
    meeting.log.ended()
    meeting.relay.mend()
    meeting.turns_until(f"seed {seed}: the end")
    whole = b"".join(data for _, data in meeting.written)
    (gap,) = meeting.gaps
    assert gap[0] == 0, f"seed {seed}"
    assert bytes(meeting.heard["stdout"]) == whole[gap[1] :], f"seed {seed}"
    meeting.log.close()


# -- input -----------------------------------------------------------------------------------------------------


class Typing:
    """A writer, the relay to the host, and what the child has read."""

    def __init__(self, seed: int) -> None:
        self.randomness = random.Random(seed)
        writers = (f"w{n}" for n in itertools.count(1))
        self.sender = Sender(lambda: next(writers))
        self.to_host, self.to_viewer = Relay(self.randomness), Relay(self.randomness)
        self.pending = PendingInput()
        self.read = b""
        self.dropped = 0
        self.now_s = 0.0

    def turn(self, *, link: bool = True) -> None:
        self.now_s += TURN_S
        sent = self.sender.due("run", self.now_s)
        if sent and not link:
            self.sender.unsent()
            sent = []
        for text in self.to_host.carry([frames.encode(frame) for frame in sent]):
            frame = frames.decode_viewer(text)
            assert isinstance(frame, Input)
            self.pending.put_remote(frame.writer, frame.offset, frame.data)
        while self.pending:
            some = self.pending.next()[: self.randomness.randrange(1, 100)]
            self.read += bytes(some)
            self.pending.wrote(len(some))
        acks = self.pending.take_acknowledgements()
        for text in self.to_viewer.carry([frames.encode(frames.Acked("run", acks))] if acks else []):
            acked = frames.decode_host(text)
            assert isinstance(acked, frames.Acked)
            self.sender.confirm(acked.acks, self.now_s)
        self.dropped += self.sender.expire(self.now_s)

    def settles(self, what: str) -> None:
        for _ in range(MANY_TURNS):
            if not self.sender.pending_bytes:
                return
            self.turn()
        raise AssertionError(f"{what}: {self.sender.pending_bytes} bytes are never confirmed")


def test_every_keystroke_arrives_once_and_in_order() -> None:
    for seed in range(120):
        typing = Typing(seed)
        typed = b""
        for _ in range(60):
            if typing.randomness.random() < 0.5:
                keys = typing.randomness.randbytes(typing.randomness.choice((1, 3, 200, 9000)))
                typing.sender.type(keys, typing.now_s)
                typed += keys
            typing.turn()
        typing.to_host.mend()
        typing.to_viewer.mend()
        typing.settles(f"seed {seed}")
        assert typing.read == typed, f"seed {seed}"
        assert typing.dropped == 0, f"seed {seed}"


def test_keys_of_a_long_break_are_dropped_and_counted_and_later_ones_arrive() -> None:
    for seed in range(50):
        typing = Typing(seed)
        typing.sender.type(b"before ", typing.now_s)
        typing.settles(f"seed {seed}")
        typing.sender.type(b"\x03", typing.now_s)
        until_s = typing.now_s + EXPIRY_S + 1
        while typing.now_s < until_s:
            typing.turn(link=False)
        assert typing.dropped == 1, f"seed {seed}"
        typing.sender.type(b"after", typing.now_s)
        typing.to_host.mend()
        typing.to_viewer.mend()
        typing.settles(f"seed {seed}")
        assert typing.read == b"before after", f"seed {seed}"
