"""The link to an uplink that is a real process: spoken to without waiting, replaced when it dies or talks nonsense."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from codewrap.host.link import (
    ACK_WAIT_S,
    FIRST_START_S,
    FLOOD_WAIT_S,
    MAX_UNSENT_BYTES,
    RESTART_FIRST_S,
    RESTART_MOST_S,
    STABLE_S,
    UplinkLaunch,
    UplinkLink,
    uplink_command,
)
from codewrap.protocol.hostlink import Kind, Message, encode
from tests.support.ptydriver import eventually

DEADLINE_S = 20.0
ROOT = str(Path(__file__).parents[2])
# Tells back all that it hears, after what its configuration has it do first.
UPLINK = """
import json, os, signal, socket, sys
from codewrap.protocol.hostlink import Decoder, Kind, Message, encode

connection = socket.socket(fileno=int(sys.argv[1]))
decoder = Decoder()

def say(kind, header=None, body=b""):
    connection.sendall(encode(Message(kind, header or {}, body)))

while data := connection.recv(65536):
    for message in decoder.feed(data):
        if message.kind is not Kind.CONFIGURE:
            say(Kind.NOTICE, {"text": message.kind.name, "heard": message.header})
            if message.kind is Kind.GROWN:
                say(Kind.ARM, {"end": 0})
            continue
        told = json.loads(message.body)
        say(Kind.NOTICE, {"text": "CONFIGURE", "heard": told, "pid": os.getpid()})
        if "write" in told:
            os.write(2, told["write"].encode())
        if "garbage" in told:
            connection.sendall(bytes.fromhex(told["garbage"]))
        if "deaf" in told:
            say(Kind.ARM, {"end": 0})
            os.kill(os.getpid(), signal.SIGSTOP)
        if "arm" in told:
            say(Kind.ARM, {"end": 0})
        if "viewers" in told:
            say(Kind.WATCHERS, {"count": told["viewers"]})
        if "leave" in told:
            os._exit(1)
        if "close" in told:
            connection.close()
            signal.pause()
"""


class Host:
    """A host's loop around one link, with a clock of its own."""

    def __init__(
        self, *, command: list[str] | None = None, inherit: tuple[int, ...] = (), log: str = os.devnull, **told: Any
    ) -> None:
        environ = {**os.environ, "PYTHONPATH": ROOT}
        launch = UplinkLaunch(command or [sys.executable, "-c", UPLINK], environ, told, inherit, log)
        self.link = UplinkLink(launch)
        self.now_s = 1000.0
        self.heard: list[Message] = []
        self.pids: list[int] = []
        self._others = set(psutil.Process().children())  # servers that tests share

    def turn(self, timeout_s: float = 0.0) -> bool:
        """One round of the loop; False when nothing happened."""
        fd = self.link.fileno()
        if fd < 0:
            return False
        readable, writable, _ = select.select([fd], [fd] if self.link.wants_to_write else [], [], timeout_s)
        if writable:
            self.link.flush()
        if readable:
            for message in self.link.receive(self.now_s):
                self.heard.append(message)
                if "pid" in message.header:
                    self.pids.append(message.header["pid"])
        return bool(readable or writable)

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}; heard {self.heard}"
            self.turn(0.05)

    def hears(self, text: str) -> Any:
        """What the uplink was told: the next message of this kind."""

        def found() -> list[Message]:
            return [message for message in self.heard if message.header.get("text") == text]

        self.until(found, text)
        message = found()[0]
        self.heard.remove(message)
        return message.header["heard"]

    def loses_it(self) -> None:
        self.until(lambda: self.link.fileno() < 0, "the uplink's end")

    def close(self) -> None:
        self.link.finished = True
        self.link.close()
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        eventually(self.is_alone, "all uplinks are gone", DEADLINE_S)

    def is_alone(self) -> bool:
        """No uplink is left, dead or alive."""
        self.link.reap()
        return self.uplinks() == set()

    def uplinks(self) -> set[psutil.Process]:
        """The processes that it has started and whose status nobody took yet."""
        return set(psutil.Process().children()) - self._others


