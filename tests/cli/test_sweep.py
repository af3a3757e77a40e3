"""The process that deletes what is kept too long, where no uplink is there to do it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codewrap.cli.sweep import start_if_due
from codewrap.store.archive import Archive
from codewrap.store.sessionfile import CLEANED
from tests.support.kept import ended


def test_what_is_too_old_is_deleted_by_a_process_of_its_own(tmp_path: Path) -> None:
    ended(tmp_path, "old")
    ended(tmp_path, "new", at=time.time())
    pid = start_if_due(tmp_path, 3600, None, os.environ)
    assert os.waitpid(pid, 0)[1] == 0
    assert Archive(tmp_path).names() == {"new"}
    assert start_if_due(tmp_path, 3600, None, os.environ) == 0


def test_what_was_done_of_late_is_not_done_again(tmp_path: Path) -> None:
    (tmp_path / CLEANED).write_text("\n")
    assert start_if_due(tmp_path, 3600, None, {}) == 0


def test_a_machine_that_can_start_nothing_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    assert start_if_due(tmp_path, 3600, None, os.environ) == 0


@pytest.mark.parametrize(("limits", "left"), [(["-", "-"], {"old"}), (["60", "-"], set()), (["-", "0"], set())])
def test_the_limits_are_those_that_it_is_given(tmp_path: Path, limits: list[str], left: set[str]) -> None:
    ended(tmp_path, "old")
    done = subprocess.run(
        [sys.executable, "-m", "codewrap.cli.sweep", str(tmp_path), *limits], capture_output=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")
    assert Archive(tmp_path).names() == left


def test_a_place_that_is_gone_is_no_error(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "codewrap.cli.sweep", str(tmp_path / "gone"), "60", "-"]
    assert subprocess.run(words, capture_output=True, timeout=60, check=True).stderr == b""
