"""The three ways in which a token of a provider lets nobody in."""

from __future__ import annotations

import pytest

from codewrap.errors import CodewrapError
from codewrap.server.oidcerrors import NotOfIssuer, OidcError, ProviderAway, TokenRefused


@pytest.mark.parametrize("kind", [NotOfIssuer, TokenRefused, ProviderAway])
def test_error_shows_its_reason_and_is_one_of_the_tree(kind: type[OidcError]) -> None:
    error = kind("the token has expired")
    assert str(error) == error.reason == "the token has expired"
    assert isinstance(error, CodewrapError)


def test_no_kind_passes_for_another() -> None:
    kinds = (NotOfIssuer, TokenRefused, ProviderAway)
    assert [[issubclass(one, other) for other in kinds] for one in kinds] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]
