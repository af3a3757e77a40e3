"""Recordings of real sessions: files that grow, what is typed, who came, and what is left after kill -9 at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codewrap.cli.export import Format, pieces
from codewrap.cli.recordings import Recording
from codewrap.host.session import BLOCK_BYTES
from codewrap.protocol.asciicast import Code, Event
from codewrap.store.archive import Archive, Fate
from codewrap.store.castfile import CastReader
from tests.support.ptydriver import eventually
from tests.support.sessions import BASH, Machine, Relay, closed_port, session_name


def events(path: Path) -> list[Event]:
    return list(CastReader(path).events())


def text(found: list[Event]) -> str:
    return "".join(event.data for event in found if event.code is Code.OUTPUT)


def test_a_recording_is_whole_when_run_comes_back(machine: Machine) -> None:
    for command in (("printf", "hi"), ("sh", "-c", "printf one; sleep 0.5; printf two; exit 3")):
        path = machine.home / f"{session_name()}.cast"
        machine.run("--record", path.name, "--", *command).status()
        found = events(path)
        assert text(found) in ("hi", "onetwo")
        assert found[-1].code is Code.EXIT
        assert found[-1].data == ("0" if command[0] == "printf" else "3")
        assert path.stat().st_mode & 0o777 == 0o600
        assert CastReader(path).header.command.startswith(command[0])


def test_a_recording_grows_while_the_session_runs_though_its_server_is_away(machine: Machine) -> None:
    machine.settings |= {"CODEWRAP_URL": f"http://127.0.0.1:{closed_port()}", "CODEWRAP_TOKEN": "x" * 24}
    path = machine.home / "x.cast"
    host = machine.run("--record", "x.cast", "--", "sh", "-c", "echo first; read x; echo last")
    host.expect("first")
    eventually(lambda: path.exists() and path.stat().st_size and "first" in text(events(path)), "it has grown")
    host.send("\n")
    assert host.status() == 0
    assert text(events(path)).endswith("last\r\n")
    assert events(path)[-1].data == "0"


def test_a_recording_outlives_its_uplink(machine: Machine) -> None:
    path = machine.home / "x.cast"
    host = machine.run("-q", "--record", "x.cast", "--no-record", "--", "sh", "-c", "while read x; do echo got $x; done")
    for number in range(3):
        host.send(f"{number}\n")
        host.expect(f"got {number}")
        eventually(lambda: path.stat().st_size and f"got {number}" in text(events(path)), "it stands in the file")  # noqa: B023
        machine.uplink().kill()
        eventually(lambda: len(machine.uplinks()) == 1, "another one runs")
    host.send("\x04")
    assert host.status() == 0
    found = events(path)
    assert text(found).count("got ") == 3
    assert (found[-1].code, found[-1].data) == (Code.EXIT, "0")


def test_who_watches_while_the_uplink_is_started_again_joins_once(machine: Machine) -> None:
    name = session_name()
    host = machine.run("-q", "--name", name, "--", "sh", "-c", "while read x; do echo got $x; done")
    machine.session(name)
    viewer = machine.attach_piped(name)  # on a terminal it would hear its host beside the uplink
    host.send("0\n")
    viewer.out.expect(b"got 0")
    machine.uplink().kill()
    host.send("1\n")
    viewer.out.expect(b"got 1")
    host.send("\x04")
    assert viewer.status() == host.status() == 0
    status, out, _ = machine.finished("export", name)
    assert (status, out.count(b" joined"), out.count(b" left")) == (0, 1, 0)


def test_what_cannot_be_recorded_into_is_said_before_anything_runs(machine: Machine) -> None:
    (machine.home / "there.cast").write_text("precious")
    for place in ("there.cast", "none/x.cast", "."):
        status, out, err = machine.finished("run", "--record", place, "--", "echo", "ran")
        assert (status, out) == (2, b"")
        assert err.startswith(b"codewrap: --record: ")
        assert err.count(b"\n") == 1
    assert (machine.home / "there.cast").read_text() == "precious"


def test_a_command_that_is_not_there_leaves_no_file(machine: Machine) -> None:
    assert machine.finished("run", "--record", "x.cast", "--", "no-such-command")[0] == 127
    assert not (machine.home / "x.cast").exists()


def test_a_full_disk_ends_the_recording_and_never_the_command(machine: Machine) -> None:
    # Every file ends at 300 kB: first the log's, then the recording's, which is longer.
    program = "import os\nfor n in range(40): os.write(1, b'%05d' % n + b'\\\\' * 5000 + b'\\r\\n')\nos.write(1, b'the end')"
    limited = f'ulimit -f 300; exec codewrap run --record x.cast -- {sys.executable} -c "$1"'
    host = machine.terminal(["bash", "-c", limited, "bash", program])
    host.expect("the end")
    assert host.status() == 0
    host.expect(b"x.cast has ended, and the command went on: File too large")
    found = events(machine.home / "x.cast")
    assert text(found).startswith("00000")


def test_what_is_typed_is_kept_on_request_and_passwords_never(machine: Machine) -> None:
    name = session_name()
    script = "read -p 'name? ' a; stty -echo; read -p 'password? ' b; stty echo; read -p 'more? ' c; echo thanks"
    host = machine.run("-q", "--name", name, "--record", "x.cast", "--record-input", "--", "bash", "-c", script)
    for question, answer in (("name? ", "anna\n"), ("password? ", "hush-hush\n"), ("more? ", "x\n")):
        host.expect(question)
        host.send(answer)
    assert host.status() == 0
    typed = "".join(event.data for event in events(machine.home / "x.cast") if event.code is Code.INPUT)
    assert typed.replace("\r", "\n") == "anna\nx\n"
    (log,) = machine.logs()
    for path in (*log.rglob("*"), machine.home / "x.cast"):
        if path.is_file():
            assert b"hush-hush" not in path.read_bytes(), path


def test_without_the_flag_nothing_that_is_typed_is_kept(machine: Machine) -> None:
    host = machine.run("-q", "--", "sh", "-c", "stty -echo; read x; echo thanks")
    host.send("typed-secret\n")
    assert host.status() == 0
    (log,) = machine.logs()
    assert b'"input"' not in (log / "timeline").read_bytes()


def test_who_watched_is_marked(relay: Relay) -> None:
    host = relay.shell()
    viewer = relay.attached("--read-only")
    viewer.send("~.")
    viewer.status()
    (log,) = relay.host.logs()
    eventually(lambda: b'"leave"' in (log / "timeline").read_bytes(), "a leave in the timeline")
    host.send("exit\r")
    host.status()
    status, out, _ = relay.host.finished("export", relay.name)
    assert status == 0
    labels = [event[2] for event in map(json.loads, out.splitlines()[1:]) if event[1] == "m"]
    assert len(labels) == 2
    assert labels[0].endswith(" joined")
    assert labels[1].endswith(" left")


def test_logs_follow_a_session_that_is_lost(machine: Machine) -> None:
    name = session_name()
    host = machine.run("-q", "--name", name, "--", *BASH)
    host.send("echo $((40+2))\r")
    host.expect("42\r\n")
    follower = machine.piped(["codewrap", "logs", name, "--follow"])
    follower.out.expect(b"42\r\n")
    host.kill()
    assert follower.status() == 0
    assert b"was lost" in follower.err.everything()
    status, out, err = machine.finished("logs", name, "--text")
    assert (status, b"42\n" in out, b"was lost" in err) == (0, True, True)


# Numbered lines, so that what is missing or garbled shows.
COUNTING = """
import os, time
for n in range(1_000_000):
    os.write(1, b"\\x1b[3%dmline %07d\\x1b[m\\n" % (n % 8, n))
    if n % 50 == 0: time.sleep(0.001)
