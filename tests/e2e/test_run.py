"""What a person has who puts `codewrap run` before a command: the same command, and three lines on stderr."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest

from codewrap.protocol.geometry import Size
from tests.support.ptydriver import eventually
from tests.support.sessions import BASH, CODEWRAP, MASTER_KEY, PROMPT, Machine, Relay

pytestmark = pytest.mark.timeout(120)

EVERY_BYTE = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 400)"
STRIPPED = re.compile(rb"\x1b\[[0-9;]*m")


def lines(data: bytes) -> list[str]:
    return STRIPPED.sub(b"", data).decode().splitlines()


# -- the command as it would be without us ------------------------------------------------------------------------


def test_nothing_of_ours_is_on_stdout_and_the_commands_streams_stay_apart(relay: Relay) -> None:
    host = relay.run_piped("sh", "-c", "cat; echo wrong >&2; exit 3")
    host.send(b"to the command\n")
    host.end_input()
    assert host.status() == 3
    assert host.out.everything() == b"to the command\n"
    assert lines(host.err.everything())[3] == "wrong"


def test_every_byte_passes_unchanged_through_pipes(machine: Machine) -> None:
    status, out, _ = machine.finished("run", "python3", "-c", EVERY_BYTE)
    assert (status, out) == (0, bytes(range(256)) * 400)


def test_every_byte_typed_reaches_the_command(machine: Machine) -> None:
    host = machine.run_piped("--quiet", "cat")
    host.send(bytes(range(256)) * 400)
    host.end_input()
    assert host.status() == 0
    assert (host.out.everything(), host.err.everything()) == (bytes(range(256)) * 400, b"")


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("kill -SEGV $$", 139)], ids=str
)
@pytest.mark.parametrize("on_terminal", [False, True], ids=["pipes", "terminal"])
def test_the_exit_status_is_the_commands(machine: Machine, script: str, status: int, on_terminal: bool) -> None:
    if on_terminal:
        assert machine.run("sh", "-c", script).status() == status
    else:
        assert machine.finished("run", "sh", "-c", script)[0] == status


@pytest.mark.parametrize("on_terminal", [False, True], ids=["pipes", "terminal"])
def test_a_command_that_is_not_installed_is_127_in_one_line(machine: Machine, on_terminal: bool) -> None:
    if on_terminal:
        host = machine.run("no-such-command-anywhere")
        assert host.status() == 127
        host.shows("codewrap: no-such-command-anywhere: command not found")
        host.is_as_it_was()
    else:
        status, out, err = machine.finished("run", "no-such-command-anywhere")
        assert (status, out) == (127, b"")
        assert lines(err) == ["codewrap: no-such-command-anywhere: command not found"]
    eventually(machine.is_empty, "nothing is left")


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_cannot_be_executed_is_126_in_one_line(machine: Machine, what: str) -> None:
    target = machine.home / "target"
    target.mkdir() if what == "directory" else target.write_text("text")
    status, out, err = machine.finished("run", str(target))
    assert (status, out) == (126, b"")
    assert lines(err) == [f"codewrap: {target}: cannot be executed: permission denied"]
    eventually(machine.is_empty, "nothing is left")


@pytest.mark.parametrize(
    "arguments",
    [["run"], ["run", "--no-such-option", "true"], ["run", "--cols", "0", "true"], ["run", "--name", "Not A Name", "true"]],
    ids=["no command", "unknown option", "size", "name"],
)
def test_a_usage_error_is_2_and_runs_nothing(machine: Machine, arguments: list[str]) -> None:
    status, out, err = machine.finished(*arguments)
    assert (status, out) == (2, b"")
    assert err
    assert b"Traceback" not in err


def test_options_of_the_command_need_no_dashes(machine: Machine) -> None:
    (machine.home / "shown").write_text("")
    status, out, _ = machine.finished("run", "ls", "-la", "--quiet=no")
    assert status == 2  # of ls, which knows no --quiet
    assert out == b""
    status, out, _ = machine.finished("run", "ls", "-la")
    assert status == 0
    assert re.search(rb"^-rw.* shown$", out, re.MULTILINE)
    status, out, _ = machine.finished("run", "--quiet", "--", "echo", "--name", "x")
    assert (status, out) == (0, b"--name x\n")


def test_sigterm_is_passed_on_to_the_command(relay: Relay) -> None:
    script = "trap 'echo got it; exit 9' TERM; echo armed; while :; do read x; done"
    host = relay.run("sh", "-c", script)
    host.shows("armed")
    host.signal(signal.SIGTERM)
    host.shows("got it")
    assert host.status() == 9
    host.is_as_it_was()


def test_sigterm_is_passed_on_to_a_command_on_pipes(machine: Machine) -> None:
    host = machine.run_piped("sh", "-c", "trap 'echo got it; exit 9' TERM; echo armed; while :; do read x; done")
    host.out.expect(b"armed")
    host.signal(signal.SIGTERM)
    host.out.expect(b"got it")
    assert host.status() == 9


def test_a_command_that_closes_its_output_and_lives_on_keeps_its_status(relay: Relay) -> None:
    script = "echo last words; exec >&- 2>&-; read line; exit 7"
    host = relay.run_piped("sh", "-c", script)
    host.out.expect(b"last words\n")
    viewer = relay.attach_piped()
    viewer.out.expect(b"last words\n")
    viewer.send(b"go on\n")
    assert host.status() == 7
    assert viewer.status() == 7


def test_a_command_that_closes_its_terminal_and_lives_on_keeps_its_status(relay: Relay) -> None:
    gate = relay.host.home / "gate"
    os.mkfifo(gate)
    host = relay.run("sh", "-c", f"echo last words; exec <&- >&- 2>&-; read line < {gate}; exit 7")
    host.shows("last words")
    viewer = relay.attached()
    viewer.shows("last words")
    gate.write_text("go on\n")
    assert host.status() == 7
    assert viewer.status() == 7


def test_a_window_that_is_resized_reaches_the_command(machine: Machine) -> None:
    host = machine.run(*BASH, size=Size(30, 100))
    host.shows(PROMPT.strip())
    host.send("stty size\r")
    host.shows("\n30 100\n")
    host.resize(Size(40, 50))
    host.send("stty size\r")
    host.shows("\n40 50\n")


# -- what we say --------------------------------------------------------------------------------------------------


def test_the_banner_is_three_lines_on_stderr(any_relay: Relay) -> None:
    host = any_relay.run_piped("true")
    assert host.status() == 0
    assert host.out.everything() == b""
    said = lines(host.err.everything())
    assert said[0] == f"[codewrap] session {any_relay.name}: true (others ask before they type)"
    assert said[1] == f"[codewrap] attach with: codewrap attach {any_relay.name}"
    assert "end-to-end encrypted" in said[2]
    assert said[3].startswith(f"[codewrap] session {any_relay.name} ended: exit 0, ")
    assert len(said) == 4


def test_quiet_says_nothing(relay: Relay) -> None:
    host = relay.run_piped("echo", "said", options=["--quiet"])
    assert host.status() == 0
    assert (host.out.everything(), host.err.everything()) == (b"said\n", b"")


def test_json_is_one_object_on_stderr(any_relay: Relay) -> None:
    host = any_relay.run_piped("echo", "said", options=["--json"])
    assert host.status() == 0
    assert host.out.everything() == b"said\n"
    said = json.loads(host.err.everything())
    assert said["session"] == any_relay.name
    assert said["attach"] == f"codewrap attach {any_relay.name}"
    assert said["mode"] == any_relay.mode
    assert said["endpoint"].startswith("http://127.0.0.1:")
    assert said["url"] == any_relay.host.settings.get("CODEWRAP_URL")
    assert said["encrypted"] is True


def test_the_banner_says_that_nothing_is_encrypted(relay: Relay) -> None:
    host = relay.run("sh", "-c", "echo standing; read line", options=["--no-encrypt"])
    host.expect(b"NOT encrypted")
    host.shows("standing")
    viewer = relay.attach("--no-encrypt")
    viewer.shows("standing")
    viewer.send("\r")
    assert viewer.status() == 0


# -- what the command is told, and what nobody is ------------------------------------------------------------------

SECRETS = {
    "PUSHER_SECRET": "secret-of-pusher",
    "PUSHER_ENCRYPTION_MASTER_KEY_BASE64": MASTER_KEY,
    "AUTH_TOKEN": "secret-of-serve-auth",
    "CODEWRAP_TOKEN": "secret-of-a-gateway",
}
BESIDE = {"PUSHER_APP_ID": "1", "PUSHER_KEY": "a-key", "PUSHER_CLUSTER": "eu", "CODEWRAP_URL": "http://127.0.0.1:9"}


def secrets_of(relay: Relay) -> set[str]:
    """Those that the test itself gave."""
    return {value for name, value in relay.host.settings.items() if re.search("SECRET|TOKEN|MASTER_KEY", name)}


def test_the_command_is_told_where_it_runs_and_none_of_the_secrets(any_relay: Relay) -> None:
    given = SECRETS | BESIDE | any_relay.host.settings | {"CODEWRAP_MODE": any_relay.mode, "OTHER": "kept"}
    host = any_relay.run_piped("env", environ=given)
    assert host.status() == 0
    told = dict(line.partition("=")[::2] for line in host.out.everything().decode().splitlines())
    assert told["CODEWRAP"] == "1"
    assert told["CODEWRAP_SESSION"] == any_relay.name
    assert told["OTHER"] == "kept"
    assert SECRETS.keys().isdisjoint(told)
    assert not {*SECRETS.values(), *secrets_of(any_relay)} & set(told.values())


def test_no_secret_is_in_a_command_line_or_in_the_environment_of_what_we_start(any_relay: Relay) -> None:
    any_relay.shell()
    any_relay.attached()
    hub = any_relay.host.session(any_relay.name)["hub"]
    secrets = secrets_of(any_relay) | ({hub["secret"], hub["master_key"]} if hub else set())
    assert secrets
    uplink, started = any_relay.host.uplink(), []
    for process in any_relay.host.processes():
        command = process.cmdline()
        assert not any(secret in word for secret in secrets for word in command)
        if CODEWRAP not in command:  # that one, and its forks, have the environment that this test gave
            started.append(process.pid)
            assert secrets.isdisjoint(process.environ().values())
    assert uplink.pid in started
    assert len(started) == 2  # the uplink and bash


# -- sessions as things with names --------------------------------------------------------------------------------


def test_a_name_that_is_taken_is_125_in_one_line_and_the_first_session_goes_on(relay: Relay) -> None:
    first = relay.shell()
    second = relay.run_piped("echo", "never")
    assert second.status() == 125
    assert second.out.everything() == b""
    said = lines(second.err.everything())
    assert len(said) == 1, said
    line = said[0]
    assert relay.name in line
    assert "already running" in line
    viewer = relay.attached()
    viewer.send("echo still-$((1 + 1))\r")
    first.shows("\nstill-2\n")


def test_ls_lists_what_runs_and_nothing_else(relay: Relay) -> None:
    assert relay.host.finished("ls", "--json")[1] == b"[]\n"
    host = relay.shell()
    status, out, _ = relay.host.finished("ls", "--json")
    assert status == 0
    [session] = json.loads(out)
    assert session["name"] == relay.name
    assert session["command"] == list(BASH)
    assert session["pid"] == host.pid
    assert "hub" not in session
    status, out, _ = relay.host.finished("ls", environ={"COLUMNS": "200"})
    assert status == 0
    assert relay.name.encode() in out
    host.send("exit\r")
    assert host.status() == 0
    assert relay.host.finished("ls", "--json")[1] == b"[]\n"


def test_the_record_of_a_session_that_was_killed_is_not_listed_and_its_name_is_free(relay: Relay) -> None:
    host = relay.shell()
    host.kill()
    assert relay.host.records()
    assert relay.host.finished("ls", "--json")[1] == b"[]\n"
    assert not relay.host.records()
    again = relay.run_piped("echo", "again", options=["--quiet"])
    assert (again.status(), again.out.everything()) == (0, b"again\n")


@pytest.mark.parametrize("watched", [False, True], ids=["unwatched", "watched"])
@pytest.mark.parametrize("kept", [False, True], ids=["not kept", "kept"])
def test_a_session_leaves_no_process_and_no_record_behind_and_its_log_only_where_it_is_kept(
    any_relay: Relay, watched: bool, kept: bool
) -> None:
    host = any_relay.shell([] if kept else ["--no-record"])
    viewer = any_relay.attached() if watched else None
    assert not any_relay.host.is_empty()
    host.send("printf 'last %s' words; exit\r")
    assert host.status() == 0
    assert viewer is None or viewer.status() == 0
    eventually(any_relay.host.is_over if kept else any_relay.host.is_empty, "nothing is left but what is kept")
    if any_relay.viewer is not any_relay.host:
        eventually(any_relay.viewer.is_empty, "nothing is left at the viewer's")
    if kept:
        [session] = any_relay.host.kept()
        output = (session.directory / "output").read_bytes()
        eventually(lambda: host.output.data.startswith(output), "the terminal showed what the log holds")
        assert (session.state.status, session.state.output_bytes) == (0, len(output))


def test_sessions_started_by_env_file_take_its_flags(machine: Machine) -> None:
    (machine.home / ".env").write_text("CODEWRAP_QUIET=1\nCODEWRAP_NAME=from-the-file\n")
    host = machine.run_piped("sh", "-c", "echo $CODEWRAP_SESSION", stdin=subprocess.DEVNULL)
    assert host.status() == 0
    assert (host.out.everything(), host.err.everything()) == (b"from-the-file\n", b"")
