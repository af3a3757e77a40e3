"""What `doctor` is put together of, by the settings; nothing is sent here."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from codewrap.cli.examining import prepared
from codewrap.doctor.report import Check, Status

PUSHER = {"PUSHER_APP_ID": "1", "PUSHER_KEY": "key", "PUSHER_SECRET": "hush", "PUSHER_CLUSTER": "eu"}
SOKETI = {"SOKETI_SERVICE_USER": "1", "SOKETI_SERVICE_KEY": "key", "SOKETI_SERVICE_SECRET": "hush"}
GATEWAY = {"CODEWRAP_URL": "http://127.0.0.1:1", "CODEWRAP_TOKEN": "a-token"}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"CODEWRAP_RUNTIME_DIR": str(tmp_path / "run"), "CODEWRAP_STATE_DIR": str(tmp_path / "state")}


def before_the_server(values: dict[str, str], tls: bool | None = None) -> list[Check]:
    """The findings about a configured broker that need no server."""
    with prepared(values, None, tls, 5.0) as subject:
        found = []
        for check in subject.checks():
            found.append(check)
            if check.name == "default secrets":
                break
        return found


@pytest.mark.parametrize(
    ("values", "mode", "server"),
    [
        (PUSHER, "direct", "https://api-eu.pusher.com:443"),
        (SOKETI, "direct", "http://127.0.0.1:6001"),
        (GATEWAY, "gateway", "http://127.0.0.1:1"),
    ],
)
def test_the_server_is_known_before_anything_is_sent(
    values: dict[str, str], mode: str, server: str, home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: object, **__: object) -> object:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", nowhere)
    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    with prepared(values | home, None, None, 5.0) as subject:
        assert (subject.mode, subject.server) == (mode, server)
        assert next(subject.checks()).name == "mode"


def test_nothing_configured_starts_a_hub_that_ends_with_the_block(home: dict[str, str]) -> None:
    with prepared(home, None, None, 5.0) as subject:
        assert subject.server is not None
        port = int(subject.server.rpartition(":")[2])
        socket.create_connection(("127.0.0.1", port), 5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


def test_flags_win_over_settings(home: dict[str, str]) -> None:
    with prepared(SOKETI | home, None, True, 5.0) as subject:
        assert subject.server == "https://127.0.0.1:6001"
    with prepared(SOKETI | home, "embedded", None, 5.0) as subject:
        assert subject.mode == "embedded"


def test_remarks_of_the_settings_are_warnings_and_missing_tls_is_told_once(home: dict[str, str]) -> None:
    both = before_the_server(SOKETI | PUSHER | home)
    assert [check.detail.split(":")[0] for check in both if check.status is Status.WARN] == ["both SOKETI_* and PUSHER_* are set"]
    bare = before_the_server(PUSHER | home, tls=False)
    assert [check.name for check in bare if check.status is Status.WARN] == ["TLS"]


@pytest.mark.parametrize("wrong", [{"CODEWRAP_URL": "http://127.0.0.1:1"}, {**GATEWAY, "CODEWRAP_TOKEN": ""}])
def test_wrong_settings_are_a_finding_and_the_machine_is_looked_at_all_the_same(
    wrong: dict[str, str], home: dict[str, str]
) -> None:
    with prepared(wrong | home, None, None, 5.0) as subject:
        found = list(subject.checks())
    assert (subject.mode, subject.server) == (None, None)
    assert [check.name for check in found] == ["settings", "terminal", "sessions kept in", "logs kept in"]
    assert found[0].status is Status.FAIL


def test_advice_is_spelled_as_the_settings_are(home: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    values = {**PUSHER, "PUSHER_HOST": "127.0.0.1", "PUSHER_PORT": port}
    with prepared(values | home, None, None, 5.0) as subject:
        server = next(check for check in subject.checks() if check.name == "server")
    assert server.detail.endswith("correct PUSHER_HOST and PUSHER_PORT")
