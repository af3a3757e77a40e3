"""Settings: every name, what wins over what, when TLS is on, and refusals that name the setting and never its value."""

from __future__ import annotations

import base64
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewrap.config import (
    PUSHER_EVENT_BYTES,
    SECRET_NAMES,
    SOKETI_EVENT_BYTES,
    Budget,
    Gateway,
    Mode,
    Settings,
    audit_limits,
    check_token,
    check_url,
    child_environment,
    decode_master_key,
    is_loopback,
    load,
    metrics_token,
    most_per_user,
    parse_budget,
    parse_duration,
    parse_rate,
    read_environment,
)
from codewrap.errors import EXIT_USAGE, ConfigError

KEY = bytes(range(32))
KEY_TEXT = base64.b64encode(KEY).decode()
SOKETI = {"SOKETI_SERVICE_USER": "7", "SOKETI_SERVICE_KEY": "soketi-key", "SOKETI_SERVICE_SECRET": "soketi-secret"}
PUSHER = {"PUSHER_APP_ID": "9", "PUSHER_KEY": "pusher-key", "PUSHER_SECRET": "pusher-secret", "PUSHER_CLUSTER": "eu"}
GATEWAY = {"CODEWRAP_URL": "https://codewrap.example.com", "CODEWRAP_TOKEN": "gateway-token"}


def refused(values: Mapping[str, str], mode: str | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(values, mode)
    return caught.value


def broker_of(values: Mapping[str, str], **flags: bool) -> dict[str, object]:
    """The broker's fields and the warnings."""
    settings = load(values, **flags)
    assert settings.broker is not None
    names = (
        "family",
        "app_id",
        "key",
        "secret",
        "api_host",
        "api_port",
        "ws_host",
        "ws_port",
        "tls",
        "master_key",
        "event_bytes",
    )
    return {name: getattr(settings.broker, name) for name in names} | {"warnings": settings.warnings}


# -- what it may cost --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "per_s"),
    [("5", 5), ("5/s", 5), ("0.5", 0.5), ("300/min", 5), ("1/MIN", 1 / 60), ("10/sec", 10), ("none", 0), ("None", 0)],
)
def test_a_rate_is_events_a_second_or_a_minute(text: str, per_s: float) -> None:
    assert parse_rate("--max-rate", text) == pytest.approx(per_s)


@pytest.mark.parametrize(
    ("text", "messages", "period_s"),
    [
        ("50k/day", 50_000, 86_400),
        ("200000/day", 200_000, 86_400),
        ("200000/d", 200_000, 86_400),
        ("1M/month", 1_000_000, 2_592_000),
        ("1.5m/month", 1_500_000, 2_592_000),
        ("2K/hour", 2000, 3600),
        ("2k/h", 2000, 3600),
        ("60/min", 60, 60),
    ],
)
def test_a_budget_is_messages_in_a_period(text: str, messages: float, period_s: float) -> None:
    assert parse_budget("--budget", text) == Budget(messages, period_s, text)


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "0.001", "1001", "5/day", "5//s", "1e3", "5 /s", "٥", "9" * 5000])
def test_a_rate_that_is_none_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(ConfigError, match="--max-rate: is not a rate") as caught:
        parse_rate("--max-rate", text)
    assert caught.value.exit_status == EXIT_USAGE


@pytest.mark.parametrize(
    "text", ["", "50k", "k/day", "50k/week", "50k/s", "-50k/day", "50kk/day", "50 k/day", "1e5/day", "19/day", "0/day", "٥/day"]
)
def test_a_budget_that_is_none_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(ConfigError, match="--budget: is ") as caught:
        parse_budget("--budget", text)
    assert caught.value.exit_status == EXIT_USAGE


# -- which server ------------------------------------------------------------------------------------------------------


def test_nothing_configured_is_embedded() -> None:
    assert load({}) == Settings(Mode.EMBEDDED, "nothing is configured", None, None)


