"""Where tokens are issued, listed and revoked: at a `serve-auth` by its URL, or straight on the state of this machine's own."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from codewrap import config
from codewrap.errors import ConfigError
from codewrap.store.files import state_directory
from codewrap.transport.gateway import Facts, GatewayClient, Issued

if TYPE_CHECKING:
    from codewrap.server.state import StateStore

_OF_CLIENTS = ("CODEWRAP_URL", "CODEWRAP_TOKEN", "CODEWRAP_USE_TLS")
# As for `serve-auth`, which these are of no concern to.
_NOT_OF_SERVERS = ("CODEWRAP_MODE", "CODEWRAP_URL", "CODEWRAP_TOKEN")
_Result = TypeVar("_Result")


class TokenBook(Protocol):
    """Its methods raise ConfigError, AuthError, TransportError, StoreError or StateUnavailable."""

    where: str
    """For people."""

    def create(self, user: str, role: str, sessions: Sequence[str], lifetime_s: int) -> Issued:
        """A new token."""

    def all(self) -> list[Facts]:
        """Those that have not expired, oldest first."""

    def revoke_token(self, token_id: str) -> None:
        """End one, also one that is in no list."""

    def revoke_user(self, user: str) -> None:
        """End all that ``user`` has now."""

    def close(self) -> None:
        """Release connections. Never raises."""


def token_book(values: Mapping[str, str]) -> TokenBook:
    """By CODEWRAP_URL, or without it this machine's. Raises ConfigError, StoreError."""
    gateway = configured_gateway(values)
    return LocalBook(values) if gateway is None else GatewayBook(gateway)


def configured_gateway(values: Mapping[str, str]) -> config.Gateway | None:
    """That of CODEWRAP_URL, whatever else is configured. Raises ConfigError."""
    return config.load({name: value for name, value in values.items() if name in _OF_CLIENTS}).gateway


class GatewayBook:
    """That of a server: what we may is for it to say."""

    def __init__(self, gateway: config.Gateway) -> None:
        self.where = gateway.url
        self._client = GatewayClient(gateway.url, gateway.token)

    def create(self, user: str, role: str, sessions: Sequence[str], lifetime_s: int) -> Issued:
        """As `TokenBook.create`."""
        return self._client.create_token(user, role, sessions, lifetime_s)

    def all(self) -> list[Facts]:
        """As `TokenBook.all`."""
        return self._client.tokens()

    def revoke_token(self, token_id: str) -> None:
        """As `TokenBook.revoke_token`."""
        self._client.revoke_token(token_id)

    def revoke_user(self, user: str) -> None:
        """As `TokenBook.revoke_user`."""
        self._client.revoke_user(user)

    def close(self) -> None:
        """As `TokenBook.close`."""
        self._client.close()


class LocalBook:
    """The state and keys that a `serve-auth` with the same settings uses: who can read them may do anything."""

    def __init__(self, values: Mapping[str, str]) -> None:
        from codewrap.server.keys import KeyStore
        from codewrap.server.tokens import TokenSigner

        settings = config.load({name: value for name, value in values.items() if name not in _NOT_OF_SERVERS})
        keys = KeyStore(state_directory(values))
        self._values = values
        self._directory = keys.directory
        self._signer = TokenSigner(settings.signing_keys or (keys.signing_key(),))
        self.where = f"this machine's serve-auth ({keys.directory})"

    def create(self, user: str, role: str, sessions: Sequence[str], lifetime_s: int) -> Issued:
        """As `TokenBook.create`."""
        from codewrap.protocol.roles import Role
        from codewrap.server.api.tokens import record_of, shown
        from codewrap.server.identity import ADMIN_USER, Identity
        from codewrap.server.tokens import new_claims

        if user == ADMIN_USER:
            raise ConfigError("--user", f"{ADMIN_USER} is whoever has AUTH_TOKEN", "choose another")
        try:
            claims = new_claims(user, Role(role), sessions, time.time(), lifetime_s)
        except ValueError as error:
            raise ConfigError("token", str(error)) from None
        record = record_of(claims, Identity(ADMIN_USER, Role.ADMIN))
        self._with_state(lambda state: state.add_token(record))
        return Issued(self._signer.issue(claims), shown(record))

    def all(self) -> list[Facts]:
        """As `TokenBook.all`."""
        return self._with_state(_listed)

    def revoke_token(self, token_id: str) -> None:
        """As `TokenBook.revoke_token`."""
        self._with_state(lambda state: _revoke_token(state, token_id))

    def revoke_user(self, user: str) -> None:
        """As `TokenBook.revoke_user`."""
        from codewrap.protocol.roles import is_user
        from codewrap.server.identity import ADMIN_USER

        if not is_user(user):
            raise ConfigError("--user", "is not a user's id")
        if user == ADMIN_USER:
            raise ConfigError("--user", "AUTH_TOKEN is not revoked but changed, at every copy of the server")
        self._with_state(lambda state: _revoke(state, f"user:{user}"))

    def close(self) -> None:
        """As `TokenBook.close`: the state is opened for each act."""

    def _with_state(self, act: Callable[[StateStore], Awaitable[_Result]]) -> _Result:
        import asyncio

        from codewrap.cli.serving import open_state

        async def whole() -> _Result:
            state = open_state(self._values, self._directory)
            try:
                return await act(state)
            finally:
                await state.close()

        return asyncio.run(whole())


async def _listed(state: StateStore) -> list[Facts]:
    from codewrap.server.api.tokens import shown

    now_s = time.time()
    revoked = {revocation.subject for revocation in await state.revocations(now_s)}
    return [shown(record) | {"revoked": f"token:{record.token_id}" in revoked} for record in await state.tokens(now_s)]


async def _revoke_token(state: StateStore, token_id: str) -> None:
    await _revoke(state, f"token:{token_id}")
    for record in await state.tokens(time.time()):
        if record.token_id == token_id and record.kind == "share":  # and what it was exchanged for
            await _revoke(state, f"user:{record.user}")


async def _revoke(state: StateStore, subject: str) -> None:
    """Only noted: it is the server that acts on it, and it looks several times a second."""
    from codewrap.server.state import Revocation
    from codewrap.server.tokens import MAX_LIFETIME_S

    now_s = time.time()
    await state.revoke(Revocation(subject, now_s, now_s + MAX_LIFETIME_S))
