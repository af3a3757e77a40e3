"""Whatever is done to a log's lines is found, and where; what cannot be found is said. And reading it along."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from codewrap.errors import StoreError
from codewrap.store.audit import AuditLog, Head
from codewrap.store.auditcheck import AuditReader, Verdict, verify
from codewrap.store.auditlines import NO_HASH, file_name, file_numbers, parse

Files = list[bytes]


@functools.cache
def log_of_several_files() -> tuple[Files, Head]:
    """Four files, the first of which are gone; in the last but one a line that a killed writer left, and one that was lost."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "audit"
        log = AuditLog(directory, 1024, 4)
        for number in range(24):
            log.write("input", user="anna", number=number)
            if number == 18:
                log.close()
                with (directory / file_name(file_numbers(directory)[-1])).open("ab") as file:
                    file.write(b'{"at":"2026-01-31T23:59:59.123Z","ev')
                log.count_lost(1)
        log.close()
        return [(directory / file_name(number)).read_bytes() for number in file_numbers(directory)], log.head()


def first_number() -> int:
    line = parse(log_of_several_files()[0][0].split(b"\n")[0])
    assert line is not None
    return int(line.fields["file"])


def verdict_of(files: Files, head: Head | None = None) -> Verdict:
    with tempfile.TemporaryDirectory() as place:
        for number, data in enumerate(files, first_number()):
            (Path(place) / file_name(number)).write_bytes(data)
        return verify(Path(place), head)


def why(files: Files, head: Head | None = None) -> str:
    problem = verdict_of(files, head).problem
    return "" if problem is None else str(problem)


def all_lines() -> list[bytes]:
    return [line for data in log_of_several_files()[0] for line in data.splitlines(keepends=True)]


def with_lines(lines: list[bytes | None]) -> Files:
    """The files with these lines in place of their own; several in one place, or none."""
    files, position = [], 0
    for data in log_of_several_files()[0]:
        count = len(data.splitlines())
        files.append(b"".join(line for line in lines[position : position + count] if line is not None))
        position += count
    return files


def test_the_log_is_whole_as_it_was_written() -> None:
    files, head = log_of_several_files()
    verdict = verdict_of(files, head)
    assert verdict.problem is None
    assert (verdict.files, verdict.torn, verdict.lost, verdict.unfinished_bytes) == (4, 1, 1, 0)
    assert verdict.head == head
    assert verdict.first_seq > 1
    assert verdict.lines == head.seq - verdict.first_seq + 1 == len(all_lines()) - 1


@given(st.data())
def test_any_byte_changed_is_found(data: st.DataObject) -> None:
    files = list(log_of_several_files()[0])
    which = data.draw(st.integers(0, len(files) - 1))
    at = data.draw(st.integers(0, len(files[which]) - 1))
    changed = bytearray(files[which])
    changed[at] ^= data.draw(st.one_of(st.integers(1, 255), st.just(changed[at] ^ 10 or 1)))
    files[which] = bytes(changed)
    assert why(files)


@given(st.data())
def test_any_byte_removed_or_put_in_is_found(data: st.DataObject) -> None:
    files = list(log_of_several_files()[0])
    which = data.draw(st.integers(0, len(files) - 1))
    is_last = which == len(files) - 1
    at = data.draw(st.integers(0, len(files[which]) - (2 if is_last else 1)))
    put = data.draw(st.one_of(st.just(b""), st.binary(min_size=1, max_size=3)))
    files[which] = files[which][:at] + put + files[which][at + (not put) :]
    assume(files[which] != log_of_several_files()[0][which])
    assert why(files)


@given(st.data())
def test_any_lines_removed_are_found_but_for_the_last_ones(data: st.DataObject) -> None:
    lines: list[bytes | None] = list(all_lines())
    at = data.draw(st.integers(0, len(lines) - 2))
    until = data.draw(st.integers(at + 1, min(len(lines) - 1, at + 6)))
    lines[at:until] = [None] * (until - at)
    assert why(with_lines(lines))