"""


@pytest.mark.parametrize("seed", range(int(os.environ.get("KILL_SEEDS", "10"))))
def test_a_session_killed_at_any_moment_leaves_what_was_written(machine: Machine, seed: int) -> None:
    chance = random.Random(seed)
    name = session_name()
    host = machine.run("-q", "--name", name, "--record", f"{name}.cast", "--", *machine.script(COUNTING))
    reached = chance.randrange(1, 3000)
    host.expect(b"line %07d" % reached)
    victims = [host.pid, *(process.pid for process in machine.uplinks())]
    chance.shuffle(victims)
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    host.process.wait(30)
    kept = Archive(machine.root / "state" / "sessions").find(name)
    assert kept is not None
    assert kept.state.fate is Fate.LOST
    recording = Recording(kept)
    lines = [json.loads(line) for line in "".join(pieces(recording, Format.CAST, None)).splitlines()]
    shown = "".join(event[2] for event in lines[1:] if event[1] == "o")
    expected = "".join(f"\x1b[3{n % 8}mline {n:07}\x1b[m\r\n" for n in range(reached + 200_000))
    assert expected.startswith(shown), f"seed {seed}: garbage"
    # The host shows a block before it writes it down: that much can be lost, and no more.
    lost = expected.index(f"line {reached:07}") - len(shown)
    assert lost <= BLOCK_BYTES, f"seed {seed}: {lost} bytes that a terminal showed are missing"
    assert {event[1] for event in lines[1:]} == {"o"}, f"seed {seed}"
    recorded = machine.home / f"{name}.cast"
    if recorded.stat().st_size:
        assert expected.startswith(text(events(recorded))), f"seed {seed}: garbage in the file"
    assert "".join(pieces(recording, Format.TXT, None)).startswith("line 0000000\nline 0000001\n"), f"seed {seed}"
    assert "".join(pieces(recording, Format.SVG, None)).endswith("</svg>\n"), f"seed {seed}"


@pytest.mark.parametrize("version", ["2"])
def test_asciinema_plays_what_is_exported(machine: Machine, version: str) -> None:
    name = session_name()
    machine.run("-q", "--name", name, "--", "printf", "\\033[1mone\\033[m two ä好\\n").status()
    path = machine.home / "x.cast"
    assert machine.finished("export", name, "-f", f"cast{version}", "-o", str(path))[0] == 0
    played = subprocess.run(
        [sys.executable, "-m", "asciinema", "cat", str(path)], capture_output=True, timeout=60, check=True, env=machine.environ
    )
    assert played.stdout == "\x1b[1mone\x1b[m two ä好\r\n".encode()
    player = machine.terminal([sys.executable, "-m", "asciinema", "play", str(path)])
    player.expect("one")
    player.expect("two ä好")
    assert player.status() == 0
