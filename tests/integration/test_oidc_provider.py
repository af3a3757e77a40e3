"""Tokens of a real OpenID Connect provider, got from it over HTTP; its keys rotate, it goes away, and others forge."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import jwt
import pytest
from jwt import PyJWK

from codewrap.protocol.roles import Role
from codewrap.server.oidc import LEEWAY_S, OidcIdentity, OidcVerifier
from codewrap.server.oidcerrors import NotOfIssuer, ProviderAway, TokenRefused
from codewrap.server.oidckeys import ASK_AGAIN_S, FIRST_AGAIN_S, MAX_DOCUMENT_BYTES, OLD_S, ProviderKeys
from codewrap.server.oidcsettings import OidcSettings, read_oidc
from tests.support.node import Node
from tests.support.oidcprovider import AUDIENCE, RESOURCE, OidcProvider, client_id, key_pair, key_set, public

LIFETIME_S = 600  # of the provider's tokens


@pytest.fixture(scope="module")
def shared(node: Node) -> Iterator[OidcProvider]:
    """A provider that no test stops or changes."""
    with OidcProvider(node) as running:
        yield running


@pytest.fixture
def provider(node: Node) -> Iterator[OidcProvider]:
    """A provider of the test's own."""
    with OidcProvider(node) as running:
        yield running


class Known:
    """A verifier of a provider's tokens whose clock for the keys' age is moved by hand."""

    def __init__(self, provider: OidcProvider, **settings: str) -> None:
        self.now_s = 1000.0
        keys = ProviderKeys(provider.issuer, clock=lambda: self.now_s)
        self.verifier = OidcVerifier(settings_of(provider, **settings), keys)

    async def identify(self, token: str) -> OidcIdentity:
        return await self.verifier.identify(token, time.time())


def settings_of(provider: OidcProvider, **members: str) -> OidcSettings:
    values = {
        "CODEWRAP_OIDC_ISSUER": provider.issuer,
        "CODEWRAP_OIDC_AUDIENCE": AUDIENCE,
        "CODEWRAP_OIDC_ROLES": "ops=admin,dev=writer,*=viewer",
        "CODEWRAP_OIDC_ROLE_CLAIM": "groups",
    }
    settings = read_oidc(values | {f"CODEWRAP_OIDC_{name.upper()}": value for name, value in members.items()})
    assert settings is not None
    return settings


def identified(provider: OidcProvider, token: str, now_s: float | None = None, **settings: str) -> OidcIdentity:
    """What a server that has just started makes of ``token``."""

    async def play() -> OidcIdentity:
        verifier = OidcVerifier.from_settings(settings_of(provider, **settings))
        try:
            return await verifier.identify(token, time.time() if now_s is None else now_s)
        finally:
            await verifier.close()

    return asyncio.run(play())


def played(provider: OidcProvider, scenario: Callable[[Known], Awaitable[None]]) -> None:
    async def play() -> None:
        known = Known(provider)
        try:
            await scenario(known)
        finally:
            await known.verifier.close()

    asyncio.run(play())


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=").decode()


def forged(token: str, header: Mapping[str, Any], claims: Mapping[str, Any] | None = None) -> tuple[str, bytes]:
    """``token`` with members of its header and claims changed, and what is to be signed of it."""
    first, second = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    body = f"{encoded({**first, **header})}.{encoded({**second, **(claims or {})})}"
    return body, body.encode()


def signed(body: bytes, pair: Mapping[str, Any], algorithm: str) -> str:
    key = PyJWK(dict(pair), algorithm)
    return encoded(key.Algorithm.sign(body, key.key))


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_person_who_signed_in_is_known_by_their_id_token(shared: OidcProvider, algorithm: str) -> None:
    before_s = int(time.time())
    identity = identified(shared, shared.id_token("alice", algorithm), audience=client_id(algorithm), sessions_claim="machines")
    assert (identity.user, identity.role, identity.name) == ("sso@alice", Role.WRITER, "Alice A.")
    assert identity.sessions == ("build-*", "deploy")
    assert before_s - LEEWAY_S <= identity.issued_at <= time.time() - LEEWAY_S
    assert identity.expires_at == identity.issued_at + LIFETIME_S + 2 * LEEWAY_S


def test_role_comes_from_a_claim_within_another_or_from_a_text(shared: OidcProvider) -> None:
    alice, bob = shared.id_token("alice"), shared.id_token("bob|x=1.2")
    admins = {"role_claim": "realm_access.roles", "roles": "codewrap-admin=admin"}
    assert identified(shared, alice, **admins).role is Role.ADMIN
    with pytest.raises(TokenRefused, match="no role"):
        identified(shared, bob, **admins)
    assert identified(shared, bob).role is Role.ADMIN
    assert identified(shared, shared.id_token("carol")).role is Role.VIEWER