def test_a_soketi_of_this_machine_needs_only_its_app() -> None:
    assert broker_of(SOKETI) == {
        "family": "SOKETI",
        "app_id": "7",
        "key": "soketi-key",
        "secret": "soketi-secret",
        "api_host": "127.0.0.1",
        "api_port": 6001,
        "ws_host": "127.0.0.1",
        "ws_port": 6001,
        "tls": False,
        "master_key": None,
        "event_bytes": SOKETI_EVENT_BYTES,
        "warnings": (),
    }


def test_a_soketi_elsewhere_is_reached_by_its_host_and_port_with_tls() -> None:
    broker = broker_of(SOKETI | {"SOKETI_HOST": "soketi.example.com", "SOKETI_PORT": "443"})
    assert (broker["api_host"], broker["ws_host"]) == ("soketi.example.com", "soketi.example.com")
    assert (broker["api_port"], broker["ws_port"]) == (443, 443)
    assert broker["tls"] is True
    assert load(SOKETI).reason == "SOKETI_* is set"


def test_a_pusher_cluster_has_two_hosts() -> None:
    assert broker_of(PUSHER) == {
        "family": "PUSHER",
        "app_id": "9",
        "key": "pusher-key",
        "secret": "pusher-secret",
        "api_host": "api-eu.pusher.com",
        "api_port": 443,
        "ws_host": "ws-eu.pusher.com",
        "ws_port": 443,
        "tls": True,
        "master_key": None,
        "event_bytes": PUSHER_EVENT_BYTES,
        "warnings": (),
    }


def test_a_pusher_host_wins_over_the_cluster() -> None:
    broker = broker_of(PUSHER | {"PUSHER_HOST": "reverb.example.com", "PUSHER_PORT": "8443"})
    assert (broker["api_host"], broker["ws_host"], broker["api_port"]) == ("reverb.example.com", "reverb.example.com", 8443)
    assert load(PUSHER).reason == "PUSHER_* is set"


@pytest.mark.parametrize(("extra", "port"), [({}, 443), ({"PUSHER_USE_TLS": "false"}, 80), ({"PUSHER_HOST": "127.0.0.1"}, 80)])
def test_the_port_of_pusher_follows_tls(extra: dict[str, str], port: int) -> None:
    assert broker_of(PUSHER | extra)["api_port"] == port


def test_of_two_servers_soketi_is_used_and_the_user_is_told() -> None:
    settings = load(SOKETI | PUSHER | GATEWAY)
    assert settings.mode is Mode.DIRECT
    assert settings.broker is not None
    assert settings.broker.family == "SOKETI"
    assert settings.warnings == ("both SOKETI_* and PUSHER_* are set: SOKETI_* is used",)


def test_a_gateway_is_used_where_no_server_is_named() -> None:
    settings = load(GATEWAY)
    assert settings.mode is Mode.GATEWAY
    assert settings.gateway == Gateway("https://codewrap.example.com", "gateway-token")
    assert settings.broker is None
    assert load(SOKETI | GATEWAY).mode is Mode.DIRECT


def test_a_token_without_a_url_is_no_gateway() -> None:
    assert load({"CODEWRAP_TOKEN": "gateway-token"}).mode is Mode.EMBEDDED


@pytest.mark.parametrize("name", ["embedded", "direct", "gateway", "GATEWAY"])
def test_the_mode_can_be_asked_for(name: str) -> None:
    every = SOKETI | GATEWAY
    for settings in (load(every, name), load(every | {"CODEWRAP_MODE": name})):
        assert settings.mode is Mode(name.lower())
        assert settings.reason == "it was asked for"


def test_the_flag_wins_over_the_setting() -> None:
    assert load({"CODEWRAP_MODE": "gateway"} | GATEWAY, "embedded").mode is Mode.EMBEDDED


@pytest.mark.parametrize(
    ("values", "mode", "problem"),
    [
        ({}, "direct", "direct needs a server"),
        (GATEWAY, "direct", "direct needs a server"),
        (SOKETI, "gateway", "gateway needs a server"),
        ({}, "private-word", "is not a mode"),
    ],
)
def test_a_mode_that_cannot_be_is_refused(values: dict[str, str], mode: str, problem: str) -> None:
    error = refused(values, mode)
    assert (error.setting, error.problem) == ("CODEWRAP_MODE", problem)
    assert "private-word" not in str(error)


