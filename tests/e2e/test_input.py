"""Input in quantity: pastes of megabytes arrive whole, and wait for a command that does not read."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from tests.support.sessions import Relay

PASTE = random.Random(3).randbytes(10_000_000)
# Reads so many bytes of its terminal, raw, after so many seconds.
READER = """
import hashlib, os, sys, time, tty
tty.setraw(0)
size, pause_s = int(sys.argv[1]), float(sys.argv[2])
print("ready", flush=True)
time.sleep(pause_s)
digest, got = hashlib.sha256(), 0
while got < size:
    data = os.read(0, 65536)
    digest.update(data)
    got += len(data)
print(f"\\r\\ngot {got} {digest.hexdigest()[:16]}", flush=True)
"""


def expected(data: bytes) -> str:
    return f"got {len(data)} {hashlib.sha256(data).hexdigest()[:16]}"


def test_a_paste_of_10_megabytes_arrives_whole(relay: Relay, tmp_path: Path) -> None:
    paste = PASTE[: 10_000_000 if relay.kind != "cloud" else 1_000_000]  # ten events a second, of 4 KB
    host = relay.run(*relay.host.script(READER), str(len(paste)), "0")
    host.shows("ready")
    (tmp_path / "paste").write_bytes(paste)
    with (tmp_path / "paste").open("rb") as stdin:
        viewer = relay.attach_piped(stdin=stdin)
    host.shows(expected(paste), timeout_s=120)
    assert viewer.status() == 0
    assert b"dropped" not in viewer.err.everything()


def test_a_paste_waits_for_a_command_that_does_not_read(relay: Relay, tmp_path: Path) -> None:
    """Longer than what nobody answers is kept: it is held, as at a terminal, and the session can be watched meanwhile."""
    paste = PASTE[: 3_000_000 if relay.kind != "cloud" else 300_000]
    host = relay.run(*relay.host.script(READER), str(len(paste)), "13")
    host.shows("ready")
    (tmp_path / "paste").write_bytes(paste)
    with (tmp_path / "paste").open("rb") as stdin:
        viewer = relay.attach_piped(stdin=stdin)
    other = relay.attached("--read-only")
    other.shows("ready")
    host.shows(expected(paste), timeout_s=120)
    other.shows(expected(paste))
    assert viewer.status() == 0
    assert b"dropped" not in viewer.err.everything()
