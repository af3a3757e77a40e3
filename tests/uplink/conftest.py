"""A session log for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sessionlogs import SessionLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SessionLog]:
    log = SessionLog(tmp_path)
    yield log
    log.close()


@pytest.fixture
def short_log(tmp_path: Path) -> Iterator[SessionLog]:
    """One that gives history back as soon as it can."""
    log = SessionLog(tmp_path, keep_bytes=1024)
    yield log
    log.close()
