"""A log is brought to a server as it grows, and again where that forgot it; a server that is away or refuses costs nothing."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codewrap.errors import AuthError, TransportError
from codewrap.protocol.blocks import Block, Opener, recording_key
from codewrap.store import sessionfile
from codewrap.store.sessionlog import LogWriter
from codewrap.uplink.depositor import BLOCKS_AT_ONCE, STORED, Depositor
from tests.support.ptydriver import eventually

EPOCH = "0123456789abcdef"
SECRET = bytes(range(32))


class Shelf:
    """Keeps what is put as `serve-auth` does. ``failure`` is raised while it is set."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False
        self.puts = 0
        self.failure: Exception | None = None
        self.busy: threading.Event | None = None
        self.closed = threading.Event()

    def put(self, name: str, epoch: str, at: int, data: bytes, *, last: bool) -> bool:
        assert (name, epoch) == ("build", EPOCH)
        self.puts += 1
        if self.busy is not None:
            self.closed.wait(60)
            raise TransportError("server", "closed")
        if self.failure is not None:
            raise self.failure
        if at > len(self.data):
            return False
        self.data = self.data[:at] + data
        self.ended = last
        return True

    def close(self) -> None:
        self.closed.set()

    def blocks(self, secret: bytes = SECRET) -> tuple[list[Block], bool]:
        opener = Opener(recording_key(secret, "build", EPOCH))
        return list(opener.feed(self.data)), opener.is_whole

    def output(self, secret: bytes = SECRET) -> bytes:
        return b"".join(block.output for block in self.blocks(secret)[0])

    def timeline(self) -> bytes:
        return b"".join(block.timeline for block in self.blocks()[0])


class Stage:
    """A log, a shelf and what was noticed."""

    def __init__(self, root: Path) -> None:
        self.directory = root / f"build-{EPOCH}"
        self.log = LogWriter(self.directory, 0.0)
        sessionfile.write_start(self.directory, {"name": "build", "command": ["make"]})
        self.shelf = Shelf()
        self.secret: Callable[[], bytes | None] = lambda: SECRET
        self.notices: list[str] = []

    def depositor(self) -> Depositor:
        made = Depositor("build", EPOCH, self.directory, self.shelf, lambda: self.secret(), self.notices.append, every_s=0.01)
        made.start()
        return made

    def write(self, data: bytes) -> None:
        self.log.append(data, "stdout", 1.0)

    def holds(self, data: bytes) -> None:
        eventually(lambda: self.shelf.output() == data, "what was written is stored")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.log.close()


def test_what_is_written_is_brought_while_it_runs_and_whole_at_the_end(stage: Stage) -> None:
    depositor = stage.depositor()
    eventually(lambda: stage.shelf.puts > 0, "the first block says what runs, before there is output")
    for piece in (b"one ", b"two ", b"three"):
        stage.write(piece)
    stage.holds(b"one two three")
    assert not stage.shelf.ended
    stage.write(b" end")
    stage.log.ended(3, None, 2.0)
    assert depositor.finish(ended=True)
    blocks, whole = stage.shelf.blocks()
    assert (whole, stage.shelf.ended, stage.shelf.output()) == (True, True, b"one two three end")
    assert stage.shelf.timeline() == (stage.directory / "timeline").read_bytes()
    assert blocks[0].facts is not None
    assert blocks[0].facts["command"] == ["make"]
    assert stage.notices == []


def test_where_nothing_is_new_nothing_is_brought(stage: Stage) -> None:
    depositor = stage.depositor()
    stage.write(b"once")
    stage.holds(b"once")
    puts, turns = stage.shelf.puts, []
    stage.secret = lambda: turns.append(1) or SECRET  # type: ignore[func-returns-value]
    eventually(lambda: len(turns) > 5, "some turns")
    assert stage.shelf.puts == puts
    depositor.finish(ended=True)


def test_a_session_that_was_over_at_once_is_stored_too(stage: Stage) -> None:
    stage.write(b"short")
    stage.log.ended(0, None, 1.0)
    assert stage.depositor().finish(ended=True)
    assert stage.shelf.blocks()[1]


def test_an_uplink_after_another_goes_on_where_that_one_was(stage: Stage) -> None:
    first = stage.depositor()
    stage.write(b"first ")
    stage.holds(b"first ")
    assert first.finish(ended=False)
    before = stage.shelf.data
    second = stage.depositor()
    stage.write(b"second")
    stage.holds(b"first second")
    assert stage.shelf.data.startswith(before)
    assert second.finish(ended=True)
    assert stage.shelf.blocks()[1]


