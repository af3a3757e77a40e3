"""Recordings at `serve-auth`, by real processes: a session ends, its host's machine is gone, what it wrote is read elsewhere."""

from __future__ import annotations

import json
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ptydriver import eventually
from tests.support.served import Served
from tests.support.sessions import CODEWRAP, TOKEN, Machine, session_name

pytestmark = pytest.mark.timeout(180)


class Place:
    """A server, the machine of a host, and that of somebody else."""

    def __init__(self, root: Path, served: Served, **settings: str) -> None:
        self.served = served
        self.root = root
        way = {"CODEWRAP_URL": served.url, "CODEWRAP_TOKEN": TOKEN} | settings
        self.host, self.viewer = Machine(root / "host", way), Machine(root / "viewer", way)
        self.machines = [self.host, self.viewer]
        self.name = session_name()

    def as_user(self, user: str, role: str, *sessions: str) -> Machine:
        """A machine of somebody with a token of their own."""
        _, _, body = self.served.request("POST", "/api/tokens", {"user": user, "role": role, "sessions": list(sessions)})
        way = {"CODEWRAP_URL": self.served.url, "CODEWRAP_TOKEN": json.loads(body)["token"]}
        self.machines.append(Machine(self.root / user, way))
        return self.machines[-1]

    def run_to_its_end(self, *command: str, options: tuple[str, ...] = (), **how: object) -> tuple[int, bytes, bytes]:
        """A session; over and gone, with all that its machine knew of it."""
        done = self.host.finished("run", "--name", self.name, *options, "--", *command, **how)
        eventually(self.host.is_over, "nothing of the session is left running")
        shutil.rmtree(self.host.root / "state")
        return done

    @property
    def recordings(self) -> Path:
        return self.served.directory / "state" / "codewrap" / "serve-auth" / "recordings"

    def stored(self) -> Path:
        """The file at the server."""
        (path,) = (self.recordings / self.name).iterdir()
        return path

    def listed(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.served.request("GET", f"/api/recordings?session={self.name}")[2])[
            "recordings"
        ]
        return found


@pytest.fixture
def place(tmp_path: Path, gateway: Served) -> Iterator[Place]:
    made = Place(tmp_path, gateway)
    yield made
    for machine in made.machines:
        machine.close()


SCRIPT = "printf 'one\\n'; printf 'two \\377\\000 three\\n'; head -c 300000 /dev/urandom | base64; echo err >&2; exit 7"


def test_what_a_session_wrote_is_read_elsewhere_when_its_host_is_gone(place: Place) -> None:
    status, out, said = place.run_to_its_end("sh", "-c", SCRIPT)
    assert status == 7
    assert b"and so is the recording that is stored there" in said
    status, logs, said = place.viewer.finished("logs", place.name)
    assert (status, logs) == (0, out)
    assert f"as {place.served.url} stores it".encode() in said
    assert place.viewer.finished("logs", f"{place.name}@{place.stored().name[:8]}")[1] == out
    status, cast, _ = place.viewer.finished("export", place.name, "--format", "cast")
    assert status == 0
    lines = [json.loads(line) for line in cast.splitlines()]
    assert lines[0]["command"].startswith("sh -c")
    assert lines[-1][1:] == ["x", "7"]
    # What was opened to be shown is gone again.
    assert list((place.viewer.root / "state" / "fetched").iterdir()) == []


def test_attach_to_a_session_that_is_over_shows_its_end_and_leaves_with_its_status(place: Place) -> None:
    host = place.host.run("--name", place.name, "sh", "-c", "printf 'first\\r\\n\\033[31mred\\033[m line\\r\\n'; exit 7")
    assert host.status() == 7
    eventually(place.host.is_over, "nothing of the session is left running")
    shutil.rmtree(place.host.root / "state")
    viewer = place.viewer.attach(place.name)
    assert viewer.status() == 7
    assert "first\n" in viewer.text()
    assert "red line\n" in viewer.text()
    assert f"session {place.name} has ended" in viewer.text()
    assert "exit 7" in viewer.text()
    piped = place.viewer.attach_piped(place.name)
    assert piped.status() == 7
    assert b"\x1b[31mred" in piped.out.everything()


def test_a_session_that_runs_elsewhere_is_followed_to_its_end(place: Place) -> None:
    host = place.host.run("--name", place.name, "sh", "-c", "echo first; read x; echo last; exit 7")
    eventually(lambda: place.listed() != [], "its recording has begun")
    reader = place.viewer.piped([CODEWRAP, "logs", "--follow", place.name])
    reader.out.expect(b"first")
    host.send("\n")
    reader.out.expect(b"last")
    assert reader.status() == 0
    assert host.status() == 7
    assert b"was lost" not in reader.err.everything()


def test_nothing_is_in_clear_on_the_servers_disk(place: Place) -> None:
    place.run_to_its_end("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo marmalade; done")
    assert place.viewer.finished("logs", place.name)[1] == b"marmalade\n" * 8
    everything = b"".join(path.read_bytes() for path in place.served.directory.rglob("*") if path.is_file())
    assert b"marmalade" not in everything
    assert b"for i in" not in everything
    assert place.stored().stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("options", [("--no-store",), ("--no-record",), ("--no-encrypt",)])
def test_what_is_not_to_be_stored_is_not(place: Place, options: tuple[str, ...]) -> None:
    _, _, said = place.run_to_its_end("echo", "x", options=options)
    assert b"stored there" not in said
    assert place.listed() == []
    status, _, said = place.viewer.finished("logs", place.name)
    assert status == 255
    assert b"nor stored at" in said


