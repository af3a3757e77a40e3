"""Pages of other sites, and names that are bound anew, against servers on this machine: by a real browser.

A page may have everything that an attacker could have got: the app key, the port, even a token. It must not have a browser
that does its will: nothing of an answer is read, nothing that it sends is done. Pages of allowed origins are served.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from codewrap.broker.apps import App
from tests.support.chromium import Chromium, Page
from tests.support.hubclient import WireClient, sign
from tests.support.served import Served
from tests.support.sessions import TOKEN, Machine, program

pytestmark = [pytest.mark.debian, pytest.mark.timeout(180)]

EVIL = "http://evil.example:7777"
FRIEND = "http://friend.example:7777"
CHANNEL = "private-encrypted-input-target"
# What a page can try; each gives what it could read.
ATTEMPTS = """
const read = async (url, init) => {
  try {
    const answer = await fetch(url, init);
    return {type: answer.type, status: answer.status, text: answer.type === "opaque" ? "" : await answer.text()};
  } catch (error) { return {type: "error", status: 0, text: ""}; }
};
const socket = url => new Promise(resolve => {
  const heard = [];
  const opened = new WebSocket(url);
  opened.onopen = () => heard.push("open");
  opened.onmessage = event => { heard.push(event.data); opened.close(); };
  opened.onclose = () => resolve(heard);
});
const source = url => new Promise(resolve => {
  const opened = new EventSource(url);
  opened.onopen = () => { opened.close(); resolve("open"); };
  opened.onmessage = () => { opened.close(); resolve("message"); };
  opened.onerror = () => { opened.close(); resolve("error"); };
});
const form = (url, fields, enctype) => new Promise(resolve => {
  const frame = document.createElement("iframe");
  frame.name = "f" + Math.random();
  document.documentElement.append(frame);
  const made = document.createElement("form");
  Object.assign(made, {action: url, method: "post", target: frame.name, enctype});
  for (const [name, value] of Object.entries(fields)) {
    const input = document.createElement("input");
    Object.assign(input, {name, value});
    made.append(input);
  }
  document.documentElement.append(made);
  frame.onload = () => {
    let text = "";
    try { text = frame.contentDocument.body.textContent; } catch (error) { text = ""; }
    resolve(text);
  };
  made.submit();
});
const element = (tag, url) => new Promise(resolve => {
  const made = document.createElement(tag);
  made.onload = () => resolve("load");
  made.onerror = () => resolve("error");
  made.src = url;
  document.documentElement.append(made);
});
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program("chromium")
    with Chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def page(browser: Chromium) -> Iterator[Page]:
    with browser.page() as opened:
        yield opened


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    options = ("--allowed-origin", FRIEND, "--allowed-host", "friend.example")
    with Served(tmp_path_factory.mktemp("served"), *options, settings={"AUTH_TOKEN": TOKEN}) as started:
        yield started


@pytest.fixture(scope="module")
def app(served: Served) -> App:
    keys = json.loads((served.directory / "state/codewrap/serve-auth/keys.json").read_text())
    return App(keys["app_id"], keys["key"], keys["secret"])


