"""The lane as a viewer uses it: for one run, as long as it is there, and never instead of the broker."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from codewrap.protocol.frames import Input, Output
from codewrap.protocol.hostlink import Kind, Message
from codewrap.transport.lane import Lane, accept, connect, listen
from codewrap.viewer.shortcut import Shortcut

KEYS = Input("run", "w", 3, b"ls\r")


class Ends:
    """A viewer's shortcut, and the host's end of it."""

    def __init__(self) -> None:
        name = secrets.token_hex(8)
        listener = listen(name)
        assert listener is not None
        with listener:
            self.shortcut = Shortcut(connect(name))
            accepted = accept(listener)
        assert accepted is not None
        self.host: Lane = accepted

    def greets(self, epoch: str = "run") -> None:
        self.host.send(Message(Kind.GREETING, {"epoch": epoch}))
        assert self.shortcut.receive() == []


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.shortcut.close()
    made.host.close()


def test_keystrokes_go_to_the_run_that_greeted(ends: Ends) -> None:
    assert not ends.shortcut.send(KEYS), "not before it did"
    ends.greets()
    assert ends.shortcut.send(KEYS)
    assert ends.host.receive() == [Message(Kind.INPUT, {"writer": "w", "offset": 3}, b"ls\r")]
    assert not ends.shortcut.send(Input("another", "w", 0, b"x"))


def test_output_comes_as_frames_of_that_run(ends: Ends) -> None:
    header = {"offset": 5, "stream": "stderr", "acks": {"w": 6}}
    ends.host.send(Message(Kind.OUTPUT, header, b"too early"))
    assert ends.shortcut.receive() == []
    ends.greets()
    ends.host.send(Message(Kind.OUTPUT, header, b"echo"))
    assert ends.shortcut.receive() == [Output("run", 5, b"echo", "stderr", {"w": 6})]


def test_a_host_that_is_gone_leaves_the_broker(ends: Ends) -> None:
    ends.greets()
    ends.host.close()
    assert ends.shortcut.receive() == []
    assert ends.shortcut.fileno() == -1
    assert not ends.shortcut.send(KEYS)


@pytest.mark.parametrize("message", [Message(Kind.GREETING), Message(Kind.OUTPUT, {"offset": 1}, b"x")])
def test_what_makes_no_sense_ends_it(ends: Ends, message: Message) -> None:
    ends.greets()
    ends.host.send(message)
    assert ends.shortcut.receive() == []
    assert ends.shortcut.fileno() == -1


def test_without_a_lane_everything_goes_by_the_broker() -> None:
    shortcut = Shortcut(None)
    assert (shortcut.fileno(), shortcut.send(KEYS), shortcut.receive()) == (-1, False, [])
    shortcut.close()
