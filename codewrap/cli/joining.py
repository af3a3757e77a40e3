"""What comes before attaching by a link: says where it leads, and has that server exchange it for a token.

Nothing is sent to a server, nor is its name looked up, before the person was told which one it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from codewrap.cli import console
from codewrap.cli.links import Link
from codewrap.config import Gateway
from codewrap.errors import CodewrapError, TransportError
from codewrap.protocol.roles import Act, Role, may
from codewrap.store import files
from codewrap.store.knownservers import KnownServers


@dataclass(frozen=True, slots=True)
class Joined:
    """A session that may be attached to."""

    session: str
    gateway: Gateway
    may_type: bool


def join(link: Link, values: Mapping[str, str], *, quiet: bool, say: Callable[[str], None] = console.say) -> Joined:
    """Exchange ``link``. ``say`` is told of a server that is new here even if ``quiet``. Raises AuthError, TransportError."""
    from codewrap.transport.gateway import GatewayClient

    servers = _known_servers(values)
    if not servers.knows(link.base):
        say(f"this link leads to {link.host}, a server that no link has led you to before")
    elif not quiet:
        say(f"this link leads to {link.host}")
    # No thread may run yet: the guard of the terminal is still to be forked.
    client = GatewayClient(link.base, link.token, prepares=False)
    try:
        redeemed = client.redeem()
    finally:
        client.close()
    if redeemed.session != link.session:
        raise TransportError(link.base, "has another session behind this link than it names", retry=False)
    servers.add(link.base)
    may_type = any(role.value == redeemed.role and may(role, Act.TYPE) for role in Role)
    if not quiet:
        doing = "watch and type" if may_type else "watch"
        say(f"you may {doing} until {console.moment(redeemed.expires_at)}")
    return Joined(link.session, Gateway(link.base, redeemed.token), may_type)


def _known_servers(values: Mapping[str, str]) -> KnownServers:
    with contextlib.suppress(CodewrapError):
        return KnownServers(files.state_directory(values))
    return KnownServers(None)
