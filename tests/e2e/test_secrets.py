"""No secret stands anywhere but where it was put: a whole installation at work, with mishaps, and every trace of it searched."""

from __future__ import annotations

import base64
import json
import secrets
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, quote_plus

import psutil
import pytest
import redis

from codewrap.protocol import channels, sealing
from tests.support.ptydriver import Piped, Terminal, eventually
from tests.support.redisserver import RedisServer
from tests.support.served import Served
from tests.support.sessions import BASH, JOINED, PROMPT, Machine, session_name

pytestmark = [pytest.mark.timeout(180), pytest.mark.debian]
# Made to hold secrets: what the user wrote, what serve-auth keeps for itself.
HOLDERS = (".env", "serve-auth/keys.json")
WRONG = "a-wrong-token-" + secrets.token_urlsafe(12)


def forms(secret: bytes) -> set[bytes]:
    """All spellings in which ``secret`` might stand somewhere, alone or inside something longer."""
    text = secret.decode("latin-1")
    found = {secret, secret.hex().encode(), secret.hex().upper().encode(), repr(secret)[2:-1].encode()}
    found |= {json.dumps(text)[1:-1].encode(), quote(text, safe="").encode(), quote_plus(text).encode()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):  # at each place of a group: what depends on its neighbours is left out
            inner = encode(bytes(before) + secret)[4 if before else 0 :].rstrip(b"=")
            found |= {inner[:-1], quote(inner[:-1].decode(), safe="").encode()}
    return {form for form in found if len(form) >= 8}


class Search:
    """Knows every secret by a name that may be shown."""

    def __init__(self) -> None:
        self._forms: dict[bytes, str] = {}

    def add(self, name: str, secret: str | bytes) -> None:
        data = secret.encode() if isinstance(secret, str) else secret
        self._forms |= dict.fromkeys(forms(data), name)

    def add_token(self, name: str, token: str) -> None:
        """Of a signed token the signature: the rest of it is no secret."""
        self.add(name, token.rpartition(".")[2])

    def add_key(self, name: str, key: bytes) -> None:
        self.add(name, key)
        self.add(f"{name} in base64", base64.b64encode(key))

    def names_in(self, data: bytes) -> set[str]:
        return {name for form, name in self._forms.items() if form in data}

    def found(self, places: Iterable[tuple[str, bytes]]) -> list[str]:
        """What was found where."""
        return [f"{name} in {place}" for place, data in places for name in sorted(self.names_in(data))]


def files(root: Path) -> Iterator[tuple[str, bytes]]:
    """Every file, with its name; but for those that are made to hold secrets."""
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        yield f"the name {name}", name.encode()
        if path.is_file() and not name.endswith(HOLDERS):
            yield name, path.read_bytes()


def processes(found: Iterable[psutil.Process]) -> Iterator[tuple[str, bytes]]:
    """What everybody (arguments) and every process of the user (environment) can see of them."""
    for process in found:
        for what in ("cmdline", "environ"):
            yield f"{what} of {process.pid}", Path(f"/proc/{process.pid}/{what}").read_bytes()


def contents(server: RedisServer) -> Iterator[tuple[str, bytes]]:
    """All that is kept there."""
    with redis.Redis.from_url(server.url) as client:
        for key in client.scan_iter():
            yield f"the store's key {key!r}", key
            yield f"the store's value of {key!r}", client.dump(key)