# -- what is missing or wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [SOKETI, PUSHER, GATEWAY], ids=["soketi", "pusher", "gateway"])
def test_each_part_of_a_server_that_is_missing_is_named(server: dict[str, str]) -> None:
    for missing in server:
        values = {name: value for name, value in server.items() if name != missing}
        if missing == "CODEWRAP_URL":
            continue
        error = refused(values)
        assert error.setting == missing
        assert error.problem == "is missing"
        assert error.exit_status == EXIT_USAGE


@pytest.mark.parametrize("name", ["SOKETI_HOST", "SOKETI_PORT", "PUSHER_HOST", "PUSHER_PORT"])
def test_a_server_that_is_named_by_its_address_alone_wants_the_rest(name: str) -> None:
    assert refused({name: "8080"}).problem == "is missing"


@pytest.mark.parametrize(
    ("server", "name", "value"),
    [
        (SOKETI, "SOKETI_HOST", "http://private-word"),
        (SOKETI, "SOKETI_HOST", "private-word/path"),
        (SOKETI, "SOKETI_HOST", "private-word:6001"),
        (SOKETI, "SOKETI_HOST", "[]"),
        (SOKETI, "SOKETI_HOST", "private word"),
        (SOKETI, "SOKETI_HOST", "private-word\n"),
        (SOKETI, "SOKETI_HOST", "fe80::1%private-word"),
        (SOKETI, "SOKETI_PORT", "private-word"),
        (SOKETI, "SOKETI_PORT", "0"),
        (SOKETI, "SOKETI_PORT", "65536"),
        (SOKETI, "SOKETI_PORT", "-1"),
        (SOKETI, "SOKETI_PORT", "60٠1"),
        (SOKETI, "SOKETI_PORT", "7" * 5000),
        (SOKETI, "SOKETI_SERVICE_USER", "private-word"),
        (SOKETI, "SOKETI_SERVICE_USER", "١"),
        (SOKETI, "SOKETI_SERVICE_KEY", " private-word"),
        (SOKETI, "SOKETI_SERVICE_SECRET", "private-word\r"),
        (SOKETI, "SOKETI_USE_TLS", "private-word"),
        (SOKETI, "SOKET_ENCRYPTION_MASTER_KEY_BASE64", "private-word"),
        (SOKETI, "SOKETI_ENCRYPTION_MASTER_KEY_BASE64", "private-word"),
        (SOKETI, "CODEWRAP_MAX_EVENT_BYTES", "1023"),
        (SOKETI, "CODEWRAP_MAX_EVENT_BYTES", "10000001"),
        (PUSHER, "CODEWRAP_MAX_EVENT_BYTES", "private-word"),
        (PUSHER, "PUSHER_APP_ID", "private-word"),
        (PUSHER, "PUSHER_KEY", "private\x00word"),
        (PUSHER, "PUSHER_SECRET", "private-word "),
        (PUSHER, "PUSHER_CLUSTER", "private.word"),
        (PUSHER, "PUSHER_CLUSTER", "EU"),
        (PUSHER, "PUSHER_HOST", "https://private-word"),
        (PUSHER, "PUSHER_PORT", "private-word"),
        (PUSHER, "PUSHER_USE_TLS", "private-word"),
        (PUSHER, "PUSHER_ENCRYPTION_MASTER_KEY_BASE64", "private-word"),
        (GATEWAY, "CODEWRAP_URL", "private-word"),
        (GATEWAY, "CODEWRAP_TOKEN", "private word"),
        (GATEWAY, "CODEWRAP_TOKEN", "private-word-ü"),
        (GATEWAY, "CODEWRAP_TOKEN", "private-word\n"),
        (GATEWAY, "CODEWRAP_TOKEN", "x" * 8193),
        ({}, "AUTH_TOKEN", "private word"),
        ({}, "CODEWRAP_MODE", "private-word"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name_and_not_repeated(server: dict[str, str], name: str, value: str) -> None:
    error = refused(server | {name: value})
    assert error.setting == name
    assert str(error).startswith(f"{name}: ")
    everything = str(error) + repr(error) + repr(error.__cause__)
    assert value not in everything
    assert "private" not in everything


def test_what_is_printed_of_settings_holds_no_secret() -> None:
    values = (
        SOKETI
        | GATEWAY
        | {
            "AUTH_TOKEN": "admin-token",
            "CODEWRAP_STATE": "redis://:state-pass@h",
            "SOKETI_ENCRYPTION_MASTER_KEY_BASE64": KEY_TEXT,
        }
    )
    shown = repr(load(values))
    for secret in ("soketi-secret", "gateway-token", "admin-token", "state-pass", repr(KEY), "master_key"):
        assert secret not in shown


def test_the_store_is_handed_on_as_it_stands_to_who_opens_it() -> None:
    assert load({"CODEWRAP_STATE": "postgresql://u:p@h/n"}).state_url == "postgresql://u:p@h/n"
    assert load({}).state_url is None


# -- single settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "name"),
    [
        (SOKETI, "SOKET_ENCRYPTION_MASTER_KEY_BASE64"),
        (SOKETI, "SOKETI_ENCRYPTION_MASTER_KEY_BASE64"),
        (PUSHER, "PUSHER_ENCRYPTION_MASTER_KEY_BASE64"),
    ],
)
def test_the_master_key_is_read_under_each_of_its_names(server: dict[str, str], name: str) -> None:
    assert broker_of(server | {name: KEY_TEXT})["master_key"] == KEY


def test_of_two_spellings_of_the_master_key_the_deployed_one_wins() -> None:
    other = base64.b64encode(bytes(32)).decode()
    both = {"SOKET_ENCRYPTION_MASTER_KEY_BASE64": KEY_TEXT, "SOKETI_ENCRYPTION_MASTER_KEY_BASE64": other}
    assert broker_of(SOKETI | both)["master_key"] == KEY


def test_the_master_key_of_one_server_is_not_used_for_the_other() -> None:
    assert broker_of(SOKETI | {"PUSHER_ENCRYPTION_MASTER_KEY_BASE64": KEY_TEXT})["master_key"] is None
    assert broker_of(PUSHER | {"SOKETI_ENCRYPTION_MASTER_KEY_BASE64": KEY_TEXT})["master_key"] is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "=",
        KEY_TEXT[:-1],
        KEY_TEXT + "\n",
        " " + KEY_TEXT,
        base64.b64encode(KEY + b"x").decode(),
        base64.b64encode(KEY[1:]).decode(),
    ],
)
def test_a_master_key_is_exactly_32_bytes_in_base64(value: str) -> None:
    with pytest.raises(ConfigError, match=r"NAME: is not 32 bytes in base64 .*openssl rand"):
        decode_master_key("NAME", value)