@pytest.fixture
def hosts() -> Iterator[Callable[..., Host]]:
    made: list[Host] = []

    def make(**arguments: Any) -> Host:
        host = Host(**arguments)
        made.append(host)
        return host

    yield make
    for host in made:
        host.close()


def test_a_server_that_stores_the_recording_gets_that_of_a_command_that_was_over_at_once(hosts: Callable[..., Host]) -> None:
    host = hosts(stored=True)
    host.link.start_later(1e9)
    host.link.finish(0, None)
    assert host.hears("CONFIGURE")["stored"] is True
    assert host.hears("FINISH")["code"] == 0


def test_an_uplink_is_started_and_told_its_configuration(hosts: Callable[..., Host]) -> None:
    host = hosts(session="demo")
    assert host.link.never_ran
    assert host.link.fileno() == -1
    assert host.link.receive(host.now_s) == []
    host.link.start(host.now_s)
    assert not host.link.never_ran
    assert host.hears("CONFIGURE") == {"session": "demo", "resumed": False, "watched": 0}
    assert host.link.restarts == 0


def test_the_first_start_leaves_the_child_a_moment(hosts: Callable[..., Host]) -> None:
    host = hosts()
    assert host.link.due_s is None
    host.link.start_later(host.now_s)
    assert host.link.due_s == host.now_s + FIRST_START_S
    host.link.look_after(host.now_s)
    assert host.link.never_ran
    host.link.look_after(host.now_s + FIRST_START_S)
    host.hears("CONFIGURE")
    assert host.link.due_s is None


def test_growth_is_told_when_it_is_asked_for_and_once(hosts: Callable[..., Host]) -> None:
    host = hosts(arm=1)
    host.link.grown(host.now_s)
    host.link.start(host.now_s)
    host.link.grown(host.now_s)
    assert host.hears("GROWN") == {}
    host.turn(0.2)
    for _ in range(3):
        host.link.grown(host.now_s)
    host.hears("GROWN")
    host.link.finish()
    host.hears("FINISH")
    assert [message.header["text"] for message in host.heard].count("GROWN") <= 1, "three times grown is told twice at most"


def test_a_flood_is_told_seldom_and_what_follows_it_at_once(hosts: Callable[..., Host]) -> None:
    """The uplink made a screen of each word, on a processor that the command could have used."""
    host = hosts(arm=1)
    host.link.start(host.now_s)
    host.link.grown(host.now_s, flood=True)
    host.hears("GROWN")
    told_s, half_s = host.now_s, FLOOD_WAIT_S / 2
    host.link.grown(told_s + half_s, flood=True)
    host.until(lambda: host.link.due_s is not None, "the uplink asks, and has to wait")
    assert host.link.due_s == told_s + FLOOD_WAIT_S
    host.link.look_after(told_s + half_s)
    assert host.link.due_s == told_s + FLOOD_WAIT_S
    host.now_s += FLOOD_WAIT_S
    host.link.look_after(host.now_s)
    assert host.link.due_s is None
    host.hears("GROWN")
    host.link.grown(host.now_s, flood=True)
    host.until(lambda: host.link.due_s is not None, "the uplink asks again")
    host.link.grown(host.now_s)  # a word at a prompt, say
    assert host.link.due_s is None
    host.hears("GROWN")


def test_a_word_that_waits_does_not_keep_the_loop_awake_when_the_uplink_dies(hosts: Callable[..., Host]) -> None:
    host = hosts(arm=1)
    host.link.start(host.now_s)
    host.link.grown(host.now_s, flood=True)
    host.hears("GROWN")
    host.link.grown(host.now_s, flood=True)
    host.until(lambda: host.link.due_s is not None, "the uplink asks, and has to wait")
    os.kill(host.pids[-1], signal.SIGKILL)
    host.loses_it()
    host.link.look_after(host.now_s + FLOOD_WAIT_S)
    assert host.link.due_s == host.now_s + RESTART_FIRST_S