def posts(base: str) -> dict[str, Any]:
    """Requests that do something, as a page would send them: url and fetch's options."""
    typed = json.dumps({"sessionId": "target", "input": "rm -rf /\n"})
    auth = f"socket_id=1.2&channel_name={CHANNEL}&role=host"
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    return {
        "simple": [f"{base}/api/commands/input", {"method": "POST", "body": typed}],
        "no-cors": [f"{base}/api/commands/input", {"method": "POST", "body": typed, "mode": "no-cors"}],
        "token in the query": [
            f"{base}/api/commands/input?token={TOKEN}&access_token={TOKEN}&authorization=Bearer%20{TOKEN}",
            {"method": "POST", "body": typed},
        ],
        "preflighted, with the token": [
            f"{base}/api/commands/input",
            {"method": "POST", "body": typed, "headers": {**bearer, "Content-Type": "application/json"}},
        ],
        "authorize": [f"{base}/pusher/auth", {"method": "POST", "body": auth, "headers": bearer}],
        "authorize by a form, without leave": [
            f"{base}/pusher/auth?token={TOKEN}",
            {"method": "POST", "body": auth, "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        ],
        "with cookies": [f"{base}/api/sessions", {"method": "POST", "body": "{}", "credentials": "include"}],
    }


def publish(base: str, app: App) -> list[Any]:
    """An event with a right signature: the app secret has leaked, too."""
    body = json.dumps({"name": "input", "channel": CHANNEL, "data": "{}"})
    return [base + sign("POST", f"/apps/{app.app_id}/events", body.encode(), app), {"method": "POST", "body": body}]


def reads(page: Page, what: dict[str, Any]) -> dict[str, Any]:
    """What came of each."""
    script = "(async () => {" + ATTEMPTS + " const found = {};"
    for name, (url, init) in what.items():
        script += f"found[{json.dumps(name)}] = await read({json.dumps(url)}, {json.dumps(init)});"
    found: dict[str, Any] = page.evaluate(script + "return found; })()")
    return found


def tries(page: Page, script: str) -> Any:
    """What an attempt gives."""
    return page.evaluate("(async () => {" + ATTEMPTS + f" return await {script}; }})()")


class Witness:
    """Subscribed where input would arrive."""

    def __init__(self, client: WireClient, port: int, app: App) -> None:
        self._client = client
        self._port = port
        self._app = app
        assert client.subscribe(CHANNEL)["event"] == "pusher_internal:subscription_succeeded"

    def has_heard_nothing(self, served: Served) -> None:
        """The first event that comes is ours."""
        body = {"name": "ours", "channel": CHANNEL, "data": "{}"}
        target = sign("POST", f"/apps/{self._app.app_id}/events", json.dumps(body).encode(), self._app)
        assert served.request("POST", target, body)[0] == 200
        assert self._client.hear()["event"] == "ours"


@pytest.fixture
def witness(served: Served, app: App) -> Iterator[Witness]:
    with connect(f"ws://127.0.0.1:{served.port}/app/{app.key}?protocol=7", proxy=None, compression=None) as socket:
        yield Witness(WireClient(socket, app), served.port, app)


def test_a_page_of_another_site_reads_nothing_and_does_nothing(page: Page, served: Served, app: App, witness: Witness) -> None:
    page.open(EVIL)
    base, key = served.url, app.key
    questions = {path: [base + path, {}] for path in ("/api/config", "/healthz", "/openapi.json", f"/api/config?token={TOKEN}")}
    questions |= {"no-cors": [f"{base}/api/config", {"mode": "no-cors"}], "published": publish(base, app)}
    questions["with the token"] = [f"{base}/api/config", {"headers": {"Authorization": f"Bearer {TOKEN}"}}]
    found = reads(page, questions | {f"post {name}": post for name, post in posts(base).items()})
    assert {name: each["text"] for name, each in found.items() if each["text"]} == {}
    assert {each["type"] for each in found.values()} <= {"error", "opaque"}
    ws = f"ws://127.0.0.1:{served.port}/app/{key}?protocol=7"
    assert tries(page, f"socket({json.dumps(ws)})") == []
    assert tries(page, f"source({json.dumps(base + '/api/config')})") == "error"
    fields = {"socket_id": "1.2", "channel_name": CHANNEL}
    assert (
        tries(page, f"form({json.dumps(base + '/pusher/auth')}, {json.dumps(fields)}, 'application/x-www-form-urlencoded')") == ""
    )
    smuggled = {'{"sessionId":"target","input":"x': '"}'}
    assert tries(page, f"form({json.dumps(base + '/api/commands/input')}, {json.dumps(smuggled)}, 'text/plain')") == ""
    for tag in ("script", "img"):
        assert tries(page, f"element('{tag}', {json.dumps(base + '/api/config')})") == "error"
    witness.has_heard_nothing(served)


@pytest.mark.parametrize(
    "site", ["http://localhost:7777", "http://127.0.0.1:7777", "http://friend.example:7778", "https://friend.example"]
)
def test_a_page_of_this_machine_that_is_not_ours_is_another_site(page: Page, served: Served, app: App, site: str) -> None:
    """Whatever else listens on this machine, and a listed name on another scheme, may not ask."""
    page.open(site)
    found = reads(page, {"config": [f"{served.url}/api/config", {}]} | posts(served.url))
    if site == "http://friend.example:7778":  # all pages of a name that is this server's own are ours, on any port
        assert found["config"]["status"] == 200
        return
    assert {name: each["text"] for name, each in found.items() if each["text"]} == {}
    ws = f"ws://127.0.0.1:{served.port}/app/{app.key}?protocol=7"
    assert tries(page, f"socket({json.dumps(ws)})") == []


def test_a_name_that_is_bound_anew_is_refused_whatever_it_asks(page: Page, served: Served, app: App, witness: Witness) -> None:
    base = f"http://rebound.example:{served.port}"
    page.open(f"{base}/")
    questions = {path: [base + path, {}] for path in ("/api/config", "/healthz", "/openapi.json")}
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    questions |= {"token": [f"{base}/api/config", {"headers": bearer}], "published": publish(base, app)}
    found = reads(page, questions | {f"post {name}": post for name, post in posts(base).items()})
    told = {name: each for name, each in found.items() if each["type"] != "opaque"}
    assert len(told) > 8  # it is its own origin now, and may read what it is told: that it is refused
    for name, each in told.items():
        assert each["status"] == 403, name
        assert json.loads(each["text"])["error"]["code"] == "host_not_allowed", name
        assert app.key not in each["text"]
    ws = f"ws://rebound.example:{served.port}/app/{app.key}?protocol=7"
    assert tries(page, f"socket({json.dumps(ws)})") == []
    assert tries(page, f"source({json.dumps(base + '/api/config')})") == "error"
    witness.has_heard_nothing(served)


def test_a_page_of_an_allowed_origin_is_served(page: Page, served: Served, app: App) -> None:
    page.open(FRIEND)
    bearer = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    body = json.dumps({"socket_id": "1.2", "channel_name": "presence-command-target"})
    found = reads(
        page,
        {
            "config": [f"{served.url}/api/config", {}],
            "auth": [f"{served.url}/pusher/auth", {"method": "POST", "headers": bearer, "body": body}],
            "token in the query": [f"{served.url}/pusher/auth?token={TOKEN}", {"method": "POST", "body": body}],
        },
    )
    assert json.loads(found["config"]["text"])["broker"]["key"] == app.key
    assert json.loads(found["auth"]["text"])["auth"].startswith(f"{app.key}:")
    assert found["token in the query"]["status"] == 401
    ws = f"ws://127.0.0.1:{served.port}/app/{app.key}?protocol=7"
    heard = tries(page, f"socket({json.dumps(ws)})")
    assert heard[0] == "open"
    assert json.loads(heard[1])["event"] == "pusher:connection_established"


def test_the_hub_of_a_session_is_reached_by_no_page(page: Page, tmp_path: Path) -> None:
    """`codewrap run` without a server: the page knows port, key and even the secret of its hub."""
    with Machine(tmp_path / "machine") as machine:
        host = machine.run("--quiet", "--name", "target", "cat")
        hub = machine.session("target")["hub"]
        app = App(hub["app_id"], hub["key"], hub["secret"])
        rebound = f"http://rebound.example:{hub['port']}"
        for site, base in ((EVIL, f"http://127.0.0.1:{hub['port']}"), (rebound, rebound)):
            page.open(site)
            query = sign("GET", f"/apps/{app.app_id}/channels", app=app)
            found = reads(page, {"channels": [base + query, {}], "publish": publish(base, app), "root": [base, {}]})
            assert all(each["status"] in (0, 403) for each in found.values()), found
            assert all("channels" not in each["text"] for each in found.values())
            ws = f"ws{base.removeprefix('http')}/app/{app.key}?protocol=7"
            assert tries(page, f"socket({json.dumps(ws)})") == []
        host.send("still here\r")
        host.shows("still here")
