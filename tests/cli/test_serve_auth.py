"""`codewrap serve-auth` as a process: how it starts, what it refuses, what it says, how it stops."""

from __future__ import annotations

import json
import queue
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from codewrap.transport.authorize import HttpAuthorizer
from codewrap.transport.gateway import GatewayClient
from codewrap.transport.subscribe import PysherSubscriber
from tests.support.deliveries import Deliveries
from tests.support.served import REPOSITORY, Served
from tests.support.web import Asked, WebServer, answer

SOKETI = {
    "SOKETI_HOST": "127.0.0.1",
    "SOKETI_PORT": "1",
    "SOKETI_SERVICE_USER": "7",
    "SOKETI_SERVICE_KEY": "app-key-of-soketi",
    "SOKETI_SERVICE_SECRET": "app-secret-of-soketi",
    "SOKET_ENCRYPTION_MASTER_KEY_BASE64": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
}
TOKEN = "a-token-that-is-long-enough"


def test_importing_the_command_imports_nothing_of_the_network() -> None:
    code = (
        "import sys, codewrap.cli.serve_auth;"
        "print([m for m in ('asyncio', 'starlette', 'uvicorn', 'pusher', 'requests', 'pysher', 'nacl', 'websockets')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_alone_it_is_broker_and_authorizer_and_its_keys_outlive_it(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        with Served(tmp_path) as served:
            status, _, config = served.request("GET", "/api/config", headers={"Authorization": ""})
            assert status == 200
            health = served.request("GET", "/healthz")
            assert (health[0], json.loads(health[2])) == (200, {"status": "ok", "broker": "ok"})
            assert served.request("POST", "/api/sessions", {"sessionId": "build"})[0] == 200
            assert served.request("POST", "/api/commands/input", {"sessionId": "build", "input": "x"})[0] == 202
            assert served.request("POST", "/api/sessions", {"sessionId": "build"}, {"Authorization": "Bearer x"})[0] == 401
            seen.append((served.token, json.loads(config)["broker"]))
            assert served.stop()[0] == 0
    assert seen[0] == seen[1]
    assert seen[0][1]["host"] is None


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_asked_and_says_no_secret(tmp_path: Path, with_signal: signal.Signals) -> None:
    with Served(tmp_path) as served:
        token = served.token
        keys = json.loads((tmp_path / "state/codewrap/serve-auth/keys.json").read_text())
        served.request("POST", "/pusher/auth", {"socket_id": "1.2", "channel_name": "private-command-build"})
        served.request("GET", "/nothing", headers={"Authorization": "Bearer guessed-token"})
        status, out, err = served.stop(with_signal)
    assert status == 0
    assert served.ready["token_file"] in err
    assert served.url in err
    assert "this server itself" in err
    for secret in (token, keys["secret"], keys["master_key"], "guessed-token"):
        assert secret not in out + err + json.dumps(served.ready)
    assert out == ""
    assert len(err.splitlines()) == 3


def test_quiet_says_nothing(tmp_path: Path) -> None:
    with Served(tmp_path, "--quiet") as served:
        status, out, err = served.stop()
    assert (status, out, err) == (0, "", "")


def test_in_front_of_a_broker_it_tells_where_that_is(tmp_path: Path) -> None:
    with Served(tmp_path, settings=SOKETI | {"AUTH_TOKEN": TOKEN}) as served:
        assert served.ready["broker"] == "soketi"
        assert served.ready["token_file"] is None
        config = json.loads(served.request("GET", "/api/config")[2])
        assert config["broker"] == {"host": "127.0.0.1", "port": 1, "tls": False, "key": "app-key-of-soketi", "path": ""}
        assert json.loads(served.request("GET", "/healthz")[2]) == {"status": "ok", "broker": "unreachable"}
        status, headers, body = served.request("POST", "/api/commands/input", {"sessionId": "build", "input": "x"})
        assert (status, json.loads(body)["error"]["code"]) == (503, "broker_unavailable")
        assert headers["retry-after"] == "1"
        _, _, err = served.stop()
    assert TOKEN not in err
    assert "app-secret" not in err
    kept = {path.name for path in (tmp_path / "state").rglob("*") if path.is_file()}
    assert kept.isdisjoint({"token", "keys.json"})  # what is set is not made


def test_settings_come_from_the_env_file_too_and_those_of_clients_are_passed_over(tmp_path: Path) -> None:
    lines = [f"{name}={value}" for name, value in (SOKETI | {"AUTH_TOKEN": TOKEN}).items()]
    (tmp_path / ".env").write_text("\n".join([*lines, "CODEWRAP_URL=http://elsewhere.example", "CODEWRAP_MODE=gateway"]))
    with Served(tmp_path) as served:
        assert served.ready["broker"] == "soketi"
        status, _, _ = served.request("POST", "/api/sessions", {"sessionId": "b"}, {"Authorization": f"Bearer {TOKEN}"})
        assert status == 200


@pytest.mark.parametrize(
    ("public", "expected"),
    [
        ("ws.example.com", ("ws.example.com", 1, False, "")),
        ("ws.example.com:444", ("ws.example.com", 444, False, "")),
        ("https://ws.example.com", ("ws.example.com", 443, True, "")),
        ("wss://ws.example.com:8443/pusher/", ("ws.example.com", 8443, True, "/pusher")),
        ("ws://[2001:db8::1]", ("2001:db8::1", 80, False, "")),
    ],
)
def test_clients_are_told_the_broker_s_public_address(tmp_path: Path, public: str, expected: tuple[str, int, bool, str]) -> None:
    with Served(tmp_path, "--public-host", public, settings=SOKETI | {"AUTH_TOKEN": TOKEN}) as served:
        broker = json.loads(served.request("GET", "/api/config")[2])["broker"]
    assert (broker["host"], broker["port"], broker["tls"], broker["path"]) == expected


@pytest.mark.parametrize(
    ("options", "settings", "named"),
    [
        (["--host", "0.0.0.0"], {}, "--host"),
        (["--host", "::"], {}, "--host"),
        (["--host", "localhost.evil.example"], {}, "--host"),
        (["--tls-cert", "a.pem"], {}, "--tls-cert"),
        (["--tls-cert", "a.pem", "--tls-key", "b.pem"], {}, "--tls-cert"),
        (["--allowed-origin", "*"], {}, "--allowed-origin"),
        (["--allowed-origin", "https://a.example/path"], {}, "--allowed-origin"),
        ([], {"CODEWRAP_ALLOWED_ORIGINS": "https://a.example,null"}, "--allowed-origin"),
        (["--allowed-host", "http://a.example"], {}, "--allowed-host"),
        (["--public-host", "ftp://x"], {}, "--public-host"),
        (["--public-host", "user@x"], {}, "--public-host"),
        (["--public-host", "x"], {}, "--public-host"),  # port 0 of our own hub is nowhere
        ([], {"AUTH_TOKEN": "with space"}, "AUTH_TOKEN"),
        ([], {name: value for name, value in SOKETI.items() if "MASTER" not in name}, "SOKET_ENCRYPTION_MASTER_KEY_BASE64"),
        ([], SOKETI | {"SOKET_ENCRYPTION_MASTER_KEY_BASE64": "c2hvcnQ="}, "SOKET_ENCRYPTION_MASTER_KEY_BASE64"),
        ([], SOKETI | {"SOKETI_PORT": "x"}, "SOKETI_PORT"),
    ],
)
def test_wrong_settings_are_named_and_end_it_with_2(
    tmp_path: Path, options: list[str], settings: dict[str, str], named: str
) -> None:
    status, out, err = Served(tmp_path, *options, settings=settings).fails()
    assert (status, out) == (2, "")
    assert err.startswith(f"codewrap: {named}: ")
    assert len(err.splitlines()) == 1


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = Served(tmp_path, "--port", str(port)).fails()
    assert (status, out) == (125, "")
    assert err.startswith(f"codewrap: 127.0.0.1:{port}: cannot listen: Address already in use")
    assert len(err.splitlines()) == 1


def test_an_address_that_is_not_ours_is_one_clear_line(tmp_path: Path) -> None:
    status, _, err = Served(tmp_path, "--host", "192.0.2.1", "--insecure").fails()
    assert status == 125
    assert len(err.splitlines()) == 1


def test_state_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state/codewrap").mkdir(parents=True, mode=0o700)
    (tmp_path / "state/codewrap/serve-auth").mkdir(mode=0o755)
    status, _, err = Served(tmp_path).fails()
    assert status == 125
    assert "chmod 700" in err


@pytest.mark.parametrize("option", ["--insecure", "--behind-proxy"])
def test_other_machines_are_served_when_it_is_said_in_so_many_words(tmp_path: Path, option: str) -> None:
    with Served(tmp_path, "--host", "0.0.0.0", option) as served:
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as peer:
            peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: 192.0.2.7\r\n\r\n")
            assert peer.recv(100).startswith(b"HTTP/1.1 200")
        _, _, err = served.stop()
    assert ("no TLS" in err) is (option == "--insecure")


def test_it_does_not_answer_to_other_names_nor_to_other_origins(tmp_path: Path) -> None:
    options = ["--allowed-host", "codewrap.example.com", "--allowed-origin", "https://pages.example.org"]
    with Served(tmp_path, *options) as served:
        assert served.request("GET", "/api/config", headers={"Host": "evil.example"})[0] == 403
        assert served.request("GET", "/api/config", headers={"Host": "codewrap.example.com"})[0] == 200
        posted = {"sessionId": "build"}
        assert served.request("POST", "/api/sessions", posted, {"Origin": "https://evil.example"})[0] == 403
        assert served.request("POST", "/api/sessions", posted, {"Origin": "https://pages.example.org"})[0] == 200
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        key = json.loads(served.request("GET", "/api/config")[2])["broker"]["key"]
        path = f"/app/{key}?protocol=7"
        assert served.request("GET", path, headers=upgrade | {"Origin": "https://evil.example"})[0] == 403
        assert served.request("GET", path, headers=upgrade | {"Host": "evil.example"})[0] == 403


def test_a_proxy_s_word_about_addresses_is_believed_only_where_it_is_trusted(tmp_path: Path) -> None:
    def guess(served: Served, address: str) -> int:
        return (
            served.request("GET", "/healthz")[0]
            and served.request("POST", "/pusher/user-auth", {}, {"Authorization": "Bearer wrong", "X-Forwarded-For": address})[0]
        )

    with Served(tmp_path, "--behind-proxy") as trusting:
        assert [guess(trusting, f"192.0.2.{n}") for n in range(12)] == [401] * 12
    with Served(tmp_path) as plain:
        assert [guess(plain, f"192.0.2.{n}") for n in range(12)] == [401] * 10 + [429] * 2


def test_https_is_served_with_a_certificate(tmp_path: Path) -> None:
    _make_certificate(tmp_path)
    with Served(tmp_path, "--host", "0.0.0.0", "--tls-cert", "cert.pem", "--tls-key", "key.pem") as served:
        assert served.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        with (
            socket.create_connection(("127.0.0.1", served.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as peer,
        ):
            peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert peer.recv(100).startswith(b"HTTP/1.1 200")


def _make_certificate(directory: Path) -> None:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def test_webhooks_of_its_own_hub_are_signed_and_delivered(tmp_path: Path) -> None:
    told: queue.Queue[Asked] = queue.Queue()

    def answering(asked: Asked) -> bytes:
        told.put(asked)
        return answer()

    with WebServer(answering) as web, Served(tmp_path, "--webhook", f"{web.url}/hook") as served:
        client = GatewayClient(served.url, served.token)
        config = client.config()
        client.close()
        authorizer = HttpAuthorizer(served.url, served.token, role="viewer", name="alice")
        subscriber = PysherSubscriber(config.broker, authorizer, Deliveries())
        subscriber.subscribe("presence-command-build")
        subscriber.start()
        try:
            events: set[str] = set()
            while not {"channel_occupied", "member_added"} <= events:
                asked = told.get(timeout=20)
                assert asked.headers["x-pusher-key"] == config.broker.key
                assert len(asked.headers["x-pusher-signature"]) == 64
                events |= {event["name"] for event in json.loads(asked.body)["events"]}
        finally:
            subscriber.close()
            authorizer.close()


def test_webhooks_are_refused_in_front_of_another_broker(tmp_path: Path) -> None:
    settings = SOKETI | {"AUTH_TOKEN": TOKEN}
    with Served(tmp_path, "--webhook", "http://127.0.0.1:1/", settings=settings).spawn() as process:
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 2
    assert said.startswith("codewrap: --webhook: is for a hub of its own")


def test_a_profile_is_refused_in_front_of_another_broker_and_one_that_is_none_everywhere(tmp_path: Path) -> None:
    settings = SOKETI | {"AUTH_TOKEN": TOKEN, "CODEWRAP_HUB_PROFILE": "pusher-cloud"}
    status, _, said = Served(tmp_path, settings=settings).fails()
    assert status == 2
    assert said.startswith("codewrap: --hub-profile: is for a hub of its own")
    assert Served(tmp_path, settings={"CODEWRAP_HUB_PROFILE": "unlimited"}).fails()[0] == 2
