"""What hosts are told, and that nobody else could have said it."""

from __future__ import annotations

import pytest

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import frames, sealing
from codewrap.protocol.channels import sealed_input_channel
from codewrap.transport.base import Event
from tests.support.serve_auth import MASTER_KEY, ServeAuth


def opened(event: Event) -> frames.Control:
    return frames.decode_control(sealing.unseal(event.data, sealing.shared_secret(event.channel, MASTER_KEY)))


def test_a_revoked_user_is_told_to_all_hosts() -> None:
    async def scenario(server: ServeAuth) -> None:
        for name in ("build", "deploy"):
            await server.open_session(name)
        await server.client.post_json("/api/revocations", {"user": "alice"})

    server = ServeAuth()
    server.run(scenario)
    assert [event.channel for event in server.published.events] == [sealed_input_channel(n) for n in ("build", "deploy")]
    for event in server.published.events:
        control = opened(event)
        assert (control.do, control.user) == ("revoke", "alice")
        assert control.before is not None
        assert control.before >= control.at
    assert len({opened(event).id for event in server.published.events}) == 2


def test_what_is_told_to_one_host_opens_at_no_other() -> None:
    async def scenario(server: ServeAuth) -> None:
        await server.open_session()
        await server.client.post_json("/api/sessions/build/kill", {})

    server = ServeAuth()
    server.run(scenario)
    [event] = server.published.events
    assert (event.name, opened(event).do) == ("control", "kill")
    with pytest.raises(RemoteProtocolError):
        sealing.unseal(event.data, sealing.shared_secret(sealed_input_channel("other"), MASTER_KEY))
