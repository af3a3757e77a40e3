"""Sessions in the background: nothing of the caller's is held, everything of a session is there, nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from codewrap.protocol.geometry import Size
from codewrap.store.archive import Archive, Fate, State
from tests.support.ptydriver import DEADLINE_S, Piped, Terminal, eventually
from tests.support.sessions import BASH, CODEWRAP, PROMPT, Machine, Relay, program, session_name

pytestmark = pytest.mark.timeout(180)

STYLE = re.compile(r"\x1b\[[0-9;]*m")
AT_ONCE = 50
# On one processor: other tests that run at the same time must not wait until fifty sessions have begun. (Being nice would not do:
# the kernel shares processors out by session, and each of ours leads one.)
POLITELY = ("taskset", "-c", str(min(os.sched_getaffinity(0))))
PATIENTLY_S = 240
WIDE = Size(24, 160)


def detached(machine: Machine, *words: str) -> psutil.Process:
    """A session in the background, by its host's process. Its caller has ended, and holds no stream."""
    status, out, err = machine.finished("run", "--detach", "--json", *words)
    assert (status, err) == (0, b"")
    return psutil.Process(json.loads(out)["pid"])


def gone(process: psutil.Process) -> None:
    """Wait until it is. (Nobody here is its parent.)"""
    eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, f"{process} ends")


def no_session_is_left(machine: Machine, timeout_s: float = DEADLINE_S) -> None:
    eventually(lambda: not machine.processes() and not machine.records(), "no process and no record", timeout_s)


def report(machine: Machine, script: str, *words: str) -> str:
    """What ``script`` writes into the file $1 that it is given, as soon as that is whole."""
    found = machine.home / f"found-{session_name()}"
    whole = f"({script}) > {found}.new 2>&1; mv {found}.new {found}"
    detached(machine, *words, "--", "sh", "-c", whole)
    eventually(found.exists, "what the session found out")
    return found.read_text()


# -- what the caller has of it --------------------------------------------------------------------------------------


def test_the_caller_comes_back_at_once_and_the_session_is_there_to_attach_to(any_relay: Relay) -> None:
    host = any_relay.run_piped("cat", options=["--detach"], stdin=subprocess.DEVNULL)
    assert host.status() == 0
    assert host.out.everything() == f"{any_relay.name}\n".encode()  # everything: nobody else has the other end
    said = host.err.everything().decode().splitlines()
    assert said[0] == f"[codewrap] session {any_relay.name}: cat (others ask before they type)"
    assert said[1] == f"[codewrap] attach with: codewrap attach {any_relay.name}"
    assert "end-to-end encrypted" in said[2]
    assert len(said) == 3
    viewer = any_relay.attached()
    viewer.send("typed\r")
    viewer.shows("typed\ntyped")
    viewer.send("\x04")
    assert viewer.status() == 0
    no_session_is_left(any_relay.host)


def test_quiet_is_the_name_alone(machine: Machine) -> None:
    status, out, err = machine.finished("run", "-dq", "--", "sleep", "60")
    assert (status, err) == (0, b"")
    assert out.endswith(b"\n")
    assert machine.session(out.decode().strip())["command"] == ["sleep", "60"]


def test_on_a_terminal_the_three_lines_say_it_all(machine: Machine) -> None:
    name = session_name()
    caller = machine.run("--detach", "--name", name, "--", "sleep", "60", size=WIDE)
    assert caller.status() == 0
    caller.shows("end-to-end encrypted")
    caller.is_as_it_was()
    assert name not in STYLE.sub("", caller.text()).splitlines()


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["no-such-command-anywhere"], 127, "codewrap: no-such-command-anywhere: command not found"),
        (["/"], 126, "codewrap: /: cannot be executed: permission denied"),
        (["--share", "everybody", "true"], 2, "codewrap: --share: is none of view, write and ask"),
    ],
    ids=["not found", "not executable", "usage"],
)
def test_what_cannot_be_started_is_said_to_the_caller(machine: Machine, words: Sequence[str], status: int, line: str) -> None:
    ended, out, err = machine.finished("run", "--detach", *words)
    assert (ended, out, err.decode()) == (status, b"", line + "\n")
    eventually(machine.is_empty, "nothing is left")


