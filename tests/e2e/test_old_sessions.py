"""A relay that kept every event of a session that is over plays them into the next one of the same name.

Both have the same keys, as these follow from the name; whatever was sealed then can be opened now.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.chaos import ChaosRelay
from tests.support.lies import Liar
from tests.support.ptydriver import Terminal
from tests.support.served import Served
from tests.support.sessions import JOINED, TOKEN, Machine, session_name

pytestmark = pytest.mark.timeout(180)


@dataclass
class Recorder:
    """A host's and a viewer's machine, each behind a relay that remembers."""

    served: Served
    host: Machine
    viewer: Machine
    relays: tuple[ChaosRelay, ChaosRelay]
    name: str

    def start(self) -> tuple[Terminal, Terminal]:
        """A session, and a viewer that shows it."""
        host = self.host.run("--quiet", "--no-store", "--name", self.name, "--", "cat")
        self.host.session(self.name)
        viewer = self.viewer.attach(self.name)
        viewer.expect(JOINED)
        return host, viewer

    def play_everything_again(self) -> None:
        """To both sides what either of them has ever heard, in another order."""
        both = [text for relay in self.relays if relay.liar is not None for text in relay.liar.everything()]
        for relay in self.relays:
            relay.say(both)


@pytest.fixture
def recorder(gateway: Served, tmp_path: Path) -> Iterator[Recorder]:
    with contextlib.ExitStack() as owned:
        own = owned.enter_context
        address = ("127.0.0.1", gateway.port)
        relays = (own(ChaosRelay(address, liar=Liar("host", 0.0))), own(ChaosRelay(address, liar=Liar("viewer", 0.0))))
        settings = [{"CODEWRAP_URL": f"http://127.0.0.1:{relay.port}", "CODEWRAP_TOKEN": TOKEN} for relay in relays]
        host, viewer = (own(Machine(tmp_path / name, each)) for name, each in zip("hv", settings, strict=True))
        yield Recorder(gateway, host, viewer, relays, session_name())


def first_session(recorder: Recorder) -> None:
    """One in which things are typed, over the socket and over HTTP, and that ends."""
    host, viewer = recorder.start()
    viewer.send("typed-of-old\r")
    viewer.shows("typed-of-old\ntyped-of-old")
    body = {"sessionId": recorder.name, "input": "posted-of-old\r"}
    assert recorder.served.request("POST", "/api/commands/input", body)[0] == 202
    viewer.shows("posted-of-old\nposted-of-old")
    viewer.send("\x04")
    assert (host.status(), viewer.status()) == (0, 0)


def test_nothing_that_was_typed_into_an_old_session_is_typed_into_the_next(recorder: Recorder) -> None:
    first_session(recorder)
    host = recorder.host.run("--quiet", "--name", recorder.name, "--", "cat")
    recorder.host.session(recorder.name)
    viewer = recorder.viewer.attach(recorder.name)
    viewer.expect(JOINED)
    recorder.relays[0].say([text for relay in recorder.relays if relay.liar for text in relay.liar.everything()])
    viewer.send("typed-now\r")
    host.shows("typed-now\ntyped-now")
    assert "of-old" not in host.text()
    assert b"of-old" not in host.output.data


def test_nothing_of_an_old_session_is_shown_as_the_next(recorder: Recorder) -> None:
    first_session(recorder)
    host, viewer = recorder.start()
    recorder.play_everything_again()
    host.send("written-now\r")
    host.shows("written-now\nwritten-now")
    viewer.shows("written-now\nwritten-now", 10.0)
    assert b"of-old" not in viewer.output.data


def test_of_nothing_but_an_old_session_a_viewer_shows_nothing_and_says_why(recorder: Recorder) -> None:
    """Nobody hosts the name any more; the relay says that somebody does, and plays what it has."""
    first_session(recorder)
    viewer = recorder.viewer.attach(recorder.name)
    viewer.expect("over http")
    while viewer.process.poll() is None:
        recorder.play_everything_again()
        time.sleep(0.3)
    assert viewer.status() == 255
    viewer.shows("may be a recording of an earlier session")
    assert b"of-old" not in viewer.output.data
