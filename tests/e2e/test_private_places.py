"""What codewrap writes on a disk is its owner's alone; where a place could be somebody else's it writes nothing, and says so."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import pytest

from tests.support.sessions import CODEWRAP, TOKEN, Machine

pytestmark = pytest.mark.timeout(120)

NOBODY = 65534
PLACES_OF_RUN = ("run", "state", "state/sessions")
PLACES_OF_SERVE_AUTH = ("state", "state/serve-auth")


def open_to_others(root: Path) -> list[str]:
    """Everything below that is not the owner's alone, or leads elsewhere."""
    found = []
    for path in [root, *root.rglob("*")]:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or mode & 0o077:
            found.append(f"{path.relative_to(root)} {stat.filemode(mode)}")
    return found


def test_everything_of_a_session_is_its_owners_alone_whatever_the_umask(machine: Machine) -> None:
    script = f"umask 0; exec {CODEWRAP} run --quiet --name private -- cat"
    host = machine.terminal(["sh", "-c", script])
    machine.session("private")
    viewer = machine.terminal(["sh", "-c", f"umask 0; exec {CODEWRAP} attach --quiet private"])
    host.send("something\r")
    viewer.shows("something\nsomething")
    for place in ("run", "state"):
        assert list((machine.root / place).rglob("*")), place
        assert open_to_others(machine.root / place) == []
    host.send("\x04")
    assert (host.status(), viewer.status()) == (0, 0)
    assert open_to_others(machine.root / "state") == []


def test_everything_of_a_server_is_its_owners_alone_whatever_the_umask(machine: Machine) -> None:
    command = f"umask 0; exec {CODEWRAP} serve-auth --port 0 --json"
    served = machine.piped(["sh", "-c", command], environ={"XDG_STATE_HOME": str(machine.root / "new" / "state")})
    ready = json.loads(served.out.expect(re.compile(rb"\{.*\}\n"))[0])
    assert Path(ready["token_file"]).stat().st_mode & 0o077 == 0
    assert [path for path in (machine.root / "state").rglob("*") if path.is_file()]
    assert open_to_others(machine.root / "state") == []
    served.process.terminate()
    assert served.status() == 0


def spoil(place: Path, harm: str, target: Path) -> None:
    """Make ``place`` what an attacker could have made of it."""
    target.mkdir(mode=0o700)
    if place.exists():
        place.rmdir()
    if harm == "symlink":
        place.symlink_to(target)
    elif harm == "dangling":
        place.symlink_to(target / "not-there")
    elif harm == "file":
        place.write_text("in the way")
    else:
        place.mkdir(mode=0o700)
        os.chown(place, NOBODY, NOBODY)


def harms() -> list[str]:
    """Only root can give a directory away."""
    return ["symlink", "dangling", "file", *(["owner"] if os.getuid() == 0 else [])]


@pytest.mark.parametrize("harm", harms())
@pytest.mark.parametrize("place", PLACES_OF_RUN)
def test_run_writes_nothing_into_a_place_that_may_be_anothers(machine: Machine, place: str, harm: str) -> None:
    """The command runs all the same: watching it must never be what stops it."""
    elsewhere = machine.root / "elsewhere"
    spoil(machine.root / place, harm, elsewhere)
    status, out, err = machine.finished("run", "--quiet", "--name", "private", "--", "echo", "ran")
    assert (status, out) == (0, b"ran\n"), err
    [line] = err.splitlines()
    assert b"cannot be watched: " + os.fsencode(machine.root / place) in line
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("harm", harms())
@pytest.mark.parametrize("place", PLACES_OF_SERVE_AUTH)
def test_serve_auth_refuses_a_place_that_may_be_anothers(machine: Machine, place: str, harm: str) -> None:
    elsewhere = machine.root / "elsewhere"
    spoil(machine.root / place, harm, elsewhere)
    for environ in ({}, {"AUTH_TOKEN": TOKEN}):
        status, out, err = machine.finished("serve-auth", "--port", "0", "--json", environ=environ)
        assert (status, out) == (125, b""), err
        assert b"Traceback" not in err
        assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("place", PLACES_OF_RUN)
def test_a_place_that_is_ours_and_open_to_others_is_closed_before_it_is_used(machine: Machine, place: str) -> None:
    path = machine.root / place
    path.mkdir(exist_ok=True)
    path.chmod(0o777)
    assert machine.finished("run", "--quiet", "--", "echo", "ran")[:2] == (0, b"ran\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize("planted", ["symlink", "owner"] if os.getuid() == 0 else ["symlink"])
def test_a_record_that_somebody_planted_leads_nobody_anywhere(machine: Machine, planted: str) -> None:
    """It would send what is typed to a hub of the attacker's."""
    host = machine.run("--quiet", "--name", "private", "--", "cat")
    record = machine.session("private")
    false = machine.root / "run" / "false.json"
    text = json.dumps(record | {"name": "false"})
    if planted == "symlink":
        (machine.root / "planted").write_text(text)
        false.symlink_to(machine.root / "planted")
    else:
        false.write_text(text)
        os.chown(false, NOBODY, NOBODY)
    assert machine.finished("attach", "--quiet", "false")[0] != 0
    _, listed, _ = machine.finished("ls", "--json")
    assert [each["name"] for each in json.loads(listed)] == ["private"]
    host.send("\x04")
    assert host.status() == 0