def test_strange_subject_is_a_user_of_its_own(shared: OidcProvider) -> None:
    identity = identified(shared, shared.id_token("bob|x=1.2"))
    assert (identity.user, identity.name) == ("sso@bob=7Cx=3D1=2E2", "bob")


def test_user_may_be_known_by_an_email_that_the_provider_verified(shared: OidcProvider) -> None:
    alice, bob = shared.id_token("alice"), shared.id_token("bob|x=1.2")
    assert identified(shared, alice, user_claim="email").user == "sso@alice@example=2Ecom"
    with pytest.raises(TokenRefused, match="not verified"):
        identified(shared, bob, user_claim="email")


def test_program_is_known_by_its_access_token_where_those_are_wanted(shared: OidcProvider) -> None:
    token = shared.access_token()
    wanted = {"tokens": "access", "audience": RESOURCE, "roles": "robots=host"}
    identity = identified(shared, token, **wanted)
    assert (identity.user, identity.role) == ("sso@robot", Role.HOST)
    with pytest.raises(TokenRefused, match="access tokens are not accepted"):
        identified(shared, token, **(wanted | {"tokens": "id"}))


def test_persons_access_token_is_not_their_id_token(shared: OidcProvider) -> None:
    token = shared.user_access_token("alice")
    assert identified(shared, token, tokens="id,access", audience=f"{AUDIENCE},{RESOURCE}").user == "sso@alice"
    with pytest.raises(TokenRefused, match="access tokens are not accepted"):
        identified(shared, token, audience=f"{AUDIENCE},{RESOURCE}")
    with pytest.raises(TokenRefused, match="aud"):
        identified(shared, token, tokens="access")


def test_token_for_another_client_of_the_provider_is_refused(shared: OidcProvider) -> None:
    with pytest.raises(TokenRefused, match="aud"):
        identified(shared, shared.id_token("alice", "ES256"))


def test_token_ends_when_it_says(shared: OidcProvider) -> None:
    token = shared.id_token("alice")
    expires_at = identified(shared, token).expires_at
    assert identified(shared, token, expires_at - 1).user == "sso@alice"
    with pytest.raises(TokenRefused, match="expired"):
        identified(shared, token, expires_at)
    with pytest.raises(TokenRefused, match="not valid yet"):
        identified(shared, token, expires_at - LIFETIME_S - 2 * LEEWAY_S - 10)


@pytest.mark.parametrize("algorithm", ["HS256", "ES384"])
def test_what_the_provider_itself_signs_otherwise_is_refused(shared: OidcProvider, algorithm: str) -> None:
    with pytest.raises(TokenRefused, match="not signed in a way"):
        identified(shared, shared.id_token("alice", algorithm), audience=client_id(algorithm))


def test_token_of_another_provider_is_left_to_others(shared: OidcProvider, provider: OidcProvider) -> None:
    with pytest.raises(NotOfIssuer):
        identified(shared, provider.id_token("alice"))


def test_changed_token_is_refused(shared: OidcProvider) -> None:
    token = shared.id_token("carol")
    body, _ = forged(token, {}, {"groups": ["ops"]})
    with pytest.raises(TokenRefused, match="signature"):
        identified(shared, f"{body}.{token.rpartition('.')[2]}")


def test_unsigned_token_is_refused(shared: OidcProvider) -> None:
    token = shared.id_token("carol")
    for algorithm in ("none", "None", "nOnE"):
        body, _ = forged(token, {"alg": algorithm}, {"groups": ["ops"]})
        for signature in ("", token.rpartition(".")[2]):
            with pytest.raises(TokenRefused, match="not signed in a way"):
                identified(shared, f"{body}.{signature}")


def test_the_providers_public_key_is_no_secret_to_sign_with(shared: OidcProvider) -> None:
    shown = next(key for key in shared.keys if key["alg"] == "RS256")
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    body, raw = forged(shared.id_token("carol"), {"alg": "HS256"}, {"groups": ["ops"]})
    for secret in (json.dumps(public(shown)).encode(), shown["n"].encode(), b""):
        with pytest.raises(TokenRefused, match="not signed in a way"):
            identified(shared, f"{body}.{encoded(hmac.sign(raw, secret))}")


def test_keys_that_a_token_points_to_are_never_asked_for(shared: OidcProvider, provider: OidcProvider) -> None:
    mine = next(key for key in provider.keys if key["alg"] == "ES256")
    there = f"{provider.issuer}/jwks"
    for header in ({"jku": there}, {"x5u": there}, {"jwk": public(mine)}, {"kid": there}, {"kid": "../../dev/null"}):
        whole = {"alg": "ES256", "kid": "ES256-first", **header}
        body, raw = forged(shared.id_token("alice"), whole, {"groups": ["ops"]})
        with pytest.raises(TokenRefused, match=r"signature|does not show"):
            identified(shared, f"{body}.{signed(raw, mine, 'ES256')}")
    assert provider.times_asked() == 0