class Installation:
    """A server that is its own hub over a Redis, and machines that are told of it by `.env` alone."""

    def __init__(self, root: Path, store: RedisServer, served: Served, search: Search, admin: str) -> None:
        self.root = root
        self._admin = admin
        self.store = store
        self.served = served
        self.search = search
        self.machines: dict[str, Machine] = {}
        self.outputs: list[tuple[str, bytes]] = []

    def machine(self, user: str, role: str) -> Machine:
        """``user``'s, with a token of theirs."""
        body = {"user": user, "role": role, "sessions": ["e2e-*"]}
        status, answer = self.asked("POST", "/api/tokens", self._admin, body)
        assert status == 201
        token = json.loads(answer)["token"]
        self.search.add_token(f"the token of {user}", token)
        return self.configured(user, token)

    def asked(self, method: str, path: str, token: str, value: object = None) -> tuple[int, bytes]:
        """Status and body of an answer; the body is searched later, but where it hands out a token."""
        status, _, body = self.served.request(method, path, value, {"Authorization": f"Bearer {token}"})
        if status != 201:
            self.outputs.append((f"the answer to {method} {path}", body))
        return status, body

    def configured(self, user: str, token: str) -> Machine:
        made = self.machines[user] = Machine(self.root / user)
        (made.home / ".env").write_text(f"CODEWRAP_URL={self.served.url}\nCODEWRAP_TOKEN={token}\n")
        return made

    def heard(self, who: str, running: Terminal | Piped) -> None:
        """What somebody was shown is searched too."""
        streams = [running.output] if isinstance(running, Terminal) else [running.out, running.err]
        self.outputs += [(f"what {who} was shown", stream.data) for stream in streams]

    def is_clean(self) -> None:
        """Nothing is found, neither in files nor in the store nor in any process that runs."""
        running = [psutil.Process(self.served.process.pid)]
        running += [process for machine in self.machines.values() for process in machine.processes()]
        places = [*files(self.root), *processes(running), *contents(self.store), *self.outputs]
        assert len(places) > 20
        assert self.search.found(places) == []

    def close(self) -> None:
        for machine in self.machines.values():
            machine.close()


