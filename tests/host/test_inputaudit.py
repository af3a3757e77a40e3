"""The host's lines of the audit log, on a real disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codewrap.host.inputaudit import InputAudit
from codewrap.store.audit import AuditLog
from codewrap.store.auditcheck import verify
from codewrap.store.audittally import COUNTED_S, MOST_PER_S
from tests.support.disk import files_ending_at


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def lines(directory: Path) -> list[dict[str, Any]]:
    """Without the file's first line and the chain."""
    assert verify(directory).problem is None
    found = [json.loads(line) for line in (directory / "00000001.jsonl").read_text().splitlines()[1:]]
    return [{name: line[name] for name in line if name not in {"at", "seq", "prev", "hash"}} for line in found]


def test_a_frame_is_a_line_that_says_who_and_how_much_and_what_became_of_it(directory: Path) -> None:
    audit = InputAudit(AuditLog(directory), "build")
    audit.accepted(writer="0a1b", user="anna", role="writer", offset=7, size=3)
    audit.refused(writer="0a1b", user="eve", role="viewer", offset=10, size=5, why="may not type")
    audit.decided("approved", user="ben", by="anna", writer="0c0d")
    audit.close()
    assert lines(directory) == [
        {
            "event": "input",
            "accepted": True,
            "writer": "0a1b",
            "user": "anna",
            "role": "writer",
            "session": "build",
            "offset": 7,
            "size": 3,
        },
        {
            "event": "input",
            "accepted": False,
            "writer": "0a1b",
            "user": "eve",
            "role": "viewer",
            "session": "build",
            "offset": 10,
            "size": 5,
            "why": "may not type",
        },
        {"event": "decision", "what": "approved", "user": "ben", "by": "anna", "writer": "0c0d", "session": "build"},
    ]


def test_a_flood_of_refused_frames_is_counted_and_what_is_accepted_meanwhile_is_not(directory: Path) -> None:
    clock = Clock()
    audit = InputAudit(AuditLog(directory), "build", clock)
    for number in range(MOST_PER_S + 1000):
        audit.refused(writer="0a1b", user="eve", role="viewer", offset=number, size=2, why="may not type")
    for number in range(MOST_PER_S + 10):
        audit.accepted(writer="0c0d", user="anna", role="writer", offset=number, size=1)
    clock.now_s += COUNTED_S
    audit.tick()
    found = lines(directory)
    assert len(found) == 2 * MOST_PER_S + 11
    assert found[-1] == {
        "event": "input",
        "accepted": False,
        "count": 1000,
        "size": 2000,
        "user": "eve",
        "why": "may not type",
        "session": "build",
    }
    audit.close()


def test_what_is_only_counted_is_written_at_the_end(directory: Path) -> None:
    audit = InputAudit(AuditLog(directory), "build", Clock())
    for number in range(MOST_PER_S + 1):
        audit.refused(writer="0a1b", user="eve", role="viewer", offset=number, size=2, why="may not type")
    audit.close()
    assert lines(directory)[-1]["count"] == 1


def test_a_log_that_cannot_be_written_stops_nothing(directory: Path) -> None:
    audit = InputAudit(AuditLog(directory), "build")
    with files_ending_at(100):
        audit.accepted(writer="0a1b", user="anna", role="writer", offset=0, size=1)
        audit.refused(writer="0a1b", user="eve", role="viewer", offset=0, size=1, why="may not type")
    assert audit.refused_writes == 2
    audit.close()
    assert lines(directory)[-1] == {"event": "lost", "lines": 2}
