"""`codewrap run` as a process without a terminal: exit statuses, what is said, what `.env` may set, what the child inherits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codewrap.cli.run import broker_values, gateway_values
from codewrap.config import load
from tests.support.cli import CommandLine

PUSHER = {"PUSHER_APP_ID": "1", "PUSHER_KEY": "key", "PUSHER_SECRET": "hush", "PUSHER_HOST": "127.0.0.1", "PUSHER_PORT": "1"}


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.mark.parametrize(
    ("command", "status"),
    [(["true"], 0), (["sh", "-c", "exit 42"], 42), (["sh", "-c", "kill -9 $$"], 137), (["no-such-program"], 127), (["/"], 126)],
)
def test_the_status_is_the_command_s(codewrap: CommandLine, command: list[str], status: int) -> None:
    done = codewrap("run", "-q", *command)
    assert (done.status, done.out) == (status, "")
    assert len(done.err.splitlines()) == (1 if status in (126, 127) else 0)


def test_options_behind_the_command_are_the_command_s(codewrap: CommandLine) -> None:
    assert codewrap("run", "-q", "echo", "--name", "-q", "--help").out == "--name -q --help\n"


def test_what_is_said_goes_to_stderr_and_names_the_session(codewrap: CommandLine) -> None:
    done = codewrap("run", "--name", "build", "echo", "hello")
    assert done.out == "hello\n"
    lines = done.err.splitlines()
    assert all(line.startswith("[codewrap] ") for line in lines)
    assert "codewrap attach build" in done.err
    assert "exit 0" in lines[-1]
    assert "6 B of output" in lines[-1]


@pytest.mark.parametrize(
    ("options", "environ"),
    [
        (["--max-rate", "fast"], {}),
        (["--budget", "50k"], {}),
        ([], {"CODEWRAP_MAX_RATE": "fast"}),
        ([], {"CODEWRAP_BUDGET": "50k"}),
    ],
)
def test_a_limit_that_makes_no_sense_is_one_line_and_the_command_does_not_run(
    codewrap: CommandLine, options: list[str], environ: dict[str, str]
) -> None:
    done = codewrap("run", *options, "echo", "ran", **environ)
    assert (done.status, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith("codewrap: --")
    assert "for example" in line


def test_limits_may_stand_in_the_env_file(codewrap: CommandLine) -> None:
    codewrap.dotenv("CODEWRAP_MAX_RATE=5", "CODEWRAP_BUDGET=50k/day", "CODEWRAP_QUIET=1")
    assert codewrap("run", "echo", "ran").out == "ran\n"
    codewrap.dotenv("CODEWRAP_MAX_RATE=5", "CODEWRAP_BUDGET=much")
    assert codewrap("run", "echo", "ran").status == 2


def test_a_session_that_nobody_watched_cost_nothing_and_says_nothing_of_it(codewrap: CommandLine) -> None:
    said = codewrap("run", "--name", "build", "true").err.splitlines()[-1]
    assert "messages" not in said


def test_one_json_object_is_said_to_programs(codewrap: CommandLine) -> None:
    done = codewrap("run", "--json", "--name", "build", "--read-only", "true")
    (line,) = done.err.splitlines()
    said = json.loads(line)
    assert (said["session"], said["mode"], said["encrypted"], said["read_only"]) == ("build", "embedded", True, True)
    assert said["share"] == "view"


@pytest.mark.parametrize(
    ("words", "environ", "said"),
    [
        ([], {}, "others ask before they type"),
        (["--share", "write"], {}, "others may type"),
        (["--share", "view"], {"CODEWRAP_SHARE": "write"}, "nobody else may type"),
        ([], {"CODEWRAP_SHARE": "write"}, "others may type"),
        (["--share", "write"], {"CODEWRAP_READ_ONLY": "1"}, "nobody else may type"),
    ],
)
def test_who_else_may_type_is_said(codewrap: CommandLine, words: list[str], environ: dict[str, str], said: str) -> None:
    assert said in codewrap("run", *words, "true", **environ).err.splitlines()[0]


def test_a_rule_for_typing_that_is_none_is_refused_before_anything_runs(codewrap: CommandLine) -> None:
    done = codewrap("run", "--share", "everything", "echo", "ran")
    assert (done.status, done.out) == (2, "")
    assert "--share" in done.err


def test_the_env_file_sets_flags_and_flags_and_environment_win(codewrap: CommandLine) -> None:
    codewrap.dotenv("CODEWRAP_QUIET=1", "CODEWRAP_NAME=from-file")
    assert codewrap("run", "echo", "x").err == ""
    assert "session from-file" in codewrap("run", "true", CODEWRAP_QUIET="0").err
    assert "session from-environment" in codewrap("run", "true", CODEWRAP_QUIET="0", CODEWRAP_NAME="from-environment").err
    assert "session from-flag" in codewrap("run", "--name", "from-flag", "true", CODEWRAP_QUIET="0").err


def test_secrets_are_not_handed_to_the_command(codewrap: CommandLine) -> None:
    codewrap.dotenv("CODEWRAP_TOKEN=hush-token", "AUTH_TOKEN=hush-auth")
    done = codewrap(
        "run",
        "-q",
        "--name",
        "build",
        "env",
        PUSHER_SECRET="hush-pusher",
        OTHER="kept",
        CODEWRAP_MODE="embedded",
        **{name: value for name, value in PUSHER.items() if name != "PUSHER_SECRET"},
    )
    assert done.status == 0, done.err
    assert "hush" not in done.out
    assert {"OTHER=kept", "CODEWRAP=1", "CODEWRAP_SESSION=build"} <= set(done.out.splitlines())


def test_without_a_key_a_foreign_server_is_not_used_unless_that_is_said(codewrap: CommandLine) -> None:
    done = codewrap("run", "true", **PUSHER)
    assert done.status == 2
    assert "PUSHER_ENCRYPTION_MASTER_KEY_BASE64" in done.err
    assert "NOT encrypted" in codewrap("run", "--no-encrypt", "true", **PUSHER).err


def test_a_server_that_is_not_there_does_not_keep_the_command(codewrap: CommandLine) -> None:
    done = codewrap("run", "--no-encrypt", "echo", "done", **PUSHER)
    assert (done.status, done.out) == (0, "done\n")


def test_a_session_leaves_no_record_behind(codewrap: CommandLine) -> None:
    codewrap("run", "-q", "true")
    assert [path.name for path in (codewrap.directory / "runtime" / "codewrap").iterdir()] == []


def test_what_the_uplink_needs_survives_json() -> None:
    settings = load(PUSHER | {"PUSHER_ENCRYPTION_MASTER_KEY_BASE64": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="})
    values = broker_values(settings)
    assert values is not None
    assert json.loads(json.dumps(values)) == values
    assert bytes.fromhex(values["master_key"]) == bytes(range(32))
    assert gateway_values(settings) is None
    gateway = load({"CODEWRAP_URL": "https://x.example/", "CODEWRAP_TOKEN": "t"})
    assert gateway_values(gateway) == {"url": "https://x.example", "token": "t"}
    assert broker_values(gateway) is None


@pytest.mark.parametrize(("command", "status"), [(["sh", "-c", "echo ran; exit 6"], 6), (["no-such-program"], 127)])
def test_a_disk_that_refuses_costs_the_session_and_not_the_command(tmp_path: Path, command: list[str], status: int) -> None:
    (tmp_path / "taken").write_text("")
    codewrap = CommandLine(tmp_path)
    done = codewrap("run", *command, CODEWRAP_STATE_DIR=str(tmp_path / "taken"))
    assert done.status == status
    assert done.out == ("ran\n" if status == 6 else "")
    assert "this cannot be watched" in done.err.splitlines()[0]


@pytest.mark.parametrize("pty", [[], ["--pty"]], ids=["pipes", "pty"])
def test_a_command_whose_reader_has_gone_ends_as_it_would_without_us(codewrap: CommandLine, pty: list[str]) -> None:
    words = [sys.executable, "-m", "codewrap.cli.main", "run", "-q", *pty, "yes"]
    with subprocess.Popen(words, env=codewrap.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"y"
        process.stdout.close()
        status = process.wait(30)
    assert status == (128 + signal.SIGHUP if pty else 128 + signal.SIGPIPE)


def test_closed_standard_streams_harm_nobody(codewrap: CommandLine) -> None:
    script = f'"{sys.executable}" -m codewrap.cli.main run sh -c "exit 3" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", script], env=codewrap.environ, timeout=60, check=False)
    assert done.returncode == 3


def test_embedded_mode_does_not_mind_what_is_set_for_servers(codewrap: CommandLine) -> None:
    done = codewrap("run", "-q", "--mode", "embedded", "echo", "hi", SOKETI_HOST="half-a-setting")
    assert (done.status, done.out, done.err) == (0, "hi\n", "")
