"""Members: who they say they are, and when they come and go."""

from __future__ import annotations

import json

import pytest

from codewrap.broker.connections import Connection, User
from codewrap.broker.limits import Limits
from codewrap.broker.presence import Roster, read_member
from codewrap.broker.refusals import Refusal
from tests.support.hub import Recorder


def connection() -> Connection:
    return Connection("1.2", Recorder(), 7, 0.0, 0.0)


def test_a_member_is_read_with_text_or_number_as_id() -> None:
    member = read_member('{"user_id":"ann","user_info":{"a":1}}', None, Limits())
    assert (member.user_id, member.info) == ("ann", {"a": 1})
    assert read_member('{"user_id":5}', None, Limits()).user_id == "5"
    assert json.loads(member.added_data) == {"user_id": "ann", "user_info": {"a": 1}}
    assert json.loads(member.removed_data) == {"user_id": "ann"}


def test_a_signed_in_user_is_a_member_without_channel_data() -> None:
    assert read_member(None, User("ann", "{}", {"a": 1}), Limits()).info == {"a": 1}
    with pytest.raises(Refusal):
        read_member(None, None, Limits())


@pytest.mark.parametrize(
    ("channel_data", "code"),
    [
        ("nonsense", 401),
        ("[]", 401),
        ("{}", 401),
        ('{"user_id":""}', 401),
        ('{"user_id":true}', 401),
        ('{"user_id":1.5}', 401),
        ('{"user_id":{}}', 401),
        ('{"user_id":"\\ud800"}', 401),
        ('{"user_id":"' + "a" * 201 + '"}', 401),
        ('{"user_id":"a","user_info":"\\ud800"}', 401),
        ('{"user_id":"a","user_info":1e999}', 401),
        ('{"user_id":"a","user_info":' + "[" * 70 + "]" * 70 + "}", 401),
        ("\ud800", 4301),
        ('{"user_id":"a","user_info":"' + "x" * 10_240 + '"}', 4301),
    ],
)
def test_what_is_no_member_is_refused(channel_data: str, code: int) -> None:
    with pytest.raises(Refusal) as caught:
        read_member(channel_data, None, Limits())
    assert caught.value.code == code


def test_a_roster_counts_users_not_sockets() -> None:
    roster = Roster()
    ann = read_member('{"user_id":"ann"}', None, Limits())
    first, second = connection(), connection()
    assert roster.join(first, ann)
    assert not roster.join(second, ann)
    assert roster.snapshot() == {"ids": ["ann"], "hash": {"ann": None}, "count": 1}
    assert roster.user_id_of(first) == "ann"
    assert roster.user_id_of(connection()) is None
    assert roster.leave(first) is None
    assert "ann" in roster
    assert roster.leave(second) == ann
    assert (len(roster), roster.user_ids) == (0, [])