@given(st.data())
def test_any_two_lines_swapped_are_found(data: st.DataObject) -> None:
    lines: list[bytes | None] = list(all_lines())
    one = data.draw(st.integers(0, len(lines) - 1))
    two = data.draw(st.integers(0, len(lines) - 1))
    assume(one != two)
    lines[one], lines[two] = lines[two], lines[one]
    assert why(with_lines(lines))


@given(st.data())
def test_any_line_put_in_is_found(data: st.DataObject) -> None:
    lines: list[bytes | None] = list(all_lines())
    at = data.draw(st.integers(0, len(lines) - 1))
    strange = st.one_of(st.binary(max_size=200), st.just(b"{}"), st.just(b'{"at":"2026')).map(lambda line: line + b"\n")
    put = data.draw(st.one_of(st.sampled_from(all_lines()), strange))
    line = lines[at]
    assert line is not None
    lines[at] = line + put if data.draw(st.booleans()) else put + line
    assert why(with_lines(lines))


@given(st.integers(1, 10_000))
def test_an_end_cut_off_is_found_with_a_head_that_was_kept(cut: int) -> None:
    files, head = log_of_several_files()
    behind_its_first_line = len(files[-1]) - len(files[-1].splitlines(keepends=True)[0])
    last = files[-1][: -(cut % behind_its_first_line or 1)]
    cut_files = [*files[:-1], last]
    assert why(cut_files) == ""  # this is what cannot be found without one
    if len(files[-1]) - len(last) > 1:  # more than the newline
        assert why(cut_files, head).startswith(f"{file_name(first_number() + 3)}: truncated: ")


def test_an_end_rewritten_is_found_with_a_head_that_was_kept() -> None:
    with tempfile.TemporaryDirectory() as place:
        heads = []
        for user in ("anna", "ben"):
            log = AuditLog(Path(place) / user, clock=lambda: 1.0)
            log.write("input", user=user)
            log.write("input", user=user)
            heads.append(log.head())
            log.close()
        assert verify(Path(place) / "ben", heads[1]).problem is None
        problem = verify(Path(place) / "ben", heads[0]).problem
        assert str(problem) == "00000001.jsonl, line 3: altered: line 3 of the log was another one when its head was noted"


def test_a_head_of_lines_that_are_gone_cannot_be_told_but_the_last_of_them() -> None:
    files, _ = log_of_several_files()
    first = parse(files[0].split(b"\n")[0])
    assert first is not None
    assert why(files, Head(first.seq - 1, first.prev)) == ""
    assert "altered" in why(files, Head(first.seq - 1, "f" * 64))
    assert "cannot be told" in why(files, Head(first.seq - 2, "f" * 64))
    assert why(files, Head(first.seq, first.hash)) == ""


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_file_removed_is_found(gone: int) -> None:
    files, _ = log_of_several_files()
    with tempfile.TemporaryDirectory() as place:
        for number, data in enumerate(files, first_number()):
            if number != first_number() + gone:
                (Path(place) / file_name(number)).write_bytes(data)
        problem = verify(Path(place)).problem
    assert problem is not None
    assert problem.why.startswith("removed: ")


