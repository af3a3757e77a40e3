"""The list of servers that links have led to."""

from __future__ import annotations

from pathlib import Path

from codewrap.store.knownservers import MOST, KnownServers


def test_a_server_is_known_once_it_was_added(tmp_path: Path) -> None:
    servers = KnownServers(tmp_path)
    assert not servers.knows("https://c.example")
    servers.add("https://c.example")
    servers.add("https://c.example")
    assert KnownServers(tmp_path).knows("https://c.example")
    assert not servers.knows("https://c.example:8443")
    assert not servers.knows("https://c.exampl")
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == "https://c.example\n"


def test_the_oldest_is_forgotten(tmp_path: Path) -> None:
    servers = KnownServers(tmp_path)
    for number in range(MOST + 1):
        servers.add(f"https://{number}.example")
    assert not servers.knows("https://0.example")
    assert servers.knows("https://1.example")
    assert servers.knows(f"https://{MOST}.example")


def test_without_a_directory_or_a_file_of_ours_every_server_is_new(tmp_path: Path) -> None:
    nowhere = KnownServers(None)
    nowhere.add("https://c.example")
    assert not nowhere.knows("https://c.example")
    gone = KnownServers(tmp_path / "not-there")
    gone.add("https://c.example")
    assert not gone.knows("https://c.example")
    (tmp_path / "elsewhere").write_text("https://c.example\n")
    (tmp_path / "known-servers").symlink_to(tmp_path / "elsewhere")
    assert not KnownServers(tmp_path).knows("https://c.example")
    (tmp_path / "known-servers").unlink()
    (tmp_path / "known-servers").write_bytes(b"\xff\n")
    assert not KnownServers(tmp_path).knows("https://c.example")