def test_a_name_that_is_taken_is_125_and_the_first_session_goes_on(machine: Machine) -> None:
    name = session_name()
    first = detached(machine, "--name", name, "--", "sleep", "60")
    status, out, err = machine.finished("run", "--detach", "--name", name, "--", "sleep", "60")
    assert (status, out) == (125, b"")
    (line,) = err.decode().splitlines()
    assert "already running" in line
    assert machine.session(name)["pid"] == first.pid


# -- what the command has of it -------------------------------------------------------------------------------------


def test_a_session_outlives_the_window_that_it_was_started_from(hub: Relay) -> None:
    window = hub.host.terminal(BASH)
    window.shows(PROMPT.strip())
    window.send(f"{CODEWRAP} run --detach --quiet --name {hub.name} -- {' '.join(BASH)}\r")
    window.shows(f"\n{hub.name}\n")
    window.hang_up()
    gone(psutil.Process(window.pid)) if psutil.pid_exists(window.pid) else None
    viewer = hub.attached()
    viewer.send("echo still-$((1 + 1)); exit 4\r")
    assert viewer.status() == 4
    assert b"still-2" in viewer.output.data
    no_session_is_left(hub.host)


@pytest.mark.parametrize(
    ("options", "size"),
    [([], "24 80"), (["--cols", "100"], "24 100"), (["--cols", "100", "--rows", "30"], "30 100")],
    ids=["usual", "columns", "both"],
)
def test_without_a_terminal_here_the_command_has_one_of_the_size_that_is_asked_for(
    machine: Machine, options: Sequence[str], size: str
) -> None:
    assert report(machine, "stty size; tty", *options).splitlines()[0] == size


@pytest.mark.parametrize("captured", [False, True], ids=["to the terminal", "captured"])
def test_the_command_has_the_size_and_keys_of_the_terminal_here(machine: Machine, captured: bool) -> None:
    found = machine.home / "found"
    whole = f"(stty size; stty -a) > {found}.new; mv {found}.new {found}"
    run = f"{CODEWRAP} run -d -q -- sh -c '{whole}'"
    script = "stty erase ^H iutf8; " + (f"x=$({run} 2>/dev/null)" if captured else run)
    assert machine.terminal(["sh", "-c", script], Size(31, 97)).status() == 0
    eventually(found.exists, "what the session found out")
    size, settings = found.read_text().split("\n", 1)
    assert size == "31 97"
    assert "erase = ^H" in settings
    assert re.search(r"(?<!-)iutf8", settings)


def test_directory_environment_and_mask_are_the_callers(machine: Machine) -> None:
    below = machine.home / "below"
    below.mkdir()
    found = machine.home / "found"
    whole = f'(pwd; umask; echo "$OTHER $TERM $CODEWRAP_SESSION"; env) > {found}.new; mv {found}.new {found}'
    script = f"cd below; umask 027; exec {CODEWRAP} run -d --name inside -- sh -c '{whole}'"
    environ = {"OTHER": "kept", "TERM": "screen", "AUTH_TOKEN": "hush-hush-hush-hush"}
    assert machine.piped(["sh", "-c", script], environ=environ).status() == 0
    eventually(found.exists, "what the session found out")
    directory, mask, kept, environment = found.read_text().split("\n", 3)
    assert (directory, mask, kept) == (str(below), "0027", "kept screen inside")
    assert "hush" not in environment


