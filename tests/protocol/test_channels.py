"""Names parse in exactly one way, and nothing that a broker reads otherwise is a session's name."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codewrap.errors import ConfigError, RemoteProtocolError
from codewrap.protocol import channels
from codewrap.protocol.channels import ChannelRole, SessionChannel, check_session_name, is_session_name, parse_channel, printable

NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,47}", fullmatch=True).filter(is_session_name)
REFUSED = ["", "-a", "A", "a_b", "a b", "a.b", "ü", "a\n", "a" * 49, "a/b", "١"]
MEANINGS = ["private-x", "a-presence-b", "cache-1", "my-client-x", "x-private-"]


@pytest.mark.parametrize("name", ["a", "0", "a-", "smooth-horse", "a" * 48, "private", "aprivate", "cache", "a-cache"])
def test_a_session_name_is_taken(name: str) -> None:
    assert is_session_name(name)
    assert check_session_name(name) == name


@pytest.mark.parametrize("name", REFUSED)
def test_another_name_is_refused_by_the_name_of_its_setting(name: str) -> None:
    assert not is_session_name(name)
    with pytest.raises(ConfigError, match="is not a session name") as caught:
        check_session_name(name, "--name")
    assert caught.value.setting == "--name"
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", MEANINGS)
def test_words_that_brokers_look_for_are_refused(name: str) -> None:
    assert not is_session_name(name)
    with pytest.raises(ConfigError, match="which brokers give a meaning") as caught:
        check_session_name(name)
    assert caught.value.setting == "session name"


@given(name=NAMES, role=st.sampled_from(ChannelRole))
def test_each_channel_name_parses_to_what_made_it(name: str, role: ChannelRole) -> None:
    channel = SessionChannel(role, name)
    assert parse_channel(str(channel)) == channel
    assert sum(str(channel).startswith(other.value) for other in ChannelRole) == 1


@given(text=st.text(max_size=100))
@example(text="private-command-")
@example(text="private-command-A")
@example(text="private-command-a\n")
@example(text="private-encrypted-command-private-command-a")
@example(text=" presence-command-a")
@example(text="command-a")
def test_other_channels_are_refused(text: str) -> None:
    try:
        parsed = parse_channel(text)
    except RemoteProtocolError:
        assert not re.fullmatch(r"(private(-encrypted)?-(command|input)|presence-command)-[a-z0-9]{1,6}", text)
    else:
        assert str(parsed) == text


def test_channels_are_spelled_as_the_protocol_says() -> None:
    assert channels.output_channel("s", encrypted=True) == "private-encrypted-command-s"
    assert channels.output_channel("s", encrypted=False) == "private-command-s"
    assert channels.input_channel("s") == "private-input-s"
    assert channels.sealed_input_channel("s") == "private-encrypted-input-s"
    assert channels.presence_channel("s") == "presence-command-s"


def test_only_the_sealed_channels_are_encrypted_by_pusher() -> None:
    assert {role for role in ChannelRole if role.encrypted} == {ChannelRole.SEALED_OUTPUT, ChannelRole.SEALED_INPUT}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ☃ text", "plain ☃ text"),
        ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x9b\u202e\ud800", "\\x9b\\u202e\\ud800"),
        ("", ""),
    ],
)
def test_control_characters_are_shown_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(text=st.text(alphabet=st.characters(), max_size=200), limit=st.integers(1, 100))
def test_what_is_printable_is_printable_and_short(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    if text.isprintable() and len(text) <= limit:
        assert shown == text
    if len(text) > limit:
        assert shown.endswith("…")
