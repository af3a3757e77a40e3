"""What a session does is written whole, and what cannot be read is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from codewrap.errors import StoreError
from codewrap.store.activity import FILE_NAME, Activity, read_activity, write_activity

ASKS = Activity("awaiting input", 1_800_000_000.5, ("echo is off",), "Password:", 120)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_activity(tmp_path, Activity("working", 1.0))
    write_activity(tmp_path, ASKS)
    assert read_activity(tmp_path) == ASKS
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "[" * 100_000, '{"state":"dancing","since":1,"evidence":[],"prompt":""}']
)
def test_nonsense_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert read_activity(tmp_path) is None


def test_nothing_there_is_none_and_no_link_is_followed(tmp_path: Path) -> None:
    assert read_activity(tmp_path) is None
    write_activity(tmp_path, ASKS)
    (tmp_path / FILE_NAME).rename(tmp_path / "elsewhere")
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "elsewhere")
    assert read_activity(tmp_path) is None


def test_directory_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        write_activity(tmp_path / "gone", ASKS)
