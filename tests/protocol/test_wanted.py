"""What is looked for: found in lines, and told from afar which texts cannot have it."""

from __future__ import annotations

import random
import re

import pytest

from codewrap.protocol.wanted import MAX_TRIGRAMS, Wanted, certain, folded, trigrams


def test_text_is_found_as_it_stands() -> None:
    wanted = Wanted("a.b")
    assert wanted.spans("xa.b and a.b") == [(1, 4), (9, 12)]
    assert wanted.spans("axb A.B") is None


def test_case_counts_unless_it_is_said_not_to() -> None:
    assert Wanted("Łódź").spans("łódź") is None
    assert Wanted("Łódź", ignore_case=True).spans("w łódź") == [(2, 6)]
    assert Wanted("a.b", ignore_case=True).spans("AxB") is None


def test_a_regular_expression_matches_within_a_line() -> None:
    assert Wanted(r"^er+or \d+$", regex=True).spans("errror 12") == [(0, 9)]
    assert Wanted(r"E\w+", regex=True, ignore_case=True).spans("an error") == [(3, 8)]


def test_what_takes_no_room_is_found_and_marks_nothing() -> None:
    assert Wanted("x*", regex=True).spans("axa") == [(1, 2)]
    assert Wanted("^", regex=True).spans("axa") == []


def test_what_is_no_expression_is_refused() -> None:
    with pytest.raises(re.error):
        Wanted("(", regex=True)
    assert Wanted("(").spans("f(x)") == [(1, 2)]


@pytest.mark.parametrize(
    ("pattern", "runs"),
    [
        ("connection refused", ["connection refused"]),
        ("^error: .*timeout$", ["error: ", "timeout"]),
        (r"def \w+_seconds\(", ["def ", "_seconds("]),
        ("colou?r=(red|green)blue", ["colo", "blue"]),
        ("abcd*efgh+ijk", ["abc", "efgh", "ijk"]),
        ("abcd{0,2}efg", ["abc", "efg"]),
        ("abc[x-z]def[]]ghi[^]a]jkl", ["abc", "def", "ghi", "jkl"]),
        (r"a\.b\.c", ["a.b.c"]),
        ("((abc)def)ghi", ["ghi"]),
        ("abc|def", []),
        (r"abc\x41def", []),
        (r"(abc)\1", []),
        ("ab", []),
        ("(?i)abc", ["abc"]),
        ("(?x) a b c", []),
        ("(?:abc)?def", ["def"]),
        ("abc(?!def)ghi", ["abc", "ghi"]),
        ("(abc)*def", ["def"]),
        ("abc(|x)def", ["abc", "def"]),
    ],
)
def test_what_must_stand_in_a_match_is_known_from_the_expression(pattern: str, runs: list[str]) -> None:
    assert certain(pattern, re.compile(pattern).flags) == runs


def test_no_match_lacks_what_an_expression_is_said_to_need() -> None:
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    atoms = ["a", "b", "c", "abc", "cab", ".", "[ab]", "[^a]", "(ab|c)", "(?:abc)", r"\.", r"\w", "^", "$", r"\b", "x{2}", "{"]
    suffixes = ["", "", "", "*", "?", "+", "{0,2}", "*?", "{2}", "??"]
    matched = 0
    for _ in range(3000):
        pattern = "".join(rng.choice(atoms) + rng.choice(suffixes) for _ in range(rng.randrange(1, 7)))
        try:
            compiled = re.compile(pattern, rng.choice([0, re.IGNORECASE]))
        except re.error:
            continue
        text = "".join(rng.choice("abcABC.x{ ") for _ in range(60))
        wanted = Wanted(pattern, regex=True, ignore_case=bool(compiled.flags & re.IGNORECASE))
        if compiled.search(text):
            matched += 1
            form = folded(text)
            assert all(trigram in form for trigram in wanted.trigrams), (seed, pattern, text)
            assert wanted.may_be_in(text), (seed, pattern, text)
            assert wanted.spans(text) is not None
    assert matched > 100, seed


def test_letters_that_match_without_case_have_one_form() -> None:
    ascii_letters = [(letter, re.compile(letter, re.IGNORECASE)) for letter in "abcdefghijklmnopqrstuvwxyz"]
    pairs = 0
    for letter in map(chr, (*range(0xD800), *range(0xE000, 0x20000))):
        if not letter.isalpha():
            continue
        others = {letter.lower(), letter.upper(), letter.swapcase(), letter.title()} - {letter}
        matching = [other for other in others if len(other) == 1 and re.fullmatch(letter, other, re.IGNORECASE)]
        matching += [other for other, pattern in ascii_letters if pattern.fullmatch(letter)]
        pairs += len(matching)
        assert [other for other in matching if folded(letter) != folded(other)] == [], letter
    assert pairs > 1000


def test_trigrams_are_those_of_the_folded_text_once_each() -> None:
    assert trigrams(["ABab"]) == ("aba", "bab")
    assert trigrams(["ab", ""]) == ()
    assert trigrams(["abcabc"]) == ("abc", "bca", "cab")


def test_of_a_long_text_some_trigrams_are_enough() -> None:
    text = "".join(f"{number:03}" for number in range(500))
    found = trigrams([text])
    assert len(found) <= MAX_TRIGRAMS
    assert all(trigram in text for trigram in found)
    assert Wanted(text).spans(text) == [(0, len(text))]
