"""`/api/sessions/NAME/answer-links`, `/answer` and `/answers/ID`: a prompt answered from afar, once, where it stood or nowhere.

A host has a link made when it tells somebody of a prompt. Who has the link gives a text, which goes to the host in a word of the
server's; the host decides, and says here what came of it, at whatever copy of the server: who waits asks the store.
"""

from __future__ import annotations

import asyncio
import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from codewrap.protocol.frames import LONE_SURROGATE, MAX_ANSWER_CHARACTERS
from codewrap.protocol.roles import Act
from codewrap.server import answerlinks, bodies
from codewrap.server.answerlinks import AnswerClaims
from codewrap.server.api.sessions import path_session, require_owner
from codewrap.server.identity import MAX_TOKEN_CHARACTERS, address_of, bearer_of
from codewrap.server.limits import ANSWER_LINKS, ANSWERS
from codewrap.server.refusals import Refusal, bad_request, forbidden
from codewrap.server.schemas import ANSWER_TEXT
from codewrap.server.service import FORM_BYTES, FRAMING_BYTES, Service, object_of

ENTER = "\r"
# How a host puts what came of an answer, and how the store keeps it: as a number that is not 0.
OUTCOMES = {"typed": 1, "gone": 2, "refused": 3}
_LOOK_EVERY_S = 0.1
_TOKEN_ID = re.compile(r"[0-9a-f]{32}")
_GONE = (409, "prompt_gone", "The program has gone on since; nothing was sent.")
_REFUSED = (409, "not_taken", "Nobody may type into this session now; nothing was sent.")
_USED = (409, "used", "This link works once, and was used.")
_UNKNOWN = (504, "not_confirmed", "The session has not said whether it took this, and the link is used up: look there.")


class AnswerApi:
    """Its endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/sessions/{name}/answer-links", self.create, methods=["POST"]),
            Route("/api/sessions/{name}/answer", self.answer, methods=["POST"]),
            Route("/api/sessions/{name}/answers/{token_id}", self.report, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        """For the session's host."""
        name = path_session(request)
        identity = await self._service.identify(request)
        await self._service.count(ANSWER_LINKS, request, identity)
        fields = await object_of(request, "epoch", "offset", "typed", "prompt", "reads")
        self._service.require(identity, Act.SHARE, name)
        try:
            prompt = answerlinks.prompt_of(fields)
        except (ValueError, TypeError, KeyError):
            raise bad_request("epoch, offset, typed, prompt and reads say which prompt it is; one of them is not right") from None
        session = await self._service.registry.require(name)
        require_owner(identity, session)
        claims = answerlinks.new_claims(name, prompt, identity, session.owner, self._service.clock())
        self._service.audit.answer_link_created(
            identity.user,
            session=name,
            link=claims.token_id,
            epoch=prompt.epoch,
            offset=prompt.only_at.offset,
            until=claims.expires_at,
        )
        token = answerlinks.issue(self._service.tokens, claims)
        return JSONResponse({"token": token, "tokenId": claims.token_id, "sessionId": name, "expiresAt": claims.expires_at}, 201)

    async def answer(self, request: Request) -> Response:
        """For whoever has the link, whose token is the only one that is taken."""
        name = path_session(request)
        await self._service.gatekeeper.check_patience(request)
        await self._service.count(ANSWERS, request)
        claims = await self._claims(request)
        text = _answer_of(await object_of(request, "text", "enter", limit_bytes=FORM_BYTES + FRAMING_BYTES))
        why = ""
        try:
            await self._require(claims, name)
            await self._typed(claims, text)
        except Refusal as refusal:
            why = refusal.message
            raise
        finally:
            self._service.audit.answered(claims.user, session=name, size=len(text.encode()), address=address_of(request), why=why)
        return JSONResponse({"status": "typed"})

    async def report(self, request: Request) -> Response:
        """For the session's host: what became of an answer."""
        name, link = path_session(request), request.path_params["token_id"]
        identity = await self._service.identify(request)
        await self._service.count(ANSWER_LINKS, request, identity)
        outcome = OUTCOMES.get(bodies.text(await object_of(request, "outcome"), "outcome"))
        self._service.require(identity, Act.PUBLISH, name)
        if outcome is None or not _TOKEN_ID.fullmatch(link):
            raise bad_request("outcome is none of typed, gone and refused, or this is not a link's id")
        require_owner(identity, await self._service.registry.require(name))
        now_s = self._service.clock()
        if not (await self._service.state.counted(_kept_at(name, link), now_s))[0]:  # what was said first holds
            await self._service.state.count(_kept_at(name, link), answerlinks.LIFETIME_S, outcome, now_s)
        return JSONResponse({"status": "noted"})

    async def _claims(self, request: Request) -> AnswerClaims:
        given = bearer_of(request)
        if given is None or len(given) > MAX_TOKEN_CHARACTERS:
            raise Refusal(401, "unauthorized", "a link's token is required: Authorization: Bearer TOKEN")
        try:
            return answerlinks.read(self._service.tokens, given, self._service.clock())
        except Refusal as refusal:
            raise await self._service.gatekeeper.failed(request, refusal.message) from None

    async def _require(self, claims: AnswerClaims, name: str) -> None:
        """Raises Refusal where the link is for another session, or what it rests on is over: the session, its host's token."""
        if claims.session != name:
            raise forbidden("this link is for another session")
        self._service.revocations.check_issued(claims.owner, claims.by, claims.issued_at)
        session = await self._service.registry.find(name, fresh=True)
        if session is None or session.owner != claims.owner:
            raise Refusal(*_GONE)

    async def _typed(self, claims: AnswerClaims, text: str) -> None:
        """Raises Refusal where it was not, or where that is not known."""
        now_s = self._service.clock()
        if not await self._service.state.claim(f"answer:{claims.token_id}", now_s, claims.expires_at + answerlinks.LIFETIME_S):
            raise Refusal(*_USED)
        prompt = claims.prompt
        await self._service.telling(
            self._service.hosts.answer(claims.session, claims.token_id, text, epoch=prompt.epoch, only_at=prompt.only_at)
        )
        outcome = await self._outcome(claims)
        if outcome != OUTCOMES["typed"]:
            raise Refusal(*{OUTCOMES["gone"]: _GONE, OUTCOMES["refused"]: _REFUSED}.get(outcome, _UNKNOWN))

    async def _outcome(self, claims: AnswerClaims) -> int:
        """What the host says; 0 where it says nothing in time."""
        until_s = asyncio.get_running_loop().time() + self._service.settings.answer_within_s
        while True:
            kept, _ = await self._service.state.counted(_kept_at(claims.session, claims.token_id), self._service.clock())
            if kept or asyncio.get_running_loop().time() >= until_s:
                return kept
            await asyncio.sleep(_LOOK_EVERY_S)


def _kept_at(session: str, link: str) -> str:
    return f"answered:{session}:{link}"


def _answer_of(fields: dict[str, object]) -> str:
    """What is to be typed: one line, with the Enter. Raises Refusal."""
    text, enter = bodies.text(fields, "text"), fields.get("enter", True)
    if len(text) > MAX_ANSWER_CHARACTERS or not re.fullmatch(ANSWER_TEXT, text) or LONE_SURROGATE.search(text):
        raise bad_request(f"text is not one line of at most {MAX_ANSWER_CHARACTERS} characters, none of them a control character")
    if not isinstance(enter, bool) or not (text or enter):
        raise bad_request("enter is true or false, and without it there is nothing to type")
    return text + (ENTER if enter else "")
