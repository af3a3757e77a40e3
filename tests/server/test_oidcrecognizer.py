"""A provider's tokens at the gatekeeper: an identity, nobody of ours, a refusal, or no answer now."""

from __future__ import annotations

import asyncio

import pytest

from codewrap.protocol.roles import Role
from codewrap.server.oidc import OidcIdentity
from codewrap.server.oidcerrors import NotOfIssuer, OidcError, ProviderAway, TokenRefused
from codewrap.server.oidcrecognizer import OidcRecognizer
from codewrap.server.refusals import Refusal

FOUND = OidcIdentity("oidc@alice", Role.WRITER, "Alice", 100.0, 200.0, "0" * 32, ("build-*",))


class Verifier:
    """Says what it was made to say."""

    def __init__(self, says: OidcIdentity | OidcError) -> None:
        self._says = says
        self.closed = False

    async def identify(self, token: str, now_s: float) -> OidcIdentity:
        assert (token, now_s) == ("token", 150.0)
        if isinstance(self._says, OidcError):
            raise self._says
        return self._says

    async def close(self) -> None:
        self.closed = True


def recognizer(says: OidcIdentity | OidcError) -> OidcRecognizer:
    return OidcRecognizer(Verifier(says))  # type: ignore[arg-type]


def test_a_provider_s_token_makes_an_identity() -> None:
    identity = asyncio.run(recognizer(FOUND).identify("token", 150.0))
    assert identity is not None
    assert (identity.user, identity.role, identity.name, identity.kind) == ("oidc@alice", Role.WRITER, "Alice", "oidc")
    assert (identity.issued_at, identity.expires_at, identity.sessions) == (100.0, 200.0, ("build-*",))


def test_a_token_of_somebody_else_is_left_to_others() -> None:
    assert asyncio.run(recognizer(NotOfIssuer("another issuer")).identify("token", 150.0)) is None


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(TokenRefused("it has expired"), 401, "unauthorized"), (ProviderAway("no keys"), 503, "provider_unavailable")],
)
def test_what_is_wrong_is_told_as_such(error: OidcError, status: int, code: str) -> None:
    with pytest.raises(Refusal, match=error.reason) as caught:
        asyncio.run(recognizer(error).identify("token", 150.0))
    assert (caught.value.status, caught.value.code) == (status, code)


def test_closing_gives_up_what_is_under_way() -> None:
    verifier = Verifier(FOUND)
    asyncio.run(OidcRecognizer(verifier).close())  # type: ignore[arg-type]
    assert verifier.closed
