"""`codewrap doctor` as a process, against the hub, Soketi and `serve-auth`, working and broken in every usual way."""

from __future__ import annotations

import email.utils
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codewrap.doctor.conversation import CHANNEL_CHECKS
from tests.support.certificates import server_certificate
from tests.support.examined import TOKEN, examine, to_gateway, to_soketi
from tests.support.node import Node
from tests.support.served import Served
from tests.support.soketi import SoketiServer
from tests.support.web import Asked, WebServer, answer

TIMED = ("server", "credentials", "WebSocket", *CHANNEL_CHECKS, "batch of 10")
GATEWAY_TIMED = (
    *(name for name in TIMED if name not in ("credentials", "public channel")),
    *("auth endpoint", "user sign-in", "publishing"),
)
MACHINE = ("mode", "terminal", "sessions kept in", "logs kept in", "proxy", "TLS")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`serve-auth` alone."""
    with Served(tmp_path_factory.mktemp("gateway"), settings={"AUTH_TOKEN": TOKEN}) as served:
        yield served


def served_before(server: SoketiServer, directory: Path) -> Served:
    directory.mkdir()
    return Served(directory, settings={**to_soketi(server), "AUTH_TOKEN": TOKEN})


def dead_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def assert_timed(checks: dict[str, dict[str, object]], names: tuple[str, ...]) -> None:
    for name in names:
        ms = checks[name]["ms"]
        assert isinstance(ms, float), name
        assert 0 < ms < 10_000


class TestEmbedded:
    def test_nothing_configured_works_on_a_real_hub(self, tmp_path: Path) -> None:
        found = examine(tmp_path, {}, "--json")
        assert found.status == 0
        assert (found.report["mode"], found.report["server"][:17]) == ("embedded", "http://127.0.0.1:")
        assert set(found.having("ok")) == {*MACHINE, "clock", "event size", *TIMED}
        assert set(found.checks) == set(found.having("ok"))
        assert_timed(found.checks, TIMED)
        assert found.checks["event size"]["detail"].startswith("102400 bytes pass, not 204800")

    def test_people_are_told_the_server_first_and_get_a_line_for_each_finding(self, tmp_path: Path) -> None:
        found = examine(tmp_path)
        lines = found.out.splitlines()
        assert lines[0].startswith("codewrap doctor will speak to a hub of this process at http://127.0.0.1:")
        assert lines[-1] == "It works: 18 ok."
        findings = lines[2:-2]
        assert len(findings) == 18
        assert all(line.startswith(" ok   ") for line in findings)
        assert "\x1b" not in found.out
        assert found.status == 0

    def test_the_mode_can_be_asked_for_against_the_settings(self, tmp_path: Path) -> None:
        settings = {"CODEWRAP_URL": f"http://127.0.0.1:{dead_port()}", "CODEWRAP_TOKEN": TOKEN}
        found = examine(tmp_path, settings, "--json", "--mode", "embedded")
        assert found.report["mode"] == "embedded"
        assert found.status == 0
        assert "asked for" in found.checks["mode"]["detail"]


@pytest.mark.soketi
class TestSoketi:
    def test_all_of_it_works(self, soketi: SoketiServer, tmp_path: Path) -> None:
        found = examine(tmp_path, to_soketi(soketi), "--json")
        assert found.status == 0
        assert (found.report["mode"], found.report["server"]) == ("direct", f"http://127.0.0.1:{soketi.port}")
        assert set(found.having("ok")) == {*MACHINE, "default secrets", "clock", "event size", *TIMED}
        assert_timed(found.checks, TIMED)

    def test_without_client_events_it_works_and_says_what_falls_back(
        self, soketi_without_client_events: SoketiServer, tmp_path: Path
    ) -> None:
        found = examine(tmp_path, to_soketi(soketi_without_client_events), "--json")
        assert found.status == 0
        assert set(found.having("warn")) == {"client events"}
        assert "falls back to HTTP" in found.having("warn")["client events"]
        assert found.checks["input over HTTP"]["detail"] == "works; typing uses it"

    def test_a_wrong_secret_is_found_though_soketi_answers_200(self, soketi: SoketiServer, tmp_path: Path) -> None:
        found = examine(tmp_path, to_soketi(soketi, SOKETI_SERVICE_SECRET="hush-wrong"), "--json")
        assert set(found.having("fail")) == {"credentials"}
        assert "correct SOKETI_SERVICE_SECRET" in found.having("fail")["credentials"]
        assert set(found.having("skip")) == {*CHANNEL_CHECKS, "event size", "batch of 10"}

    def test_a_wrong_key_is_found_at_the_websocket(self, soketi: SoketiServer, tmp_path: Path) -> None:
        found = examine(tmp_path, to_soketi(soketi, SOKETI_SERVICE_KEY="another-key"), "--json")
        assert set(found.having("fail")) == {"WebSocket"}
        assert found.having("fail")["WebSocket"].endswith("(4001): correct SOKETI_SERVICE_KEY")

    def test_a_wrong_app_id_is_named(self, soketi: SoketiServer, tmp_path: Path) -> None:
        found = examine(tmp_path, to_soketi(soketi, SOKETI_SERVICE_USER="5"), "--json")
        assert "correct SOKETI_SERVICE_USER" in found.having("fail")["credentials"]

    def test_without_a_master_key_only_encryption_fails(self, soketi: SoketiServer, tmp_path: Path) -> None:
        settings = to_soketi(soketi)
        del settings["SOKET_ENCRYPTION_MASTER_KEY_BASE64"]
        found = examine(tmp_path, settings, "--json")
        assert set(found.having("fail")) == {"encrypted channel"}
        assert "SOKET_ENCRYPTION_MASTER_KEY_BASE64" in found.having("fail")["encrypted channel"]

    def test_default_credentials_and_a_small_event_limit_are_found(self, node: Node, tmp_path: Path) -> None:
        defaults = {"SOKETI_DEFAULT_APP_KEY": "app-key", "SOKETI_DEFAULT_APP_SECRET": "app-secret"}
        with SoketiServer(node, settings={**defaults, "SOKETI_EVENT_MAX_SIZE_IN_KB": "20"}) as server:
            server.key, server.secret = "app-key", "app-secret"
            found = examine(tmp_path, to_soketi(server), "--json")
        assert "key and secret" in found.having("warn")["default secrets"]
        assert set(found.having("fail")) == {"event size"}
        assert found.having("fail")["event size"].endswith("set CODEWRAP_MAX_EVENT_BYTES=10240")


class TestDead:
    def test_a_dead_port_fails_within_seconds_and_the_rest_is_skipped(self, tmp_path: Path) -> None:
        settings = {
            "SOKETI_PORT": dead_port(),
            "SOKETI_SERVICE_USER": "1",
            "SOKETI_SERVICE_KEY": "k",
            "SOKETI_SERVICE_SECRET": "hush",
        }
        started_s = time.monotonic()
        found = examine(tmp_path, settings, "--json")
        assert time.monotonic() - started_s < 10
        assert set(found.having("fail")) == {"server"}
        assert "start the server, or correct SOKETI_HOST and SOKETI_PORT" in found.having("fail")["server"]
        assert set(found.having("skip")) == {name for name in TIMED if name != "server"} | {"clock", "event size"}

    def test_a_server_that_never_answers_is_given_up_at_the_time_out(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            found = examine(tmp_path, {"CODEWRAP_URL": url, "CODEWRAP_TOKEN": TOKEN}, "--json", "--timeout", "0.3")
        assert "no answer in time" in found.having("fail")["server"]

    def test_people_see_what_was_not_tried_in_one_line(self, tmp_path: Path) -> None:
        settings = {"CODEWRAP_URL": f"http://127.0.0.1:{dead_port()}", "CODEWRAP_TOKEN": TOKEN}
        found = examine(tmp_path, settings)
        lines = found.out.splitlines()
        assert found.status == 1
        assert [line.split()[:2] for line in lines if line.startswith((" FAIL", " skip"))] == [["FAIL", "server"], ["skip", "14"]]
        assert lines[-1] == "It does not work: 6 ok, 1 failed, 14 not tried."

    def test_a_certificate_that_is_not_trusted_is_the_reason(self, tmp_path: Path) -> None:
        certificate, tls = server_certificate(tmp_path)
        with WebServer(lambda _: answer('{"status": "ok"}'), tls) as server:
            settings = {"CODEWRAP_URL": server.url, "CODEWRAP_TOKEN": TOKEN}
            found = examine(tmp_path, settings, "--json", "--timeout", "2")
            trusting = examine(tmp_path, {**settings, "SSL_CERT_FILE": str(certificate)}, "--json", "--timeout", "2")
        assert "its certificate is not trusted: self-signed certificate" in found.having("fail")["server"]
        assert trusting.checks["server"]["status"] == "ok"

    @pytest.mark.parametrize(("ahead_s", "status"), [(0, "ok"), (120, "warn"), (-120, "warn"), (7200, "fail"), (-7200, "fail")])
    def test_a_clock_that_lies_is_found_by_name(self, ahead_s: int, status: str, tmp_path: Path) -> None:
        def lying(_: Asked) -> bytes:
            return answer('{"status": "ok"}', date=email.utils.formatdate(time.time() + ahead_s, usegmt=True))

        with WebServer(lying) as server:
            found = examine(tmp_path, {"CODEWRAP_URL": server.url, "CODEWRAP_TOKEN": TOKEN}, "--json", "--timeout", "2")
        assert found.checks["clock"]["status"] == status
        assert ahead_s == 0 or ("behind" if ahead_s > 0 else "ahead of") in found.checks["clock"]["detail"]


class TestSettings:
    def test_settings_that_cannot_be_are_a_finding_too(self, tmp_path: Path) -> None:
        settings = {"SOKETI_SERVICE_USER": "app-id", "SOKETI_SERVICE_KEY": "app-key", "SOKETI_SERVICE_SECRET": "app-secret"}
        found = examine(tmp_path, settings, "--json")
        assert (found.report["mode"], found.report["server"]) == (None, None)
        assert "SOKETI_SERVICE_USER" in found.having("fail")["settings"]
        assert "app id, key and secret" in found.having("warn")["default secrets"]

    def test_plain_http_beyond_this_machine_and_a_proxy_are_told_and_nothing_of_it_is_secret(self, tmp_path: Path) -> None:
        settings = {
            "CODEWRAP_URL": "http://nowhere.invalid",
            "CODEWRAP_TOKEN": TOKEN,
            "http_proxy": f"http://me:hush@127.0.0.1:{dead_port()}",
        }
        found = examine(tmp_path, settings, "--json", "--no-tls")
        assert "nowhere.invalid" in found.having("warn")["TLS"]
        assert "http_proxy is used: 127.0.0.1:" in found.having("ok")["proxy"]
        assert "does the proxy work" in found.having("fail")["server"]
        assert "hush" not in found.out

    def test_directories_that_are_not_ours_are_a_failure(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        found = examine(tmp_path, {"CODEWRAP_STATE_DIR": str(tmp_path / "file")}, "--json")
        assert set(found.having("fail")) == {"logs kept in"}
        assert "CODEWRAP_STATE_DIR" in found.having("fail")["logs kept in"]


class TestGateway:
    def test_serve_auth_alone_works(self, gateway: Served, tmp_path: Path) -> None:
        found = examine(tmp_path, to_gateway(gateway), "--json")
        assert found.status == 0
        assert (found.report["mode"], found.report["server"]) == ("gateway", gateway.url)
        assert set(found.having("skip")) == {"public channel"}
        assert found.having("warn") == {}
        assert_timed(found.checks, GATEWAY_TIMED)

    def test_a_wrong_token_is_said_in_one_line(self, gateway: Served, tmp_path: Path) -> None:
        found = examine(tmp_path, to_gateway(gateway, CODEWRAP_TOKEN="not-the-servers-token"), "--json")
        assert set(found.having("fail")) == {"auth endpoint"}
        assert "the token is refused (401)" in found.having("fail")["auth endpoint"]
        assert "CODEWRAP_TOKEN" in found.having("fail")["auth endpoint"]

    def test_another_server_is_no_serve_auth(self, tmp_path: Path) -> None:
        with WebServer(lambda _: answer("<html>welcome</html>")) as server:
            found = examine(tmp_path, {"CODEWRAP_URL": server.url, "CODEWRAP_TOKEN": TOKEN}, "--json")
        assert set(found.having("fail")) == {"configuration"}
        assert "correct CODEWRAP_URL" in found.having("fail")["configuration"]

    @pytest.mark.soketi
    def test_in_front_of_soketi_it_works(self, soketi: SoketiServer, tmp_path: Path) -> None:
        with served_before(soketi, tmp_path / "server") as served:
            found = examine(tmp_path, to_gateway(served), "--json")
        assert found.status == 0
        assert f"broker at http://127.0.0.1:{soketi.port}" in found.checks["configuration"]["detail"]
        assert_timed(found.checks, GATEWAY_TIMED)

    @pytest.mark.soketi
    def test_in_front_of_a_soketi_without_client_events_input_goes_over_http(
        self, soketi_without_client_events: SoketiServer, tmp_path: Path
    ) -> None:
        with served_before(soketi_without_client_events, tmp_path / "server") as served:
            found = examine(tmp_path, to_gateway(served), "--json")
        assert found.status == 0
        assert set(found.having("warn")) == {"client events"}
        assert found.checks["input over HTTP"]["detail"] == "works; typing uses it"

    @pytest.mark.soketi
    def test_in_front_of_a_dead_soketi_the_broker_is_what_is_missing(self, node: Node, tmp_path: Path) -> None:
        with SoketiServer(node) as server, served_before(server, tmp_path / "server") as served:
            server.kill()
            found = examine(tmp_path, to_gateway(served), "--json")
        assert set(found.having("fail")) == {"configuration", "WebSocket"}
        assert "serve-auth does not reach its broker" in found.having("fail")["configuration"]
