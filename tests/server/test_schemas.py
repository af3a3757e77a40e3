"""The schemas' own form. That they describe what is sent and answered, `test_openapi.py` shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from codewrap.server.schemas import SCHEMAS
from tests.support.schema import Mismatch, check


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from parts(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from parts(value)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_an_object_names_its_members_and_every_pattern_is_anchored(name: str) -> None:
    for part in parts(SCHEMAS[name]):
        if part.get("type") == "object" and "required" in part:
            assert set(part["required"]) <= part["properties"].keys()
        if isinstance(part.get("pattern"), str):
            assert part["pattern"].startswith("^")
            re.compile(part["pattern"])


@pytest.mark.parametrize(
    ("user", "right"), [("alice", True), ("a.b", False), ("admin", False), ("sso@x", False), ("administrator", True)]
)
def test_new_users_are_neither_admin_nor_the_provider_s(user: str, right: bool) -> None:
    value = {"user": user, "role": "viewer"}
    document = {"components": {"schemas": SCHEMAS}}
    if right:
        check(value, SCHEMAS["TokenRequest"], document)
    else:
        with pytest.raises(Mismatch):
            check(value, SCHEMAS["TokenRequest"], document)