def test_huge_token_of_the_provider_is_refused_unread(shared: OidcProvider) -> None:
    with pytest.raises(TokenRefused, match="longer"):
        identified(shared, shared.id_token("alice") + "A" * 1_000_000)


def test_new_keys_are_found_while_we_run_and_withdrawn_ones_end(provider: OidcProvider) -> None:
    old = provider.id_token("alice")

    async def scenario(known: Known) -> None:
        assert (await known.identify(old)).user == "sso@alice"
        provider.rotate([*key_set("second"), *provider.keys])
        new = provider.id_token("alice")
        with pytest.raises(TokenRefused, match="does not show"):
            await known.identify(new)
        known.now_s += ASK_AGAIN_S
        assert (await known.identify(new)).user == (await known.identify(old)).user == "sso@alice"
        provider.rotate([key for key in provider.keys if key["kid"].endswith("second")])
        known.now_s += OLD_S
        assert (await known.identify(new)).user == "sso@alice"
        with pytest.raises(TokenRefused, match="does not show"):
            await known.identify(old)

    played(provider, scenario)


def test_made_up_key_ids_do_not_make_us_ask(provider: OidcProvider) -> None:
    token = provider.id_token("alice")

    async def scenario(known: Known) -> None:
        await known.identify(token)
        known.now_s += ASK_AGAIN_S
        for number in range(200):
            body, raw = forged(token, {"kid": f"made-up-{number}", "alg": "ES256"})
            with pytest.raises(TokenRefused):
                await known.identify(f"{body}.{encoded(raw[:64])}")

    played(provider, scenario)
    assert provider.times_asked() == 2


def test_known_people_come_in_while_the_provider_is_away(provider: OidcProvider) -> None:
    token = provider.id_token("alice")

    async def scenario(known: Known) -> None:
        await known.identify(token)
        provider.stop()
        known.now_s += OLD_S
        assert (await known.identify(token)).user == "sso@alice"
        body, raw = forged(token, {"kid": "unknown", "alg": "ES256"})
        known.now_s += ASK_AGAIN_S
        with pytest.raises(ProviderAway):
            await known.identify(f"{body}.{encoded(raw[:64])}")
        assert (await known.identify(token)).user == "sso@alice"
        provider.start()
        provider.rotate(key_set("second"))
        known.now_s += OLD_S
        assert (await known.identify(provider.id_token("alice"))).user == "sso@alice"

    played(provider, scenario)


def test_server_that_starts_before_its_provider_accepts_tokens_when_that_is_there(provider: OidcProvider) -> None:
    token = provider.id_token("alice")
    provider.stop()

    async def scenario(known: Known) -> None:
        with pytest.raises(ProviderAway, match="cannot be reached"):
            await known.identify(token)
        provider.start()
        known.now_s += FIRST_AGAIN_S
        assert (await known.identify(token)).user == "sso@alice"

    played(provider, scenario)


@pytest.mark.parametrize(
    "rubbish",
    ["<html>maintenance</html>", {"keys": "none"}, " " * (MAX_DOCUMENT_BYTES + 1), [1, 2]],
    ids=["html", "no-keys", "too-much", "list"],
)
def test_rubbish_in_place_of_keys_changes_nothing(provider: OidcProvider, rubbish: object) -> None:
    token = provider.id_token("alice")

    async def scenario(known: Known) -> None:
        await known.identify(token)
        provider.show(rubbish)
        known.now_s += OLD_S
        assert (await known.identify(token)).user == "sso@alice"
        assert (await known.identify(token)).user == "sso@alice"

    played(provider, scenario)
    assert provider.times_asked() == 2


def test_keys_that_the_provider_shows_replace_those_of_the_same_name(provider: OidcProvider) -> None:
    token = provider.id_token("alice")

    async def scenario(known: Known) -> None:
        await known.identify(token)
        provider.show({"keys": [public(key_pair("RS256", "RS256-first"))]})
        known.now_s += OLD_S
        with pytest.raises(TokenRefused, match="signature"):
            await known.identify(token)

    played(provider, scenario)


def test_provider_that_does_not_answer_holds_up_nobody_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        issuer = f"http://127.0.0.1:{silent.getsockname()[1]}"
        body = f"{encoded({'alg': 'ES256', 'kid': 'x'})}.{encoded({'iss': issuer})}"

        async def play() -> None:
            settings = OidcSettings(issuer, ("codewrap",), {"*": Role.VIEWER})
            verifier = OidcVerifier.from_settings(settings)
            waiting = asyncio.create_task(verifier.identify(f"{body}.AAAA", time.time()))
            # It has asked, from a thread of its own: the loop is free to accept here.
            silent.setblocking(False)
            connection, _ = await asyncio.get_running_loop().sock_accept(silent)
            assert not waiting.done()
            with pytest.raises(NotOfIssuer):
                await verifier.identify("somebody.elses.token", time.time())
            assert not waiting.done()
            connection.close()
            with pytest.raises(ProviderAway):
                await waiting
            await verifier.close()

        asyncio.run(play())
