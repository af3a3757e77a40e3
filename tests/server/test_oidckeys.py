"""When the provider is asked for its keys, which of them are used, and what happens while it is away."""

from __future__ import annotations

import asyncio
import http.server
import json
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448, rsa
from jwt import PyJWK
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from codewrap.errors import TransportError
from codewrap.server.oidcerrors import ProviderAway
from codewrap.server.oidckeys import (
    ASK_AGAIN_S,
    DISCOVERY,
    FIRST_AGAIN_S,
    FRESH_S,
    MAX_DOCUMENT_BYTES,
    MAX_KEYS,
    MOST_S,
    OLD_S,
    ProviderKeys,
    fetch,
    fetch_keys,
    parse_keys,
)
from tests.support.certificates import server_certificate, trusted
from tests.support.oidcprovider import key_pair, public

ISSUER = "https://login.example.com/realm"
KEYS_AT = "https://keys.example.com/set?tenant=1"
ONE = public(key_pair("ES256", "one"))
TWO = public(key_pair("ES256", "two"))
RSA = {name: value for name, value in public(key_pair("RS256", "rsa")).items() if name != "alg"}


class Provider:
    """Answers as a provider would, from what a test sets; counts how often it is asked for keys."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.is_away = False
        self.asked = 0
        self.now_s = 1000.0
        self.answers = threading.Event()
        self.answers.set()

    def get(self, url: str) -> bytes:
        assert self.answers.wait(30)
        if self.is_away:
            raise TransportError("https://login.example.com", "no answer in time")
        if url == ISSUER + DISCOVERY:
            return json.dumps({"issuer": ISSUER, "jwks_uri": KEYS_AT}).encode()
        assert url == KEYS_AT
        self.asked += 1
        return json.dumps({"keys": self.keys}).encode()

    def known(self) -> ProviderKeys:
        return ProviderKeys(ISSUER, get=self.get, clock=lambda: self.now_s)


def played(scenario: Callable[[Provider, ProviderKeys], Awaitable[None]], *keys: dict[str, Any]) -> Provider:
    """Play ``scenario`` with a provider that shows ``keys`` and what we know of it."""
    provider = Provider(*keys)

    async def play() -> None:
        known = provider.known()
        try:
            await scenario(provider, known)
        finally:
            provider.answers.set()
            await known.close()

    asyncio.run(play())
    return provider


async def settled(known: ProviderKeys, kid: str) -> PyJWK | None:
    """What is found once an answer that is awaited in the background has come."""
    async with asyncio.timeout(30):
        while (found := await known.find(kid, "ES256")) is None:
            await asyncio.sleep(0)
    return found


def test_keys_are_asked_for_once_and_kept() -> None:
    async def scenario(provider: Provider, known: ProviderKeys) -> None:
        found = await asyncio.gather(*(known.find("one", "ES256") for _ in range(20)))
        assert all(key is not None and key.key_id == "one" for key in found)
        provider.now_s += FRESH_S - 1
        assert await known.find("one", "ES256") is not None

    assert played(scenario, ONE).asked == 1


def test_unknown_key_is_asked_for_at_most_once_in_half_a_minute() -> None:
    async def scenario(provider: Provider, known: ProviderKeys) -> None:
        await known.find("one", "ES256")
        provider.keys = [ONE, TWO]
        for _ in range(int(ASK_AGAIN_S) - 1):
            provider.now_s += 1
            assert await known.find("two", "ES256") is None
        assert provider.asked == 1
        provider.now_s += 1
        assert await known.find("two", "ES256") is not None
        for number in range(1000):
            assert await known.find(f"made up {number}", "ES256") is None

    assert played(scenario, ONE).asked == 2


def test_old_keys_are_asked_for_anew_while_they_go_on() -> None:
    async def scenario(provider: Provider, known: ProviderKeys) -> None:
        await known.find("one", "ES256")
        provider.keys, provider.now_s = [TWO], provider.now_s + FRESH_S
        provider.answers.clear()
        # Nobody waits for the answer: the provider gives none yet.
        assert await known.find("one", "ES256") is not None
        provider.answers.set()
        assert await settled(known, "two") is not None
        assert await known.find("one", "ES256") is None

    assert played(scenario, ONE).asked == 2


def test_after_a_quiet_night_withdrawn_keys_are_not_used_once_more() -> None:
    async def scenario(provider: Provider, known: ProviderKeys) -> None:
        await known.find("one", "ES256")
        provider.keys, provider.now_s = [TWO], provider.now_s + OLD_S
        assert await known.find("one", "ES256") is None

    played(scenario, ONE)


def test_keys_go_on_for_a_day_while_the_provider_is_away_and_no_longer() -> None:
    async def scenario(provider: Provider, known: ProviderKeys) -> None:
        await known.find("one", "ES256")
        provider.is_away, begun_s = True, provider.now_s
        for age_s in range(int(FRESH_S), int(MOST_S), int(FRESH_S)):
            provider.now_s = begun_s + age_s
            assert await known.find("one", "ES256") is not None
        provider.now_s = begun_s + MOST_S
        with pytest.raises(ProviderAway, match="no answer in time"):
            await known.find("one", "ES256")
        provider.is_away, provider.now_s = False, provider.now_s + FIRST_AGAIN_S
        assert await known.find("one", "ES256") is not None

    played(scenario, ONE)


def test_provider_that_stays_away_holds_up_nobody_whose_key_is_known() -> None:
    async def scenario(provider: Provider, known: ProviderKeys) -> None:
        await known.find("one", "ES256")
        provider.is_away, provider.now_s = True, provider.now_s + OLD_S
        await known.find("one", "ES256")
        provider.answers.clear()
        provider.now_s += ASK_AGAIN_S
        # It is asked again, and gives no answer: nobody waits for it a second time.
        coming = asyncio.create_task(known.find("one", "ES256"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert coming.done()
        assert coming.result() is not None

    played(scenario, ONE)


def test_key_that_is_unknown_while_the_provider_is_away_is_neither_right_nor_wrong() -> None:
    async def scenario(provider: Provider, known: ProviderKeys) -> None:
        await known.find("one", "ES256")
        provider.is_away, provider.now_s = True, provider.now_s + ASK_AGAIN_S
        with pytest.raises(ProviderAway):
            await known.find("two", "ES256")
        assert await known.find("one", "ES256") is not None

    played(scenario, ONE)


def test_provider_that_is_away_at_first_is_asked_again_soon_and_not_by_everybody() -> None:
    async def scenario(provider: Provider, known: ProviderKeys) -> None:
        provider.is_away = True
        for _ in range(100):
            with pytest.raises(ProviderAway):
                await known.find("one", "ES256")
        provider.is_away = False
        with pytest.raises(ProviderAway):
            await known.find("one", "ES256")
        provider.now_s += FIRST_AGAIN_S
        assert await known.find("one", "ES256") is not None

    assert played(scenario, ONE).asked == 1


def test_one_caller_that_goes_away_does_not_take_the_answer_from_the_others() -> None:
    async def scenario(provider: Provider, known: ProviderKeys) -> None:
        provider.answers.clear()
        first, second = (asyncio.create_task(known.find("one", "ES256")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        provider.answers.set()
        assert await second is not None

    assert played(scenario, ONE).asked == 1


def test_closing_gives_up_what_is_under_way() -> None:
    async def scenario(provider: Provider, known: ProviderKeys) -> None:
        provider.answers.clear()
        waiting = asyncio.create_task(known.find("one", "ES256"))
        await asyncio.sleep(0)
        await known.close()
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    played(scenario, ONE)


@pytest.mark.parametrize("broken", [b"", b"[]", b"[" * 100_000, b"{}", b'{"keys": {}}', b'{"keys": "x"}', b"\xff"])
def test_answer_that_is_no_key_set_changes_nothing(broken: bytes) -> None:
    provider = Provider(ONE)
    is_broken = False

    def get(url: str) -> bytes:
        return broken if is_broken and url == KEYS_AT else provider.get(url)

    async def scenario() -> bool:
        nonlocal is_broken
        known = ProviderKeys(ISSUER, get=get, clock=lambda: provider.now_s)
        await known.find("one", "ES256")
        is_broken, provider.now_s = True, provider.now_s + OLD_S
        return await known.find("one", "ES256") is not None

    assert asyncio.run(scenario())


def test_key_set_of_unreasonable_size_is_refused() -> None:
    body = json.dumps({"keys": [ONE] * (MAX_KEYS + 1)}).encode()
    with pytest.raises(TransportError, match="very large"):
        parse_keys(ISSUER, body)


def found(keys: list[Any], kid: str | None, algorithm: str) -> bool:
    """Whether a token with such a header finds a key among ``keys``."""

    async def find() -> bool:
        return await Provider(*keys).known().find(kid, algorithm) is not None

    return asyncio.run(find())


def test_token_without_a_key_id_needs_the_only_key_of_its_algorithm() -> None:
    assert found([ONE, RSA], None, "ES256")
    assert not found([ONE, TWO], None, "ES256")
    assert not found([RSA], None, "ES256")


def test_key_that_names_no_algorithm_serves_those_of_its_kind_alone() -> None:
    assert [found([RSA], "rsa", name) for name in ("RS256", "PS256", "ES256", "EdDSA", "HS256", "none", "RS512")] == [
        True,
        True,
        False,
        False,
        False,
        False,
        False,
    ]


def test_key_that_names_an_algorithm_serves_no_other() -> None:
    assert not found([RSA | {"alg": "PS256"}], "rsa", "RS256")


@pytest.mark.parametrize(
    "wrong",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"x": "AAAA"},
        {"x": 5},
        {"y": None},
        {"kid": 5},
        {"kid": ["one"]},
        {"alg": "ES384"},
        {"alg": None},
    ],
)
def test_unusable_keys_are_passed_over_and_the_others_used(wrong: dict[str, Any]) -> None:
    assert not found([ONE | wrong, TWO], "one", "ES256")
    assert found([ONE | wrong, "text", None, 7, TWO], "two", "ES256")


def test_private_key_that_is_shown_to_everybody_is_not_used() -> None:
    pair = key_pair("ES256", "leaked")
    assert found([public(pair)], "leaked", "ES256")
    assert not found([pair], "leaked", "ES256")


def test_other_curve_of_the_same_algorithm_is_not_used() -> None:
    shown = json.loads(OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key()))
    assert not found([shown | {"kid": "448"}], "448", "EdDSA")


def test_short_rsa_keys_are_not_used() -> None:
    short = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()))
    assert not found([short | {"kid": "short"}], "short", "RS256")


@pytest.mark.parametrize(
    "said",
    [
        {"issuer": ISSUER + "/", "jwks_uri": KEYS_AT},
        {"issuer": "https://evil.example", "jwks_uri": KEYS_AT},
        {"jwks_uri": KEYS_AT},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": 5},
        {"issuer": ISSUER, "jwks_uri": "http://keys.example.com/"},
        {"issuer": ISSUER, "jwks_uri": "http://127.0.0.1:8080/"},
        {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"},
        {"issuer": ISSUER, "jwks_uri": "https://a b.example/"},
        {"issuer": ISSUER, "jwks_uri": "https://keys.example.com/\r\nX: 1"},
        {"issuer": ISSUER, "jwks_uri": "https://keys.example.com/ä"},
        {"issuer": ISSUER, "jwks_uri": ""},
    ],
)
def test_discovery_that_names_another_issuer_or_no_safe_address_is_refused(said: dict[str, Any]) -> None:
    asked = []

    def get(url: str) -> bytes:
        asked.append(url)
        return json.dumps(said).encode()

    with pytest.raises(TransportError):
        fetch_keys(ISSUER, get)
    assert asked == [ISSUER + DISCOVERY]


def test_issuer_that_ends_in_a_slash_is_discovered_below_it() -> None:
    asked = []

    def get(url: str) -> bytes:
        asked.append(url)
        said = {"issuer": "https://tenant.example.com/", "jwks_uri": KEYS_AT} if url.endswith(DISCOVERY) else {"keys": [ONE]}
        return json.dumps(said).encode()

    assert len(fetch_keys("https://tenant.example.com/", get)) == 1
    assert asked == ["https://tenant.example.com" + DISCOVERY, KEYS_AT]


class Documents(http.server.BaseHTTPRequestHandler):
    """Answers by path: a document, one that is too large, an error, a redirect to the document."""

    def do_GET(self) -> None:
        status = {"/gone": 410, "/moved": 302}.get(self.path, 200)
        body = b" " * (MAX_DOCUMENT_BYTES + 1) if self.path == "/large" else f"asked for {self.path}".encode()
        self.send_response(status)
        self.send_header("Location", "/document")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@contextmanager
def documents(context: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL of a server of Documents."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Documents) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="documents")
        thread.start()
        try:
            yield f"{'http' if context is None else 'https'}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_document_is_fetched_with_its_query() -> None:
    with documents() as url:
        assert fetch(f"{url}/document?tenant=1") == b"asked for /document?tenant=1"
        assert fetch(url) == b"asked for /"


@pytest.mark.parametrize(("path", "words"), [("/gone", "status 410"), ("/moved", "status 302"), ("/large", "more than")])
def test_errors_redirects_and_large_answers_are_no_documents(path: str, words: str) -> None:
    with documents() as url, pytest.raises(TransportError, match=words):
        fetch(url + path)


def test_provider_whose_certificate_nobody_vouches_for_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, context = server_certificate(tmp_path)
    with documents(context) as url:
        with pytest.raises(TransportError, match="certificate is not trusted"):
            fetch(f"{url}/document")
        with trusted(path, monkeypatch):
            assert fetch(f"{url}/document") == b"asked for /document"


def test_name_that_no_machine_can_have_is_not_found() -> None:
    with pytest.raises(TransportError):
        fetch("https://" + "x" * 64 + ".example/")
