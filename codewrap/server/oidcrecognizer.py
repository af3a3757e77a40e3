"""Tokens of an OpenID Connect provider among those that the gatekeeper knows."""

from __future__ import annotations

from codewrap.server.identity import Identity
from codewrap.server.oidc import OidcVerifier
from codewrap.server.oidcerrors import NotOfIssuer, ProviderAway, TokenRefused
from codewrap.server.refusals import Refusal


class OidcRecognizer:
    """Makes an Identity of a provider's token."""

    def __init__(self, verifier: OidcVerifier) -> None:
        self._verifier = verifier

    async def identify(self, token: str, now_s: float) -> Identity | None:
        """As `Recognizer`."""
        try:
            found = await self._verifier.identify(token, now_s)
        except NotOfIssuer:
            return None
        except TokenRefused as error:
            raise Refusal(401, "unauthorized", f"the provider's token is refused: {error.reason}") from None
        except ProviderAway as error:
            raise Refusal(503, "provider_unavailable", error.reason, retry_after_s=5) from None
        return Identity(
            found.user, found.role, found.sessions, found.token_id, "oidc", found.issued_at, found.expires_at, found.name
        )

    async def close(self) -> None:
        """Give up what is under way."""
        await self._verifier.close()
