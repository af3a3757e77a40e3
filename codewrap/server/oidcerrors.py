"""What can be wrong with a token of an OpenID Connect provider. Each ``reason`` is for people and the audit log: never the token,
nor anything out of it.
"""

from __future__ import annotations

from codewrap.errors import CodewrapError


class OidcError(CodewrapError):
    """The token lets nobody in; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class NotOfIssuer(OidcError):
    """No token of this provider: whoever knows other tokens may try."""


class TokenRefused(OidcError):
    """It claims to be this provider's, and is not accepted: 401, and nobody else need try."""


class ProviderAway(OidcError):
    """Nobody can tell, since the provider's keys are not to be had: 503, later perhaps."""
