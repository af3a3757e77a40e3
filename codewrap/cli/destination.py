"""Where a viewer's session is, and the way there: its record on this machine, what is configured, or a link to a server."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codewrap import config
from codewrap.cli import console, environment, links
from codewrap.cli.environment import Environment
from codewrap.config import Gateway, Mode, Settings
from codewrap.errors import CodewrapError, SessionNotFound
from codewrap.protocol.channels import check_session_name
from codewrap.store import files
from codewrap.store.sessions import SessionRecord, SessionStore

if TYPE_CHECKING:
    from codewrap.cli.connections import ViewerParts
    from codewrap.transport.base import Deliver

CHALLENGE_BYTES = 12


def new_challenge() -> str:
    """For one attachment: `roles.CHALLENGE`."""
    return base64.urlsafe_b64encode(os.urandom(CHALLENGE_BYTES)).decode("ascii")


@dataclass(frozen=True, slots=True)
class Destination:
    """``way``: what is configured, or the one server to go through. ``may_type``: nothing known here speaks against it."""

    name: str
    here: Environment
    way: Settings | Gateway
    record: SessionRecord | None
    may_type: bool

    @classmethod
    def named(cls, name: str, here: Environment, way: Settings | Gateway, *, may_type: bool = True) -> Destination:
        """Look for a record; over one server given by a link there is none of ours."""
        record = None
        if not isinstance(way, Gateway):
            with contextlib.suppress(CodewrapError):  # without a private directory there are no sessions of ours to find
                record = SessionStore(files.runtime_directory(here.values)).find(name)
        return cls(name, here, way, record, may_type and not (record is not None and record.read_only))

    @classmethod
    def find(
        cls,
        session: str,
        here: Environment,
        mode: str | None = None,
        *,
        tls: bool | None = None,
        quiet: bool = False,
        say: Callable[[str], None] = console.say,
    ) -> Destination:
        """``session`` is a name or a link, which is exchanged for a token. Raises ConfigError, AuthError, TransportError."""
        if not links.is_link(session):
            return cls.named(check_session_name(session, "SESSION"), here, config.load(here.values, mode, tls=tls))
        from codewrap.cli import joining

        joined = joining.join(links.read(session, plain=tls is False), here.values, quiet=quiet, say=say)
        return cls.named(joined.session, here, joined.gateway, may_type=joined.may_type)

    def encrypted(self, wanted: bool) -> bool:
        """Whether the session is: known by its record, else as ``wanted``."""
        return self.record.encrypted if self.record is not None else wanted

    def connect(self, challenge: str, deliver: Deliver, *, read_only: bool) -> ViewerParts:
        """What a viewer needs to go there. Raises SessionNotFound, AuthError, TransportError."""
        from codewrap.cli import connections

        role = "viewer" if read_only else "writer"
        viewer = connections.ViewerName(environment.user_name(self.here.values), role, challenge)
        record, way = self.record, self.way
        if isinstance(way, Gateway):
            return connections.gateway_viewer(way, self.name, viewer, deliver)
        if record is not None and record.hub is not None:
            return connections.direct_viewer(connections.Access.to_hub(record.hub), viewer, deliver)
        mode = Mode(record.mode) if record is not None else way.mode
        if mode is Mode.GATEWAY and way.gateway is not None:
            return connections.gateway_viewer(way.gateway, self.name, viewer, deliver)
        if way.broker is not None:
            return connections.direct_viewer(connections.Access.to_broker(way.broker), viewer, deliver)
        if record is not None:
            raise SessionNotFound(self.name, f"it goes over {record.endpoint}, and that server is not configured here")
        raise SessionNotFound(
            self.name, "nothing of that name runs here (codewrap ls), and no server is configured (CODEWRAP_URL, SOKETI_*)"
        )
