"""How `serve-auth` is put together from options and settings; the process itself is in `test_serve_auth.py`."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import closing
from pathlib import Path

import pytest

from codewrap.cli import serving
from codewrap.cli.serve_auth import HubProfile
from codewrap.cli.serving import Options
from codewrap.errors import ConfigError, TransportError
from codewrap.transport.base import Event
from tests.support.asgi import AsgiClient, lifespan

TOKEN = "a-token-that-is-long-enough"
SOKETI = {
    "SOKETI_HOST": "127.0.0.1",
    "SOKETI_SERVICE_USER": "7",
    "SOKETI_SERVICE_KEY": "app-key",
    "SOKETI_SERVICE_SECRET": "app-secret",
    "SOKET_ENCRYPTION_MASTER_KEY_BASE64": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "AUTH_TOKEN": TOKEN,
}


def backing_of(tmp_path: Path, values: dict[str, str], **options: object) -> serving.Backing:
    """What would stand behind the server."""
    chosen = Options(**options)  # type: ignore[arg-type]
    settings = serving.config.load(values)
    store = serving.KeyStore(tmp_path / "codewrap")
    secrets = serving.Secrets(TOKEN, (bytes(32),))
    return serving._backing(chosen, settings, store, secrets, serving._reach(chosen))


def warnings_of(values: dict[str, str], **options: object) -> list[str]:
    return serving._warnings(Options(**options), serving.config.load(values))  # type: ignore[arg-type]


def test_a_configured_broker_is_stood_in_front_of_and_nothing_is_kept(tmp_path: Path) -> None:
    backing = backing_of(tmp_path, SOKETI)
    assert (backing.kind, backing.hub, backing.runtime) == ("soketi", None, None)
    assert backing.settings.app.secret == "app-secret"
    assert (backing.settings.broker.host, backing.settings.broker.port) == ("127.0.0.1", 6001)
    assert list(tmp_path.iterdir()) == []


def test_both_kinds_of_broker_name_their_own_missing_master_key(tmp_path: Path) -> None:
    pusher = {"PUSHER_APP_ID": "7", "PUSHER_KEY": "k", "PUSHER_SECRET": "s", "PUSHER_CLUSTER": "eu"}
    soketi = {name: value for name, value in SOKETI.items() if "MASTER" not in name}
    for values, name in ((pusher, "PUSHER_ENCRYPTION_MASTER_KEY_BASE64"), (soketi, "SOKET_ENCRYPTION_MASTER_KEY_BASE64")):
        with pytest.raises(ConfigError) as caught:
            backing_of(tmp_path, values)
        assert caught.value.setting == name
        assert "openssl" in caught.value.advice


def test_without_a_broker_the_server_has_a_hub_that_its_publisher_reaches(tmp_path: Path) -> None:
    backing = backing_of(tmp_path, {})
    assert backing.kind == "own"
    backends = serving._backends(backing, {}, serving.KeyStore(tmp_path / "codewrap"))
    app = serving.build_app(backing.settings, backends, backing.hub)

    async def scenario() -> tuple[int, int]:
        client = AsgiClient(app, headers={"authorization": f"Bearer {TOKEN}"})
        async with lifespan(app):
            taken = await client.post_json("/api/commands/input", {"sessionId": "build", "input": "x"})
            unsigned = await client.get(f"/apps/{backing.settings.app.app_id}/channels")
            return taken.status, unsigned.status

    assert asyncio.run(scenario()) == (202, 401)


def test_an_event_too_large_for_the_hub_is_never_lost_in_silence(tmp_path: Path) -> None:
    backing = backing_of(tmp_path, {})
    assert backing.runtime is not None
    assert backing.settings.event_bytes <= backing.runtime.limits.event_bytes
    with closing(backing.make_publisher()) as publisher:
        publisher.publish([Event("private-command-build", "output", "x" * backing.settings.event_bytes)])


@pytest.mark.parametrize("profile", list(serving.HUB_PROFILES))
def test_each_profile_takes_the_largest_event_that_is_sent_to_it_and_clients_are_told(tmp_path: Path, profile: str) -> None:
    backing = backing_of(tmp_path, {}, hub_profile=profile)
    assert backing.runtime is not None
    limits, settings = backing.runtime.limits, backing.settings
    assert settings.event_bytes <= limits.event_bytes
    assert settings.client_events_per_s == limits.client_events_per_s == {"default": None, "pusher-cloud": 10}[profile]
    with closing(backing.make_publisher()) as publisher:
        publisher.publish([Event("private-command-build", "output", "x" * settings.event_bytes)])


def test_the_options_offer_the_profiles_that_there_are() -> None:
    assert [profile.value for profile in HubProfile] == list(serving.HUB_PROFILES)


def test_clients_of_the_hosted_service_are_told_what_it_takes(tmp_path: Path) -> None:
    master_key = {"PUSHER_ENCRYPTION_MASTER_KEY_BASE64": SOKETI["SOKET_ENCRYPTION_MASTER_KEY_BASE64"]}
    hosted = {"PUSHER_APP_ID": "7", "PUSHER_KEY": "k", "PUSHER_SECRET": "s", "PUSHER_CLUSTER": "eu"} | master_key
    assert backing_of(tmp_path, hosted).settings.client_events_per_s == 10
    assert backing_of(tmp_path, SOKETI).settings.client_events_per_s is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (None, None, None)),
        ({"public_host": "hub.example.com"}, ("hub.example.com", 8080, False)),
        ({"public_host": "hub.example.com", "behind_proxy": True}, ("hub.example.com", 443, True)),
        ({"public_host": "http://hub.example.com", "behind_proxy": True}, ("hub.example.com", 80, False)),
        ({"public_host": "hub.example.com:9", "tls_cert": Path("c"), "tls_key": Path("k")}, ("hub.example.com", 9, True)),
    ],
)
def test_clients_find_the_own_hub_where_they_find_the_server_unless_told(
    tmp_path: Path, options: dict[str, object], expected: tuple[object, object, object]
) -> None:
    public = backing_of(tmp_path, {}, **options).settings.broker
    assert (public.host, public.port, public.tls) == expected


def test_warnings_say_what_could_hurt() -> None:
    assert warnings_of({}) == []
    assert warnings_of(SOKETI) == []
    [short] = warnings_of({"AUTH_TOKEN": "pa55w0rd"})
    assert "AUTH_TOKEN" in short
    assert "pa55w0rd" not in short
    [plain] = warnings_of({}, host="0.0.0.0", insecure=True)
    assert "no TLS" in plain
    [unreachable] = warnings_of(SOKETI, host="0.0.0.0", behind_proxy=True)
    assert "--public-host" in unreachable
    assert warnings_of(SOKETI, host="0.0.0.0", behind_proxy=True, public_host="ws.example.com") == []


def test_lists_come_from_repeated_options_and_from_variables_alike() -> None:
    reach = serving._reach(
        Options(
            allowed_origins=("https://A.example,https://b.example:8443/", " http://c.example "),
            allowed_hosts=("One.example two.example.",),
        )
    )
    assert reach.origins == {"https://a.example", "https://b.example:8443", "http://c.example"}
    assert reach.hosts == {"one.example", "two.example"}


def test_only_a_server_for_other_machines_answers_to_its_host_name() -> None:
    import socket

    assert serving._reach(Options()).hosts == frozenset()
    assert socket.gethostname().lower() in serving._reach(Options(host="0.0.0.0", insecure=True)).hosts


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_loopback_needs_no_tls(host: str) -> None:
    serving._check_exposure(Options(host=host))


def test_what_is_announced_holds_the_real_port_and_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backing = backing_of(tmp_path, {}, json=True, host="::1")
    serving._Announcement(Options(json=True, host="::1"), backing, Path("/somewhere/token")).say(4321)
    out, err = capsys.readouterr()
    assert json.loads(out)["url"] == "http://[::1]:4321"
    assert json.loads(out)["token_file"] == "/somewhere/token"
    assert "http://[::1]:4321" in err
    for secret in (TOKEN, backing.settings.app.secret):
        assert secret not in out + err


def test_a_name_that_is_nowhere_is_said_in_one_line() -> None:
    with pytest.raises(TransportError, match="no such address") as caught, serving._listener("no-such-host.invalid", 0):
        pass
    assert "\n" not in str(caught.value)


def test_a_new_master_key_is_kept_for_the_next_start_and_not_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"XDG_STATE_HOME": str(tmp_path)}
    keys = serving.KeyStore(tmp_path / "codewrap")
    before = keys.hub_keys()
    serving.rotate_key(values)
    after = keys.hub_keys()
    assert (after.secret, after.master_key == before.master_key) == (before.secret, False)
    said = capsys.readouterr().err
    assert "next start" in said
    assert base64.b64encode(after.master_key).decode() not in said


def test_the_master_key_of_another_broker_is_changed_where_it_is_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SOKET_ENCRYPTION_MASTER_KEY_BASE64"):
        serving.rotate_key(SOKETI | {"XDG_STATE_HOME": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
