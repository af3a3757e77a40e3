"""Private directories and files on a real disk: symbolic links, foreign modes and owners, full disks."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from codewrap.errors import StoreError
from codewrap.store.files import create_private, private_directory, runtime_directory, state_directory, write_private
from tests.support.disk import files_ending_at


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Nothing here may depend on a careful umask."""
    old = os.umask(0)
    yield
    os.umask(old)


def test_a_private_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = private_directory(tmp_path / "above" / "it")
    assert mode(path) == 0o700


def test_a_directory_that_is_there_is_taken_and_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "open"
    path.mkdir(mode=0o777)
    (path / "file").touch()
    assert private_directory(path) == path
    assert mode(path) == 0o700
    assert (path / "file").exists()


def test_a_directory_that_is_private_already_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "private"
    path.mkdir(mode=0o500)
    assert mode(private_directory(path)) == 0o500


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(StoreError, match="a symbolic link is not followed") as caught:
        private_directory(tmp_path / "link")
    assert caught.value.path == str(tmp_path / "link")
    assert mode(tmp_path / "target") == 0o755


def test_a_dangling_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="is not a directory"):
        private_directory(tmp_path / "link")
    assert not (tmp_path / "nowhere").exists()


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="is not a directory"):
        private_directory(tmp_path / "file")
    with pytest.raises(StoreError, match="cannot be made"):
        private_directory(tmp_path / "file" / "below")


def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    theirs = Path("/usr")
    if os.getuid() == 0:
        theirs = tmp_path / "theirs"
        theirs.mkdir(mode=0o700)
        os.chown(theirs, 12345, 12345)
    with pytest.raises(StoreError, match="belongs to another user"):
        private_directory(theirs)


def test_the_runtime_directory_is_the_chosen_one_first(tmp_path: Path) -> None:
    environ = {"CODEWRAP_RUNTIME_DIR": str(tmp_path / "chosen"), "XDG_RUNTIME_DIR": str(tmp_path)}
    assert runtime_directory(environ) == tmp_path / "chosen"


def test_the_runtime_directory_is_below_that_of_the_login(tmp_path: Path) -> None:
    assert runtime_directory({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "codewrap"
    assert mode(tmp_path / "codewrap") == 0o700


@pytest.mark.parametrize("unusable", ["", "relative", "/nowhere/at/all"])
def test_without_a_usable_one_the_runtime_directory_is_a_private_one_for_the_user(
    unusable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = runtime_directory({"XDG_RUNTIME_DIR": unusable})
    assert path == tmp_path / f"codewrap-{os.getuid()}"
    assert mode(path) == 0o700


def test_a_link_in_place_of_the_runtime_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"codewrap-{os.getuid()}").symlink_to("/usr")
    with pytest.raises(StoreError):
        runtime_directory({})


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"CODEWRAP_STATE_DIR": "{}/chosen", "XDG_STATE_HOME": "{}/xdg", "HOME": "{}/home"}, "chosen"),
        ({"XDG_STATE_HOME": "{}/xdg", "HOME": "{}/home"}, "xdg/codewrap"),
        ({"XDG_STATE_HOME": "relative", "HOME": "{}/home"}, "home/.local/state/codewrap"),
        ({"HOME": "{}/home"}, "home/.local/state/codewrap"),
    ],
)
def test_the_state_directory_is_found_in_order(environ: dict[str, str], expected: str, tmp_path: Path) -> None:
    filled = {name: value.format(tmp_path) for name, value in environ.items()}
    assert state_directory(filled) == tmp_path / expected
    assert mode(tmp_path / expected) == 0o700


def test_a_private_file_is_created_once_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "file"
    fd = create_private(path)
    os.write(fd, b"data")
    assert os.pread(fd, 9, 0) == b"data"
    assert not os.get_inheritable(fd)
    os.close(fd)
    assert mode(path) == 0o600
    with pytest.raises(FileExistsError):
        create_private(path)


def test_a_private_file_is_not_created_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="File exists"):
        create_private(tmp_path / "link")
    assert not (tmp_path / "target").exists()


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    with path.open("rb") as held:
        write_private(path, b"new")
        assert held.read() == b"old"
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"keep")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_private(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"keep"
    assert not (tmp_path / "link").is_symlink()


def test_what_a_killed_writer_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f".file.{os.getpid()}").symlink_to(tmp_path / "target")
    write_private(tmp_path / "file", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_fills_up_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A write that fits in part is reported as short, not as an error: the truncated file took the old one's place."""
    path = tmp_path / "file"
    write_private(path, b"old")
    with files_ending_at(100), pytest.raises(StoreError, match="cannot be written: File too large"):
        write_private(path, bytes(101))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory") as caught:
        write_private(tmp_path / "nowhere" / "file", b"")
    assert caught.value.path == str(tmp_path / "nowhere" / "file")
