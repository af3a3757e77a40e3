"""Share links between real processes: who gets in, as what, how often, how long; and where the token is to be seen."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.support.node import Node
from tests.support.ptydriver import Terminal, eventually
from tests.support.served import Served
from tests.support.sessions import BASH, CODEWRAP, JOINED, PROMPT, TOKEN, Machine, session_name, soketi_settings
from tests.support.soketi import SoketiServer

pytestmark = pytest.mark.timeout(120)
NOBODYS = {"CODEWRAP_URL": "http://127.0.0.1:1", "CODEWRAP_TOKEN": "of-another-server", "SOKETI_PORT": "what"}


@dataclass
class Stage:
    """A server, somebody who hosts with a token of their own, and a guest who has no setting that would help."""

    served: Served
    host: Machine
    guest: Machine
    name: str

    def session(self, *options: str) -> Terminal:
        """A shell that somebody watches already."""
        shell = self.host.run("--name", self.name, "--quiet", *options, "--", *BASH)
        shell.shows(PROMPT.strip())
        self.host.attach(self.name, "--read-only").expect(JOINED)
        return shell

    def link(self, *options: str) -> str:
        """What `codewrap share` puts on stdout."""
        status, out, err = self.host.finished("share", self.name, *options)
        assert status == 0, err
        return out.decode().strip()

    def admin(self, *arguments: str) -> bytes:
        """stdout of `codewrap ARGUMENTS` with AUTH_TOKEN."""
        status, out, err = self.host.finished(*arguments, environ={"CODEWRAP_TOKEN": TOKEN})
        assert status == 0, err
        return out

    def is_known(self) -> bool:
        """The server knows of the session."""
        return f'"{self.name}"'.encode() in self.served.request("GET", "/api/sessions")[2]

    def refused(self, link: str) -> str:
        """The one line, beside that with the server's name, of an attachment that is refused."""
        status, out, err = self.guest.finished("attach", "--quiet", link)
        assert (status, out) == (255, b"")
        lines = [line for line in err.decode().splitlines() if "this link leads to" not in line]
        assert len(lines) == 1, lines
        return lines[0]


@contextlib.contextmanager
def staged(root: Path, served: Served) -> Iterator[Stage]:
    with Machine(root / "host") as host, Machine(root / "guest", NOBODYS) as guest:
        host.settings["CODEWRAP_URL"] = served.url
        name = session_name()
        stage = Stage(served, host, guest, name)
        host.settings["CODEWRAP_TOKEN"] = (
            stage.admin("token", "create", "--user", "hannah", "--role", "host", "--session", "e2e-*", "--expires", "1h")
            .decode()
            .strip()
        )
        yield stage


@pytest.fixture
def stage(tmp_path: Path, gateway: Served) -> Iterator[Stage]:
    """Over a server that is the broker itself."""
    with staged(tmp_path, gateway) as made:
        yield made


@pytest.fixture
def stage_before_soketi(tmp_path: Path, node: Node) -> Iterator[Stage]:
    """Over a Soketi that knows users."""
    settings = {"SOKETI_DEFAULT_APP_USER_AUTHENTICATION": "1"}
    with SoketiServer(node, settings=settings) as soketi:
        (tmp_path / "served").mkdir()
        served = Served(tmp_path / "served", settings={**soketi_settings(soketi), "AUTH_TOKEN": TOKEN})
        with served, staged(tmp_path, served) as made:
            yield made


def test_a_guest_watches_by_a_link_whatever_they_have_configured(stage: Stage) -> None:
    shell = stage.session()
    guest = stage.guest.attach(stage.link())
    guest.expect(f"this link leads to 127.0.0.1:{stage.served.port}, a server that no link has led you to before")
    guest.expect("you may watch until")
    guest.expect(JOINED)
    shell.send("echo seen-$((6 * 7))\r")
    guest.shows("\nseen-42\n")
    guest.send("echo typed-$((6 * 7))\r")
    shell.send("echo then-$((6 * 7))\r")
    guest.shows("\nthen-42\n")
    assert "typed" not in shell.text()
    guest.send("~.q")  # a viewer leaves by q as well
    assert guest.status() == 0
    guest.is_as_it_was()


def test_a_guest_with_a_link_to_write_types(stage: Stage) -> None:
    shell = stage.session("--share", "write")
    guest = stage.guest.attach("-q", stage.link("--write"))
    guest.expect(JOINED)
    guest.send("echo typed-$((6 * 7))\r")
    shell.shows("\ntyped-42\n")
    guest.shows("\ntyped-42\n")


