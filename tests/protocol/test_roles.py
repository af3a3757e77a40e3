"""The rights table, entry by entry, as `docs/protocol.md` states it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewrap.errors import RemoteProtocolError
from codewrap.protocol.channels import ChannelRole
from codewrap.protocol.roles import (
    MAX_NAME_CHARACTERS,
    RIGHTS,
    Act,
    Role,
    bounded,
    is_user,
    may,
    may_subscribe,
    played,
    shown_name,
)

SUBSCRIBES = {
    (Role.VIEWER, ChannelRole.SEALED_OUTPUT),
    (Role.VIEWER, ChannelRole.OUTPUT),
    (Role.VIEWER, ChannelRole.PRESENCE),
    *itertools.product((Role.WRITER,), set(ChannelRole) - {ChannelRole.SEALED_INPUT}),
    *itertools.product((Role.HOST, Role.ADMIN), ChannelRole),
}
ACTS = {
    *itertools.product(Role, (Act.SIGN_IN, Act.SYNC, Act.LIST, Act.RECALL)),
    *itertools.product((Role.WRITER, Role.HOST, Role.ADMIN), (Act.TYPE,)),
    *itertools.product((Role.HOST, Role.ADMIN), (Act.PUBLISH, Act.KILL, Act.APPROVE, Act.SHARE, Act.STORE)),
    *itertools.product((Role.ADMIN,), (Act.TOKENS, Act.METRICS)),
}


@pytest.mark.parametrize(("role", "channel"), list(itertools.product(Role, ChannelRole)))
def test_each_role_hears_exactly_the_channels_of_the_table(role: Role, channel: ChannelRole) -> None:
    assert may_subscribe(role, channel) is ((role, channel) in SUBSCRIBES)


@pytest.mark.parametrize(("role", "act"), list(itertools.product(Role, Act)))
def test_each_role_does_exactly_the_acts_of_the_table(role: Role, act: Act) -> None:
    assert may(role, act) is ((role, act) in ACTS)


def test_a_higher_role_may_all_that_a_lower_one_may() -> None:
    for lower, higher in itertools.pairwise(Role):
        assert RIGHTS[lower].channels <= RIGHTS[higher].channels
        assert RIGHTS[lower].acts <= RIGHTS[higher].acts


@pytest.mark.parametrize(
    ("wanted", "held", "result"),
    [
        (Role.HOST, Role.VIEWER, Role.VIEWER),
        (Role.WRITER, Role.ADMIN, Role.WRITER),
        (Role.VIEWER, Role.ADMIN, Role.VIEWER),
        (Role.HOST, Role.HOST, Role.HOST),
    ],
)
def test_the_role_played_is_the_lesser_of_wanted_and_held(wanted: Role, held: Role, result: Role) -> None:
    assert bounded(wanted, held) is result


def test_whoever_names_no_role_plays_writer_as_far_as_the_token_goes() -> None:
    assert played(None, Role.ADMIN) is Role.WRITER
    assert played(None, Role.VIEWER) is Role.VIEWER
    assert played("host", Role.ADMIN) is Role.HOST


@pytest.mark.parametrize("text", ["", "admin", "Host", "root", "viewer "])
def test_unknown_roles_are_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        played(text, Role.ADMIN)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ada", "Ada"),
        ("  Ada \t Lovelace\n", "Ada Lovelace"),
        ("\x1b]0;pwned\x07eve", "]0;pwned eve"),
        ("\u202eevil", "evil"),
        ("\x00\x01", "nobody"),
        ("", "nobody"),
        ("x" * 10_000, "x" * MAX_NAME_CHARACTERS),
    ],
)
def test_names_are_shown_without_control_characters(text: str, shown: str) -> None:
    assert shown_name(text, "nobody") == shown


@given(st.text(max_size=300))
def test_a_shown_name_is_short_and_printable(text: str) -> None:
    name = shown_name(text, "nobody")
    assert 0 < len(name) <= MAX_NAME_CHARACTERS
    assert name.isprintable()
    assert shown_name(name, "other") == name


def test_user_ids_leave_room_for_the_socket_part() -> None:
    assert is_user("alice@example")
    assert not is_user("alice.b")
    assert not is_user("")
    assert not is_user("a" * 65)
    assert not is_user("alice\n")
