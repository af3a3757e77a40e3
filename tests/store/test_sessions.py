"""Records of sessions: who has a name, who is dead, who was first, and what others may have put in their place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from codewrap.errors import SessionNameTaken, StoreError
from codewrap.store.sessions import SessionRecord, SessionStore, is_alive, process_start
from codewrap.store.spent import Spent, write_spent

ALIVE = SessionRecord(
    name="demo",
    pid=os.getpid(),
    pid_started=process_start(os.getpid()),
    epoch="e1",
    mode="embedded",
    endpoint="http://127.0.0.1:1",
    encrypted=True,
    read_only=False,
    command=["sh", "-c", "true"],
    started_at=10.0,
    log_directory="/log",
    hub={"secret": "never-shown"},
)
# The same pid, used again by a process that started at another time.
STALE = replace(ALIVE, pid_started="another boot:1", epoch="e0")


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    return SessionStore(tmp_path)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def put(directory: Path, record: SessionRecord) -> Path:
    path = directory / f"{record.name}.json"
    path.write_text(json.dumps(asdict(record)), encoding="utf-8")
    return path


def test_a_record_comes_back_and_is_private(store: SessionStore, tmp_path: Path) -> None:
    store.create(ALIVE)
    assert store.find("demo") == ALIVE
    assert store.running() == [ALIVE]
    assert (tmp_path / "demo.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["demo.json"]


def test_a_record_shows_no_keys() -> None:
    assert "never-shown" not in repr(ALIVE)
    assert "never-shown" not in str(ALIVE.public())
    assert ALIVE.public()["command"] == ["sh", "-c", "true"]
    assert "pid_started" not in ALIVE.public()


def test_a_record_leads_to_what_its_session_has_spent(tmp_path: Path) -> None:
    record = replace(ALIVE, log_directory=str(tmp_path))
    assert record.spent() == Spent(since=record.started_at)
    write_spent(tmp_path, Spent(at=20.0, since=10.0, messages=7))
    assert record.spent().messages == 7


def test_a_live_session_keeps_its_name(store: SessionStore) -> None:
    store.create(ALIVE)
    with pytest.raises(SessionNameTaken) as caught:
        store.create(replace(ALIVE, epoch="e2"))
    assert caught.value.name == "demo"
    assert store.find("demo") == ALIVE


@pytest.mark.parametrize("left", ["stale", "garbage", "empty", "link", "foreign json"])
def test_what_a_dead_session_left_is_taken_over(left: str, store: SessionStore, tmp_path: Path) -> None:
    path = put(tmp_path, STALE)
    if left == "link":
        path.rename(tmp_path / "target")
        path.symlink_to(tmp_path / "target")
    elif left != "stale":
        path.write_bytes({"garbage": b"\xff{", "empty": b"", "foreign json": b"[1]"}[left])
    assert store.find("demo") is None
    store.create(ALIVE)
    assert store.find("demo") == ALIVE
    if left == "link":
        assert json.loads((tmp_path / "target").read_bytes())["epoch"] == "e0"


def test_only_one_of_many_who_take_over_a_stale_name_gets_it(store: SessionStore, tmp_path: Path) -> None:
    """Each saw the stale record, and removed what it found there a moment later: the record of whoever came first."""
    starters, rounds = 4, 150
    barrier = threading.Barrier(starters + 1)
    winners: list[str] = []

    def start(number: int) -> None:
        for turn in range(rounds):
            barrier.wait()
            record = replace(ALIVE, epoch=f"{turn}-{number}")
            try:
                store.create(record)
            except SessionNameTaken:
                pass
            else:
                winners.append(record.epoch)
            barrier.wait()

    threads = [threading.Thread(target=start, args=(number,), daemon=True) for number in range(starters)]
    for thread in threads:
        thread.start()
    for turn in range(rounds):
        put(tmp_path, STALE)
        winners.clear()
        barrier.wait(30)
        barrier.wait(30)
        found = store.find("demo")
        assert found is not None
        assert winners == [found.epoch], f"round {turn}"
    for thread in threads:
        thread.join(30)


def test_listing_never_removes_the_record_that_takes_a_dead_ones_place(store: SessionStore, tmp_path: Path) -> None:
    stop = threading.Event()

    def list_them() -> None:
        while not stop.is_set():
            SessionStore(tmp_path).running()

    thread = threading.Thread(target=list_them, daemon=True)
    thread.start()
    try:
        for turn in range(200):
            put(tmp_path, STALE)
            record = replace(ALIVE, epoch=f"t{turn}")
            store.create(record)
            assert store.find("demo") == record, f"turn {turn}"
            store.remove("demo", record.epoch)
    finally:
        stop.set()
        thread.join(30)


def test_a_session_removes_its_own_record_only(store: SessionStore) -> None:
    store.create(ALIVE)
    store.remove("demo", "e2")
    assert store.find("demo") == ALIVE
    store.remove("demo", "e1")
    assert store.find("demo") is None
    store.remove("demo", "e1")


def test_running_sessions_are_listed_oldest_first_and_dead_ones_removed(store: SessionStore, tmp_path: Path) -> None:
    for name, started_at in (("b", 3.0), ("a", 2.0), ("c", 1.0)):
        store.create(replace(ALIVE, name=name, started_at=started_at))
    dead = put(tmp_path, replace(STALE, name="dead"))
    (tmp_path / "garbage.json").write_bytes(b"{")
    (tmp_path / "uplink.log").touch()
    assert [record.name for record in store.running()] == ["c", "a", "b"]
    assert not dead.exists()


@pytest.mark.parametrize("name", ["", "../demo", "Demo", "demo.json", "a/b", "\x00"])
def test_other_names_are_found_nowhere(name: str, store: SessionStore, tmp_path: Path) -> None:
    put(tmp_path, ALIVE)
    assert store.find(name) is None


def test_a_record_of_another_user_is_not_trusted(store: SessionStore, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root: gives a file away")
    os.chown(put(tmp_path, ALIVE), 12345, 12345)
    assert store.find("demo") is None
    assert store.running() == []


def test_a_command_line_of_any_length_and_bytes_is_kept(store: SessionStore) -> None:
    """Records were read up to 64 KiB: the session of a long command line could not be found, and its name be taken."""
    record = replace(ALIVE, command=["echo", os.fsdecode(b"\xff\xfe"), *["\x1b" * 1000] * 1000])
    store.create(record)
    assert store.find("demo") == record
    with pytest.raises(SessionNameTaken):
        store.create(replace(ALIVE, epoch="e2"))


def test_a_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "gone")
    assert store.find("demo") is None
    assert store.running() == []
    with pytest.raises(StoreError, match="cannot be opened"):
        store.create(ALIVE)


def test_a_process_is_alive_until_it_ends(sleeper: subprocess.Popen[bytes]) -> None:
    record = replace(ALIVE, pid=sleeper.pid, pid_started=process_start(sleeper.pid))
    assert record.pid_started
    assert is_alive(record)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(sleeper.pid) == "", "a zombie runs no session"
    assert not is_alive(record)
    sleeper.wait()
    assert process_start(sleeper.pid) == ""
    assert not is_alive(record)


def test_a_record_that_does_not_know_its_start_is_not_alive_for_ever(sleeper: subprocess.Popen[bytes]) -> None:
    """Nothing equals nothing: a record without a start looked alive as soon as its process was gone."""
    sleeper.kill()
    sleeper.wait()
    assert not is_alive(replace(ALIVE, pid=sleeper.pid, pid_started=""))


def test_a_pid_that_is_used_again_is_another_process(store: SessionStore, tmp_path: Path) -> None:
    put(tmp_path, STALE)
    assert not is_alive(STALE)
    assert store.find("demo") is None


def test_a_program_whose_name_looks_like_a_state_is_alive(tmp_path: Path) -> None:
    tool = shutil.which("sleep")
    assert tool is not None
    program = tmp_path / "x) Z 1 (y"
    shutil.copy(tool, program)
    with subprocess.Popen([program, "60"]) as process:
        try:
            assert process_start(process.pid).rpartition(":")[2].isdigit()
        finally:
            process.kill()
