"""On one machine a viewer and its host go the short way: typing and small output pass while the broker stands still."""

from __future__ import annotations

import os
import signal

from tests.support.sessions import Relay


def test_typing_and_its_echo_pass_while_the_uplink_stands_still(hub: Relay) -> None:
    host = hub.shell()
    viewer = hub.attached()
    viewer.send("echo one\r")
    viewer.shows("ready$ echo one\none\nready$")
    uplink = hub.host.uplink().pid
    os.kill(uplink, signal.SIGSTOP)
    try:
        viewer.send("echo two\r")
        viewer.shows("echo two\ntwo\nready$")
    finally:
        os.kill(uplink, signal.SIGCONT)
    viewer.send("echo three; exit 3\r")
    assert viewer.status() == 3
    assert host.status() == 3
    assert viewer.text().splitlines().count("two") == 1, "what comes by the broker afterwards is not shown again"


def test_who_only_watches_goes_the_short_way_too_and_types_nothing(hub: Relay) -> None:
    host = hub.shell(options=("--read-only",))
    viewer = hub.attached()
    uplink = hub.host.uplink().pid
    os.kill(uplink, signal.SIGSTOP)
    try:
        viewer.send("x")
        host.send("echo two\r")
        viewer.shows("ready$ echo two\ntwo\nready$")
    finally:
        os.kill(uplink, signal.SIGCONT)
    host.send("exit\r")
    assert viewer.status() == 0
    assert host.status() == 0
