"""Sessions that only the server of `CODEWRAP_URL` knows, for the commands that list or name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codewrap import config
from codewrap.cli.environment import Environment
from codewrap.config import Gateway
from codewrap.errors import SessionNotFound

if TYPE_CHECKING:
    from codewrap.transport.gateway import GatewayClient, Hosted

# Who lists sessions sees those of this machine all the same, and soon.
LIST_WAIT_S = 3.0


def gateway(here: Environment) -> Gateway | None:
    """The server that is configured. Raises ConfigError."""
    return config.load(here.values, None).gateway


def of_server(server: Gateway, name: str | None = None) -> list[Hosted]:
    """All that our token reaches, or that of ``name``. Raises AuthError, TransportError."""
    client = _client(server)
    try:
        return [session for session in client.sessions() if name is None or session.name == name]
    finally:
        client.close()


def kill(here: Environment, name: str, number: int) -> None:
    """Send a signal by the server. Raises SessionNotFound, AuthError, TransportError."""
    server = gateway(here)
    if server is None:
        raise SessionNotFound(name, "nothing of that name runs here (codewrap ls), and CODEWRAP_URL is not set")
    client = _client(server)
    try:
        client.kill(name, number)
    finally:
        client.close()


def public(session: Hosted, server: Gateway) -> dict[str, Any]:
    """For programs (`--json`)."""
    return {
        "name": session.name,
        "state": "running",
        "server": server.url,
        "owner": session.owner,
        "opened_at": session.opened_at,
        "seen_at": session.seen_at,
    }


def _client(server: Gateway) -> GatewayClient:
    from codewrap.transport.gateway import GatewayClient

    return GatewayClient(server.url, server.token, timeout_s=LIST_WAIT_S, prepares=False)
