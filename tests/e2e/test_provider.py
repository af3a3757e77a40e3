"""People whom an OpenID Connect provider knows, with its tokens, at a real server: what they may follows from their claims."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node import Node
from tests.support.oidcprovider import AUDIENCE, OidcProvider
from tests.support.served import Served
from tests.support.sessions import TOKEN, Relay, through

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def provider(node: Node) -> Iterator[OidcProvider]:
    with OidcProvider(node) as running:
        yield running


@pytest.fixture(scope="module")
def served(provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = {
        "AUTH_TOKEN": TOKEN,
        "CODEWRAP_OIDC_ISSUER": provider.issuer,
        "CODEWRAP_OIDC_AUDIENCE": AUDIENCE,
        "CODEWRAP_OIDC_ROLE_CLAIM": "groups",
        "CODEWRAP_OIDC_ROLES": "ops=admin,dev=writer,sales=viewer",
        "CODEWRAP_OIDC_NAME_CLAIM": "name",
    }
    with Served(tmp_path_factory.mktemp("provider"), settings=settings) as running:
        yield running


@pytest.fixture
def relay(served: Served, tmp_path: Path) -> Iterator[Relay]:
    with through(tmp_path, served, "gateway") as made:
        yield made


def test_a_writer_by_their_group_types_once_they_are_let(relay: Relay, provider: OidcProvider) -> None:
    relay.viewer.settings["CODEWRAP_TOKEN"] = provider.id_token("alice")
    host = relay.shell()
    viewer = relay.attached()
    viewer.shows("ready$")
    viewer.send("echo too early\r")
    viewer.shows("say this code")
    status, _, err = relay.host.finished("approve", relay.name, "sso@alice")
    assert status == 0, err
    viewer.shows("may type")
    viewer.send("echo now $((6 * 7))\r")
    viewer.shows("now 42")
    host.shows("now 42")
    assert "too early" not in host.text()
    host.send("exit\r")
    assert (host.status(), viewer.status()) == (0, 0)


def test_a_viewer_by_their_group_only_watches(relay: Relay, provider: OidcProvider) -> None:
    relay.viewer.settings["CODEWRAP_TOKEN"] = provider.id_token("carol")
    host = relay.shell(["--share", "write"])
    viewer = relay.attached()
    host.send("echo seen $((6 * 7))\r")
    viewer.shows("seen 42")
    viewer.send("echo typed $((2 * 3))\r")
    host.send("echo done $((10 * 10))\r")
    viewer.shows("done 100")
    assert "typed 6" not in host.text()
    host.send("exit\r")
    assert (host.status(), viewer.status()) == (0, 0)


@pytest.mark.parametrize("change", ["altered", "another audience"])
def test_a_token_that_is_not_good_lets_nobody_in(relay: Relay, provider: OidcProvider, change: str) -> None:
    token = provider.id_token("alice") if change == "altered" else provider.id_token("alice", "ES256")
    if change == "altered":
        head, body, signature = token.split(".")
        token = f"{head}.{body}.{signature[:20]}{'A' if signature[20] != 'A' else 'B'}{signature[21:]}"
    relay.viewer.settings["CODEWRAP_TOKEN"] = token
    host = relay.shell()
    relay.host.session(relay.name)
    status, out, err = relay.viewer.finished("attach", relay.name)
    assert (status, out) == (255, b"")
    assert b"refuse" in err
    assert token.encode() not in err
    host.send("exit\r")
    assert host.status() == 0