def test_nothing_of_the_callers_is_held_and_there_is_no_terminal_to_lose(machine: Machine, tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(other, True)
    try:
        words = [CODEWRAP, "run", "--detach", "--json", "--", "sleep", "60"]
        caller = subprocess.run(
            words, env=machine.environ, capture_output=True, pass_fds=(other,), check=True, timeout=60, cwd=machine.home
        )
    finally:
        os.close(other)
    host = psutil.Process(json.loads(caller.stdout)["pid"])
    machine.uplink()
    for process in machine.processes():
        places = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")]
        assert str(tmp_path) not in places, process
    assert [os.readlink(f"/proc/{host.pid}/fd/{fd}") for fd in (0, 1)] == [os.devnull, os.devnull]
    assert os.getsid(host.pid) == host.pid
    assert host.terminal() is None


@pytest.mark.parametrize("shell", ["{} &", "nohup {}", "trap '' INT QUIT HUP TERM; {}"], ids=["&", "nohup", "ignored"])
def test_ctrl_c_works_though_the_caller_was_told_to_ignore_it(hub: Relay, shell: str) -> None:
    script = "trap 'echo got it; exit 5' INT; echo armed; while :; do read x; done"
    caller = hub.host.piped(
        ["sh", "-c", shell.format(f'{CODEWRAP} run -d -q --name {hub.name} -- sh -c "$SCRIPT"')], environ={"SCRIPT": script}
    )
    assert caller.status() == 0
    viewer = hub.attached()
    viewer.shows("armed")
    viewer.send("\x03")
    assert viewer.status() == 5
    assert b"got it" in viewer.output.data


def test_what_a_program_asks_its_terminal_is_answered_though_nobody_watches(machine: Machine) -> None:
    asks = machine.script("""
        import os, sys, tty
        tty.setraw(0)
        os.write(1, b"ab\\x1b[6n")
        answer = b""
        while not answer.endswith(b"R"):
            answer += os.read(0, 100)
        open(sys.argv[1] + ".new", "wb").write(answer)
        os.rename(sys.argv[1] + ".new", sys.argv[1])
    """)
    found = machine.home / "found"
    detached(machine, "--", *asks, str(found))
    eventually(found.exists, "an answer")
    assert found.read_bytes() == b"\x1b[1;3R"


def test_a_signal_to_the_host_is_the_commands(machine: Machine) -> None:
    proof = machine.home / "proof"
    armed = machine.home / "armed"
    script = f"trap 'touch {proof}; exit 0' TERM; touch {armed}; while :; do read x; done"
    host = detached(machine, "--", "sh", "-c", script)
    eventually(armed.exists, "it is armed")
    host.terminate()
    gone(host)
    assert proof.exists()
    no_session_is_left(machine)


def test_how_it_ended_is_kept(machine: Machine) -> None:
    def state(name: str) -> State:
        found = Archive(machine.root / "state" / "sessions").find(name)
        assert found is not None
        return found.state

    gone(detached(machine, "--name", "failing", "--", "sh", "-c", "echo said; exit 3"))
    ended = state("failing")
    assert (ended.fate, ended.status, ended.output_bytes) == (Fate.ENDED, 3, len("said\r\n"))
    detached(machine, "--name", "killed", "--", "sleep", "60").kill()
    eventually(lambda: state("killed").fate is Fate.LOST, "it counts as lost")


def test_it_is_recorded_where_the_caller_says_and_waited_for_by_name(machine: Machine) -> None:
    detached(machine, "--name", "build", "--record", "build.cast", "--", "sh", "-c", "echo said; read go; exit 3")
    waiting = machine.piped([CODEWRAP, "wait", "build"], stdin=subprocess.DEVNULL)
    machine.attach("build").send("\r")
    assert waiting.status() == 3
    _, *events = (machine.home / "build.cast").read_text().splitlines()
    assert [json.loads(event)[1:] for event in (events[0], events[-1])] == [["o", "said\r\n"], ["x", "3"]]


# -- what is said later ---------------------------------------------------------------------------------------------


def test_what_it_says_at_its_end_is_in_a_private_file_beside_its_log(hub: Relay) -> None:
    host = detached(hub.host, "--name", hub.name, "--", "cat")
    (directory,) = hub.host.logs()
    with (directory / "host.log").open() as said:
        assert os.fstat(said.fileno()).st_mode & 0o777 == 0o600
        hub.attached().send("\x04")
        gone(host)
        (line,) = said.read().splitlines()
    assert line.startswith(f"[codewrap] session {hub.name} ended: exit 0, ")


@pytest.mark.soketi
@pytest.mark.parametrize("relay", ["soketi"], indirect=True)
def test_who_asks_to_type_is_listed_and_let(relay: Relay) -> None:
    relay.viewer.settings["CODEWRAP_USER"] = "bob"
    host = detached(relay.host, "--name", relay.name, "--share", "ask", "--", "cat")
    viewer = relay.attached()
    viewer.send("x")
    viewer.shows("say this code")
    (listed,) = json.loads(relay.host.finished("ls", "--json")[1])
    assert [request["user"] for request in listed["requests"]] == ["bob"]
    assert relay.host.finished("approve", relay.name, "bob")[0] == 0
    viewer.shows("you may type now")
    viewer.send("mine\r")
    viewer.shows("mine\nmine")
    viewer.send("\x04")
    assert viewer.status() == 0
    gone(host)


# -- when something dies --------------------------------------------------------------------------------------------


def test_an_uplink_that_is_killed_is_replaced(hub: Relay) -> None:
    host = detached(hub.host, "--name", hub.name, "--", "cat")
    first = hub.host.uplink()
    first.kill()
    gone(first)
    viewer = hub.attached()
    viewer.send("typed\r")
    viewer.shows("typed\ntyped")
    viewer.send("\x04")
    assert viewer.status() == 0
    gone(host)


def test_a_host_that_is_killed_takes_the_command_with_it_and_leaves_the_name(machine: Machine) -> None:
    name, told = session_name(), machine.home / "told"
    script = f"trap 'touch {told}; exit 0' HUP; while :; do read x || exit 1; done"
    host = detached(machine, "--name", name, "--", "sh", "-c", script)
    machine.uplink()
    host.kill()
    eventually(told.exists, "the command is hung up")
    eventually(lambda: not machine.processes(), "all are gone")
    assert machine.finished("ls", "--json")[1] == b"[]\n"
    assert psutil.pid_exists(detached(machine, "--name", name, "--", "sleep", "60").pid)


def test_a_disk_that_is_full_at_the_start_costs_the_session_and_not_the_command(machine: Machine) -> None:
    proof = machine.home / "proof"
    script = f"ulimit -f 0; exec {CODEWRAP} run --detach -- mkdir {proof}"
    caller = machine.piped(["sh", "-c", script])
    assert caller.status() == 0
    assert caller.out.everything() == b""
    (line,) = caller.err.everything().decode().splitlines()
    assert re.search(r"this cannot be watched: .*; it runs all the same, as process \d+, and what it writes is lost", line)
    eventually(proof.is_dir, "the command has run")
    caller = machine.piped(["sh", "-c", f"ulimit -f 0; exec {CODEWRAP} run --detach -- no-such-command-anywhere"])
    assert caller.status() == 127
    no_session_is_left(machine)


def test_no_secret_is_in_an_argument_or_in_the_environment_of_what_is_started(any_relay: Relay) -> None:
    detached(any_relay.host, "--name", any_relay.name, "--", "sleep", "60")
    any_relay.host.uplink()
    settings = {**any_relay.host.settings, **(any_relay.host.session(any_relay.name)["hub"] or {})}
    secrets = {value for key, value in settings.items() if re.search("SECRET|TOKEN|MASTER_KEY", key.upper())}
    assert secrets
    processes = any_relay.host.processes()
    assert len(processes) == 3  # host, command, uplink
    for process in processes:
        command = process.cmdline()
        assert not any(secret in word for secret in secrets for word in command)
        if CODEWRAP not in command:  # the host has the environment that this test gave
            assert secrets.isdisjoint(process.environ().values())


# -- many at once ---------------------------------------------------------------------------------------------------


def refusals(callers: Sequence[Piped]) -> list[str]:
    """What those who got no session were told."""
    return [caller.err.everything().decode() for caller in callers if caller.status(PATIENTLY_S)]


@pytest.mark.timeout(2 * PATIENTLY_S)
def test_many_sessions_started_at_once_are_all_there_and_all_end(machine: Machine) -> None:
    words = (*POLITELY, CODEWRAP, "run", "-d", "-q", "--", "sh", "-c", "echo here; exec cat")
    callers = [machine.piped(words, stdin=subprocess.DEVNULL) for _ in range(AT_ONCE)]
    assert refusals(callers) == []
    names = [caller.out.everything().decode().strip() for caller in callers]
    assert len(set(names)) == AT_ONCE
    listed = json.loads(machine.finished("ls", "--json")[1])
    assert sorted(session["name"] for session in listed) == sorted(names)
    for begin in range(0, AT_ONCE, 10):
        viewers = [machine.attach(name) for name in names[begin : begin + 10]]
        for viewer, name in zip(viewers, names[begin:], strict=False):
            viewer.shows("here", PATIENTLY_S)  # what is typed to an uplink that is not up yet is dropped after ten seconds
            viewer.send(f"{name}\r")
            viewer.shows(f"{name}\n{name}", PATIENTLY_S)
            viewer.send("\x04")
        assert [viewer.status(PATIENTLY_S) for viewer in viewers] == [0] * 10
        for viewer in viewers:
            viewer.close()
    no_session_is_left(machine, PATIENTLY_S)


def test_a_random_name_that_is_taken_gives_way_to_a_longer_one(machine: Machine) -> None:
    script = """
        import sys
        from codewrap.cli import names
        from codewrap.cli.main import main
        names.ADJECTIVES[:], names.NOUNS[:] = ["only"], ["one"]
        sys.argv = ["codewrap", "run", "-d", "-q", "--", "sleep", "60"]
        main()
    """
    said = [machine.piped(machine.script(script)) for _ in range(3)]
    assert refusals(said) == []
    first, *others = sorted((each.out.everything().decode().strip() for each in said), key=len)
    assert first == "only-one"
    assert all(re.fullmatch("only-one-[0-9a-f]{4}", name) for name in others)


@pytest.mark.timeout(2 * PATIENTLY_S)
def test_of_many_that_take_one_name_at_once_one_has_it(machine: Machine) -> None:
    words = (*POLITELY, CODEWRAP, "run", "-d", "-q", "--name", "wanted", "--", "sleep", "600")
    callers = [machine.piped(words, stdin=subprocess.DEVNULL) for _ in range(AT_ONCE)]
    refused = refusals(callers)
    assert len(refused) == AT_ONCE - 1
    assert [text for text in refused if "a session 'wanted' is already running" not in text] == []
    assert sorted(caller.status() for caller in callers) == [0] + [125] * (AT_ONCE - 1)
    (listed,) = json.loads(machine.finished("ls", "--json")[1])
    assert listed["name"] == "wanted"
    eventually(lambda: len(machine.processes()) == 3, "host, command and uplink, and no others")
    psutil.Process(listed["pid"]).terminate()
    no_session_is_left(machine)


# -- sessions within sessions ---------------------------------------------------------------------------------------


@pytest.fixture
def inside(hub: Relay) -> Terminal:
    """A shell in a session."""
    return hub.shell(size=WIDE)


def test_a_person_in_a_session_is_refused_another_one_in_a_line(inside: Terminal, hub: Relay) -> None:
    inside.send("codewrap run -- echo never; echo status $?\r")
    inside.shows("\nstatus 125\n")
    inside.shows(f"this is inside session '{hub.name}' already")
    assert "\nnever" not in inside.text()


@pytest.mark.parametrize("how", ["codewrap run --nested", "CODEWRAP_NESTED=1 codewrap run"])
def test_who_insists_gets_a_session_in_a_session(inside: Terminal, how: str) -> None:
    inside.send(f"{how} --name within -q -- sh -c 'echo in $CODEWRAP_SESSION'; echo status $?\r")
    inside.shows("\nin within\nstatus 0\n")


def test_programs_in_a_session_go_on_with_one_line_more(inside: Terminal, hub: Relay) -> None:
    inside.send("clear; codewrap run -- echo said | cat; echo status $?\r")
    inside.shows("status 0")
    assert "\nsaid\n" in inside.text()
    assert f"inside session {hub.name}, whose viewers see this too" in inside.text()
    inside.send("clear; codewrap run -q -- echo said 2>&1 | cat; echo status $?\r")
    inside.looks(lambda rows: [row for row in rows if row][:2] == ["said", "status 0"], "nothing but what was said")


def test_in_the_background_a_session_is_beside_and_not_within(inside: Terminal, hub: Relay) -> None:
    inside.send("codewrap run -d -q --name beside -- cat; echo status $?\r")
    inside.shows("\nbeside\nstatus 0\n")
    viewer = hub.viewer.attach("beside")
    viewer.send("typed\r")
    viewer.shows("typed\ntyped")
    viewer.send("\x04")
    assert viewer.status() == 0


def test_on_a_terminal_of_its_own_within_a_session_nothing_is_refused(inside: Terminal, hub: Relay) -> None:
    inside.send(f"{program('script')} -qc 'codewrap run -q -- echo said' {os.devnull}; echo status $?\r")
    inside.shows("\nsaid\nstatus 0\n")


def test_a_session_that_is_over_is_in_nobodys_way(machine: Machine) -> None:
    caller = machine.terminal([CODEWRAP, "run", "-q", "echo", "said"], environ={"CODEWRAP_SESSION": "over-and-done"})
    assert caller.status() == 0
    caller.shows("said")


def test_a_session_is_not_attached_to_from_within(inside: Terminal, hub: Relay) -> None:
    inside.send(f"codewrap attach {hub.name}; echo status $?\r")
    inside.shows("\nstatus 255\n")
    inside.shows("which would be shown within itself")
    inside.send(f"echo typed | codewrap attach {hub.name} > copy & echo\r")  # a file shows nothing
    copy = hub.host.home / "copy"
    eventually(lambda: copy.exists() and b"typed" in copy.read_bytes(), "it is typed, and copied")
