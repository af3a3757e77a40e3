"""The provider's settings: what is wrong is refused at the start, by the setting's name and never by its value."""

from __future__ import annotations

import pytest

from codewrap.errors import ConfigError
from codewrap.protocol.roles import Role
from codewrap.server.oidcsettings import OidcSettings, TokenKind, read_oidc

GOOD = {
    "CODEWRAP_OIDC_ISSUER": "https://login.example.com/realms/team",
    "CODEWRAP_OIDC_AUDIENCE": "codewrap",
    "CODEWRAP_OIDC_ROLES": "*=viewer",
}


def refusal(values: dict[str, str]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read_oidc(values)
    assert "\n" not in str(caught.value)
    return caught.value


def test_no_provider_is_set_where_nothing_is() -> None:
    assert read_oidc({"CODEWRAP_URL": "https://example.com"}) is None


def test_three_settings_are_enough() -> None:
    assert read_oidc(GOOD) == OidcSettings("https://login.example.com/realms/team", ("codewrap",), {"*": Role.VIEWER})


def test_everything_can_be_set() -> None:
    values = GOOD | {
        "CODEWRAP_OIDC_AUDIENCE": "codewrap-page, https://codewrap.example.com/",
        "CODEWRAP_OIDC_ROLES": "ops=admin, team=a=writer,*=viewer",
        "CODEWRAP_OIDC_ROLE_CLAIM": "realm_access.roles",
        "CODEWRAP_OIDC_SESSIONS_CLAIM": "https://example.com/sessions",
        "CODEWRAP_OIDC_USER_CLAIM": "email",
        "CODEWRAP_OIDC_NAME_CLAIM": "nickname",
        "CODEWRAP_OIDC_TOKENS": "id,ACCESS",
    }
    assert read_oidc(values) == OidcSettings(
        "https://login.example.com/realms/team",
        ("codewrap-page", "https://codewrap.example.com/"),
        {"ops": Role.ADMIN, "team=a": Role.WRITER, "*": Role.VIEWER},
        "realm_access.roles",
        "https://example.com/sessions",
        "email",
        "nickname",
        frozenset({TokenKind.ID, TokenKind.ACCESS}),
    )


@pytest.mark.parametrize("issuer", ["https://tenant.example.com/", "http://127.0.0.1:3000", "http://localhost:3000/realm"])
def test_issuer_is_kept_to_the_letter(issuer: str) -> None:
    settings = read_oidc(GOOD | {"CODEWRAP_OIDC_ISSUER": issuer})
    assert settings is not None
    assert settings.issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "http://login.example.com",
        "login.example.com",
        "ftp://login.example.com",
        "https://user:hunter2@login.example.com",
        "https://login.example.com?tenant=hunter2",
        "https://login.example.com#hunter2",
        "https://login example.com",
        "https://login.example.com:port",
        "https://",
        "https://login.example.com/" + "x" * 500,
    ],
)
def test_issuer_that_cannot_be_trusted_is_refused(issuer: str) -> None:
    error = refusal(GOOD | {"CODEWRAP_OIDC_ISSUER": issuer})
    assert error.setting == "CODEWRAP_OIDC_ISSUER"
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    "roles",
    ["", ",", "ops", "=admin", "ops=", "ops=root", "ops=ADMIN", "a=viewer,a=admin", ",".join(f"g{n}=host" for n in range(65))],
)
def test_roles_that_say_nothing_clear_are_refused(roles: str) -> None:
    values = GOOD | {"CODEWRAP_OIDC_ROLES": roles, "CODEWRAP_OIDC_ROLE_CLAIM": "groups"}
    assert refusal(values).setting == "CODEWRAP_OIDC_ROLES"


def test_values_without_a_claim_to_look_for_them_in_are_refused() -> None:
    assert refusal(GOOD | {"CODEWRAP_OIDC_ROLES": "ops=admin,*=viewer"}).setting == "CODEWRAP_OIDC_ROLE_CLAIM"


@pytest.mark.parametrize("audience", ["", " , ", ",".join(f"a{n}" for n in range(65))])
def test_tokens_for_anybody_are_not_accepted(audience: str) -> None:
    assert refusal(GOOD | {"CODEWRAP_OIDC_AUDIENCE": audience}).setting == "CODEWRAP_OIDC_AUDIENCE"


@pytest.mark.parametrize(
    "name",
    ["CODEWRAP_OIDC_ROLE_CLAIM", "CODEWRAP_OIDC_SESSIONS_CLAIM", "CODEWRAP_OIDC_USER_CLAIM", "CODEWRAP_OIDC_NAME_CLAIM"],
)
@pytest.mark.parametrize("path", ["two words", "tab\t", "x" * 201, "ä"])
def test_claim_that_no_token_has_is_refused(name: str, path: str) -> None:
    assert refusal(GOOD | {name: path}).setting == name


def test_kinds_of_tokens_that_do_not_exist_are_refused() -> None:
    assert refusal(GOOD | {"CODEWRAP_OIDC_TOKENS": "id,refresh"}).setting == "CODEWRAP_OIDC_TOKENS"


def test_setting_of_a_provider_without_the_provider_is_refused() -> None:
    error = refusal({"CODEWRAP_OIDC_ROLES": "*=viewer"})
    assert error.setting == "CODEWRAP_OIDC_ISSUER"
    assert "CODEWRAP_OIDC_ROLES" in str(error)
