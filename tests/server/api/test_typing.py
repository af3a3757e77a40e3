"""Typing over HTTP by token and session; the events that it makes are in `test_app.py` and `test_commands.py`."""

from __future__ import annotations

import pytest

from tests.support.serve_auth import ServeAuth, bearer

SYNC = {"v": 1, "type": "sync", "epoch": "", "from": 0, "want": "screen"}


@pytest.mark.parametrize(
    ("role", "session", "typed", "asked"),
    [
        ("viewer", "build", 403, 202),
        ("writer", "build", 202, 202),
        ("writer", "other", 403, 403),
        ("host", "build", 202, 202),
        ("admin", "build", 202, 202),
    ],
)
def test_a_token_types_and_asks_by_its_role_in_its_sessions(role: str, session: str, typed: int, asked: int) -> None:
    async def scenario(server: ServeAuth) -> tuple[int, int]:
        made = {"user": "alice", "role": role, "sessions": ["build"]}
        headers = bearer((await server.client.post_json("/api/tokens", made)).json()["token"])
        return (
            (await server.stranger.post_json("/api/commands/input", {"sessionId": session, "input": "x"}, headers)).status,
            (await server.stranger.post_json("/api/commands/sync", {"sessionId": session, "frame": SYNC}, headers)).status,
        )

    assert ServeAuth().run(scenario) == (typed, asked)
