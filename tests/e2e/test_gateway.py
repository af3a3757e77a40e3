"""`serve-auth` between host and viewer: input over HTTP, the official JavaScript client, a wrong token, a port that is taken."""

from __future__ import annotations

import base64
import json
import queue
import re
import subprocess
import threading
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from codewrap.transport.gateway import GatewayClient
from tests.support.node import SOURCE, Node
from tests.support.ptydriver import DEADLINE_S, eventually
from tests.support.served import Served
from tests.support.sessions import PROMPT, TOKEN, Machine, Relay

pytestmark = pytest.mark.timeout(120)


def served_of(relay: Relay, request: pytest.FixtureRequest) -> Served:
    """The server behind ``relay``."""
    served: Served = request.getfixturevalue(relay.kind.replace("-", "_"))
    return served


class Browser:
    """pusher-js, as a page of somebody else's would use it: what the host says on one channel."""

    def __init__(self, node: Node, served: Served, channel: str, event: str, until: int) -> None:
        client = GatewayClient(served.url, TOKEN)
        endpoint = client.config().broker
        client.close()
        wanted = {
            "key": endpoint.key,
            "host": endpoint.host,
            "port": endpoint.port,
            "url": served.url,
            "token": TOKEN,
            "channel": channel,
            "event": event,
            "until": until,
        }
        self._process = subprocess.Popen(
            [str(node.binary), str(SOURCE / "watch_session.js"), json.dumps(wanted)],
            cwd=node.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, name="browser")
        self._thread.start()

    def next(self, what: str) -> Any:
        """The data of the next thing that happens, which must be ``what``."""
        said = self._said.get(timeout=DEADLINE_S)
        assert said is not None, "the client has ended"
        assert said["what"] == what, said
        return said.get("data")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(json.loads(line))
        self._said.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait(DEADLINE_S)
        self._thread.join(DEADLINE_S)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


def output_of(frame: dict[str, Any]) -> bytes:
    """The bytes in a frame, as `docs/protocol.md` has them."""
    if "data" in frame:
        return str(frame["data"]).encode()
    return zlib.decompress(base64.b64decode(frame["z"]), -15)


def test_input_over_http_arrives_at_the_commands_stdin(gateway_relay: Relay, request: pytest.FixtureRequest) -> None:
    served = served_of(gateway_relay, request)
    host = gateway_relay.run_piped("sh", "-c", "echo go; read line; echo heard $line; exit 5", options=["--quiet"])
    viewer = gateway_relay.attach_piped("--quiet", stdin=subprocess.DEVNULL)
    viewer.out.expect(b"go\n")  # who comes after the end finds nobody
    # Until the host has subscribed, what is published reaches nobody: said again until it is heard.
    body = {"sessionId": gateway_relay.name, "input": "over http é\n"}
    for _ in range(60):
        assert served.request("POST", "/api/commands/input", body)[0] == 202
        if host.out.wait_for(lambda: b"heard" in host.out.data, 0.5):
            break
    assert host.status() == 5
    assert host.out.everything() == "go\nheard over http é\n".encode()
    assert viewer.status() == 5
    assert viewer.out.everything() == "go\nheard over http é\n".encode()


def test_input_over_http_arrives_at_a_terminal(gateway_relay: Relay, request: pytest.FixtureRequest) -> None:
    served = served_of(gateway_relay, request)
    host = gateway_relay.shell()
    viewer = gateway_relay.attached()
    body = {"sessionId": gateway_relay.name, "input": "echo over-$((6 * 7))\r"}
    assert served.request("POST", "/api/commands/input", body)[0] == 202
    host.shows("\nover-42\n")
    viewer.shows("\nover-42\n")


def test_a_read_only_session_takes_no_input_over_http(gateway_relay: Relay, request: pytest.FixtureRequest) -> None:
    served = served_of(gateway_relay, request)
    host = gateway_relay.shell(["--read-only"])
    viewer = gateway_relay.attached()
    body = {"sessionId": gateway_relay.name, "input": "echo over-http\r"}
    assert served.request("POST", "/api/commands/input", body)[0] == 202
    host.send("echo by-hand-$((1 + 1))\r")
    viewer.shows("\nby-hand-2\n")
    assert "over-http" not in host.text()


@pytest.mark.soketi
def test_the_official_javascript_client_reads_a_real_session(
    gateway_relay: Relay, node: Node, request: pytest.FixtureRequest
) -> None:
    served = served_of(gateway_relay, request)
    host = gateway_relay.run_piped("sh", "-c", "echo go; read line; echo fifty-$((7 * 7))-é; read line", options=["--quiet"])
    # The host speaks when somebody is on the presence channel: our own viewer is.
    viewer = gateway_relay.attach_piped("--quiet")
    viewer.out.expect(b"go\n")
    channel = f"private-encrypted-command-{gateway_relay.name}"
    with Browser(node, served, channel, "output", 1) as browser:
        browser.next("subscribed")
        viewer.send(b"\n")
        frame = browser.next("event")
    assert (frame["v"], frame["type"], frame["offset"]) == (1, "stdout", 3)
    assert output_of(frame) == "fifty-49-é\n".encode()
    host.send(b"\n")
    assert (host.status(), viewer.status()) == (0, 0)


