"""Channel names parse in exactly one way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewrap.broker.names import ChannelKind, is_socket_id, is_user_id, parse_channel
from codewrap.broker.refusals import Refusal


@pytest.mark.parametrize(
    ("name", "kind", "cached"),
    [
        ("a", ChannelKind.PUBLIC, False),
        ("cache-a", ChannelKind.PUBLIC, True),
        ("my-private-a", ChannelKind.PUBLIC, False),
        ("my-cache-a", ChannelKind.PUBLIC, False),
        ("private-a", ChannelKind.PRIVATE, False),
        ("private-cache-a", ChannelKind.PRIVATE, True),
        ("private-my-cache-a", ChannelKind.PRIVATE, False),
        ("private-encrypted-a", ChannelKind.PRIVATE_ENCRYPTED, False),
        ("private-encrypted-cache-a", ChannelKind.PRIVATE_ENCRYPTED, True),
        ("presence-a", ChannelKind.PRESENCE, False),
        ("presence-cache-a", ChannelKind.PRESENCE, True),
        ("#server-to-user-ann", ChannelKind.SERVER_TO_USER, False),
    ],
)
def test_the_prefix_at_the_start_decides(name: str, kind: ChannelKind, cached: bool) -> None:
    channel = parse_channel(name, 164)
    assert (channel.text, channel.kind, channel.cached) == (name, kind, cached)
    assert channel.needs_authorization == (kind not in (ChannelKind.PUBLIC, ChannelKind.SERVER_TO_USER))
    assert channel.is_presence == (kind is ChannelKind.PRESENCE)


def test_only_server_to_user_channels_belong_to_a_user() -> None:
    assert parse_channel("#server-to-user-ann", 164).user_id == "ann"
    assert parse_channel("private-ann", 164).user_id == ""


@pytest.mark.parametrize("name", [None, 1, [], "", "a b", "a\n", "#a", "#server-to-user-", "é", "a" * 165])
def test_anything_else_is_no_channel(name: object) -> None:
    with pytest.raises(Refusal) as caught:
        parse_channel(name, 164)
    assert caught.value.code == 4009


@given(st.text())
def test_every_text_is_parsed_or_refused(name: str) -> None:
    try:
        assert parse_channel(name, 164).text == name
    except Refusal:
        pass


@pytest.mark.parametrize(
    ("value", "good"), [("1.2", True), ("1.2\n", False), ("1", False), ("٣.٣", False), (1.2, False), ("", False)]
)
def test_socket_ids_are_two_numbers(value: object, good: bool) -> None:
    assert is_socket_id(value) is good


@pytest.mark.parametrize(("value", "good"), [("ann", True), ("", False), ("a" * 11, False), ("a b", False), (1, False)])
def test_user_ids_are_short_names(value: object, good: bool) -> None:
    assert is_user_id(value, 10) is good