@given(value=st.text(max_size=60))
def test_any_text_is_a_master_key_or_refused(value: str) -> None:
    try:
        assert len(decode_master_key("NAME", value)) == 32
    except ConfigError as error:
        assert error.setting == "NAME"


@pytest.mark.parametrize("size", [1024, 10_000_000])
def test_the_size_of_an_event_can_be_set(size: int) -> None:
    for server in (SOKETI, PUSHER):
        assert broker_of(server | {"CODEWRAP_MAX_EVENT_BYTES": str(size)})["event_bytes"] == size


def test_the_admin_token_is_read() -> None:
    assert load({"AUTH_TOKEN": "admin-token"}).auth_token == "admin-token"
    assert load({}).auth_token is None
    assert check_token("NAME", "x" * 8192) == "x" * 8192


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost", "LOCALHOST.", "a.localhost"])
def test_this_machine_is_reached_without_tls_and_without_a_warning(host: str) -> None:
    assert is_loopback(host)
    broker = broker_of(SOKETI | {"SOKETI_HOST": host})
    assert (broker["tls"], broker["warnings"]) == (False, ())
    assert broker_of(SOKETI | {"SOKETI_HOST": host, "SOKETI_USE_TLS": "true"})["tls"] is True


@pytest.mark.parametrize(
    "host",
    ["example.com", "10.0.0.1", "0.0.0.0", "2001:db8::1", "[2001:db8::1]", "localhost.example.com", "notlocalhost", "127.1"],
)
def test_any_other_machine_is_reached_with_tls(host: str) -> None:
    assert not is_loopback(host)
    assert broker_of(SOKETI | {"SOKETI_HOST": host})["tls"] is True