def test_acknowledgements_are_told_soon_or_with_the_next_growth(hosts: Callable[..., Host]) -> None:
    host = hosts(arm=1)
    host.link.start(host.now_s)
    host.hears("CONFIGURE")
    host.link.written({}, host.now_s)
    assert host.link.due_s is None
    host.link.written({"a": 1}, host.now_s)
    host.link.written({"b": 2, "a": 3}, host.now_s + ACK_WAIT_S / 2)
    assert host.link.due_s == host.now_s + ACK_WAIT_S
    host.link.look_after(host.now_s + ACK_WAIT_S / 2)
    assert host.link.due_s is not None
    host.link.look_after(host.now_s + ACK_WAIT_S)
    assert host.link.due_s is None
    assert host.hears("WRITTEN") == {"acks": {"b": 2, "a": 3}}
    host.link.written({"a": 4}, host.now_s)
    host.link.grown(host.now_s)
    host.hears("GROWN")
    assert host.hears("WRITTEN") == {"acks": {"a": 4}}
    assert host.link.due_s is None


def test_what_was_written_just_before_the_end_is_told_ahead_of_it(hosts: Callable[..., Host]) -> None:
    """Ctrl-D that ended `cat` at once was never confirmed: who had sent it was told that it was not typed."""
    host = hosts(arm=0)
    host.link.start(host.now_s)
    host.hears("CONFIGURE")
    host.link.written({"a": 1}, host.now_s)
    host.link.finish(0)
    assert host.hears("WRITTEN") == {"acks": {"a": 1}}
    assert host.hears("FINISH")["code"] == 0


def test_an_uplink_that_dies_is_started_again_after_growing_waits(hosts: Callable[..., Host]) -> None:
    host = hosts(leave=1)
    host.link.start(host.now_s)
    waits = []
    for restarts in range(1, 5):
        assert host.hears("CONFIGURE")["resumed"] is (restarts > 1)
        host.loses_it()
        assert host.link.restarts == restarts
        due_s = host.link.due_s
        assert due_s is not None
        waits.append(round(due_s - host.now_s, 3))
        host.link.look_after(due_s - 0.001)
        assert host.link.fileno() == -1, "not too soon"
        host.now_s = due_s
        host.link.look_after(host.now_s)
        assert host.link.fileno() >= 0
    assert waits == [RESTART_FIRST_S, RESTART_FIRST_S * 2, RESTART_FIRST_S * 4, RESTART_FIRST_S * 8]


def test_after_a_long_life_the_first_wait_is_short_again(hosts: Callable[..., Host]) -> None:
    host = hosts(leave=1)
    for lived_s, wait_s in ((1.0, RESTART_FIRST_S), (STABLE_S, RESTART_FIRST_S * 2), (STABLE_S + 0.1, RESTART_FIRST_S)):
        host.link.start(host.now_s)
        host.now_s += lived_s
        host.loses_it()
        assert host.link.due_s == pytest.approx(host.now_s + wait_s)


def test_what_cannot_be_started_is_tried_again_ever_more_seldom(hosts: Callable[..., Host]) -> None:
    host = hosts(command=["/no/such/program"])
    before = set(os.listdir("/proc/self/fd"))
    waits = []
    for _ in range(10):
        host.link.start(host.now_s)
        assert host.link.fileno() == -1
        assert host.link.due_s is not None
        waits.append(host.link.due_s - host.now_s)
        host.now_s = host.link.due_s
    assert waits[0] == pytest.approx(RESTART_FIRST_S)
    assert waits[-1] == pytest.approx(RESTART_MOST_S)
    assert host.link.never_ran
    assert set(os.listdir("/proc/self/fd")) == before
    host.link.grown(host.now_s)
    host.link.finish()
    host.link.flush()
    assert not host.link.wants_to_write


def raw(kind: int, header: bytes) -> str:
    return (struct.pack(">IBH", 3 + len(header), kind, len(header)) + header).hex()


