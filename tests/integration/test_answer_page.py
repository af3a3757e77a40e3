"""The page behind a link to answer a prompt, in a real browser and from a real server; the test is the session's host."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chromium import Chromium, Page
from tests.support.ptydriver import eventually
from tests.support.served import Served
from tests.support.web import WebServer, answer

pytestmark = [pytest.mark.debian, pytest.mark.timeout(180)]
EPOCH = "0123456789abcdef"
SAID = "document.getElementById('said').textContent"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as served:
        assert served.request("POST", "/api/sessions", {"sessionId": "build"})[0] == 200
        yield served


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


def link(served: Served, prompt: str, reads: str = "line") -> tuple[str, str]:
    """Its address and its id."""
    asked = {"epoch": EPOCH, "offset": 120, "typed": 7, "prompt": prompt, "reads": reads}
    status, _, body = served.request("POST", "/api/sessions/build/answer-links", asked)
    assert status == 201, body
    made = json.loads(body)
    return f"{served.url}/a/build#{made['token']}", made["tokenId"]


def send(page: Page, text: str) -> None:
    """Type and press Send, as a person does."""
    page.evaluate("document.getElementById('text').focus()")
    page.call("Input.insertText", text=text)
    page.evaluate("document.querySelector('button').click()")


def says(page: Page, text: str) -> None:
    eventually(lambda: page.evaluate(SAID) == text, text)


@pytest.mark.parametrize(("outcome", "words"), [("typed", "Sent."), ("gone", "The program has gone on since; nothing was sent.")])
def test_page_shows_what_is_asked_and_says_what_became_of_the_answer(
    served: Served, browser: Chromium, outcome: str, words: str
) -> None:
    url, link_id = link(served, "<b>Wie heißt du</b>, 你? \x1b[31m")
    with browser.page() as page:
        page.visit(url)
        assert page.evaluate("document.getElementById('prompt').textContent") == "<b>Wie heißt du</b>, 你? \\x1b[31m"
        assert page.evaluate("document.getElementById('session').textContent") == "build"
        assert page.evaluate("document.getElementById('text').type") == "text"
        assert not page.evaluate("document.getElementById('keys').checkVisibility()")
        send(page, "ja ä")
        path = f"/api/sessions/build/answers/{link_id}"
        reporter = threading.Timer(0.0, served.request, ("POST", path, {"outcome": outcome}))
        reporter.start()
        says(page, words)
        reporter.join()
        assert not page.evaluate("document.getElementById('form').checkVisibility()")
        assert page.evaluate("document.getElementById('text').value") == ""
        page.visit("about:blank")
        page.visit(url)
        send(page, "again")
        says(page, "This link works once, and was used.")


def test_secret_is_not_shown_and_where_keys_are_read_enter_can_be_left_out(served: Served, browser: Chromium) -> None:
    with browser.page() as page:
        page.visit(link(served, "Password:", "secret")[0])
        assert page.evaluate("document.getElementById('text').type") == "password"
        page.visit("about:blank")
        page.visit(link(served, "Go on?", "keys")[0])
        assert page.evaluate("document.getElementById('keys').checkVisibility()")


@pytest.mark.parametrize(
    "fragment",
    [
        "",
        "#",
        "#nonsense",
        "#a.b.c",
        "#a." + base64.urlsafe_b64encode(b'{"typ":"token","sub":"build"}').decode().rstrip("=") + ".c",
    ],
)
def test_address_that_is_not_whole_is_told_as_that(served: Served, browser: Chromium, fragment: str) -> None:
    with browser.page() as page:
        page.visit(f"{served.url}/a/build{fragment}")
        assert page.evaluate(SAID) == "This address is not complete: open the whole link, with everything behind the #."
        assert not page.evaluate("document.getElementById('form').checkVisibility()")


def test_no_script_but_its_own_runs_there_and_it_tells_nobody_else(served: Served, browser: Chromium) -> None:
    with WebServer(lambda _: answer()) as elsewhere, browser.page() as page:
        page.visit(link(served, "Name:")[0])
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.evil=1\">')")
        ran = page.evaluate(
            "new Promise(done => { const s = document.createElement('script'); s.textContent = 'window.evil = 1';"
            " document.body.append(s); done(window.evil ?? 0); })"
        )
        assert ran == 0
        asked = f"fetch('{elsewhere.url}/', {{mode: 'no-cors'}}).then(() => 'sent', () => 'refused')"
        assert page.evaluate(asked) == "refused"
        assert elsewhere.asked == []
