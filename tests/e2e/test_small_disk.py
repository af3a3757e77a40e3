"""A real disk that runs full: the state directory is a small tmpfs, which only the processes of the session see."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from codewrap.protocol.asciicast import Code
from codewrap.store.castfile import CastReader
from tests.support.sessions import Machine, session_name

pytestmark = pytest.mark.timeout(180)

# In a namespace of its own, as root there and nowhere else; a user may do that on Debian, a container has to be allowed to.
UNSHARED = ("unshare", "--user", "--map-root-user", "--mount")
MOUNT = 'mount -t tmpfs -o mode=700,size="$SIZE" none "$CODEWRAP_STATE_DIR"'
# What is on the disk is gone with the last process that sees it: all of it is looked at before.
SESSION = f"""
{MOUNT} || exit 99
codewrap run --name "$NAME" --record "$CODEWRAP_STATE_DIR/x.cast" -- "$@"
echo "status $?"
df --output=avail "$CODEWRAP_STATE_DIR"
codewrap logs "$NAME" --raw > logs
codewrap export "$NAME" -o exported.cast
codewrap ls --all --json > listed
cp "$CODEWRAP_STATE_DIR/x.cast" recorded.cast
echo all is copied
read line
"""

LINES = 60_000
PROGRAM = f"""
import sys
print("begins", flush=True)
sys.stdin.readline()
for number in range({LINES}):
    print("line %07d of what a small disk does not take" % number)
print("goes on", flush=True)
sys.stdin.readline()
sys.exit(5)
"""


def written() -> str:
    """What the program writes onto its terminal until it goes on."""
    return "begins\r\n\r\n" + "".join(f"line {number:07} of what a small disk does not take\r\n" for number in range(LINES))


@pytest.fixture
def small_disk(machine: Machine) -> Machine:
    """Where such a disk can be had."""
    trial = subprocess.run(
        [*UNSHARED, "sh", "-c", MOUNT], env=machine.environ | {"SIZE": "64k"}, capture_output=True, text=True, check=False
    )
    if trial.returncode:
        pytest.skip(f"a tmpfs of a test's own is not allowed here (in a container: --privileged): {trial.stderr.strip()}")
    return machine


def test_a_disk_that_runs_full_ends_the_recording_and_nothing_else(small_disk: Machine) -> None:
    name = session_name()
    environ = {"SIZE": "1m", "NAME": name}
    machine = small_disk
    host = machine.terminal([*UNSHARED, "sh", "-c", SESSION, "sh", *machine.script(PROGRAM)], environ=environ)
    host.shows("begins")
    viewer = machine.attach(name)
    viewer.shows("begins")
    host.send("\r")
    viewer.shows("what follows cannot be shown")
    host.shows("goes on")
    host.send("\r")
    host.expect("all is copied")
    assert viewer.status() == 5
    said = host.output.data.partition(b"goes on")[2].replace(b"\r\n", b"\n")
    assert b"x.cast has ended, and the command went on: No space left on device" in said
    assert b"the session log could not be kept whole: No space left on device" in said
    assert b"status 5\n" in said
    assert b"Traceback" not in said
    (listed,) = json.loads((machine.home / "listed").read_text())
    assert (listed["state"], listed["status"]) == ("ended", 5)
    for cast in ("exported.cast", "recorded.cast"):
        events = list(CastReader(machine.home / cast).events())
        shown = "".join(event.data for event in events if event.code is Code.OUTPUT)
        assert shown.startswith("begins")
        assert written().startswith(shown)
    log = (machine.home / "logs").read_bytes().decode()
    assert len(log) > 100_000
    assert written().startswith(log)
    assert int(re.search(rb"Avail\n *(\d+)\n", said)[1]) < 8  # it was full, or nothing of this says anything
