"""Checks a value against the part of JSON Schema that our OpenAPI document uses; fails on a keyword that it does not know."""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_NOTES = {"description", "contentEncoding"}


class Mismatch(AssertionError):
    """The value is not what the schema says."""


def check(value: Any, schema: dict[str, Any], document: dict[str, Any], where: str = "$") -> None:
    """Raises Mismatch."""
    for keyword, argument in schema.items():
        if keyword not in _NOTES:
            _CHECKS[keyword](value, argument, schema, document, where)


def _need(right: bool, where: str, what: str) -> None:
    if not right:
        raise Mismatch(f"{where}: {what}")


def _ref(value: Any, target: str, schema: dict[str, Any], document: dict[str, Any], where: str) -> None:
    found: Any = document
    for part in target.removeprefix("#/").split("/"):
        found = found[part]
    check(value, found, document, where)


def _type(value: Any, kinds: Any, schema: dict[str, Any], document: dict[str, Any], where: str) -> None:
    names = kinds if isinstance(kinds, list) else [kinds]
    right = any(isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool)) for name in names)
    _need(right, where, f"not of type {kinds}")


def _properties(value: Any, properties: Any, schema: dict[str, Any], document: dict[str, Any], where: str) -> None:
    for name in properties.keys() & value.keys():
        check(value[name], properties[name], document, f"{where}.{name}")


def _required(value: Any, names: Any, schema: dict[str, Any], document: dict[str, Any], where: str) -> None:
    _need(set(names) <= value.keys(), where, f"lacks one of {names}")


def _additional(value: Any, allowed: Any, schema: dict[str, Any], document: dict[str, Any], where: str) -> None:
    assert allowed is False
    _need(value.keys() <= schema["properties"].keys(), where, "has other fields")


def _one_of(value: Any, options: Any, schema: dict[str, Any], document: dict[str, Any], where: str) -> None:
    fitting = 0
    for option in options:
        try:
            check(value, option, document, where)
        except Mismatch:
            continue
        fitting += 1
    _need(fitting == 1, where, f"fits {fitting} of the options")


def _items(value: Any, each: Any, schema: dict[str, Any], document: dict[str, Any], where: str) -> None:
    for number, item in enumerate(value):
        check(item, each, document, f"{where}[{number}]")


def _not(value: Any, other: Any, schema: dict[str, Any], document: dict[str, Any], where: str) -> None:
    try:
        check(value, other, document, where)
    except Mismatch:
        return
    raise Mismatch(f"{where}: fits what it must not")


def _any_of(value: Any, options: Any, schema: dict[str, Any], document: dict[str, Any], where: str) -> None:
    for option in options:
        try:
            check(value, option, document, where)
        except Mismatch:
            continue
        return
    _need(False, where, "fits none of the options")


_CHECKS: dict[str, Any] = {
    "not": _not,
    "$ref": _ref,
    "type": _type,
    "properties": _properties,
    "required": _required,
    "additionalProperties": _additional,
    "oneOf": _one_of,
    "anyOf": _any_of,
    "items": _items,
    "const": lambda v, a, s, d, w: _need(v == a, w, f"is not {a!r}"),
    "enum": lambda v, a, s, d, w: _need(v in a, w, f"is none of {a}"),
    "pattern": lambda v, a, s, d, w: _need(re.search(a, v) is not None, w, f"does not match {a}"),
    "minLength": lambda v, a, s, d, w: _need(len(v) >= a, w, "is too short"),
    "maxLength": lambda v, a, s, d, w: _need(len(v) <= a, w, "is too long"),
    "minItems": lambda v, a, s, d, w: _need(len(v) >= a, w, "has too few"),
    "maxItems": lambda v, a, s, d, w: _need(len(v) <= a, w, "has too many"),
    "uniqueItems": lambda v, a, s, d, w: _need(len(set(v)) == len(v), w, "repeats"),
    "minimum": lambda v, a, s, d, w: _need(not isinstance(v, int) or v >= a, w, "is too small"),  # of numbers only
    "maximum": lambda v, a, s, d, w: _need(v <= a, w, "is too large"),
    "exclusiveMinimum": lambda v, a, s, d, w: _need(v > a, w, "is too small"),
    "exclusiveMaximum": lambda v, a, s, d, w: _need(v < a, w, "is too large"),
}