@pytest.mark.parametrize("noted", [b"", b"{", b'{"at": -1}', b"[]", b'{"at": 5, "blocks": "x"}', None])
def test_without_a_note_of_it_all_is_brought_again(stage: Stage, noted: bytes | None) -> None:
    first = stage.depositor()
    stage.write(b"first ")
    stage.holds(b"first ")
    first.finish(ended=False)
    if noted is None:
        (stage.directory / STORED).unlink()
    else:
        (stage.directory / STORED).write_bytes(noted)
    second = stage.depositor()
    stage.write(b"second")
    assert second.finish(ended=True)
    assert (stage.shelf.output(), stage.shelf.blocks()[1]) == (b"first second", True)


def test_killed_between_storing_and_noting_it_repeats_the_block(stage: Stage) -> None:
    first = stage.depositor()
    eventually(lambda: (stage.directory / STORED).exists(), "a note")
    noted = (stage.directory / STORED).read_bytes()
    stage.write(b"first ")
    stage.holds(b"first ")
    first.finish(ended=False)
    (stage.directory / STORED).write_bytes(noted)
    second = stage.depositor()
    stage.write(b"second")
    assert second.finish(ended=True)
    assert (stage.shelf.output(), stage.shelf.blocks()[1]) == (b"first second", True)


def test_a_server_that_forgot_it_gets_all_of_it_again(stage: Stage) -> None:
    depositor = stage.depositor()
    stage.write(b"first ")
    stage.holds(b"first ")
    stage.shelf.data = b""
    stage.write(b"second")
    stage.holds(b"first second")
    assert depositor.finish(ended=True)
    assert stage.shelf.blocks()[1]


def test_after_a_new_master_key_all_of_it_is_sealed_anew(stage: Stage) -> None:
    depositor = stage.depositor()
    stage.write(b"first ")
    stage.holds(b"first ")
    other = b"\7" * 32
    stage.secret = lambda: other
    stage.write(b"second")
    assert depositor.finish(ended=True)
    assert (stage.shelf.output(other), stage.shelf.blocks(other)[1]) == (b"first second", True)


def test_a_server_that_is_away_is_tried_again(stage: Stage) -> None:
    stage.shelf.failure = TransportError("server", "away")
    depositor = stage.depositor()
    stage.write(b"kept")
    eventually(lambda: stage.shelf.puts > 1, "more than one attempt")
    stage.shelf.failure = None
    assert depositor.finish(ended=True)
    assert (stage.shelf.output(), stage.notices) == (b"kept", [])


@pytest.mark.parametrize(
    "failure", [AuthError("server", "no", 403), TransportError("server", "none here", retry=False, status=404)]
)
def test_a_server_that_refuses_is_told_of_once_and_left(stage: Stage, failure: Exception) -> None:
    stage.shelf.failure = failure
    depositor = stage.depositor()
    eventually(lambda: bool(stage.notices), "a notice")
    stage.write(b"more")
    assert not depositor.finish(ended=True)
    assert len(stage.notices) == 1
    assert stage.shelf.puts == 1


def test_without_a_key_nothing_is_brought(stage: Stage) -> None:
    stage.secret = lambda: None
    assert not stage.depositor().finish(ended=True)
    assert (stage.shelf.puts, len(stage.notices)) == (0, 1)


def test_a_server_that_hangs_is_left_in_time_and_said(stage: Stage) -> None:
    stage.shelf.busy = threading.Event()
    depositor = stage.depositor()
    eventually(lambda: stage.shelf.puts > 0, "an attempt")
    assert not depositor.finish(ended=True, within_s=0.05)
    assert ["in time" in notice for notice in stage.notices] == [True]
    assert stage.shelf.closed.is_set()


def test_a_flood_is_brought_in_measure_and_all_of_it_at_the_end(stage: Stage) -> None:
    data = os.urandom(3 * BLOCKS_AT_ONCE * 512 * 1024 + 7)
    stage.write(data)
    stage.log.ended(0, None, 3.0)
    assert stage.depositor().finish(ended=True, within_s=100)
    assert stage.shelf.output() == data


def test_a_line_that_was_cut_short_does_not_keep_it_from_its_end(stage: Stage) -> None:
    stage.write(b"x")
    with (stage.directory / "timeline").open("ab") as timeline:
        timeline.write(b'[1,1,"mar')
    assert stage.depositor().finish(ended=True)
    assert stage.shelf.blocks()[1]


def test_a_log_that_is_not_there_is_no_more_than_that(stage: Stage) -> None:
    depositor = Depositor("build", EPOCH, stage.directory / "nothing", stage.shelf, lambda: SECRET, stage.notices.append)
    depositor.start()
    assert not depositor.finish(ended=True)


def test_what_is_noted_tells_nothing_of_the_key(stage: Stage) -> None:
    depositor = stage.depositor()
    stage.write(b"x")
    depositor.finish(ended=True)
    noted = json.loads((stage.directory / STORED).read_text())
    assert (stage.directory / STORED).stat().st_mode & 0o777 == 0o600
    assert len(noted["key_id"]) == 16
    assert recording_key(SECRET, "build", EPOCH).hex()[:16] != noted["key_id"]
