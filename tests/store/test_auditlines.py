"""One line of an audit log: its form as another program would check it, and what may stand in it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewrap.store.auditlines import (
    MAX_FIELDS,
    MAX_LINE_BYTES,
    MAX_VALUE_CHARACTERS,
    NO_HASH,
    bounded,
    build,
    file_name,
    file_numbers,
    may_be_unfinished,
    parse,
    torn_fields,
    utc,
)

AT = "2026-01-31T23:59:59.123Z"
ANYTHING = st.one_of(st.text(max_size=300), st.integers(), st.booleans(), st.none(), st.floats(), st.binary(max_size=9))
FIELDS = st.dictionaries(st.text("abcdefghij_", min_size=1, max_size=20), ANYTHING, max_size=MAX_FIELDS + 4)


def as_documented(line: bytes) -> str:
    """The hash that the document asks for, from the line's JSON alone."""
    members = json.loads(line)
    del members["hash"]
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


@given(FIELDS)
def test_every_line_is_bounded_harmless_and_hashed_as_documented(fields: dict[str, Any]) -> None:
    line, digest = build("input", bounded(fields), 7, AT, NO_HASH)
    assert line.endswith(b"\n")
    assert len(line) <= MAX_LINE_BYTES
    assert line[:-1].decode("ascii").isprintable()
    assert json.loads(line)["hash"] == digest == as_documented(line)
    record = parse(line[:-1])
    assert record is not None
    assert (record.seq, record.hash, record.prev, record.event) == (7, digest, NO_HASH, "input")
    assert all(type(value) in {str, int, bool, type(None)} for value in record.fields.values())
    texts = [value for value in record.fields.values() if isinstance(value, str)]
    assert all(len(text) <= MAX_VALUE_CHARACTERS and text.isprintable() for text in texts)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_line_with_one_byte_changed_is_none(at: int, change: int) -> None:
    line, _ = build("input", {"user": "anna", "size": 12}, 7, AT, NO_HASH)
    altered = bytearray(line[:-1])
    altered[at % len(altered)] ^= change
    assert parse(bytes(altered)) is None


def test_a_line_cut_short_or_with_something_behind_it_is_none() -> None:
    line = build("input", {"user": "anna"}, 7, AT, NO_HASH)[0]
    assert [end for end in range(len(line) - 1) if parse(line[:end]) is not None] == []
    assert parse(line) is None


@pytest.mark.parametrize("members", [b"[1]", b'{"a":1}', b'{"event":"e","prev":"","seq":"1"}', b'{"event":1,"prev":"","seq":1}'])
def test_what_is_hashed_and_no_record_is_none(members: bytes) -> None:
    digest = hashlib.sha256(members).hexdigest().encode()
    assert parse(members[:-1] + b',"hash":"' + digest + b'"}') is None


def test_strings_are_cut_and_escaped() -> None:
    fields = bounded({"name": "x" * 1000, "evil": "a\x1b[2J\n", "half": "\ud800"})
    assert fields == {"name": "x" * (MAX_VALUE_CHARACTERS - 1) + "…", "evil": "a\\x1b[2J\\n", "half": "\\ud800"}


def test_values_that_are_none_of_the_plain_kinds_are_named_and_not_shown() -> None:
    assert bounded({"a": b"secret", "b": 1.5, "c": 2**53, "d": -(2**53) + 1}) == {
        "a": "a bytes",
        "b": "a float",
        "c": "out of range",
        "d": -(2**53) + 1,
    }


def test_too_many_fields_are_cut() -> None:
    assert list(bounded({f"f{number:02}": 1 for number in range(40)})) == [f"f{number:02}" for number in range(MAX_FIELDS)]


def test_the_chain_wins_over_fields_of_its_names() -> None:
    fields: dict[str, Any] = {"seq": 0, "prev": "", "hash": "", "at": "", "event": ""}
    line, digest = build("input", bounded(fields), 7, AT, NO_HASH)
    record = parse(line[:-1])
    assert record is not None
    assert (record.seq, record.hash, record.prev, record.event, record.fields) == (7, digest, NO_HASH, "input", {"at": AT})
    assert as_documented(line) == digest


@pytest.mark.parametrize(
    ("at_s", "shown"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_769_903_999.1234, "2026-01-31T23:59:59.123Z"),
        (1_769_903_999.9996, "2026-02-01T00:00:00.000Z"),
    ],
)
def test_times_are_utc_with_milliseconds(at_s: float, shown: str) -> None:
    assert utc(at_s) == shown


def test_files_of_the_log_are_told_from_others(tmp_path: Path) -> None:
    for name in (file_name(12), file_name(3), "00000004.jsonl~", "4.jsonl", "notes"):
        (tmp_path / name).touch()
    assert file_numbers(tmp_path) == [3, 12]


def test_what_a_killed_writer_can_leave_is_a_line_s_beginning() -> None:
    line = build("input", {"user": "anna"}, 7, AT, NO_HASH)[0][:-1]
    assert [end for end in range(len(line) + 1) if not may_be_unfinished(line[:end])] == []
    assert not may_be_unfinished(line + b"x")
    assert torn_fields(b"abc") == {"bytes": 3, "digest": hashlib.sha256(b"abc").hexdigest()}
