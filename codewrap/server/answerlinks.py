"""What a link to answer one prompt says, as a JSON Web Token of the server's: for which place of which run, by whose leave.

It is no token of a role: every other endpoint refuses it, and the one that takes it takes nothing else.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from codewrap.protocol.channels import is_session_name, printable
from codewrap.protocol.frames import MAX_OFFSET, OnlyAt
from codewrap.protocol.roles import is_user
from codewrap.server.identity import Identity
from codewrap.server.refusals import Refusal
from codewrap.server.tokens import ISSUER, TokenSigner

KIND = "answer"
LIFETIME_S = 3600
# With it, and whatever it is made of, a token is shorter than what the command line takes (`cli/arguments.py`).
MAX_PROMPT_CHARACTERS = 200
READS = ("line", "secret", "keys")
_REQUIRED = ["iss", "sub", "iat", "exp", "jti", "typ", "epoch", "offset", "typed", "prompt", "reads", "owner", "by"]
_EPOCH = re.compile(r"[0-9a-f]{16}")
_TOKEN_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked, where: in the run ``epoch``, ``only_at`` that place. ``reads`` is one of READS."""

    epoch: str
    only_at: OnlyAt
    text: str
    reads: str


@dataclass(frozen=True, slots=True)
class AnswerClaims:
    """``owner`` hosts ``session``, and had the link made with the token ``by`` ("": with one that has no id)."""

    session: str
    prompt: Prompt
    owner: str
    by: str
    issued_at: int
    expires_at: int
    token_id: str

    @property
    def user(self) -> str:
        """Who answers, for the audit log."""
        return f"link:{self.token_id}"


def new_claims(session: str, prompt: Prompt, host: Identity, owner: str, now_s: float) -> AnswerClaims:
    """Of a link that ``host`` has made now; it lives no longer than their own token."""
    lifetime_s = LIFETIME_S if host.expires_at is None else max(1, min(LIFETIME_S, int(host.expires_at - now_s)))
    return AnswerClaims(session, prompt, owner, host.token_id, int(now_s), int(now_s) + lifetime_s, secrets.token_hex(16))


def issue(signer: TokenSigner, claims: AnswerClaims) -> str:
    """The token."""
    prompt = claims.prompt
    return signer.sign(
        {
            "iss": ISSUER,
            "sub": claims.session,
            "iat": claims.issued_at,
            "exp": claims.expires_at,
            "jti": claims.token_id,
            "typ": KIND,
            "epoch": prompt.epoch,
            "offset": prompt.only_at.offset,
            "typed": prompt.only_at.typed,
            "prompt": prompt.text,
            "reads": prompt.reads,
            "owner": claims.owner,
            "by": claims.by,
        }
    )


def read(signer: TokenSigner, token: str, now_s: float) -> AnswerClaims:
    """Raises Refusal (401)."""
    claims = signer.verified(token, _REQUIRED, _claims, now_s)
    if claims is None:
        raise Refusal(401, "unauthorized", "this is not a link of this server")
    return claims


def prompt_of(fields: dict[str, object]) -> Prompt:
    """Of `epoch`, `offset`, `typed`, `prompt` and `reads`. Raises ValueError, TypeError or KeyError."""
    epoch, text, reads = _text(fields["epoch"], _EPOCH.fullmatch), _text(fields["prompt"]), _text(fields["reads"])
    if len(text) > MAX_PROMPT_CHARACTERS or reads not in READS:
        raise ValueError
    place = OnlyAt(_number(fields["offset"]), _number(fields["typed"]))
    return Prompt(epoch, place, printable(text, MAX_PROMPT_CHARACTERS), reads)


def _claims(fields: dict[str, object]) -> AnswerClaims:
    if fields["typ"] != KIND:
        raise ValueError
    by = _text(fields["by"])
    if by and not _TOKEN_ID.fullmatch(by):
        raise ValueError
    return AnswerClaims(
        _text(fields["sub"], is_session_name),
        prompt_of(fields),
        _text(fields["owner"], is_user),
        by,
        _number(fields["iat"]),
        _number(fields["exp"]),
        _text(fields["jti"], _TOKEN_ID.fullmatch),
    )


def _text(value: object, good: Callable[[str], object] = lambda _: True) -> str:
    if not isinstance(value, str) or not good(value):
        raise ValueError
    return value


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < MAX_OFFSET:
        raise ValueError
    return value
