"""Signals become readable, in order; old handlers come back; what was ignored stays ignored."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterator

import pytest

from codewrap.terminal.wakeup import SignalWakeup

WANTED = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)


def handler(*_: object) -> None:
    raise AssertionError("the old handler was called")


@pytest.fixture(autouse=True)
def handlers_as_they_were() -> Iterator[None]:
    old = {number: signal.getsignal(number) for number in WANTED}
    yield
    for number, before in old.items():
        signal.signal(number, before)


def readable(wakeup: SignalWakeup, timeout_s: float = 0) -> bool:
    return bool(select.select([wakeup], [], [], timeout_s)[0])


def test_signals_come_in_order_and_once() -> None:
    with SignalWakeup(WANTED) as wakeup:
        assert not readable(wakeup)
        assert wakeup.take() == []
        for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR1):
            os.kill(os.getpid(), number)
        assert readable(wakeup)
        assert wakeup.take() == [signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR1]
        assert not readable(wakeup)
        assert wakeup.take() == []


def test_the_end_of_a_child_wakes() -> None:
    with SignalWakeup([signal.SIGCHLD]) as wakeup, subprocess.Popen(["true"]):
        assert readable(wakeup, 10)
        assert wakeup.take() == [signal.SIGCHLD]


def test_more_signals_than_the_pipe_holds_neither_block_nor_complain() -> None:
    with SignalWakeup([signal.SIGUSR1]) as wakeup:
        for _ in range(70_000):
            signal.raise_signal(signal.SIGUSR1)
        assert len(wakeup.take()) == 4096
        while wakeup.take():
            pass
        os.kill(os.getpid(), signal.SIGUSR1)
        assert wakeup.take() == [signal.SIGUSR1]


def test_old_handlers_come_back_whatever_happens() -> None:
    signal.signal(signal.SIGUSR1, handler)
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    with pytest.raises(KeyError), SignalWakeup(WANTED) as wakeup:
        os.kill(os.getpid(), signal.SIGUSR1)
        fd = wakeup.fileno()
        raise KeyError
    assert signal.getsignal(signal.SIGUSR1) is handler
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_one_inside_another_takes_over_for_a_while() -> None:
    with SignalWakeup([signal.SIGUSR1]) as outer:
        with SignalWakeup([signal.SIGUSR1]) as inner:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert inner.take() == [signal.SIGUSR1]
        os.kill(os.getpid(), signal.SIGUSR1)
        assert outer.take() == [signal.SIGUSR1]


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with SignalWakeup(WANTED) as wakeup:
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGUSR1)
        assert wakeup.take() == []
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN


def test_the_end_of_children_is_heard_of_where_whoever_started_us_ignored_it() -> None:
    """After `trap '' CHLD` in a shell nothing woke the host, and the status of the command was lost."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with SignalWakeup([signal.SIGCHLD]) as wakeup:
        process = subprocess.Popen(["sh", "-c", "exit 3"])
        assert readable(wakeup, 10)
        assert process.wait(10) == 3
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
