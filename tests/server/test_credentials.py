"""Session credentials and the request signature, with the check vector of Pusher's documentation."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest

from codewrap.errors import AuthError
from codewrap.server.credentials import (
    LIFETIME_S,
    Issuer,
    SessionCredentials,
    SignedRequest,
    WrongSignature,
    is_session_key,
)

NOW = 1_800_000_000
BODY = b'{"name":"output","channel":"private-command-build","data":"{}"}'
ISSUER = Issuer("7", "app secret")
GRANT = "0123456789abcdef"


def signed(
    credentials: SessionCredentials, *, now: int = NOW, body: bytes = BODY, path: str = "/apps/7/events", **changes: str
) -> SignedRequest:
    """A rightly signed request; ``changes`` replace parameters before signing."""
    parameters = {
        "auth_key": credentials.key,
        "auth_timestamp": str(now),
        "auth_version": "1.0",
        "body_md5": hashlib.md5(body).hexdigest(),
    } | changes
    query = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()))
    text = f"POST\n{path}\n{query}"
    signature = hmac.new(credentials.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return SignedRequest("POST", path, f"{query}&auth_signature={signature}", body, path.split("/")[2])


def test_the_signed_text_is_that_of_the_documentation() -> None:
    query = (
        "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0"
        "&body_md5=ec365a775a4cd0599faeb73354201b6f&auth_signature=ignored"
    )
    request = SignedRequest("POST", "/apps/3/events", query, b"", "3")
    digest = hmac.new(b"7ad3773142a6692b25b8", request.signed_text(request.parameters()), hashlib.sha256).hexdigest()
    assert digest == "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"


def test_what_one_copy_issues_another_copy_knows() -> None:
    credentials = ISSUER.issue("build", GRANT, NOW)
    assert Issuer("7", "app secret").check(signed(credentials), NOW).session == "build"
    assert credentials.expires_at == NOW + LIFETIME_S
    assert credentials.app_id == "7"


def test_sessions_and_times_have_secrets_of_their_own() -> None:
    secrets = {ISSUER.issue(session, GRANT, now).secret for session in ("build", "build-2") for now in (NOW, NOW + 1)}
    secrets |= {
        Issuer("7", "another").issue("build", GRANT, NOW).secret,
        Issuer("8", "app secret").issue("build", GRANT, NOW).secret,
    }
    assert len(secrets) == 6
    assert all(len(secret) == 64 for secret in secrets)


@pytest.mark.parametrize("skew", [-600, 600])
def test_clocks_may_differ_by_ten_minutes(skew: int) -> None:
    assert ISSUER.check(signed(ISSUER.issue("build", GRANT, NOW), now=NOW + skew), NOW).session == "build"


@pytest.mark.parametrize("skew", [-601, 601])
def test_and_by_no_more(skew: int) -> None:
    with pytest.raises(AuthError, match="Timestamp expired"):
        ISSUER.check(signed(ISSUER.issue("build", GRANT, NOW), now=NOW + skew), NOW)


def test_credentials_expire_to_the_second() -> None:
    credentials = ISSUER.issue("build", GRANT, NOW, NOW + 60)
    assert ISSUER.check(signed(credentials, now=NOW + 59), NOW + 59).session == "build"
    with pytest.raises(AuthError, match="expired: ask for new"):
        ISSUER.check(signed(credentials, now=NOW + 60), NOW + 60)


def test_a_later_expiry_cannot_be_claimed() -> None:
    credentials = ISSUER.issue("build", GRANT, NOW, NOW + 60)
    longer = replace(credentials, key=f"cw2.build.{credentials.expires_at + 1}.{GRANT}")
    with pytest.raises(WrongSignature):
        ISSUER.check(signed(longer), NOW)


def test_another_session_cannot_be_claimed() -> None:
    credentials = ISSUER.issue("build", GRANT, NOW)
    with pytest.raises(WrongSignature):
        ISSUER.check(signed(replace(credentials, key=f"cw2.other.{credentials.expires_at}.{GRANT}")), NOW)


def test_another_opening_of_the_session_cannot_be_claimed() -> None:
    credentials = ISSUER.issue("build", GRANT, NOW)
    with pytest.raises(WrongSignature):
        ISSUER.check(signed(replace(credentials, key=f"cw2.build.{credentials.expires_at}.{'0' * 16}")), NOW)


def test_credentials_live_no_longer_than_what_they_rest_on() -> None:
    assert ISSUER.issue("build", GRANT, NOW).expires_at == NOW + LIFETIME_S
    assert ISSUER.issue("build", GRANT, NOW, NOW + 5.9).expires_at == NOW + 5
    assert ISSUER.issue("build", GRANT, NOW, NOW + 10 * LIFETIME_S).expires_at == NOW + LIFETIME_S


def test_the_app_secret_of_another_app_signs_nothing_here() -> None:
    with pytest.raises(WrongSignature):
        ISSUER.check(signed(Issuer("7", "another").issue("build", GRANT, NOW)), NOW)


def test_an_altered_body_is_noticed_even_with_its_new_md5_in_the_query() -> None:
    request = signed(ISSUER.issue("build", GRANT, NOW))
    altered = BODY.replace(b"output", b"screen")
    with pytest.raises(AuthError, match="body_md5"):
        ISSUER.check(replace(request, body=altered), NOW)
    old, new = hashlib.md5(BODY).hexdigest(), hashlib.md5(altered).hexdigest()
    with pytest.raises(WrongSignature):
        ISSUER.check(replace(request, body=altered, query=request.query.replace(old, new)), NOW)


def test_method_and_path_are_signed_too() -> None:
    request = signed(ISSUER.issue("build", GRANT, NOW))
    for changed in (replace(request, method="PUT"), replace(request, path="/apps/7/batch_events")):
        with pytest.raises(WrongSignature):
            ISSUER.check(changed, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"auth_version": "2.0"},
        {"auth_timestamp": "now"},
        {"auth_timestamp": "-1"},
        {"auth_timestamp": "1" * 13},
        {"body_md5": ""},
        {"auth_key": "cw2.build"},
        {"auth_key": "cw2.build.99999999999999.00"},
        {"auth_key": "cw3.build.1900000000.00"},
        {"auth_key": "cw2.Build.1900000000.00"},
        {"auth_key": "cw2.client-x.1900000000.00"},
        {"auth_key": ""},
    ],
)
def test_malformed_parameters_are_refused_though_signed(changes: dict[str, str]) -> None:
    with pytest.raises(AuthError) as caught:
        ISSUER.check(signed(ISSUER.issue("build", GRANT, NOW), **changes), NOW)
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("addition", "reason"),
    [
        ("&auth_key=other", "given twice"),
        ("&AUTH_KEY=other", "given twice"),
        ("&auth_signature=00", "given twice"),
        ("&" + "&".join(f"x{n}=1" for n in range(40)), "too many"),
    ],
)
def test_doubled_and_countless_parameters_are_refused_for_what_they_are(addition: str, reason: str) -> None:
    request = signed(ISSUER.issue("build", GRANT, NOW))
    with pytest.raises(AuthError, match=reason):
        ISSUER.check(replace(request, query=request.query + addition), NOW)


def test_the_path_names_the_same_app() -> None:
    with pytest.raises(AuthError, match="app id"):
        ISSUER.check(signed(ISSUER.issue("build", GRANT, NOW), path="/apps/8/events"), NOW)


@pytest.mark.parametrize("signature", ["", "0" * 64, "ä", "\ud800"])
def test_signatures_are_compared_whatever_they_hold(signature: str) -> None:
    request = signed(ISSUER.issue("build", GRANT, NOW))
    query = request.query.rpartition("=")[0] + "=" + signature
    with pytest.raises(WrongSignature):
        ISSUER.check(replace(request, query=query), NOW)


def test_keys_of_sessions_are_told_from_those_of_apps() -> None:
    assert is_session_key(f"x=1&auth_key={ISSUER.issue('build', GRANT, NOW).key}")
    assert is_session_key("auth_key=cw3.future")
    assert not is_session_key("auth_key=abcdef")
    assert not is_session_key("")
    assert not is_session_key("&".join(["a=1"] * 100))


def test_secrets_do_not_show() -> None:
    credentials = ISSUER.issue("build", GRANT, NOW)
    assert credentials.secret not in repr(credentials)
