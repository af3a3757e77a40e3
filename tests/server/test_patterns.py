"""Patterns of people who are not this server's own: what they find, and that none takes long."""

from __future__ import annotations

import pytest

from codewrap.server.patterns import MAX_CHARACTERS, NotAPattern, compile_pattern


def test_a_pattern_searches_as_pythons_own_does() -> None:
    found = compile_pattern(r"^(\w+)-(\d)?$").search("é one\ntwo-\n", 2)
    assert found is not None
    assert (found[0], found.groups(), found.start(), found.end()) == ("two-", ("two", None), 6, 10)
    text = "the very text"
    again = compile_pattern("very").search(text)
    assert again is not None
    assert again.string is text
    assert compile_pattern("x").search("abc") is None


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*x", "(a*)*(a|b)*x", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_what_takes_others_for_ever_is_searched_in_one_pass(pattern: str) -> None:
    # With backtracking the test would end by its time-out, many times over.
    assert compile_pattern(pattern).search("a" * 60_000 + "!") is None


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "empty, or longer"),
        ("x" * (MAX_CHARACTERS + 1), "empty, or longer"),
        ("(", "missing )"),
        ("(?=x)", "invalid perl operator"),
        (r"(x)\1", "invalid escape sequence"),
        ("(a{1000}){1000}", "invalid repetition size"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_in_a_line_that_quotes_nothing(pattern: str, why: str) -> None:
    with pytest.raises(NotAPattern) as caught:
        compile_pattern(pattern)
    assert str(caught.value).startswith(why)
    assert "\n" not in str(caught.value)


def test_nothing_is_written_about_a_wrong_pattern(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotAPattern):
        compile_pattern("secret(")
    assert capfd.readouterr() == ("", "")
