"""Which tokens of a provider are believed, and whom they show: real signatures here, a real provider in `tests/integration`."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt import PyJWK

from codewrap.errors import TransportError
from codewrap.protocol.roles import Role
from codewrap.server import oidc, tokens
from codewrap.server.oidc import LEEWAY_S, MAX_LIFETIME_S, MAX_TOKEN_CHARACTERS, OidcIdentity, OidcVerifier
from codewrap.server.oidcerrors import NotOfIssuer, OidcError, ProviderAway, TokenRefused
from codewrap.server.oidckeys import DISCOVERY, ProviderKeys
from codewrap.server.oidcsettings import OidcSettings, TokenKind, read_oidc
from codewrap.server.schemas import TOKEN_ID
from tests.support.oidcprovider import key_pair, public

ISSUER = "https://login.example.com"
NOW_S = 1_800_000_000
PAIRS = {name: key_pair(name, f"key-{name}") for name in ("RS256", "PS256", "ES256", "EdDSA")}
STRANGER = key_pair("ES256", "key-ES256")
CLAIMS = {"iss": ISSUER, "aud": "codewrap", "sub": "alice", "iat": NOW_S - 60, "exp": NOW_S + 600}
SETTINGS = OidcSettings(ISSUER, ("codewrap",), {"*": Role.VIEWER})


def served(url: str) -> bytes:
    if url == ISSUER + DISCOVERY:
        return json.dumps({"issuer": ISSUER, "jwks_uri": ISSUER + "/keys"}).encode()
    return json.dumps({"keys": [public(pair) for pair in PAIRS.values()]}).encode()


def away(url: str) -> bytes:
    raise TransportError(ISSUER, "no answer in time")


def settings_with(**members: Any) -> OidcSettings:
    values = {"CODEWRAP_OIDC_ISSUER": ISSUER, "CODEWRAP_OIDC_AUDIENCE": "codewrap", "CODEWRAP_OIDC_ROLES": "*=viewer"}
    settings = read_oidc(values | {f"CODEWRAP_OIDC_{name.upper()}": value for name, value in members.items()})
    assert settings is not None
    return settings


def signed(claims: Mapping[str, Any], algorithm: str = "ES256", pair: Mapping[str, Any] | None = None, **header: Any) -> str:
    """A token as a provider would sign it; members of ``header`` that are None are left out."""
    pair = PAIRS[algorithm] if pair is None else pair
    whole = {"kid": pair["kid"], **header}
    key = PyJWK(dict(pair), algorithm)
    return jwt.api_jws.encode(
        json.dumps(claims).encode(),
        key,
        algorithm,
        {name: value for name, value in whole.items() if value is not None or name == "typ"},
    )


def encoded(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def identified(token: str, settings: OidcSettings = SETTINGS, now_s: float = NOW_S) -> OidcIdentity:
    return asyncio.run(OidcVerifier(settings, ProviderKeys(ISSUER, get=served)).identify(token, now_s))


def refusal(token: str, settings: OidcSettings = SETTINGS, now_s: float = NOW_S) -> str:
    """The reason of a refusal, which holds nothing of the token."""
    with pytest.raises(TokenRefused) as caught:
        identified(token, settings, now_s)
    assert not any(part and part in str(caught.value) for part in token.split("."))
    return caught.value.reason


@pytest.mark.parametrize("algorithm", PAIRS)
def test_token_shows_who_bears_it(algorithm: str) -> None:
    identity = identified(signed(CLAIMS | {"name": "Alice A."}, algorithm))
    assert (identity.user, identity.role, identity.name, identity.sessions) == ("sso@alice", Role.VIEWER, "Alice A.", ())
    assert (identity.issued_at, identity.expires_at) == (NOW_S - 60 - LEEWAY_S, NOW_S + 600 + LEEWAY_S)


@pytest.mark.parametrize(
    "foreign", ["", "secret", "a.b", "a.b.c.d.e", "..", "a b.c.d", "ä.b.c", f"{encoded([])}.{encoded([])}.x"]
)
def test_what_is_no_jwt_is_left_to_others(foreign: str) -> None:
    with pytest.raises(NotOfIssuer):
        identified(foreign)


@pytest.mark.parametrize("issuer", ["codewrap", ISSUER + "/", ISSUER.upper(), None, 5, [ISSUER]])
def test_token_of_another_issuer_is_left_to_others(issuer: object) -> None:
    with pytest.raises(NotOfIssuer):
        identified(signed(CLAIMS | {"iss": issuer}))


def test_whose_it_is_can_be_told_while_the_provider_is_away() -> None:
    verifier = OidcVerifier(SETTINGS, ProviderKeys(ISSUER, get=away))
    with pytest.raises(NotOfIssuer):
        asyncio.run(verifier.identify(signed(CLAIMS | {"iss": "codewrap"}), NOW_S))
    with pytest.raises(ProviderAway):
        asyncio.run(verifier.identify(signed(CLAIMS), NOW_S))


def test_token_that_is_too_long_is_refused_unread() -> None:
    assert "longer than" in refusal("." * (MAX_TOKEN_CHARACTERS + 1))
    assert "longer than" in refusal(signed(CLAIMS | {"groups": ["x" * MAX_TOKEN_CHARACTERS]}))


@pytest.mark.parametrize("payload", [b"[" * 5000, b'{"iss":' * 800, b'{"exp":' + b"9" * 5000 + b"}", b"\xff", b"{}{}"])
def test_damaged_json_is_no_token_and_harms_nobody(payload: bytes) -> None:
    with pytest.raises(NotOfIssuer):
        identified(f"{encoded({'alg': 'ES256'})}.{encoded(payload)}.xx")
    with pytest.raises(NotOfIssuer):
        identified(f"{encoded(payload)}.{encoded(CLAIMS)}.xx")


@given(st.text(st.sampled_from("eyJ9.-_aZ0=/ "), max_size=60))
def test_no_text_raises_anything_but_that_it_is_no_token(text: str) -> None:
    with pytest.raises(OidcError):
        identified(text)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 5, "HS256", "HS512", "RS1", "ES384", ["ES256"], "es256"])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_only_public_key_signatures_are_accepted(algorithm: object, signature: str) -> None:
    header = {"typ": "JWT", "kid": "key-ES256", "alg": algorithm}
    assert "not signed in a way" in refusal(f"{encoded(header)}.{encoded(CLAIMS)}.{signature}")


def test_public_key_is_no_shared_secret() -> None:
    pem = PyJWK(public(PAIRS["RS256"]), "RS256").key.public_bytes(*_pem())
    for secret in (pem, pem.strip(), json.dumps(public(PAIRS["RS256"])).encode()):
        body = f"{encoded({'alg': 'HS256', 'kid': 'key-RS256'})}.{encoded(CLAIMS)}"
        signature = encoded(jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(body.encode(), secret))
        assert "not signed in a way" in refusal(f"{body}.{signature}")


def _pem() -> tuple[Any, Any]:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return Encoding.PEM, PublicFormat.SubjectPublicKeyInfo


def test_signature_of_another_key_is_refused_whatever_id_it_names() -> None:
    assert "signature" in refusal(signed(CLAIMS, pair=STRANGER))
    assert "does not show" in refusal(signed(CLAIMS, pair=STRANGER | {"kid": "other"}))


def test_algorithm_of_another_key_is_refused() -> None:
    assert "does not show" in refusal(signed(CLAIMS, kid="key-RS256"))
    assert "does not show" in refusal(signed(CLAIMS, "PS256", PAIRS["RS256"]))


def test_keys_and_addresses_that_a_token_brings_along_are_not_looked_at() -> None:
    shown = public(STRANGER)
    for header in ({"jwk": shown}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example/c"}, {"x5c": ["AAAA"]}):
        assert "signature" in refusal(signed(CLAIMS, pair=STRANGER, **header))
        assert identified(signed(CLAIMS, **header)).user == "sso@alice"


@pytest.mark.parametrize(
    ("kid", "reason"),
    [
        ("../../etc/passwd", "does not show"),
        ("key-ES256\x00", "does not show"),
        ("x" * 1000, "does not show"),
        ("", "does not show"),
        ("KEY-ES256", "does not show"),
        (5, "id is none"),
        (["key-ES256"], "id is none"),
        ({"kid": "key-ES256"}, "id is none"),
    ],
)
def test_made_up_key_ids_find_nothing(kid: object, reason: str) -> None:
    token = signed(CLAIMS)
    header = {"alg": "ES256", "kid": kid}
    assert reason in refusal(".".join([encoded(header), *token.split(".")[1:]]))


def test_token_without_a_key_id_is_checked_with_the_only_key_of_its_algorithm() -> None:
    assert identified(signed(CLAIMS, kid=None)).user == "sso@alice"
    assert "signature" in refusal(signed(CLAIMS, pair=STRANGER, kid=None))


def test_changed_tokens_are_refused() -> None:
    header, payload, signature = signed(CLAIMS).split(".")
    assert "signature" in refusal(f"{header}.{encoded(CLAIMS | {'sub': 'admin'})}.{signature}")
    assert "signature" in refusal(f"{encoded({'alg': 'ES256', 'kid': 'key-ES256', 'x': 1})}.{payload}.{signature}")
    assert "signature" in refusal(f"{header}.{payload}.")
    assert "signature" in refusal(f"{header}.{payload}.{signature[:-8]}")
    assert "signature" in refusal(f"{header}.{payload}.{'A' * len(signature)}")


@pytest.mark.parametrize("header", [{"crit": ["b64"], "b64": False}, {"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": False}])
def test_headers_that_must_be_understood_and_are_not_lead_to_refusal(header: dict[str, Any]) -> None:
    token = signed(CLAIMS)
    whole = {"alg": "ES256", "kid": "key-ES256", **header}
    assert "understood" in refusal(".".join([encoded(whole), *token.split(".")[1:]]))


@pytest.mark.parametrize("audience", ["other", "codewrap ", "", None, [], ["other"], {"codewrap": 1}, 5, [["codewrap"]]])
def test_token_made_out_to_somebody_else_is_refused(audience: object) -> None:
    assert "aud" in refusal(signed(CLAIMS | {"aud": audience}))


def test_token_made_out_to_several_must_have_been_issued_to_us() -> None:
    several = CLAIMS | {"aud": ["codewrap", "other"]}
    assert "azp" in refusal(signed(several))
    assert "azp" in refusal(signed(several | {"azp": "other"}))
    assert identified(signed(several | {"azp": "codewrap"})).user == "sso@alice"
    assert identified(signed(CLAIMS | {"aud": ["codewrap"], "azp": "app of a phone"})).user == "sso@alice"


def test_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    token = signed(CLAIMS)
    assert identified(token, now_s=CLAIMS["exp"] + LEEWAY_S - 1).expires_at == CLAIMS["exp"] + LEEWAY_S
    assert "expired" in refusal(token, now_s=CLAIMS["exp"] + LEEWAY_S)
    assert identified(token, now_s=CLAIMS["iat"] - LEEWAY_S)
    assert "not valid yet" in refusal(token, now_s=CLAIMS["iat"] - LEEWAY_S - 1)


def test_token_is_refused_before_its_time() -> None:
    assert "not valid yet" in refusal(signed(CLAIMS | {"nbf": NOW_S + LEEWAY_S + 1}))
    assert identified(signed(CLAIMS | {"nbf": NOW_S + LEEWAY_S}))


@pytest.mark.parametrize("name", ["exp", "iat"])
def test_token_must_say_when_it_was_issued_and_when_it_ends(name: str) -> None:
    assert refusal(signed({key: value for key, value in CLAIMS.items() if key != name}))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["1800000600", True, [], -1, 1e300, 10**30, {}])
def test_times_that_are_none_are_refused(name: str, value: object) -> None:
    assert "no time" in refusal(signed(CLAIMS | {name: value}))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_numbers_that_json_does_not_have_are_no_times(value: str) -> None:
    text = json.dumps(CLAIMS).replace(str(CLAIMS["exp"]), value)
    token = jwt.api_jws.encode(text.encode(), PyJWK(PAIRS["ES256"], "ES256"), "ES256", {"kid": "key-ES256"})
    assert "no time" in refusal(token)


def test_token_that_would_outlive_every_revocation_is_refused() -> None:
    assert identified(signed(CLAIMS | {"exp": CLAIMS["iat"] + MAX_LIFETIME_S}))
    assert "longer than a year" in refusal(signed(CLAIMS | {"exp": CLAIMS["iat"] + MAX_LIFETIME_S + 1}))


ACCESS = [("at+jwt", {}), ("application/at+jwt", {}), ("AT+JWT", {}), ("JWT", {"typ": "Bearer"})]
ID = [("JWT", {}), ("jwt", {}), ("JWT", {"typ": "ID"})]
NEITHER: list[tuple[object, dict[str, Any]]] = [
    ("logout+jwt", {}),
    ("secevent+jwt", {}),
    ("dpop+jwt", {}),
    ("JWT", {"typ": "Refresh"}),
    ("JWT", {"typ": "Offline"}),
    ("JWT", {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}),
    ("", {}),
    (5, {}),
]


@pytest.mark.parametrize(("kind", "claims"), ACCESS)
def test_access_tokens_are_accepted_where_they_are_wanted(kind: str, claims: dict[str, Any]) -> None:
    token = signed(CLAIMS | claims, typ=kind)
    assert identified(token, settings_with(tokens="access")).user == "sso@alice"
    assert identified(token, settings_with(tokens="id,access")).user == "sso@alice"
    assert "access tokens are not accepted" in refusal(token)


@pytest.mark.parametrize(("kind", "claims"), ID)
def test_id_tokens_are_accepted_unless_others_are_wanted(kind: str, claims: dict[str, Any]) -> None:
    token = signed(CLAIMS | claims, typ=kind)
    assert identified(token).user == "sso@alice"
    assert "id tokens are not accepted" in refusal(token, settings_with(tokens="access"))


@pytest.mark.parametrize(("kind", "claims"), NEITHER)
def test_tokens_that_are_signed_for_other_ends_are_refused(kind: object, claims: dict[str, Any]) -> None:
    # By hand: the library leaves an empty type out.
    body = f"{encoded({'alg': 'ES256', 'kid': 'key-ES256', 'typ': kind})}.{encoded(CLAIMS | claims)}"
    key = PyJWK(PAIRS["ES256"], "ES256")
    token = f"{body}.{encoded(key.Algorithm.sign(body.encode(), key.key))}"
    assert "neither an ID token nor" in refusal(token, settings_with(tokens="id,access"))


def test_access_token_for_several_needs_no_authorized_party() -> None:
    token = signed(CLAIMS | {"aud": ["codewrap", "account"], "azp": "page"}, typ="at+jwt")
    assert identified(token, settings_with(tokens="access")).user == "sso@alice"


@pytest.mark.parametrize("subject", [None, 5, "", [], "x" * 61, "\ud800"])
def test_subject_that_makes_no_user_id_is_refused(subject: object) -> None:
    assert "sub" in refusal(signed(CLAIMS | {"sub": subject}))


def test_user_may_come_from_another_claim() -> None:
    settings = settings_with(user_claim="ids.login")
    assert identified(signed(CLAIMS | {"ids": {"login": "al"}}), settings).user == "sso@al"
    assert "ids.login" in refusal(signed(CLAIMS), settings)


def test_email_is_a_user_only_when_the_provider_has_verified_it() -> None:
    settings = settings_with(user_claim="email")
    claims = CLAIMS | {"email": "a@example.com"}
    assert identified(signed(claims | {"email_verified": True}), settings).user == "sso@a@example=2Ecom"
    for said in ({}, {"email_verified": False}, {"email_verified": "true"}):
        assert "not verified" in refusal(signed(claims | said), settings)


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["dev"], Role.WRITER),
        (["dev", "ops"], Role.ADMIN),
        (["ops", "dev"], Role.ADMIN),
        ("ops", Role.ADMIN),
        (["sales"], Role.VIEWER),
        ([], Role.VIEWER),
        (None, Role.VIEWER),
        (["OPS"], Role.VIEWER),
        ("dev ops", Role.VIEWER),
        (["dev,ops", 5, ["ops"], None], Role.VIEWER),
        ({"ops": True}, Role.VIEWER),
    ],
)
def test_highest_role_that_the_claim_reaches_is_the_tokens(groups: object, role: Role) -> None:
    settings = settings_with(role_claim="groups", roles="ops=admin,dev=writer,*=viewer")
    assert identified(signed(CLAIMS | {"groups": groups}), settings).role is role


def test_who_reaches_no_role_is_refused() -> None:
    settings = settings_with(role_claim="groups", roles="ops=admin")
    assert "no role" in refusal(signed(CLAIMS | {"groups": ["dev", "*"]}), settings)
    assert "no role" in refusal(signed(CLAIMS), settings)


@pytest.mark.parametrize(
    ("path", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["ops"]}}),
        ("https://example.com/roles", {"https://example.com/roles": ["ops"]}),
        ("scope", {"scope": "openid ops"}),
    ],
)
def test_claim_of_roles_may_be_within_others_or_named_by_a_url_or_a_scope(path: str, claims: dict[str, Any]) -> None:
    assert identified(signed(CLAIMS | claims), settings_with(role_claim=path, roles="ops=admin")).role is Role.ADMIN


@pytest.mark.parametrize("value", [{"roles": {"x": ["ops"]}}, "ops", ["ops"], None])
def test_path_that_leads_nowhere_is_no_claim(value: object) -> None:
    settings = settings_with(role_claim="realm_access.roles", roles="ops=admin")
    assert "no role" in refusal(signed(CLAIMS | {"realm_access": value}), settings)


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "Alice", "preferred_username": "al"}, "Alice"),
        ({"preferred_username": "al", "email": "a@example.com"}, "al"),
        ({"name": " ", "email": "a@example.com"}, "a@example.com"),
        ({"name": 5}, "sso@alice"),
        ({"name": "A\x1b[31m\u202eB"}, "A [31m B"),
        ({}, "sso@alice"),
    ],
)
def test_name_is_fit_to_be_shown(claims: dict[str, Any], name: str) -> None:
    assert identified(signed(CLAIMS | claims)).name == name


def test_name_may_come_from_another_claim() -> None:
    token = signed(CLAIMS | {"name": "Alice", "nickname": "Al"})
    assert identified(token, settings_with(name_claim="nickname")).name == "Al"


@pytest.mark.parametrize("value", [["build-*", "deploy"], "build-* deploy", "build-*, deploy "])
def test_sessions_may_be_limited_by_a_claim(value: object) -> None:
    assert identified(signed(CLAIMS | {"machines": value}), settings_with(sessions_claim="machines")).sessions == (
        "build-*",
        "deploy",
    )


@pytest.mark.parametrize(
    "value", [None, "", " ", [], [5], ["Build"], ["a b"], ["x" * 49], ["a"] * 21, ["[a-z]"], {"a": 1}, ["ok", "../x"]]
)
def test_where_sessions_are_limited_a_claim_without_any_allows_none(value: object) -> None:
    assert "no sessions" in refusal(signed(CLAIMS | {"machines": value}), settings_with(sessions_claim="machines"))


def test_sessions_are_named_as_in_tokens_of_our_own() -> None:
    assert (oidc.MAX_PATTERNS, oidc.PATTERN.pattern) == (tokens.MAX_PATTERNS, tokens.PATTERN.pattern)


def test_token_has_one_id_whatever_becomes_of_its_signature() -> None:
    token = signed(CLAIMS)
    twin, other = signed(CLAIMS), signed(CLAIMS | {"iat": NOW_S - 61})
    # ES256 signs with chance: two signatures of one text.
    assert token != twin
    assert identified(token).token_id == identified(twin).token_id != identified(other).token_id
    assert re.fullmatch(TOKEN_ID["pattern"], identified(token).token_id)


def test_claims_for_other_ends_change_nothing() -> None:
    plain = identified(signed(CLAIMS))
    rich = identified(
        signed(CLAIMS | {"role": "admin", "sessions": [], "jti": "x", "kind": "auth", "typ": "ID", "user": "admin"})
    )
    assert (rich.user, rich.role, rich.sessions) == (plain.user, plain.role, plain.sessions)


def test_verifier_is_made_from_settings_and_asks_nobody_yet() -> None:
    async def play() -> None:
        verifier = OidcVerifier.from_settings(SETTINGS)
        with pytest.raises(NotOfIssuer):
            await verifier.identify("no.token.at-all", NOW_S)
        await verifier.close()

    asyncio.run(play())


def test_kinds_are_what_the_settings_call_them() -> None:
    assert {kind.value for kind in TokenKind} == {"id", "access"}