def test_a_link_for_one_use_works_once(stage: Stage) -> None:
    stage.session()
    link = stage.link("--once")
    guest = stage.guest.attach("-q", link)
    guest.expect(JOINED)
    assert "this link worked once, and was used" in stage.refused(link)
    guest.shows(PROMPT.strip())


def test_a_link_that_has_expired_is_refused(stage: Stage) -> None:
    stage.session()
    shared = json.loads(stage.link("--expires", "1s", "--json"))
    eventually(lambda: time.time() > shared["expiresAt"], "the link expires")
    assert "this token has expired" in stage.refused(shared["url"])


def test_a_link_from_stdin_leaves_the_rest_to_the_session(stage: Stage) -> None:
    host = stage.host.run_piped("--name", stage.name, "-q", "--share", "write", "--", "sh", "-c", "read x; echo got $x; read y")
    stage.host.session(stage.name)
    watching = stage.host.attach_piped(stage.name, "-q", "--read-only", stdin=subprocess.DEVNULL)
    eventually(stage.is_known, "the session is known to the server")
    guest = stage.guest.attach_piped("-q", "-")
    guest.send(f"{stage.link('--write')}\nhello\n".encode())
    guest.out.expect(b"got hello\n")
    guest.send(b"\n")
    assert (host.status(), guest.status(), watching.status()) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["hub", pytest.param("soketi", marks=pytest.mark.soketi)])
@pytest.mark.parametrize("once", [(), ("--once",)])
def test_who_is_revoked_while_attached_is_shown_out_with_one_line(
    kind: str, once: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    stage: Stage = request.getfixturevalue("stage" if kind == "hub" else "stage_before_soketi")
    shell = stage.session()
    shared = json.loads(stage.link("--json", *once))
    guest = stage.guest.attach(shared["url"])
    guest.shows(PROMPT.strip())  # the host has answered: only then was the guest let in
    stage.admin("token", "revoke", shared["tokenId"])
    assert guest.status() == 255
    guest.is_as_it_was()
    (line,) = re.findall(r"you may not watch .*", guest.output.data.decode())
    assert "this token was revoked" in line
    assert "this token was revoked" in stage.refused(shared["url"]) or once
    shell.send("echo on-$((6 * 7))\r")
    shell.shows("\non-42\n")


@pytest.mark.parametrize("kind", ["hub", pytest.param("soketi", marks=pytest.mark.soketi)])
def test_who_is_attached_when_their_link_expires_is_shown_out(kind: str, request: pytest.FixtureRequest) -> None:
    stage: Stage = request.getfixturevalue("stage" if kind == "hub" else "stage_before_soketi")
    shell = stage.session()
    guest = stage.guest.attach(stage.link("--expires", "8s"))
    guest.expect(JOINED)
    assert guest.status() == 255
    guest.is_as_it_was()
    assert "this token has expired" in guest.output.data.decode()
    shell.send("echo on-$((6 * 7))\r")
    shell.shows("\non-42\n")


def test_the_token_is_in_no_argument_list_and_no_environment(stage: Stage) -> None:
    stage.session()
    link = stage.link()
    token = link.partition("#")[2]
    guest = stage.guest.attach(link)
    guest.expect(JOINED)
    seen = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            said = "\0".join([*process.cmdline(), *process.environ().values()])
            assert token not in said, process.name()
            seen += f"/s/{stage.name}#" in said
    assert seen >= 1  # `attach` itself, with something else in the token's place
    assert token not in guest.output.data.decode()


def test_a_link_without_its_token_asks_for_it_without_echo(stage: Stage) -> None:
    stage.session()
    address, _, token = stage.link().partition("#")
    guest = stage.guest.attach("-q", address)
    guest.expect("token of this link: ")
    guest.send(f"{token}\r")
    guest.expect(JOINED)
    assert token not in guest.output.data.decode()


def test_a_picture_of_a_link_is_as_wide_as_the_terminal_at_most(stage: Stage) -> None:
    stage.session()
    sharing = stage.host.terminal([CODEWRAP, "share", stage.name, "--qr"])
    assert sharing.status() == 0
    drawn = [line for line in sharing.output.data.decode().split("\r\n") if "▀" in line]
    bare = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in drawn]
    assert len(bare) > 20
    assert max(map(len, bare)) <= 80
