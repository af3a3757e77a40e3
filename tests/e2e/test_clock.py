"""Sessions under a clock that is moved, by real processes: a week of retention, and a clock set back by an hour and to 1970."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from codewrap.store.castfile import CastReader
from codewrap.store.sessionfile import CLEANED
from tests.support.movedclock import DAY_S, HOUR_S, MovedClock
from tests.support.ptydriver import Piped, eventually
from tests.support.sessions import BASH, Machine

pytestmark = [pytest.mark.debian, pytest.mark.timeout(300)]

BACK = ["an hour", "1970"]


@pytest.fixture
def clock(machine: Machine, tmp_path: Path) -> MovedClock:
    """Of all that the machine starts."""
    clock = MovedClock(tmp_path)
    machine.settings |= clock.environ | {"CODEWRAP_RETENTION": "7d"}
    return clock


def set_back(clock: MovedClock, how: str) -> None:
    if how == "1970":
        clock.set(100.0)
    else:
        clock.move(clock.offset_s - HOUR_S)


def states(machine: Machine) -> dict[str, str]:
    """All sessions, as they are listed."""
    status, out, err = machine.finished("ls", "--all", "--json")
    assert (status, err) == (0, b"")
    return {each["name"]: each["state"] for each in json.loads(out)}


def ran(machine: Machine, name: str) -> None:
    """A session, to its end."""
    assert machine.finished("run", "--quiet", "--name", name, "--", "echo", name)[:2] == (0, f"{name}\n".encode())


def becomes(machine: Machine, expected: set[str]) -> None:
    """These are left, when what follows a session is done, too."""
    eventually(lambda: {kept.name for kept in machine.kept()} == expected, f"{sorted(expected)} are kept")


def swept(machine: Machine) -> None:
    """A session more, at whose end what is kept too long is deleted; that is done."""
    stamp = machine.root / "state" / "sessions" / CLEANED
    stamp.unlink(missing_ok=True)
    ran(machine, "sweeping")
    eventually(machine.is_over, "nobody deletes any more")
    assert stamp.stat().st_size > 0


def answers(host: Piped, words: bytes) -> None:
    """It runs, and does what it is there for."""
    host.send(words + b"\n")
    host.out.expect(words + b"\n")


def test_a_week_is_kept_and_what_runs_is_never_deleted(machine: Machine, clock: MovedClock) -> None:
    running = machine.run_piped("--quiet", "--name", "running", "--", "cat")
    answers(running, b"day 0")
    vanished = machine.run_piped("--quiet", "--name", "vanished", "--", "cat")
    answers(vanished, b"before it vanished")
    vanished.kill()
    for day in range(9):
        clock.move(day * DAY_S)
        if day == 8:  # by hand, before it happens by itself
            status, listed, _ = machine.finished("prune", "--dry-run")
            assert (status, [line.split(b"@")[0] for line in listed.splitlines()]) == (0, [b"day-1"])
            assert machine.finished("prune")[0] == 0
            becomes(machine, {"running", *(f"day-{kept}" for kept in range(2, 8))})
        ran(machine, f"day-{day}")
        week = {f"day-{kept}": "ended" for kept in range(day + 1) if day - kept < 7}
        lost = {"vanished": "lost"} if day < 7 else {}
        becomes(machine, {"running", *week, *lost})
        assert states(machine) == {"running": "running", **week, **lost}
        for name in (next(iter(week)), f"day-{day}"):
            assert machine.finished("logs", name)[1] == f"{name}\n".encode()
        answers(running, b"day %d again" % day)
    clock.move(14 * DAY_S - HOUR_S)
    assert machine.finished("prune", "--dry-run")[1].count(b"\n") == 5
    clock.move(400 * DAY_S)
    assert machine.finished("prune", "--all")[0] == 0
    assert states(machine) == {"running": "running"}
    answers(running, b"day 400")
    running.end_input()
    assert running.status() == 0
    assert machine.finished("logs", "running")[1] == running.out.everything()
    eventually(machine.is_over, "nothing of it is left running")
    assert states(machine) == {"running": "ended"}


@pytest.mark.parametrize("how", BACK)
def test_a_session_in_which_the_clock_is_set_back_stays_whole(machine: Machine, clock: MovedClock, how: str) -> None:
    clock.move(DAY_S)
    began_s = time.monotonic()
    host = machine.run("--quiet", "--name", "long", "--record", "long.cast", "--", *BASH)
    for number in range(4):
        if number == 2:
            set_back(clock, how)
        host.send(f"echo moment-{number}-$((40+2))\r")
        host.shows(f"moment-{number}-42")
        assert states(machine) == {"long": "running"}
        assert machine.finished("prune", "--all")[0] == 0
    viewer = machine.attach("long", "--read-only")
    viewer.shows("moment-3-42")
    host.send("exit\r")
    assert (host.status(), viewer.status()) == (0, 0), host.text()
    took_s = time.monotonic() - began_s
    eventually(machine.is_over, "nothing of it is left running")
    assert states(machine) == {"long": "ended"}
    assert machine.finished("export", "long", "--format", "cast2", "-o", "two.cast")[0] == 0
    assert machine.finished("export", "long", "-o", "three.cast")[0] == 0
    for path in ("long.cast", "two.cast", "three.cast"):
        events = list(CastReader(machine.home / path).events())
        times = [event.time_s for event in events]
        assert times == sorted(times)
        assert 0 <= times[0] <= times[-1] <= took_s
        shown = "".join(event.data for event in events)
        assert [shown.count(f"moment-{number}-42") for number in range(4)] == [1] * 4
    clock.move(DAY_S + 2 * HOUR_S)  # and it is set right
    swept(machine)
    assert states(machine) == {"long": "ended", "sweeping": "ended"}
    clock.move(9 * DAY_S)
    swept(machine)
    assert states(machine) == {"sweeping": "ended"}


@pytest.mark.parametrize("how", BACK)
def test_a_clock_that_is_set_back_between_sessions_deletes_and_loses_nothing(
    machine: Machine, clock: MovedClock, how: str
) -> None:
    vanished = machine.run_piped("--quiet", "--name", "vanished", "--", "cat")
    answers(vanished, b"something")
    vanished.kill()
    ran(machine, "before")
    running = machine.run_piped("--quiet", "--name", "running", "--", "cat")
    answers(running, b"something")
    set_back(clock, how)
    expected = {"vanished": "lost", "before": "ended", "running": "running"}
    assert states(machine) == expected
    ran(machine, "meanwhile")
    expected |= {"meanwhile": "ended"}
    eventually(lambda: len(machine.uplinks()) == 1, "the others are over")
    for kept in machine.kept():
        if kept.name == "meanwhile":
            clock.file_times(kept.directory)
    assert machine.finished("prune")[0] == 0
    assert states(machine) == expected
    assert machine.finished("search", "meanwhile")[0] == 0
    clock.move(2 * HOUR_S)
    assert machine.finished("prune", "--dry-run")[1] == b""
    assert machine.finished("prune")[0] == 0
    answers(running, b"more")
    running.end_input()
    assert running.status() == 0
    eventually(machine.is_over, "nothing of it is left running")
    swept(machine)
    assert states(machine) == expected | {"running": "ended", "sweeping": "ended"}
    clock.move(8 * DAY_S)
    swept(machine)
    assert states(machine) == {"sweeping": "ended"}
