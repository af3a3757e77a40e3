"""A prompt answered by its link: real sessions, servers and notifications. Once, where it was asked, or not at all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.ptydriver import Piped, eventually
from tests.support.served import Served
from tests.support.sessions import CODEWRAP, Machine, session_name
from tests.support.web import WebServer, answer

pytestmark = pytest.mark.timeout(120)
ASKS = ("bash", "-c", "read -p 'Deploy? [y/N] ' a; echo heard $a.; read -p 'Sure? [y/N] ' b; echo then $b.; read c; exit 3")


@dataclass
class Stage:
    """A server, a host with a token of its own, and who is told."""

    served: Served
    host: Machine
    receiver: WebServer
    token_id: str
    name: str = field(default_factory=session_name)

    def run(self, *options: str, command: tuple[str, ...] = ASKS, share: str = "ask") -> Piped:
        """A session that nobody sits at."""
        run = self.host.run_piped(
            "--name", self.name, "--pty", "--share", share, "--notify", self.receiver.url, *options, "--", *command
        )
        self.host.session(self.name)
        return run

    def told(self, count: int = 1) -> dict[str, Any]:
        """What is told last, when so much was."""
        eventually(lambda: len(self.receiver.asked) >= count, f"{count} notifications; there are {len(self.receiver.asked)}")
        said: dict[str, Any] = json.loads(self.receiver.asked[count - 1].body)
        return said

    def answer(self, url: str, text: str, served: Served | None = None, **more: Any) -> tuple[int, str]:
        """Status, and the code of the refusal, if it is one."""
        parts = urlsplit(url)
        headers = {"Authorization": f"Bearer {parts.fragment}"}
        path = f"/api/sessions/{parts.path.rpartition('/')[2]}/answer"
        status, _, body = (served or self.served).request("POST", path, {"text": text} | more, headers)
        return status, json.loads(body).get("error", {}).get("code", "")

    def written(self) -> bytes:
        """Every file of the host's and of the server's."""
        paths = [*self.host.root.rglob("*"), *self.served.directory.rglob("*")]
        return b"".join(path.read_bytes() for path in paths if path.is_file())


@contextlib.contextmanager
def staged(root: Path, served: Served) -> Iterator[Stage]:
    _, _, body = served.request("POST", "/api/tokens", {"user": "hannah", "role": "host", "sessions": ["e2e-*"]})
    issued = json.loads(body)
    settings = {"CODEWRAP_URL": served.url, "CODEWRAP_TOKEN": issued["token"]}
    with WebServer(lambda _: answer(status=204)) as receiver, Machine(root / "host", settings) as host:
        yield Stage(served, host, receiver, issued["tokenId"])


@pytest.fixture
def stage(gateway: Served, tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path, gateway) as stage:
        yield stage


@pytest.fixture(params=["gateway", "gateway_soketi"])
def each_stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path, request.getfixturevalue(request.param)) as stage:
        yield stage


def test_answer_is_typed_once_and_where_it_was_asked(each_stage: Stage) -> None:
    stage = each_stage
    run = stage.run()
    first = stage.told()
    assert (first["text"], urlsplit(first["answer_url"]).path) == ("Deploy? [y/N]", f"/a/{stage.name}")
    assert first["answer_url"].startswith(stage.served.url)
    assert stage.answer(first["answer_url"], "yes é") == (200, "")
    run.out.expect("heard yes é.".encode())
    assert stage.answer(first["answer_url"], "again") == (409, "used")
    second = stage.told(2)
    assert (second["text"], second["event"]) == ("Sure? [y/N]", "awaiting")
    run.send(b"no\n")
    run.out.expect(b"then no.")
    assert stage.answer(second["answer_url"], "evil") == (409, "prompt_gone")
    run.send(b"x\n")
    assert run.status() == 3
    assert b"evil" not in run.out.everything()
    assert b"again" not in run.out.everything()


def test_answer_to_a_prompt_after_which_something_was_written_is_not_typed(stage: Stage) -> None:
    go = stage.host.home / "go"
    script = f"(until [ -e {go} ]; do sleep 0.1; done; echo meanwhile) & read -p 'Deploy? [y/N] ' a; echo heard $a."
    run = stage.run(command=("bash", "-c", script))
    url = stage.told()["answer_url"]
    go.touch()
    run.out.expect(b"meanwhile")
    assert stage.answer(url, "evil") == (409, "prompt_gone")
    run.send(b"n\n")
    run.out.expect(b"heard n.")
    assert run.status() == 0


def test_secret_is_answered_and_stays_one(stage: Stage) -> None:
    run = stage.run(command=("bash", "-c", "read -s -p 'Password: ' a; [[ $a = *hush-2026 ]] && exit 4"))
    assert stage.answer(stage.told()["answer_url"], "quite-hush-2026") == (200, "")
    assert run.status() == 4
    eventually(lambda: not stage.host.uplinks(), "the uplink has left")
    assert b"quite-hush-2026" not in stage.written() + run.out.everything() + run.err.everything()


def test_token_is_in_no_file_and_the_answer_is_in_both_audit_logs_by_its_link(stage: Stage) -> None:
    run = stage.run()
    url = stage.told()["answer_url"]
    assert stage.answer(url, "y") == (200, "")
    run.out.expect(b"heard y.")
    run.send(b"\n\n")
    assert run.status() == 3
    eventually(lambda: not stage.host.uplinks(), "the uplink has left")
    token = urlsplit(url).fragment.encode()
    assert token.split(b".")[2] not in stage.written() + run.out.everything() + run.err.everything()
    for root in (stage.host.root, stage.served.directory):
        lines = [json.loads(line) for path in root.rglob("*.jsonl") for line in path.read_text().splitlines()]
        found = [line for line in lines if str(line.get("user", "")).startswith("link:") and line["session"] == stage.name]
        assert [(line["accepted"], line["size"]) for line in found] == [(True, 2)]


def test_link_dies_with_its_hosts_token(stage: Stage) -> None:
    run = stage.run(share="write")
    url = stage.told()["answer_url"]
    assert stage.served.request("DELETE", f"/api/tokens/{stage.token_id}")[0] == 200
    assert stage.answer(url, "evil") == (401, "unauthorized")
    run.send(b"n\n")
    run.out.expect(b"heard n.")


def test_link_dies_with_its_session_and_fits_none_of_the_same_name(stage: Stage) -> None:
    run = stage.run()
    url = stage.told()["answer_url"]
    run.send(b"n\nn\nn\n")
    assert run.status() == 3
    eventually(lambda: not stage.host.uplinks(), "the uplink has left")
    again = stage.run()
    count = len(stage.receiver.asked)
    eventually(lambda: json.loads(stage.receiver.asked[-1].body).get("answer_url", url) != url, f"more than {count} told")
    assert stage.answer(url, "evil") == (409, "prompt_gone")
    again.send(b"n\n")
    again.out.expect(b"heard n.")


def test_view_only_session_and_one_without_a_server_have_no_link(stage: Stage) -> None:
    run = stage.run(share="view")
    assert "answer_url" not in stage.told()
    run.send(b"n\nn\nn\n")
    assert run.status() == 3
    count = len(stage.receiver.asked)
    stage.host.settings.clear()
    stage.name = session_name()
    stage.run(share="write")
    assert "answer_url" not in stage.told(count + 1)


def test_link_outlives_the_uplink_that_had_it_made(stage: Stage) -> None:
    run = stage.run(command=("bash", "-c", "read -p 'Deploy? [y/N] ' a; [ $a = yes ] && exit 4"))
    url = stage.told()["answer_url"]
    stage.host.uplink().kill()
    viewer = stage.host.attach(stage.name, "--read-only")
    viewer.shows("Deploy?")  # by the next uplink
    assert stage.answer(url, "yes") == (200, "")
    assert run.status() == 4


def test_link_is_answered_from_a_terminal_and_is_in_no_list_of_processes(stage: Stage) -> None:
    run = stage.run(command=("bash", "-c", "read -s -p 'Password: ' a; [ ${#a} = 11 ] && exit 4"))
    url = stage.told()["answer_url"]
    link, _, token = url.partition("#")
    terminal = stage.host.terminal([CODEWRAP, "answer", url])
    terminal.shows("asks: Password:")
    listed = [" ".join(process.cmdline()) for process in stage.host.processes()]
    assert any(link in words for words in listed)
    assert not any(token in words for words in listed)
    terminal.shows("answer:")
    terminal.send("correct-one\r")
    terminal.shows("sent")
    assert terminal.status() == 0
    assert b"correct-one" not in terminal.output.data
    assert run.status() == 4


def test_two_prompts_at_once_are_told_apart_by_what_was_typed(stage: Stage) -> None:
    """Nothing is written between two passwords: the output alone would be the same place."""
    run = stage.run(command=("bash", "-c", "read -s -p 'Password: ' a; read -s b; echo $a/$b/"))
    url = stage.told()["answer_url"]
    run.send(b"first\n")
    assert stage.answer(url, "evil") == (409, "prompt_gone")
    run.send(b"second\n")
    run.out.expect(b"first/second/")
