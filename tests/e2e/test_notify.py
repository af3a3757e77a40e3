"""Who is away is told: real sessions, real web servers that fail, hang and redirect, and real commands."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codewrap.store.activity import read_activity
from tests.support.ptydriver import eventually
from tests.support.sessions import Machine, closed_port, session_name
from tests.support.web import Asked, WebServer, answer

SECRET = "0123456789abcdef0123456789abcdef"
ASKS = ("bash", "-c", "read -p 'Deploy? [y/N] ' answer; exit 3")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path / "machine", {"CODEWRAP_NOTIFY_SECRET": SECRET}) as made:
        yield made


class Receiver:
    """A server that takes notifications, after ``first`` answers of another kind."""

    def __init__(self, *first: bytes) -> None:
        self.answers = list(first)
        self.server = WebServer(self._answer)

    def _answer(self, _: Asked) -> bytes:
        return self.answers.pop(0) if self.answers else answer(status=204)

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(asked.body) for asked in self.server.asked]

    def hears(self, *events: str) -> list[dict[str, Any]]:
        """Wait until just these have come."""
        eventually(lambda: len(self.told()) >= len(events), f"{events}; it is {self.told()}")
        assert [said["event"] for said in self.told()] == list(events)
        return self.told()

    def __enter__(self) -> Receiver:
        self.server.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self.server.__exit__(*raised)


def headless(machine: Machine, *options: str, command: tuple[str, ...] = ASKS) -> tuple[str, Any]:
    """A session at whose own terminal nobody can be."""
    name = session_name()
    return name, machine.run_piped("--name", name, "--pty", *options, "--", *command)


def awaits(machine: Machine, name: str) -> None:
    directory = Path(machine.session(name)["log_directory"])

    def is_said() -> bool:
        found = read_activity(directory)
        return found is not None and found.state == "awaiting input"

    eventually(is_said, "awaiting input")


def test_question_and_end_are_told_signed_and_once(machine: Machine) -> None:
    with Receiver() as receiver:
        name, run = headless(machine, "--notify", f"{receiver.server.url}/hook")
        run.err.expect(f"ends or fails: {receiver.server.url}/…".encode())
        (asked,) = receiver.hears("awaiting")
        assert (asked["session"], asked["text"], asked["attach"]) == (name, "Deploy? [y/N]", f"codewrap attach {name}")
        assert "it reads the terminal" in asked["evidence"]
        run.send(b"y\n")
        assert run.status() == 3
        _, ended = receiver.hears("awaiting", "failed")
        assert ended["text"] == "exit 3"
        for request in receiver.server.asked:
            signed = request.headers["codewrap-timestamp"].encode() + b"." + request.body
            expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
            assert request.headers["codewrap-signature"] == f"v1={expected}"
        assert len({request.headers["codewrap-id"] for request in receiver.server.asked}) == 2


def test_server_that_fails_twice_is_told_the_third_time(machine: Machine) -> None:
    with Receiver(answer(status=500), answer(status=503)) as receiver:
        _, run = headless(machine, "--notify", receiver.server.url, command=("true",))
        assert run.status() == 0
        said = receiver.hears("ended", "ended", "ended")
        assert said[0] == said[2]
        assert len({request.headers["codewrap-id"] for request in receiver.server.asked}) == 1


def test_server_that_hangs_or_redirects_holds_up_neither_the_command_nor_the_others(machine: Machine) -> None:
    over = threading.Event()

    def hang(_: Asked) -> bytes:
        over.wait(60)
        return b""

    with Receiver() as elsewhere, Receiver() as receiver, WebServer(hang) as hanging:
        redirecting = WebServer(lambda _: answer(status=307, location=elsewhere.server.url))
        with redirecting:
            targets = [part for server in (hanging, redirecting, receiver.server) for part in ("--notify", server.url)]
            _, run = headless(machine, *targets)
            receiver.hears("awaiting")
            (errors,) = machine.root.rglob("uplink.log")
            eventually(lambda: "redirect, which is not followed" in errors.read_text(), "the redirect is refused")
            run.send(b"n\n")
            assert run.status() == 3
            receiver.hears("awaiting", "failed")
            assert elsewhere.server.asked == []
            assert len(redirecting.asked) >= 1
        over.set()


def test_command_is_run_with_what_is_told_and_without_secrets(machine: Machine) -> None:
    told = machine.home / "told"
    script = machine.home / "tell"
    script.write_text(f'#!/bin/sh\n{{ cat; echo; env; }} > {told}.part && mv {told}.part "{told}-$CODEWRAP_EVENT"\n')
    script.chmod(0o700)
    _, run = headless(machine, "--notify", str(script), command=("bash", "-c", "read -p '$(touch evil); `evil`? ' answer"))
    eventually((machine.home / "told-awaiting").exists, "the command was run")
    body, _, environ = (machine.home / "told-awaiting").read_text().partition("\n")
    assert json.loads(body)["text"] == "$(touch evil); `evil`?"
    assert "CODEWRAP_TEXT=$(touch evil); `evil`?" in environ
    assert SECRET not in environ
    assert not (machine.home / "evil").exists()
    run.send(b"y\n")
    assert run.status() == 0
    eventually((machine.home / "told-ended").exists, "the command was run at the end")


def test_who_watches_is_not_told_and_who_has_left_is(machine: Machine) -> None:
    go = machine.home / "go"
    with Receiver() as receiver, Receiver() as another:
        script = f"echo ready; until [ -e {go} ]; do sleep 0.1; done; {ASKS[2]}"
        name, run = headless(machine, "--notify", receiver.server.url, command=("bash", "-c", script))
        machine.session(name)
        viewer = machine.attach(name)
        viewer.shows("ready")
        go.touch()
        viewer.shows("Deploy?")
        awaits(machine, name)
        headless(machine, "--notify", another.server.url)
        another.hears("awaiting")  # of a question that was asked later
        assert receiver.told() == []
        viewer.send("\x1d")
        assert viewer.status() == 0
        receiver.hears("awaiting")
        run.send(b"y\n")
        assert run.status() == 3
        receiver.hears("awaiting", "failed")


def test_who_types_at_the_host_is_told_nothing(machine: Machine) -> None:
    with Receiver() as receiver:
        name = session_name()
        run = machine.run("--name", name, "--notify", receiver.server.url, "--", *ASKS)
        run.shows("Deploy?")
        awaits(machine, name)
        run.send(b"y\n")
        assert run.status() == 3
        eventually(lambda: not machine.uplinks(), "the uplink has left")
        assert receiver.told() == []


def test_it_is_told_also_while_no_server_can_be_reached(machine: Machine) -> None:
    machine.settings |= {"CODEWRAP_URL": f"http://127.0.0.1:{closed_port()}", "CODEWRAP_TOKEN": "a-token-that-is-long-enough"}
    with Receiver() as receiver:
        _, run = headless(machine, "--notify", receiver.server.url)
        receiver.hears("awaiting")
        run.send(b"y\n")
        assert run.status() == 3
        receiver.hears("awaiting", "failed")


def test_secrets_are_in_no_file_and_no_environment(machine: Machine) -> None:
    with Receiver(answer(status=404)) as receiver:
        url = f"{receiver.server.url}/T0-the-secret-path"
        _, run = headless(machine, "--notify", url, command=("bash", "-c", "env; read x"))
        receiver.hears("awaiting")
        run.send(b"y\n")
        assert run.status() == 0
        receiver.hears("awaiting", "ended")
        eventually(lambda: not machine.uplinks(), "the uplink has left")
        shown = run.out.everything() + run.err.everything()
        written = b"".join(path.read_bytes() for path in machine.root.rglob("*") if path.is_file())
        for secret in (SECRET.encode(), b"T0-the-secret-path"):
            assert secret not in shown
            assert secret not in written


@pytest.mark.parametrize("target", ["http://hooks.example.com/x", "'unfinished", "ftp://hooks.example.com/"])
def test_target_that_cannot_be_told_is_refused_in_a_line_before_anything_runs(machine: Machine, target: str) -> None:
    status, out, err = machine.finished("run", "--notify", target, "--", "echo", "it runs")
    assert (status, out) == (2, b"")
    assert err.startswith(b"codewrap: --notify: ")
    assert err.count(b"\n") == 1