def test_a_line_moved_over_a_file_s_end_is_found() -> None:
    files, _ = log_of_several_files()
    header = files[1].splitlines(keepends=True)[0]
    moved = [files[0] + header, files[1][len(header) :], *files[2:]]
    assert "reordered: here begins" in why(moved)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:2] + lines[3:], "00000001.jsonl, line 3: removed: line 3 of the log should stand before it"),
        (lambda lines: lines[:2] + lines[4:], "00000001.jsonl, line 3: removed: line 3 to 4 of the log should stand before it"),
        (
            lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
            "00000001.jsonl, line 3: reordered: line 3 of the log belongs here, which stands in 00000001.jsonl, line 4",
        ),
        (
            lambda lines: [*lines[:4], lines[2], *lines[4:]],
            "00000001.jsonl, line 5: inserted: line 3 of the log, which has its place before, again or in another form",
        ),
        (
            lambda lines: [*lines[:4], b"anything\n", *lines[4:]],
            "00000001.jsonl, line 5: inserted: no line of this log, and the next one follows from the one before",
        ),
        (
            lambda lines: [*lines[:4], lines[4].replace(b"anna", b"eve!"), *lines[5:]],
            "00000001.jsonl, line 5: altered: its hash is not that of what it says",
        ),
        (lambda lines: lines[1:], "00000001.jsonl, line 1: removed: the file's first line is not there"),
        (lambda _: [b"\n"], "00000001.jsonl, line 1: altered: its hash is not that of what it says"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path: Path, change: Any, said: str) -> None:
    log = AuditLog(tmp_path / "audit")
    for number in range(6):
        log.write("input", user="anna", number=number)
    log.close()
    path = tmp_path / "audit" / file_name(1)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    assert str(verify(tmp_path / "audit").problem) == said


def test_a_line_rewritten_with_a_right_hash_does_not_fit_the_next(tmp_path: Path) -> None:
    for user in ("anna", "eve"):
        log = AuditLog(tmp_path / user, clock=lambda: 1.0)
        for number in range(4):
            log.write("input", user=user, number=number)
        log.close()
    path = tmp_path / "anna" / file_name(1)
    real = path.read_bytes().splitlines(keepends=True)
    forged = (tmp_path / "eve" / file_name(1)).read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*forged[:3], *real[3:]]))
    assert "line 4: altered: it does not follow from the line before" in str(verify(tmp_path / "anna").problem)


def test_one_file_alone_can_be_checked(tmp_path: Path) -> None:
    files, _ = log_of_several_files()
    for name in (file_name(first_number() + 1), "copy.jsonl"):
        (tmp_path / name).write_bytes(files[1])
        assert verify(tmp_path / name).problem is None
    (tmp_path / file_name(77)).write_bytes(files[1])
    assert "reordered: this is file" in str(verify(tmp_path / file_name(77)).problem)


def test_a_line_longer_than_any_can_be_is_no_line(tmp_path: Path) -> None:
    (tmp_path / file_name(1)).write_bytes(b"x" * 300_000)
    assert verify(tmp_path).problem is not None


def test_a_log_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    assert "none of its files" in str(verify(tmp_path).problem)
    for read in (lambda: verify(tmp_path / "no"), lambda: list(AuditReader(tmp_path / "no").read())):
        with pytest.raises(StoreError, match="cannot be read"):
            read()


def test_a_log_is_read_along_over_its_files(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    log = AuditLog(directory, 1024, 100)
    log.open()
    reader = AuditReader(directory)
    seen: list[int] = []
    for number in range(30):
        log.write("input", number=number)
        if number % 7 == 0:
            seen += [line["number"] for line in reader.read() if line["event"] == "input"]
    seen += [line["number"] for line in reader.read() if line["event"] == "input"]
    log.close()
    assert seen == list(range(30))
    assert list(reader.read()) == []
    assert len(file_numbers(directory)) > 3


def test_a_reader_waits_for_a_line_to_end_and_shows_what_it_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / file_name(1)
    path.write_bytes(b'{"event":"a"}\n[1]\n\xff\n{"ev')
    reader = AuditReader(tmp_path)
    assert list(reader.read()) == [
        {"event": "a"},
        {"event": "unreadable", "bytes": 3},
        {"event": "unreadable", "bytes": 1},
    ]
    with path.open("ab") as file:
        file.write(b'ent":"b"}\n')
    assert list(reader.read()) == [{"event": "b"}]


def test_a_verdict_on_nothing_has_the_head_of_nothing(tmp_path: Path) -> None:
    (tmp_path / file_name(1)).touch()
    assert verify(tmp_path) == Verdict(1, 0, 1, Head(0, NO_HASH))
