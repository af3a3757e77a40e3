"""The one form of a refusal."""

from __future__ import annotations

import json

import pytest

from codewrap.server.refusals import Refusal, bad_request, forbidden, too_large, too_many


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (bad_request("x"), 400, "bad_request"),
        (forbidden("x"), 403, "forbidden"),
        (too_large("x", 5), 413, "too_large"),
        (too_many("x", 7), 429, "too_many"),
    ],
)
def test_a_refusal_is_json_with_code_and_message(refusal: Refusal, status: int, code: str) -> None:
    response = refusal.response()
    assert response.status_code == status
    assert json.loads(bytes(response.body)) == {"error": {"code": code, "message": refusal.message}}
    assert response.headers["content-type"] == "application/json"


def test_patience_is_asked_for_in_a_header() -> None:
    assert too_many("x", 7).response().headers["retry-after"] == "7"
    assert "retry-after" not in bad_request("x").response().headers


def test_401_names_the_scheme() -> None:
    assert Refusal(401, "unauthorized", "x").response().headers["www-authenticate"].startswith("Bearer")