@pytest.mark.parametrize(
    "garbage",
    [
        b"Traceback (most recent call last):".hex(),
        raw(99, b"{}"),
        raw(Kind.INPUT, b"[]"),
        raw(Kind.INPUT, b"[" * 60_000),
        "ff" * 16,
    ],
    ids=["text", "kind", "header", "nesting", "length"],
)
def test_an_uplink_that_talks_nonsense_is_killed_and_replaced(hosts: Callable[..., Host], garbage: str) -> None:
    host = hosts(garbage=garbage)
    host.link.start(host.now_s)
    host.loses_it()
    assert host.link.restarts == 1
    assert host.link.due_s is not None
    eventually(host.is_alone, "it is gone", DEADLINE_S)


def test_an_uplink_that_closes_its_end_and_lives_on_is_killed(hosts: Callable[..., Host]) -> None:
    """The next one was started beside it, and its status was never taken."""
    host = hosts(close=1)
    for _ in range(3):
        host.link.start(host.now_s)
        host.hears("CONFIGURE")
        host.loses_it()
    assert len(set(host.pids)) == 3
    eventually(host.is_alone, "all are gone", DEADLINE_S)


def test_messages_before_the_end_are_heard(hosts: Callable[..., Host]) -> None:
    host = hosts(leave=1, garbage=raw(Kind.INPUT, b'{"writer":"w","offset":0}'))
    host.link.start(host.now_s)
    host.loses_it()
    assert [message.kind for message in host.heard] == [Kind.NOTICE, Kind.INPUT]


def test_a_message_cut_by_the_end_does_not_spoil_the_next_uplinks_first(hosts: Callable[..., Host]) -> None:
    host = hosts(leave=1, garbage=raw(Kind.INPUT, b'{"writer":"w"}')[:-10])
    for _ in range(2):
        host.link.start(host.now_s)
        host.hears("CONFIGURE")
        host.loses_it()
    assert host.heard == []


def test_an_uplink_that_does_not_read_neither_blocks_nor_fills_our_memory(hosts: Callable[..., Host]) -> None:
    """Growth and the end, each said once, were dropped with the rest: an uplink that woke up waited for ever."""
    host = hosts(deaf=1)
    host.link.start(host.now_s)
    host.hears("CONFIGURE")
    (pid,) = host.pids
    eventually(lambda: psutil.Process(pid).status() == "stopped", "it stopped", DEADLINE_S)
    while host.turn():
        pass
    acks = {f"writer-{number}": number for number in range(1000)}
    for _ in range(200):
        host.link.written(acks, host.now_s)
        host.link.look_after(host.now_s + 1)
    assert host.link.wants_to_write
    host.link.grown(host.now_s)
    host.link.finish()
    host.link.reap()
    os.kill(pid, signal.SIGCONT)
    assert host.hears("WRITTEN") == {"acks": acks}
    host.hears("GROWN")
    host.hears("FINISH")
    assert not host.link.wants_to_write
    told = 1 + sum(message.header["text"] == "WRITTEN" for message in host.heard)
    size = len(encode(Message(Kind.WRITTEN, {"acks": acks})))
    assert MAX_UNSENT_BYTES <= told * size < MAX_UNSENT_BYTES * 2 < 200 * size


def test_after_the_end_nothing_is_started_again(hosts: Callable[..., Host]) -> None:
    host = hosts(leave=1)
    host.link.finished = True
    host.link.start(host.now_s)
    host.loses_it()
    assert (host.link.restarts, host.link.due_s) == (0, None)
    host.link.grown(host.now_s)
    host.link.finish()


def test_the_viewers_of_an_uplink_that_has_died_are_told_of_the_end_by_the_next(hosts: Callable[..., Host]) -> None:
    host = hosts(viewers=2, leave=1)
    host.link.start(host.now_s)
    assert host.hears("CONFIGURE")["watched"] == 0
    host.loses_it()
    host.link.finished = True
    host.link.finish()
    assert host.hears("CONFIGURE")["watched"] == 2