@pytest.mark.soketi
def test_the_official_javascript_client_hears_of_the_end(
    gateway_relay: Relay, node: Node, request: pytest.FixtureRequest
) -> None:
    served = served_of(gateway_relay, request)
    host = gateway_relay.run_piped("sh", "-c", "echo go; read line; exit 9", options=["--quiet"])
    viewer = gateway_relay.attach_piped("--quiet")
    viewer.out.expect(b"go\n")
    with Browser(node, served, f"private-encrypted-command-{gateway_relay.name}", "exit", 1) as browser:
        browser.next("subscribed")
        viewer.send(b"\n")
        assert browser.next("event")["code"] == 9
    assert (host.status(), viewer.status()) == (9, 9)


def test_attach_with_a_wrong_token_is_255_in_one_line(gateway_relay: Relay) -> None:
    host = gateway_relay.shell()
    gateway_relay.viewer.settings["CODEWRAP_TOKEN"] = "another-token-altogether"
    status, out, err = gateway_relay.viewer.finished("attach", "--quiet", gateway_relay.name)
    assert (status, out) == (255, b"")
    [line] = err.decode().splitlines()
    assert "refuses these credentials (401)" in line
    assert "another-token" not in line
    viewer = gateway_relay.attach()
    assert viewer.status() == 255
    viewer.is_as_it_was()
    host.send("echo still-$((1 + 1))\r")
    host.shows("\nstill-2\n")


def test_run_with_a_wrong_token_runs_the_command_and_tells_at_its_end(gateway_relay: Relay) -> None:
    gateway_relay.host.settings["CODEWRAP_TOKEN"] = "another-token-altogether"
    host = gateway_relay.run_piped("sh", "-c", "echo at work; read line; exit 3")
    host.out.expect(b"at work\n")
    viewer = gateway_relay.attach_piped()
    assert viewer.status() == 255  # nobody answers, since the host was refused
    host.send(b"\n")
    assert host.status() == 3
    err = host.err.everything()
    assert b"refuses these credentials (401)" in err
    assert b"Traceback" not in err
    assert b"another-token" not in err


def test_a_port_that_is_taken_is_125_in_one_line(machine: Machine, gateway: Served) -> None:
    status, out, err = machine.finished("serve-auth", "--port", str(gateway.port))
    assert (status, out) == (125, b"")
    [line] = err.decode().splitlines()
    assert f"127.0.0.1:{gateway.port}" in line
    assert "--port" in line


def test_the_script_serves_and_ends_on_sigterm(machine: Machine) -> None:
    served = machine.piped(["codewrap", "serve-auth", "--port", "0", "--json"])
    ready = json.loads(served.out.expect(re.compile(rb"\{.*\}\n"))[0])
    token = Path(ready["token_file"]).read_text().strip()
    settings = {"CODEWRAP_URL": ready["url"], "CODEWRAP_TOKEN": token}
    host = machine.run("--quiet", "--name", "small-team", "bash", "--norc", "--noprofile", environ=settings)
    host.shows(PROMPT.strip())
    viewer = machine.attach("small-team", environ=settings)
    viewer.shows(PROMPT.strip())
    viewer.send("exit 6\r")
    assert (host.status(), viewer.status()) == (6, 6)
    served.process.terminate()
    assert served.status() == 0


def test_a_host_whose_token_is_revoked_loses_its_viewers_and_nothing_else(machine: Machine, tmp_path: Path) -> None:
    with Served(tmp_path, settings={"AUTH_TOKEN": TOKEN}) as served:
        _, _, body = served.request("POST", "/api/tokens", {"user": "hannah", "role": "host"})
        issued = json.loads(body)
        settings = {"CODEWRAP_URL": served.url, "CODEWRAP_TOKEN": issued["token"]}
        host = machine.run_piped("--name", "hers", "sh", "-c", "echo go; read line; echo heard $line", environ=settings)
        viewer = machine.attach_piped("hers", environ=settings | {"CODEWRAP_TOKEN": TOKEN})
        viewer.out.expect(b"go\n")
        assert served.request("DELETE", f"/api/tokens/{issued['tokenId']}")[0] == 200
        log = tmp_path / "state/codewrap/serve-auth/audit/00000001.jsonl"
        eventually(lambda: b"was revoked" in log.read_bytes(), "the host has come back and was refused")
        host.send(b"all the same\n")
        assert host.status() == 0
        assert host.out.everything() == b"go\nheard all the same\n"
        told = [line for line in host.err.everything().splitlines() if b"revoked" in line]
        assert len(told) == 1, told


def test_a_session_that_nobody_watched_is_over_at_the_server_at_its_end(
    gateway_relay: Relay, request: pytest.FixtureRequest
) -> None:
    served = served_of(gateway_relay, request)
    host = gateway_relay.run_piped("sh", "-c", "read line", options=["--quiet"])
    known = f'"{gateway_relay.name}"'.encode()
    eventually(lambda: known in served.request("GET", "/api/sessions")[2], "the server knows of it")
    killed = gateway_relay.host.uplink()
    killed.kill()
    eventually(lambda: gateway_relay.host.uplinks() not in ([], [killed]), "another uplink")
    host.send(b"\n")
    assert host.status() == 0
    eventually(lambda: known not in served.request("GET", "/api/sessions")[2], "the server knows that it is over")