@pytest.mark.parametrize("word", ["false", "0", "no", "OFF"])
@pytest.mark.parametrize(
    ("server", "name"), [(SOKETI | {"SOKETI_HOST": "example.com"}, "SOKETI_USE_TLS"), (PUSHER, "PUSHER_USE_TLS")]
)
def test_tls_is_switched_off_in_so_many_words_and_with_a_warning(server: dict[str, str], name: str, word: str) -> None:
    broker = broker_of(server | {name: word})
    assert broker["tls"] is False
    (warning,) = load(server | {name: word}).warnings
    assert warning.startswith("TLS is switched off")
    assert str(broker["api_host"]) in warning


@pytest.mark.parametrize("word", ["true", "1", "yes", "On"])
def test_tls_is_switched_on_in_so_many_words(word: str) -> None:
    assert broker_of(SOKETI | {"SOKETI_USE_TLS": word})["tls"] is True


def test_the_flag_for_tls_wins_over_the_setting() -> None:
    elsewhere = SOKETI | {"SOKETI_HOST": "example.com"}
    assert broker_of(elsewhere | {"SOKETI_USE_TLS": "true"}, tls=False)["tls"] is False
    assert broker_of(elsewhere | {"SOKETI_USE_TLS": "false"}, tls=True)["tls"] is True
    assert load(elsewhere | {"SOKETI_USE_TLS": "false"}, tls=True).warnings == ()
    assert len(load(elsewhere, tls=False).warnings) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost"])
def test_a_gateway_of_this_machine_may_be_http(url: str) -> None:
    settings = load(GATEWAY | {"CODEWRAP_URL": url})
    assert settings.gateway == Gateway(url, "gateway-token")
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("extra", "tls"), [({}, None), ({"CODEWRAP_USE_TLS": "true"}, None), ({"CODEWRAP_USE_TLS": "false"}, True)]
)
def test_a_gateway_elsewhere_may_not_be_http(extra: dict[str, str], tls: bool | None) -> None:
    with pytest.raises(ConfigError, match="set CODEWRAP_USE_TLS=false") as caught:
        load(GATEWAY | {"CODEWRAP_URL": "http://example.com"} | extra, tls=tls)
    assert caught.value.setting == "CODEWRAP_URL"


@pytest.mark.parametrize(("extra", "tls"), [({"CODEWRAP_USE_TLS": "false"}, None), ({}, False)])
def test_a_gateway_elsewhere_may_be_http_where_tls_is_switched_off(extra: dict[str, str], tls: bool | None) -> None:
    settings = load(GATEWAY | {"CODEWRAP_URL": "http://example.com"} | extra, tls=tls)
    assert settings.gateway is not None
    assert len(settings.warnings) == 1
    assert "example.com" in settings.warnings[0]


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelled", "host"), [("::1", "::1"), ("[2001:db8::5]", "2001:db8::5"), ("my_host-1.lan", "my_host-1.lan")]
)
def test_hosts_and_ipv6_addresses_are_kept_without_brackets(spelled: str, host: str) -> None:
    for server, name in ((SOKETI, "SOKETI_HOST"), (PUSHER, "PUSHER_HOST")):
        broker = broker_of(server | {name: spelled})
        assert (broker["api_host"], broker["ws_host"]) == (host, host)


