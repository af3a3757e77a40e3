"""A prompt answered by its link: who has one made, who may use it, for what, how often, and what the host's word makes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from codewrap.protocol import frames, sealing
from codewrap.protocol.channels import EVENT_CONTROL, sealed_input_channel
from codewrap.protocol.frames import OnlyAt
from codewrap.server.answerlinks import LIFETIME_S
from codewrap.server.openapi import document
from tests.support.asgi import Reply
from tests.support.schema import Mismatch, check
from tests.support.serve_auth import BEARER, MASTER_KEY, ServeAuth, bearer

EPOCH = "0123456789abcdef"
ASKED: dict[str, Any] = {"epoch": EPOCH, "offset": 120, "typed": 7, "prompt": "Deploy? [y/N]", "reads": "line"}
LINKS, ANSWER = "/api/sessions/{name}/answer-links", "/api/sessions/{name}/answer"


class Stage:
    """A server, Alice who hosts `build`, and a link."""

    def __init__(self, server: ServeAuth) -> None:
        self.server = server
        self.alice: dict[str, str] = {}
        self.token_id = ""
        self.link: dict[str, Any] = {}

    async def begin(self) -> None:
        issued = (await self.server.client.post_json("/api/tokens", {"user": "alice", "role": "host"})).json()
        self.alice, self.token_id = bearer(issued["token"]), issued["tokenId"]
        assert (await self.server.stranger.post_json("/api/sessions", {"sessionId": "build"}, self.alice)).status == 200
        made = await self.made()
        assert made.status == 201
        self.link = made.json()

    async def made(self, headers: dict[str, str] | None = None, **changes: Any) -> Reply:
        return await self.server.stranger.post_json(LINKS.format(name="build"), ASKED | changes, headers or self.alice)

    async def report(self, outcome: str, link: str = "", headers: dict[str, str] | None = None) -> Reply:
        path = f"/api/sessions/build/answers/{link or self.link['tokenId']}"
        return await self.server.stranger.post_json(path, {"outcome": outcome}, headers or self.alice)

    async def answer(self, text: Any = "y", name: str = "build", token: str | None = None, **more: Any) -> Reply:
        headers = bearer(token or self.link["token"])
        return await self.server.stranger.post_json(ANSWER.format(name=name), {"text": text} | more, headers)

    async def answered(self, outcome: str, text: str = "y", **more: Any) -> Reply:
        """The host says so as soon as it is told."""
        waiting = asyncio.create_task(self.answer(text, **more))
        while not self.words() and not waiting.done():
            await asyncio.sleep(0)
        assert (await self.report(outcome)).status == 200
        return await waiting

    def words(self) -> list[frames.Control]:
        """What hosts were told."""
        key = sealing.shared_secret(sealed_input_channel("build"), MASTER_KEY)
        events = [event for event in self.server.published.events if event.name == EVENT_CONTROL]
        return [frames.decode_control(sealing.unseal(event.data, key)) for event in events]


def staged(scenario: Any, **changes: Any) -> Any:
    async def whole(server: ServeAuth) -> Any:
        stage = Stage(server)
        await stage.begin()
        return await scenario(stage)

    return ServeAuth(**changes).run(whole)


def test_answer_goes_to_the_host_for_that_place_and_its_word_is_the_reply() -> None:
    async def scenario(stage: Stage) -> None:
        reply = await stage.answered("typed", "yes é")
        assert (reply.status, reply.json()) == (200, {"status": "typed"})
        [word] = stage.words()
        assert (word.do, word.id, word.epoch) == ("answer", stage.link["tokenId"], EPOCH)
        assert (word.text, word.only_at) == ("yes é\r", OnlyAt(120, 7))

    staged(scenario)


def test_enter_is_left_out_where_that_is_wanted() -> None:
    async def scenario(stage: Stage) -> None:
        assert (await stage.answered("typed", "y", enter=False)).status == 200
        assert stage.words()[0].text == "y"

    staged(scenario)


@pytest.mark.parametrize(("outcome", "code"), [("gone", "prompt_gone"), ("refused", "not_taken")])
def test_answer_that_the_host_did_not_take_is_told_as_that_and_the_link_is_used(outcome: str, code: str) -> None:
    async def scenario(stage: Stage) -> None:
        reply = await stage.answered(outcome)
        assert (reply.status, reply.error_code) == (409, code)
        assert "nothing was sent" in reply.json()["error"]["message"]
        again = await stage.answer()
        assert (again.status, again.error_code) == (409, "used")
        assert len(stage.words()) == 1

    staged(scenario)


def test_link_works_once_also_for_two_who_come_together() -> None:
    async def scenario(stage: Stage) -> None:
        both = asyncio.gather(stage.answer("a"), stage.answer("b"))
        while not stage.words():
            await asyncio.sleep(0)
        await stage.report("typed")
        assert sorted(reply.status for reply in await both) == [200, 409]
        assert len(stage.words()) == 1

    staged(scenario)


def test_where_the_host_says_nothing_that_is_said_and_the_link_is_used() -> None:
    async def scenario(stage: Stage) -> None:
        reply = await stage.answer()
        assert (reply.status, reply.error_code) == (504, "not_confirmed")
        check(reply.json(), document()["components"]["schemas"]["Error"], document())
        assert (await stage.answer()).error_code == "used"

    staged(scenario, answer_within_s=0.0)


def test_first_word_of_the_host_holds() -> None:
    async def scenario(stage: Stage) -> None:
        assert [(await stage.report(outcome)).status for outcome in ("typed", "gone", "refused")] == [200] * 3
        assert (await stage.answer()).status == 200

    staged(scenario)


@pytest.mark.parametrize("text", ["two\nlines", "\x03", "\x1b[A", "\x7f", "\u0085", "\u2028", "\ud800", "x" * 1001, 7, None])
def test_nothing_but_one_line_is_taken_and_the_link_is_still_good(text: Any) -> None:
    async def scenario(stage: Stage) -> None:
        reply = await stage.answer(text)
        assert (reply.status, reply.error_code) == (400, "bad_request")
        assert stage.words() == []
        assert (await stage.answered("typed")).status == 200
        if text != "\ud800":  # which no text of JSON's is
            with pytest.raises(Mismatch):
                check({"text": text}, document()["components"]["schemas"]["Answer"], document())

    staged(scenario)


def test_nothing_at_all_is_no_answer_and_enter_alone_is_one() -> None:
    async def scenario(stage: Stage) -> None:
        assert (await stage.answer("", enter=False)).status == 400
        assert (await stage.answer("y", enter="yes")).status == 400
        assert (await stage.answered("typed", "")).status == 200
        assert stage.words()[0].text == "\r"

    staged(scenario)


def test_link_is_for_its_session_alone_and_no_token_for_anything_else() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.server.stranger.post_json("/api/sessions", {"sessionId": "deploy"}, stage.alice)
        assert (await stage.answer(name="deploy")).status == 403
        headers = bearer(stage.link["token"])
        typed = {"sessionId": "build", "input": "x"}
        statuses = [
            (await stage.server.stranger.get("/api/whoami", headers)).status,
            (await stage.server.stranger.post_json("/api/commands/input", typed, headers)).status,
            (await stage.server.stranger.post_json("/api/shares/redeem", {"token": stage.link["token"]})).status,
            (await stage.made(headers)).status,
        ]
        assert statuses == [401] * 4
        assert stage.words() == []

    staged(scenario)


def test_nothing_but_a_link_is_taken_for_an_answer() -> None:
    async def scenario(stage: Stage) -> None:
        share = (await stage.server.client.post_json("/api/shares", {"sessionId": "build", "write": True})).json()["token"]
        own = stage.alice["authorization"].partition(" ")[2]
        head, body, signature = stage.link["token"].split(".")
        altered = f"{head}.{body[:-2]}{'AA' if body[-2:] != 'AA' else 'BB'}.{signature}"
        for token in (own, share, altered, "nonsense", "x" * 9000):
            assert (await stage.answer(token=token)).status == 401
        nobody = await stage.server.stranger.post_json(ANSWER.format(name="build"), {"text": "y"})
        assert nobody.status == 401
        assert stage.words() == []

    staged(scenario)


def test_link_ends_with_its_hosts_token_and_its_session() -> None:
    async def is_revoked(stage: Stage) -> None:
        await stage.server.client.request("DELETE", f"/api/tokens/{stage.token_id}")
        assert (await stage.answer()).status == 401

    async def owner_is_revoked(stage: Stage) -> None:
        await stage.server.client.post_json("/api/revocations", {"user": "alice"})
        assert (await stage.answer()).status == 401

    async def session_ends(stage: Stage) -> None:
        opened = (await stage.server.stranger.post_json("/api/sessions", {"sessionId": "build"}, stage.alice)).json()
        await stage.server.stranger.post_json("/api/sessions/build/end", {"grant": opened["grant"]}, stage.alice)
        reply = await stage.answer()
        assert (reply.status, reply.error_code) == (409, "prompt_gone")

    async def somebody_else_hosts(stage: Stage) -> None:
        await session_ends(stage)
        await stage.server.stranger.post_json("/api/sessions", {"sessionId": "build"}, await stage.server.token_of("bob"))
        assert (await stage.answer()).error_code == "prompt_gone"

    for scenario in (is_revoked, owner_is_revoked, session_ends, somebody_else_hosts):

        async def without_a_word(stage: Stage, scenario: Any = scenario) -> None:
            await scenario(stage)
            assert [word for word in stage.words() if word.do == "answer"] == []

        staged(without_a_word)


def test_only_the_host_of_a_session_has_links_made_and_says_what_came_of_them() -> None:
    async def scenario(stage: Stage) -> None:
        bob, writer = await stage.server.token_of("bob"), await stage.server.token_of("alice", "writer")
        for headers in (bob, writer):
            assert (await stage.made(headers)).status == 403
            assert (await stage.report("typed", headers=headers)).status == 403
        assert (await stage.made(BEARER)).status == 201

    staged(scenario)


def test_link_lives_no_longer_than_the_token_that_had_it_made() -> None:
    async def scenario(stage: Stage) -> None:
        brief = await stage.server.token_of("alice", lifetimeS=60)
        made = (await stage.made(brief)).json()
        assert made["expiresAt"] <= stage.link["expiresAt"] - LIFETIME_S + 62

    staged(scenario)


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": "any"},
        {"offset": -1},
        {"typed": 2**53},
        {"typed": True},
        {"prompt": "x" * 201},
        {"prompt": 7},
        {"reads": "minds"},
    ],
)
def test_prompt_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    async def scenario(stage: Stage) -> None:
        assert (await stage.made(**changes)).status == 400
        assert (await stage.report("perhaps")).status == 400
        assert (await stage.report("typed", "0" * 31)).status == 400

    staged(scenario)


def test_both_are_audited_without_what_was_typed() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.answered("typed", "hush-hush")
        await stage.answer("again")
        lines = await stage.server.audited()
        [made] = [line for line in lines if line["event"] == "answer_link_created"]
        assert (made["by"], made["session"], made["token"], made["offset"]) == ("alice", "build", stage.link["tokenId"], 120)
        found = [line for line in lines if line["event"] == "answer"]
        assert [(line["user"], line["accepted"]) for line in found] == [
            (f"link:{stage.link['tokenId']}", True),
            (f"link:{stage.link['tokenId']}", False),
        ]
        assert found[0]["size"] == len("hush-hush\r")
        assert "hush-hush" not in str(lines)
        assert stage.link["token"].split(".")[2] not in str(lines)

    staged(scenario)
