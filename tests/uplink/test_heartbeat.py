"""Signs of life come while the host lives, and stop with it; the disk may refuse them."""

from __future__ import annotations

import os
from pathlib import Path

from codewrap.store.sessionfile import HEARTBEAT, write_start
from codewrap.uplink.heartbeat import Heartbeat
from tests.support.ptydriver import eventually


def beat_of(directory: Path) -> float:
    path = directory / HEARTBEAT
    return path.stat().st_mtime if path.exists() else 0.0


def test_signs_of_life_come_while_the_host_lives(tmp_path: Path) -> None:
    write_start(tmp_path, {"name": "build"})
    heartbeat = Heartbeat(tmp_path, os.getppid(), every_s=0.01)
    heartbeat.start()
    for _ in range(2):
        eventually(lambda: beat_of(tmp_path) > 1000, "a beat")
        os.utime(tmp_path / HEARTBEAT, (1000, 1000))
    heartbeat.stop()
    assert (tmp_path / HEARTBEAT).stat().st_size == 0
    assert (tmp_path / HEARTBEAT).stat().st_mode & 0o777 == 0o600


def test_after_its_stop_nothing_is_touched(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path, os.getppid(), every_s=3600)
    heartbeat.start()
    eventually(lambda: beat_of(tmp_path) > 0, "a beat")
    heartbeat.stop()
    assert not heartbeat._thread.is_alive()


def test_of_a_host_that_is_gone_there_are_none(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path, os.getpid(), every_s=3600)  # no parent of ours
    heartbeat.start()
    heartbeat._thread.join()
    assert beat_of(tmp_path) == 0


def test_a_heartbeat_that_was_never_started_can_be_stopped(tmp_path: Path) -> None:
    Heartbeat(tmp_path, os.getppid()).stop()


def test_a_disk_that_refuses_ends_nothing(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    heartbeat = Heartbeat(gone, os.getppid(), every_s=0.01)
    heartbeat.start()
    gone.mkdir()
    eventually(lambda: beat_of(gone) > 0, "a beat once it can be written")
    heartbeat.stop()


def test_no_link_is_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("")
    os.utime(target, (1000, 1000))
    directory = tmp_path / "session"
    directory.mkdir()
    (directory / HEARTBEAT).symlink_to(target)
    heartbeat = Heartbeat(directory, os.getppid(), every_s=3600)
    heartbeat.start()
    heartbeat.stop()
    assert target.stat().st_mtime == 1000
