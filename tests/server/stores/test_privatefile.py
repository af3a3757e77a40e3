"""The file of a SQLite store is private, and nothing that somebody else put there is trusted."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from codewrap.errors import StoreError
from codewrap.server.stores.privatefile import private_file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serve-auth" / "state.sqlite"


def test_file_and_directory_are_for_the_owner_only_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        assert private_file(path) == path
    finally:
        os.umask(before)
    assert (mode(path.parent), mode(path)) == (0o700, 0o600)


def test_a_file_that_is_there_is_kept_as_it_is(path: Path) -> None:
    private_file(path).write_bytes(b"content")
    assert private_file(path).read_bytes() == b"content"


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert private_file(Path("own/state.sqlite")) == tmp_path / "own" / "state.sqlite"


def test_a_directory_that_is_open_to_others_is_refused_and_not_changed(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.parent.chmod(0o750)
    with pytest.raises(StoreError, match="open to others: chmod 700"):
        private_file(path)
    assert mode(path.parent) == 0o750
    assert not path.exists()


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
def test_a_file_that_is_open_to_others_is_refused(path: Path, end: str) -> None:
    private_file(path)
    file = path.with_name(path.name + end)
    file.touch()
    file.chmod(0o644)
    with pytest.raises(StoreError, match="open to others"):
        private_file(path)


def test_a_symlink_in_place_of_the_directory_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="symlink"):
        private_file(path)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("end", ["", "-wal"])
def test_a_symlink_in_place_of_the_file_is_not_followed(path: Path, tmp_path: Path, end: str) -> None:
    private_file(path)
    file = path.with_name(path.name + end)
    file.unlink(missing_ok=True)
    (tmp_path / "target").touch(mode=0o600)
    file.symlink_to(tmp_path / "target")
    with pytest.raises(StoreError, match="symlink"):
        private_file(path)


def test_a_directory_in_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir(parents=True, mode=0o700)
    path.parent.chmod(0o700)
    with pytest.raises(StoreError, match="not a file"):
        private_file(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_belongs_to_another_user_is_refused(path: Path) -> None:
    private_file(path)
    os.chown(path, 12345, 12345)
    with pytest.raises(StoreError, match="of this user"):
        private_file(path)
    os.chown(path, 0, 0)
    os.chown(path.parent, 12345, 12345)
    with pytest.raises(StoreError, match="another user"):
        private_file(path)