@contextmanager
def installed(root: Path) -> Iterator[Installation]:
    search = Search()
    directory = root / "server"
    directory.mkdir()
    with RedisServer() as store:
        admin, metrics, signing = secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_bytes(32)
        lines = {
            "AUTH_TOKEN": admin,
            "CODEWRAP_METRICS_TOKEN": metrics,
            "CODEWRAP_SIGNING_KEY": base64.b64encode(signing).decode(),
            "CODEWRAP_STATE": store.url,
        }
        (directory / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        search.add("AUTH_TOKEN", admin)
        search.add("the metrics token", metrics)
        search.add_key("the signing key", signing)
        search.add("the store's password", store.password)
        with Served(directory, log=directory / "stderr") as served:
            keys = json.loads((directory / "state/codewrap/serve-auth/keys.json").read_text())
            search.add("the app's secret", keys["secret"])
            search.add_key("the master key", base64.b64decode(keys["master_key"]))
            installation = Installation(root, store, served, search, admin)
            try:
                yield installation
            finally:
                installation.close()


def know_session(installation: Installation, name: str) -> None:
    """The keys of a session's channels are secrets too."""
    path = installation.root / "server/state/codewrap/serve-auth/keys.json"
    master_key = base64.b64decode(json.loads(path.read_text())["master_key"])
    for channel in (channels.sealed_input_channel(name), channels.output_channel(name, encrypted=True)):
        installation.search.add_key(f"the key of {channel}", sealing.shared_secret(channel, master_key))


def test_the_search_finds_a_secret_however_it_is_written() -> None:
    search = Search()
    search.add("it", "a secret/of+some=length")
    text = b"a secret/of+some=length"
    pair = b"user:" + text
    for written in (text, text.hex().encode(), base64.b64encode(text), base64.b64encode(pair), quote(text, safe="").encode()):
        assert search.names_in(b"before " + written + b" behind") == {"it"}
    for prefix in (b"1", b"12", b"123"):
        assert search.names_in(base64.urlsafe_b64encode(prefix + text + b"more")) == {"it"}
    assert search.names_in(b"a secret of some length") == set()


def test_no_secret_stands_where_it_was_not_put(tmp_path: Path) -> None:
    with installed(tmp_path) as installation:
        name = session_name()
        know_session(installation, name)
        hannah, bob = installation.machine("hannah", "host"), installation.machine("bob", "writer")
        host = hannah.run("--name", name, "--share", "write", "--", *BASH)
        host.shows(PROMPT.strip())
        viewer = bob.attach(name)
        viewer.expect(JOINED)
        viewer.send("env; echo shown-$((6 * 7))\r")
        viewer.shows("shown-42\n")
        guest = joined_by_link(installation, hannah, name)
        crash(hannah, signal.SIGINT)
        crash(hannah, signal.SIGKILL)
        viewer.send("echo again-$((6 * 7))\r")
        for terminal in (host, viewer, guest):
            terminal.shows("again-42\n")
        mishaps(installation, name)  # last: this address is blocked by them
        installation.is_clean()
        host.send("exit\r")
        for who, terminal in (("hannah", host), ("bob", viewer), ("the guest", guest)):
            assert terminal.status() == 0
            installation.heard(who, terminal)
        installation.store.kill()
        assert installation.asked("POST", "/api/sessions", "", {"sessionId": name})[0] in (401, 429)
        eventually(lambda: b"redis://" in (tmp_path / "server/stderr").read_bytes(), "the server says that its store is away")
        places = [*files(tmp_path), *installation.outputs]
        assert installation.search.found(places) == []


def joined_by_link(installation: Installation, hannah: Machine, name: str) -> Terminal:
    """Somebody without an account, by a link that works once, which stands in the arguments."""
    shared = hannah.piped(["codewrap", "share", name, "--write", "--once"], stdin=subprocess.DEVNULL)
    assert shared.status() == 0
    link = shared.out.everything().decode().strip()
    installation.search.add_token("the link's token", link)
    installation.outputs.append(("what share says beside the link", shared.err.everything()))
    nobody = installation.machines["nobody"] = Machine(installation.root / "nobody")
    guest = nobody.attach(link)
    guest.expect(JOINED)
    again = nobody.piped(["codewrap", "attach", link], stdin=subprocess.DEVNULL)
    assert again.status() == 255
    installation.heard("who used the link again", again)
    return guest


def mishaps(installation: Installation, name: str) -> None:
    """Wrong tokens at every door, and a server that is told of its store in a wrong way."""
    installation.search.add("the wrong token", WRONG)
    stranger = installation.configured("stranger", WRONG)
    for arguments in (
        ["attach", name],
        ["run", "--name", f"{name}-b", "--", "sleep", "1"],
        ["share", name],
        ["token", "list"],
        ["doctor"],
    ):
        tried = stranger.piped(["codewrap", *arguments], stdin=subprocess.DEVNULL)
        tried.status()
        installation.heard("the stranger", tried)
    headers = {"Authorization": f"Bearer {WRONG}"}
    for method, path, value in (
        ("POST", "/pusher/auth", {"socket_id": WRONG, "channel_name": WRONG}),
        ("POST", "/api/shares/redeem", {"token": WRONG}),
        ("GET", f"/api/whoami?token={WRONG}", None),
    ):
        status, _, body = installation.served.request(method, path, value, headers)
        assert status in (400, 401, 403, 429)
        installation.outputs.append((f"the answer to a wrong {path}", body))
    wrong = installation.root / "wrong"
    wrong.mkdir()
    good = base64.b64encode(bytes(32)).decode()
    for state, key in ((f"{installation.store.url}nothing", good), (installation.store.url, WRONG)):
        (wrong / ".env").write_text(f"CODEWRAP_STATE={state}\nCODEWRAP_SIGNING_KEY={key}\nAUTH_TOKEN={WRONG}\n")
        status, out, err = Served(wrong).fails()
        assert status == 2, (out, err)
        installation.outputs.append(("what a server says that cannot start", (out + err).encode()))


def crash(machine: Machine, number: signal.Signals) -> None:
    """End the uplink; another one takes its place."""
    before = machine.uplink()
    before.send_signal(number)
    eventually(lambda: machine.uplinks() not in ([], [before]), "another uplink")


def test_what_is_in_the_environment_reaches_neither_the_command_nor_the_uplink(tmp_path: Path) -> None:
    with installed(tmp_path) as installation:
        hannah = installation.machine("hannah", "host")
        environ = dict(line.split("=", 1) for line in (hannah.home / ".env").read_text().split())
        (hannah.home / ".env").unlink()
        shell = hannah.run("--name", session_name(), "--quiet", "--", *BASH, environ=environ)
        shell.shows(PROMPT.strip())
        uplink = hannah.uplink()
        [command] = [process for process in hannah.processes() if process.name() == "bash"]
        assert installation.search.found(processes([uplink, command])) == []
        assert installation.search.found(processes([psutil.Process(shell.pid)])) != []  # it is the user who put it there