def test_where_nobody_watched_an_uplink_that_has_died_none_is_started_to_tell_of_the_end(hosts: Callable[..., Host]) -> None:
    host = hosts(viewers=0, leave=1)
    host.link.start(host.now_s)
    host.loses_it()
    host.link.finish()
    assert host.link.fileno() == -1


def test_where_somebody_is_to_be_notified_one_is_started_to_tell_of_an_end_before_its_time(hosts: Callable[..., Host]) -> None:
    host = hosts(notify={"targets": [], "secret": None})
    host.link.start_later(host.now_s)
    host.link.finish(3, None, {"here": True, "typed_s": 5.0})
    assert host.hears("CONFIGURE")["notify"] == {"targets": [], "secret": None}
    assert host.hears("LOOKED") == {"here": True, "typed_s": 5.0}
    assert host.hears("FINISH") == {"code": 3, "signal": None}


def test_an_uplink_that_went_unnoticed_is_noticed_by_reading(hosts: Callable[..., Host]) -> None:
    host = hosts(leave=1)
    host.link.start(host.now_s)
    eventually(lambda: all(child.status() == "zombie" for child in host.uplinks()), "its end", DEADLINE_S)
    host.link.finish()
    host.link.written({"a": 1}, host.now_s)
    host.link.look_after(host.now_s + 1)
    host.loses_it()
    assert host.link.restarts == 1


def test_an_uplink_that_is_killed_with_messages_unread_is_replaced(hosts: Callable[..., Host]) -> None:
    host = hosts(deaf=1)
    host.link.start(host.now_s)
    host.hears("CONFIGURE")
    (pid,) = host.pids
    eventually(lambda: psutil.Process(pid).status() == "stopped", "it stopped", DEADLINE_S)
    while host.turn():
        pass
    assert host.link.receive(host.now_s) == []
    host.link.finish()
    os.kill(pid, signal.SIGKILL)
    host.loses_it()
    assert host.link.restarts == 1
    host.link.written({"a": 1}, host.now_s + 50)
    assert host.link.due_s == pytest.approx(host.now_s + RESTART_FIRST_S), "the nearer of two"


def test_an_uplink_that_somebody_else_waited_for_is_reaped_without_error(hosts: Callable[..., Host]) -> None:
    host = hosts(leave=1)
    host.link.start(host.now_s)
    host.hears("CONFIGURE")
    os.waitpid(host.pids[0], 0)
    host.link.reap()
    host.loses_it()


def test_letting_go_leaves_the_uplink_to_end_by_itself(hosts: Callable[..., Host]) -> None:
    host = hosts()
    host.link.start(host.now_s)
    host.hears("CONFIGURE")
    (pid,) = host.pids
    host.link.close()
    host.link.close()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    host.link.reap()
    host.link.reap()
    assert not psutil.pid_exists(pid)


def test_the_uplink_inherits_what_it_is_to_and_nothing_else(hosts: Callable[..., Host], tmp_path: Path) -> None:
    listener, other = socket.socket(), socket.socket()
    host = hosts(inherit=(listener.fileno(),), log=str(tmp_path / "log"), write="trouble")
    given = {fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2 and _inheritable(fd)}
    host.link.start(host.now_s)
    host.hears("CONFIGURE")
    (pid,) = host.pids
    found = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    assert len(found) == 5 + len(given)
    assert listener.fileno() in found
    assert not os.get_inheritable(listener.fileno())
    assert os.getsid(pid) == pid, "the keyboard's signals are not for it"
    eventually(lambda: (tmp_path / "log").read_bytes() == b"trouble", "its log", DEADLINE_S)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    listener.close()
    other.close()


def _inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def test_the_uplinks_modules_are_ours_wherever_it_is_started(tmp_path: Path) -> None:
    (tmp_path / "codewrap.py").write_text("raise SystemExit('not ours')", encoding="utf-8")
    command = uplink_command()
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        result = subprocess.run([*command, "0"], stdin=theirs, capture_output=True, cwd=tmp_path, timeout=DEADLINE_S, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
