"""A session held open at `serve-auth`, against a server that the test scripts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from codewrap.errors import AuthError, TransportError
from codewrap.transport.gateway import GatewayClient
from codewrap.transport.lease import FRESHER_S, Lease
from tests.support.web import Asked, WebServer, answer

DEADLINE_S = 20.0
LONG_S = 3600.0
AT_ONCE_S = 0.01


class Sessions:
    """`/api/sessions`: gives ``answers`` one after the other, then the last again. ``asked`` are the bodies that came."""

    def __init__(self, *answers: dict[str, Any] | int) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._changed = threading.Condition()

    def __call__(self, asked: Asked) -> bytes:
        with self._changed:
            self.asked.append((asked.target, json.loads(asked.body)))
            self._changed.notify_all()
        if asked.target.endswith("/end"):
            return answer()
        said = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(said, int):
            return answer(json.dumps({"error": {"code": "x", "message": "no"}}), said)
        return answer(json.dumps({"appId": "1", "secret": "hush", "expiresAt": 1000} | said))

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.asked) >= count, DEADLINE_S), self.asked


@contextmanager
def leased(sessions: Sessions, renew_s: float = LONG_S) -> Iterator[tuple[Lease, list[str]]]:
    notices: list[str] = []
    with WebServer(sessions) as server:
        lease = Lease(GatewayClient(server.url, "token", prepares=False), "s", notices.append, renew_s)
        yield lease, notices
        lease.end()


def test_it_is_opened_renewed_with_its_grant_and_ended() -> None:
    sessions = Sessions({"key": "k1", "grant": "aa"})
    with leased(sessions, AT_ONCE_S) as (lease, notices):
        lease.open()
        assert lease.opened.credentials.key == "k1"
        sessions.wait_for(3)
    first, *renewals, last = sessions.asked
    assert first == ("/api/sessions", {"sessionId": "s"})
    assert set(map(str, renewals)) == {str(("/api/sessions", {"sessionId": "s", "grant": "aa"}))}
    assert last == ("/api/sessions/s/end", {"grant": "aa"})
    assert notices == []


@pytest.mark.parametrize(
    ("later", "key"),
    [
        ({"key": "k2", "grant": "bb"}, "k2"),
        ({"key": "k2", "grant": "aa", "expiresAt": 1000 + FRESHER_S}, "k2"),
        ({"key": "k2", "grant": "aa", "expiresAt": 1000 + FRESHER_S - 1}, "k1"),
    ],
    ids=["opened anew", "much fresher", "hardly fresher"],
)
def test_credentials_are_taken_up_where_they_are_worth_a_new_connection(later: dict[str, Any], key: str) -> None:
    sessions = Sessions({"key": "k1", "grant": "aa"}, later)
    with leased(sessions, AT_ONCE_S) as (lease, _):
        lease.open()
        sessions.wait_for(3)  # what the second was answered is dealt with
        assert lease.opened.credentials.key == key


def test_a_server_that_was_away_is_asked_again_and_nobody_is_bothered() -> None:
    sessions = Sessions({"key": "k1", "grant": "aa"}, 500, 500, {"key": "k2", "grant": "bb"})
    with leased(sessions, AT_ONCE_S) as (lease, notices):
        lease.open()
        sessions.wait_for(5)
        assert lease.opened.credentials.key == "k2"
    assert notices == []


@pytest.mark.parametrize(("status", "words"), [(401, "refuses these credentials"), (409, "choose another --name")])
def test_whoever_may_not_hold_it_any_more_is_told_once(status: int, words: str) -> None:
    sessions = Sessions({"key": "k1", "grant": "aa"}, status)
    with leased(sessions, AT_ONCE_S) as (lease, notices):
        lease.open()
        sessions.wait_for(4)
    assert len(notices) == 1
    assert words in notices[0]


def test_a_name_that_somebody_else_has_is_not_taken() -> None:
    sessions = Sessions(409)
    with leased(sessions) as (lease, _):
        with pytest.raises(TransportError, match=r"somebody else hosts a session 's' there: choose another --name") as failed:
            lease.open()
        assert not failed.value.retry
        with pytest.raises(TransportError):
            _ = lease.opened
    assert len(sessions.asked) == 1


def test_refused_credentials_are_replaced_once_and_then_not_for_a_while() -> None:
    sessions = Sessions({"key": "k1", "grant": "aa"}, {"key": "k2", "grant": "bb"})
    with leased(sessions) as (lease, _):
        lease.open()
        first = lease.opened
        lease.refused(first)
        assert lease.opened.credentials.key == "k2"
        lease.refused(first)  # it was replaced already
        with pytest.raises(AuthError, match="choose another --name"):
            lease.refused(lease.opened)
    assert [body for _, body in sessions.asked] == [{"sessionId": "s"}, {"sessionId": "s", "grant": "aa"}, {"grant": "bb"}]


def test_a_server_without_grants_is_not_told_of_the_end() -> None:
    sessions = Sessions({"key": "k1"})
    with leased(sessions) as (lease, _):
        lease.open()
    assert [target for target, _ in sessions.asked] == ["/api/sessions"]
