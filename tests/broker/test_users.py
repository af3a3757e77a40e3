"""Signed-in users and those who watch them."""

from __future__ import annotations

import json

import pytest

from codewrap.broker.connections import Connection, User
from codewrap.broker.limits import Limits
from codewrap.broker.refusals import Refusal
from codewrap.broker.users import Users, read_user
from tests.support.hub import Recorder


def connection() -> tuple[Connection, Recorder]:
    sink = Recorder()
    return Connection("1.2", sink, 7, 0.0, 0.0), sink


def test_a_user_is_read_and_the_watchlist_has_no_doubles() -> None:
    user = read_user('{"id":"ann","user_info":{"a":1},"watchlist":["b","c","b"]}', Limits())
    assert (user.user_id, user.info, user.watchlist) == ("ann", {"a": 1}, ("b", "c"))


@pytest.mark.parametrize(
    "user_data",
    [
        "nonsense",
        "[]",
        "{}",
        '{"id":5}',
        '{"id":""}',
        '{"id":"a b"}',
        '{"id":"a","watchlist":"b"}',
        '{"id":"a","watchlist":[5]}',
        '{"id":"a","user_info":"\\ud800"}',
        '{"id":"a","user_info":' + "[" * 70 + "]" * 70 + "}",
    ],
)
def test_what_is_no_user_is_refused(user_data: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_user(user_data, Limits())
    assert caught.value.code == 4009


def test_watchers_hear_of_the_first_and_the_last_socket_only() -> None:
    users = Users()
    watcher, heard = connection()
    (one, _), (two, _) = connection(), connection()
    users.sign_in(watcher, User("w", "{}", watchlist=("ann",)))
    users.sign_in(one, User("ann", "{}"))
    users.sign_in(two, User("ann", "{}"))
    assert list(users.sockets("ann")) == [one, two]
    users.sign_out(one)
    users.sign_out(one)
    users.sign_out(two)
    names = [json.loads(frame["data"])["events"][0]["name"] for frame in heard.frames]
    assert names == ["online", "offline"]


def test_a_watcher_that_leaves_hears_no_more_and_others_do() -> None:
    users = Users()
    (gone, gone_heard), (stays, stays_heard) = connection(), connection()
    for watcher, name in ((gone, "g"), (stays, "s")):
        users.sign_in(watcher, User(name, "{}", watchlist=("ann",)))
    users.sign_out(gone)
    ann, _ = connection()
    users.sign_in(ann, User("ann", "{}"))
    assert (len(gone_heard.frames), len(stays_heard.frames)) == (0, 1)
    users.sign_out(stays)
    users.sign_out(ann)
    assert len(stays_heard.frames) == 1


def test_who_watches_nobody_is_told_nothing() -> None:
    assert Users().present_state(User("a", "{}")) is None
