"""Keys on disk: made once, private, and never through what somebody else put in the way."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from codewrap.errors import StoreError
from codewrap.server.keys import KEYS_FILE, KeyStore


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "codewrap")


def made(store: KeyStore) -> KeyStore:
    store.token()
    store.hub_keys()
    return store


def test_a_restart_finds_the_same_token_and_keys(store: KeyStore, tmp_path: Path) -> None:
    again = KeyStore(tmp_path / "codewrap")
    assert (store.token(), store.hub_keys()) == (again.token(), again.hub_keys())


def test_two_servers_have_nothing_in_common(tmp_path: Path) -> None:
    one, two = KeyStore(tmp_path / "one"), KeyStore(tmp_path / "two")
    assert one.token() != two.token()
    assert one.hub_keys().secret != two.hub_keys().secret
    assert one.hub_keys().master_key != two.hub_keys().master_key


def test_everything_is_for_the_owner_only_whatever_the_umask(store: KeyStore) -> None:
    before = os.umask(0)
    try:
        made(store)
    finally:
        os.umask(before)
    assert mode(store.directory) == mode(store.directory.parent) == 0o700
    assert {entry.name: mode(entry) for entry in store.directory.iterdir()} == {"keys.json": 0o600, "token": 0o600}


def test_token_and_keys_are_strong_and_of_the_right_form(store: KeyStore) -> None:
    assert len(store.token()) == 43
    keys = store.hub_keys()
    assert keys.app_id.isdigit()
    assert (len(keys.key), len(keys.secret), len(keys.master_key)) == (32, 64, 32)
    assert keys.secret not in repr(keys)
    assert repr(keys.master_key) not in repr(keys)


def test_the_token_s_file_is_what_an_administrator_reads(store: KeyStore) -> None:
    token = store.token()
    assert store.token_path.read_text() == f"{token}\n"


def test_servers_that_start_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: (KeyStore(tmp_path).token(), KeyStore(tmp_path).hub_keys()), range(64)))
    assert all(pair == found[0] for pair in found)
    assert sorted(entry.name for entry in KeyStore(tmp_path).directory.iterdir()) == ["keys.json", "token"]


def _link_directory(store: KeyStore, elsewhere: Path) -> None:
    store.directory.rename(elsewhere)
    store.directory.symlink_to(elsewhere)


def _link_parent(store: KeyStore, elsewhere: Path) -> None:
    store.directory.parent.rename(elsewhere)
    store.directory.parent.symlink_to(elsewhere)


def _link_token(store: KeyStore, elsewhere: Path) -> None:
    store.token_path.rename(elsewhere)
    store.token_path.symlink_to(elsewhere)


def _dangling_token(store: KeyStore, elsewhere: Path) -> None:
    store.token_path.unlink()
    store.token_path.symlink_to(elsewhere)


def _open_directory(store: KeyStore, elsewhere: Path) -> None:
    store.directory.chmod(0o750)


def _open_parent(store: KeyStore, elsewhere: Path) -> None:
    store.directory.parent.chmod(0o701)


def _open_token(store: KeyStore, elsewhere: Path) -> None:
    store.token_path.chmod(0o640)


def _pipe(store: KeyStore, elsewhere: Path) -> None:
    store.token_path.unlink()
    os.mkfifo(store.token_path, 0o600)


def _file_for_directory(store: KeyStore, elsewhere: Path) -> None:
    store.directory.rename(elsewhere)
    store.directory.touch()


def _empty_token(store: KeyStore, elsewhere: Path) -> None:
    store.token_path.write_text("\n")


def _binary_token(store: KeyStore, elsewhere: Path) -> None:
    store.token_path.write_bytes(b"\xff" * 43)


def _short_token(store: KeyStore, elsewhere: Path) -> None:
    store.token_path.write_text("guess-me\n")


@pytest.mark.parametrize(
    "spoil",
    [
        _link_directory,
        _link_parent,
        _link_token,
        _dangling_token,
        _open_directory,
        _open_parent,
        _open_token,
        _pipe,
        _file_for_directory,
        _empty_token,
        _binary_token,
        _short_token,
    ],
)
def test_what_is_not_private_or_not_whole_is_refused(
    spoil: Callable[[KeyStore, Path], None], store: KeyStore, tmp_path: Path
) -> None:
    token = made(store).token()
    elsewhere = tmp_path / "elsewhere"
    spoil(store, elsewhere)
    with pytest.raises(StoreError) as caught:
        store.token()
    assert str(tmp_path) in str(caught.value)
    assert token not in str(caught.value)
    if spoil is _dangling_token:
        assert not elsewhere.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_another_user_s_directory_is_refused(store: KeyStore) -> None:
    made(store)
    os.chown(store.directory, 12345, -1)
    with pytest.raises(StoreError, match="another user"):
        store.token()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("app_id", "abc"),
        ("app_id", 7),
        ("key", ""),
        ("secret", None),
        ("master_key", "AAAA"),
        ("master_key", "!"),
    ],
)
def test_damaged_keys_are_refused_and_kept(store: KeyStore, field: str, value: object) -> None:
    made(store)
    path = store.directory / KEYS_FILE
    fields = json.loads(path.read_text()) | {field: value}
    path.write_text(json.dumps(fields))
    with pytest.raises(StoreError, match=r"keys\.json"):
        store.hub_keys()
    assert json.loads(path.read_text()) == fields


def test_no_json_is_refused(store: KeyStore) -> None:
    made(store)
    (store.directory / KEYS_FILE).write_text("{")
    with pytest.raises(StoreError):
        store.hub_keys()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="Permission denied"):
        KeyStore(tmp_path / "codewrap").token()


def test_a_place_that_is_no_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "codewrap").touch()
    with pytest.raises(StoreError):
        KeyStore(tmp_path / "codewrap").token()


def test_a_new_master_key_leaves_the_other_keys_and_is_private(store: KeyStore) -> None:
    before = store.hub_keys()
    store.rotate_master_key()
    after = store.hub_keys()
    assert len(after.master_key) == 32
    assert after.master_key != before.master_key
    assert replace(after, master_key=before.master_key) == before
    assert mode(store.directory / KEYS_FILE) == 0o600
    assert [entry.name for entry in store.directory.iterdir()] == [KEYS_FILE]


def test_keys_that_are_damaged_are_not_made_good_by_a_new_master_key(store: KeyStore) -> None:
    made(store)
    (store.directory / KEYS_FILE).write_text("{}")
    with pytest.raises(StoreError, match="does not hold"):
        store.rotate_master_key()
    assert (store.directory / KEYS_FILE).read_text() == "{}"