@pytest.mark.parametrize("host", ["1:2", "::1::2", "example.com:443", "12345::1", ":::"])
def test_what_looks_like_ipv6_and_is_none_is_refused(host: str) -> None:
    assert refused(SOKETI | {"SOKETI_HOST": host}).advice == "the port has a setting of its own"


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("https://example.com", "https://example.com"),
        ("HTTPS://Example.com:8443/base/", "https://Example.com:8443/base"),
        ("http://[::1]:80/", "http://[::1]:80"),
        ("https://example.com/?", "https://example.com"),
    ],
)
def test_urls_are_kept_without_a_slash_at_the_end(url: str, checked: str) -> None:
    assert check_url("NAME", url) == checked
    assert check_url("NAME", checked) == checked


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com",
        "https://",
        "https:///path",
        "https://:443",
        "https://example.com:0",
        "https://example.com:65536",
        "https://example.com:port",
        "https://[::1",
        "https://user@example.com",
        "https://user:word@example.com",
        "https://@example.com",
        "https://example.com?token=word",
        "https://example.com#word",
        "https://example.com ",
        " https://example.com",
        "https://exam ple.com",
        "https://example.com\n",
        "https://example.com/\x00",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_url("NAME", url)
    assert caught.value.setting == "NAME"
    assert "word" not in str(caught.value)


@given(url=st.text(max_size=40) | st.text(alphabet="[]:/@?#.%a1", max_size=20).map("http://{}".format))
def test_any_text_is_a_url_or_refused(url: str) -> None:
    try:
        checked = check_url("NAME", url)
    except ConfigError as error:
        assert error.setting == "NAME"
    else:
        assert checked.startswith(("http://", "https://"))
        assert not checked.endswith("/")
        assert check_url("NAME", checked) == checked


# -- environment and .env ----------------------------------------------------------------------------------------------


def test_the_environment_wins_over_the_file_and_empty_values_count_as_not_set(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\nC=file\nE=\n# comment\nexport F='quoted # text'\n", encoding="utf-8")
    environ = {"A": "environment", "B": "", "D": "environment", "G": ""}
    assert read_environment(environ, tmp_path) == {
        "A": "environment",
        "B": "file",
        "C": "file",
        "D": "environment",
        "F": "quoted # text",
    }


def test_without_a_file_there_is_the_environment(tmp_path: Path) -> None:
    assert read_environment({"A": "a", "B": ""}, tmp_path) == {"A": "a"}
    (tmp_path / ".env").mkdir()
    assert read_environment({"A": "a"}, tmp_path) == {"A": "a"}


def test_another_file_can_be_named_from_the_directory_or_absolutely(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=usual\n", encoding="utf-8")
    (tmp_path / "other").write_text("A=other\n", encoding="utf-8")
    for name in ("other", str(tmp_path / "other")):
        assert read_environment({"CODEWRAP_ENV_FILE": name}, tmp_path)["A"] == "other"
    assert "A" not in read_environment({"CODEWRAP_ENV_FILE": os.devnull}, tmp_path)


@pytest.mark.parametrize("name", ["private-word.env", "p" * 300])
def test_a_named_file_that_is_not_there_is_told(name: str, tmp_path: Path) -> None:
    """It was passed over in silence: a mistyped name led to a session on this machine alone."""
    with pytest.raises(ConfigError) as caught:
        read_environment({"CODEWRAP_ENV_FILE": name}, tmp_path)
    assert caught.value.setting == "CODEWRAP_ENV_FILE"
    assert name not in str(caught.value)


def test_a_file_that_is_not_text_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"SECRET=private-word\xff\n")
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        read_environment({}, tmp_path)
    assert caught.value.setting == str(tmp_path / ".env")
    assert "private-word" not in str(caught.value)


READ_AS_ANOTHER_USER = """
import os, sys
from pathlib import Path
from codewrap.config import read_environment
from codewrap.errors import ConfigError
import dotenv
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
try:
    print(read_environment({"A": "a"}, Path(sys.argv[1])))
except ConfigError as error:
    print(error.problem)
"""


@pytest.mark.parametrize(
    ("file_mode", "directory_mode", "said"),
    [(0o000, 0o755, "cannot be read: Permission denied"), (0o644, 0o000, "{'A': 'a'}")],
    ids=["file", "directory"],
)
def test_what_may_not_be_read_is_told_and_what_may_not_be_seen_is_not_there(
    file_mode: int, directory_mode: int, said: str, tmp_path: Path
) -> None:
    """In a working directory that may not be searched (after `sudo -u`), every command ended in a PermissionError."""
    directory = tmp_path / "directory"
    directory.mkdir()
    (directory / ".env").write_text("B=b\n", encoding="utf-8")
    (directory / ".env").chmod(file_mode)
    directory.chmod(directory_mode)
    for above in (tmp_path, *itertools.takewhile(lambda path: path != Path(tempfile.gettempdir()), tmp_path.parents)):
        above.chmod(0o711)
    command = [sys.executable, "-c", READ_AS_ANOTHER_USER, str(directory)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False)
    directory.chmod(0o700)
    assert (result.stdout.strip(), result.stderr) == (said, "")


def test_the_child_gets_all_but_what_authorizes() -> None:
    environ = dict.fromkeys(SECRET_NAMES, "value") | {"PATH": "/bin", "SOKETI_SERVICE_KEY": "public", "EMPTY": ""}
    assert child_environment(environ) == {"PATH": "/bin", "SOKETI_SERVICE_KEY": "public", "EMPTY": ""}


def test_every_setting_that_is_secret_is_kept_from_the_child() -> None:
    names = {"AUTH_TOKEN", "CODEWRAP_TOKEN", "SOKETI_SERVICE_SECRET", "PUSHER_SECRET", "PUSHER_ENCRYPTION_MASTER_KEY_BASE64"}
    names |= {"CODEWRAP_STATE", "SOKET_ENCRYPTION_MASTER_KEY_BASE64", "SOKETI_ENCRYPTION_MASTER_KEY_BASE64"}
    assert names <= SECRET_NAMES


def test_audit_logs_have_limits_of_their_own() -> None:
    assert audit_limits({}) == (16 * 1024 * 1024, 8)
    assert audit_limits({"CODEWRAP_AUDIT_BYTES": "65536", "CODEWRAP_AUDIT_FILES": "2"}) == (65_536, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CODEWRAP_AUDIT_BYTES", "65535"),
        ("CODEWRAP_AUDIT_BYTES", "16M"),
        ("CODEWRAP_AUDIT_FILES", "1"),
        ("CODEWRAP_AUDIT_FILES", "1001"),
        ("CODEWRAP_AUDIT_FILES", "-2"),
    ],
)
def test_wrong_limits_of_audit_logs_are_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        audit_limits({name: value})
    assert caught.value.setting == name
    assert value not in caught.value.problem


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90m", 5400), ("90min", 5400), ("8h", 28_800), ("30d", 2_592_000), ("1DAY", 86_400)]
)
def test_a_length_of_time_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert parse_duration("--expires", text) == seconds