def corruptions() -> dict[str, object]:
    def blocks(data: bytes) -> list[bytes]:
        found = []
        while data:
            size = 4 + int.from_bytes(data[:4], "big")
            found.append(data[:size])
            data = data[size:]
        return found

    def altered(data: bytes) -> bytes:
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]

    def swapped(data: bytes) -> bytes:
        first, second, *rest = blocks(data)
        return b"".join([second, first, *rest])

    return {
        "altered": altered,
        "swapped": swapped,
        "dropped in the middle": lambda data: b"".join(blocks(data)[:1] + blocks(data)[2:]),
        "cut at the end": lambda data: b"".join(blocks(data)[:-1]),
        "cut within the end": lambda data: data[:-3],
        "emptied": lambda _: b"",
    }


@pytest.mark.parametrize("how", sorted(corruptions()))
def test_what_is_done_to_it_at_the_server_is_found_and_said(place: Place, how: str) -> None:
    place.run_to_its_end("sh", "-c", SCRIPT)
    path = place.stored()
    path.write_bytes(corruptions()[how](path.read_bytes()))  # type: ignore[operator]
    for command in ("logs", "export", "attach"):
        status, out, said = place.viewer.finished(command, place.name)
        assert (out, status) == (b"", 255 if command == "attach" else 125)
        assert b"the stored recording is damaged" in said
        assert b"Traceback" not in said


def test_only_who_may_watch_the_session_may_read_it(place: Place) -> None:
    place.run_to_its_end("echo", "secret")
    viewer, stranger = place.as_user("vera", "viewer", place.name), place.as_user("sam", "viewer", "other-*")
    assert viewer.finished("logs", place.name)[1] == b"secret\n"
    status, out, said = stranger.finished("logs", place.name)
    assert (status, out) == (255, b"")
    assert b"nor stored at" in said


def test_an_uplink_that_is_killed_leaves_the_recording_whole(place: Place) -> None:
    host = place.host.run_piped("--name", place.name, "sh", "-c", "while read line; do echo got $line; done; exit 4")
    expected = b""
    for number in range(3):
        host.send(b"%d\n" % number)
        expected += b"got %d\n" % number
        host.out.expect(b"got %d\n" % number)
        eventually(lambda: any(each["bytes"] for each in place.listed()), "something is stored")
        uplink = place.host.uplink()
        uplink.send_signal(signal.SIGKILL)
        eventually(lambda pid=uplink.pid: place.host.uplinks() and place.host.uplink().pid != pid, "another uplink")
    host.end_input()
    assert host.status() == 4
    eventually(place.host.is_over, "nothing of the session is left running")
    shutil.rmtree(place.host.root / "state")
    assert place.viewer.finished("logs", place.name)[1] == expected
    assert [each["ended"] for each in place.listed()] == [True]


def test_a_host_that_vanishes_leaves_what_was_stored_and_is_lost(place: Place) -> None:
    host = place.host.run_piped("--name", place.name, "sh", "-c", "echo before; sleep 1000")
    host.out.expect(b"before\n")

    def holds() -> bool:
        status, out, _ = place.viewer.finished("logs", place.name)
        return status == 0 and out == b"before\n"

    eventually(holds, "its output is stored")
    processes = place.host.processes()
    for process in processes:  # as a machine that lost its power: none of them sees another go
        process.suspend()
    for process in processes:
        process.kill()
    eventually(lambda: not place.host.processes(), "nothing of it is left")
    shutil.rmtree(place.host.root / "state")
    assert place.viewer.finished("logs", place.name)[1] == b"before\n"
    assert [each["ended"] for each in place.listed()] == [False]


def test_two_copies_of_the_server_over_one_directory_are_as_one(tmp_path: Path) -> None:
    settings = {"AUTH_TOKEN": TOKEN}
    (tmp_path / "server").mkdir()
    with Served(tmp_path / "server", settings=settings) as first, Served(tmp_path / "server", settings=settings) as second:
        place, other = Place(tmp_path / "one", first), Place(tmp_path / "two", second)
        try:
            out = place.run_to_its_end("sh", "-c", SCRIPT)[1]
            other.name = place.name
            assert other.viewer.finished("logs", place.name)[1] == out
            assert other.listed() == place.listed()
            path = f"/api/recordings/{place.name}/{place.listed()[0]['epoch']}"
            assert second.request("DELETE", path)[0] == 200
            assert place.listed() == []
            assert first.request("GET", path)[0] == 404
        finally:
            for machine in (*place.machines, *other.machines):
                machine.close()


def test_while_the_servers_disk_is_full_the_command_goes_on_and_later_all_of_it_is_stored(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    log = tmp_path / "log"
    with Served(tmp_path / "server", settings={"AUTH_TOKEN": TOKEN}, log=log) as served:
        place = Place(tmp_path, served)
        try:
            resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
            host = place.host.run_piped("--name", place.name, "sh", "-c", "head -c 900000 /dev/urandom; read line; echo end")
            eventually(lambda: "a recording cannot be stored: File too large" in log.read_text(), "the disk refuses")
            resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            host.send(b"\n")
            assert host.status() == 0
            eventually(place.host.is_over, "nothing of the session is left running")
            shutil.rmtree(place.host.root / "state")
            assert place.viewer.finished("logs", place.name)[1] == host.out.everything()
        finally:
            for machine in place.machines:
                machine.close()