@pytest.mark.parametrize("text", ["", "8", "h", "0h", "-1h", "1.5h", "1h30m", "8 h", "1w", "٣h", "9999999999h"])
def test_what_is_no_length_of_time_is_refused_by_the_option_it_came_in(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--expires: .*90m, 8h or 30d"):
        parse_duration("--expires", text)


def test_what_one_user_may_have_has_a_default_and_a_setting() -> None:
    assert most_per_user({}) == (100, 200)
    assert most_per_user({"CODEWRAP_MAX_SOCKETS_PER_USER": "5", "CODEWRAP_MAX_SESSIONS_PER_USER": "1"}) == (5, 1)


@pytest.mark.parametrize("name", ["CODEWRAP_MAX_SOCKETS_PER_USER", "CODEWRAP_MAX_SESSIONS_PER_USER"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "100001"])
def test_what_one_user_may_have_is_a_number(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        most_per_user({name: value})
    assert caught.value.setting == name


def test_the_token_of_the_metrics_is_a_token_and_no_business_of_the_command() -> None:
    assert metrics_token({}) is None
    assert metrics_token({"CODEWRAP_METRICS_TOKEN": "abc"}) == "abc"
    with pytest.raises(ConfigError):
        metrics_token({"CODEWRAP_METRICS_TOKEN": "a b"})
    assert child_environment({"CODEWRAP_METRICS_TOKEN": "abc", "HOME": "/"}) == {"HOME": "/"}
