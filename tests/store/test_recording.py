"""A log read as one account: order, times, gaps, and logs that break off anywhere or hold garbage."""

from __future__ import annotations

import json
import os
import random
import tracemalloc
from pathlib import Path

import pytest

from codewrap.protocol.asciicast import Code, Event
from codewrap.protocol.geometry import Size
from codewrap.store.recording import Account, Narrator, Written, command_line, first_size, status
from codewrap.store.sessionlog import HOLE_BYTES, Entry, LogReader, LogWriter

SIZE = Size(rows=24, cols=80)


def told(directory: Path, *, plain: bool = False, final: bool = False, keep_bytes: int = 1 << 28) -> list[Event]:
    reader = LogReader(directory, keep_bytes)
    narrator = Narrator(plain=plain)
    events = [event for moment in Account(reader).advance(final=final) for event in narrator.tell(moment)]
    reader.close()
    return events + narrator.end()


def text(events: list[Event]) -> str:
    return "".join(event.data for event in events if event.code is Code.OUTPUT)


def sample(directory: Path) -> None:
    """A session in which everything happens."""
    log = LogWriter(directory, 0.0)
    log.resized(SIZE, 0.0)
    log.append("one ä".encode()[:-1], "stdout", 1.0)
    log.append("ä\r\n".encode()[1:], "stdout", 2.0)
    log.mark("join", ["alice"], 2.5)
    log.resized(Size(rows=30, cols=90), 3.0)
    log.append(b"two", "stderr", 3.5)
    log.typed("q", 3.6)
    log.mark("prompt", ["Password:"], 3.7)
    log.mark("marker", ["deployed"], 3.8)
    log.mark("leave", ["alice"], 3.9)
    log.append(b"three\xff", "stdout", 4.0)
    log.ended(3, None, 5.0)
    log.close()


def test_everything_that_happened_is_told_in_order(tmp_path: Path) -> None:
    sample(tmp_path)
    assert told(tmp_path) == [
        Event(0.0, Code.RESIZE, "80x24"),
        Event(1.0, Code.OUTPUT, "one "),
        Event(2.0, Code.OUTPUT, "ä\r\n"),
        Event(2.5, Code.MARKER, "alice joined"),
        Event(3.0, Code.RESIZE, "90x30"),
        Event(3.5, Code.OUTPUT, "two"),
        Event(3.6, Code.INPUT, "q"),
        Event(3.7, Code.MARKER, "awaiting input: Password:"),
        Event(3.8, Code.MARKER, "deployed"),
        Event(3.9, Code.MARKER, "alice left"),
        Event(4.0, Code.OUTPUT, "three�"),
        Event(5.0, Code.EXIT, "3"),
    ]


def test_an_account_goes_on_where_it_ended(tmp_path: Path) -> None:
    log = LogWriter(tmp_path, 0.0)
    account = Account(LogReader(tmp_path))
    log.append(b"a", "stdout", 1.0)
    assert list(account.advance()) == [Written(1.0, 0, b"a", "stdout")]
    assert list(account.advance()) == []
    log.append(b"b", "stdout", 1.001)  # without a line of its own: the last one is of just now
    log.append(b"c", "stderr", 2.0)
    assert list(account.advance()) == [Written(1.0, 1, b"b", "stdout"), Written(2.0, 2, b"c", "stderr")]
    assert (account.position, account.time_s, account.ended) == (3, 2.0, False)
    log.ended(0, None, 3.0)
    assert list(account.advance()) == [Entry(3.0, 3, "exit", (0, None))]
    assert account.ended


def test_a_size_that_is_said_again_is_no_event(tmp_path: Path) -> None:
    log = LogWriter(tmp_path, 0.0)
    for rows in (24, 24, 25, 25, 24):
        log.resized(Size(rows=rows, cols=80), 1.0)
    assert [event.data for event in told(tmp_path)] == ["80x24", "80x25", "80x24"]


def test_lines_of_a_command_without_a_terminal_end_as_terminals_want_them(tmp_path: Path) -> None:
    log = LogWriter(tmp_path, 0.0)
    for at, block in enumerate([b"a\nb\r", b"\nc", b"\n", b"\n\r", b"\n"]):
        log.append(block, "stdout", float(at))
    assert text(told(tmp_path, plain=True)) == "a\r\nb\r\nc\r\n\r\n\r\n"
    assert text(told(tmp_path)) == "a\nb\r\nc\n\n\r\n"


def test_output_that_was_given_back_is_a_stated_gap(tmp_path: Path) -> None:
    keep = HOLE_BYTES // 2
    log = LogWriter(tmp_path, 0.0, keep)
    block = b"x" * (1 << 20)
    for at in range(40):
        log.append(block, "stdout", float(at))
    log.mark("join", ["bob"], 40.0)
    log.append(b"end", "stdout", 41.0)
    log.ended(0, None, 42.0)
    events = told(tmp_path, keep_bytes=keep)
    gap = 2 * HOLE_BYTES
    assert [event.data for event in events if event.code is Code.MARKER] == [
        f"gap: {gap} bytes of output are not held any more",
        "bob joined",
    ]
    assert events[0].time_s == 32.0
    assert text(events) == "x" * (40 * len(block) - gap) + "end"


def test_a_long_log_is_not_held_in_memory(tmp_path: Path) -> None:
    log = LogWriter(tmp_path, 0.0)
    block = b"0123456789abcdef" * 4096
    for at in range(512):
        log.append(block, "stdout", float(at))
    reader = LogReader(tmp_path)
    narrator = Narrator()
    tracemalloc.start()
    size = sum(len(event.data) for moment in Account(reader).advance() for event in narrator.tell(moment))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 512 * len(block)
    assert peak < 4 << 20


def test_a_timeline_torn_at_any_byte_loses_no_output_and_tells_no_garbage(tmp_path: Path) -> None:
    sample(tmp_path)
    whole = (tmp_path / "timeline").read_bytes()
    expected = [(event.code, event.data) for event in told(tmp_path) if event.code is not Code.OUTPUT]
    for end in range(len(whole)):
        (tmp_path / "timeline").write_bytes(whole[:end])
        events = told(tmp_path, final=True)
        assert text(events) == "one ä\r\ntwothree�", end
        others = [(event.code, event.data) for event in events if event.code is not Code.OUTPUT]
        assert others == expected[: len(others)], end
        times = [event.time_s for event in events]
        assert times == sorted(times), end


def test_output_torn_at_any_byte_is_told_up_to_there(tmp_path: Path) -> None:
    sample(tmp_path)
    output = (tmp_path / "output").read_bytes()
    for end in range(len(output)):
        (tmp_path / "output").write_bytes(output[:end])
        events = told(tmp_path, final=True)
        assert text(events) == output[:end].decode(errors="replace")
        assert events[-1].code is Code.EXIT


def test_garbage_and_zeros_of_a_power_loss_are_passed_over(tmp_path: Path) -> None:
    log = LogWriter(tmp_path, 0.0)
    log.resized(SIZE, 0.0)
    log.append(b"whole\0in between", "stdout", 1.0)
    log.close()
    lines = [
        b"\0" * 5000,
        b"[1.5,3",
        b'[1e999,3,"stdout"]',
        b'[NaN,3,"stdout"]',
        b'[-1,3,"stdout"]',
        b'[2,-3,"stdout"]',
        b'[2,3,"resize","a","b"]',
        b'[2,3,"resize",0,0]',
        b'[2,3,"exit"]',
        b'[2,3,"exit","x","y"]',
        b'[2,3,"join"]',
        b'["2",3,"marker","x"]',
        b"[" * 5000,
        b'{"a":1}',
        b"\xff\xfe",
        b'[3,5,"something new",{"of":"later"}]',
        b'[4,1000000,"marker","far"]',
    ]
    with (tmp_path / "timeline").open("ab") as timeline:
        timeline.write(b"\n".join(lines) + b"\n")
    with (tmp_path / "output").open("ab") as output:
        output.truncate(3_000_000)
    events = told(tmp_path, final=True)
    assert text(events).rstrip("\0") == "whole\0in between"
    assert [event.data for event in events if event.code is not Code.OUTPUT] == ["80x24", "far"]


def test_zeros_that_the_command_wrote_are_told_where_it_came_to_its_end(tmp_path: Path) -> None:
    log = LogWriter(tmp_path, 0.0)
    log.append(b"x\0\0", "stdout", 1.0)
    assert text(told(tmp_path, final=True)) == "x"
    log.ended(0, None, 2.0)
    assert text(told(tmp_path, final=True)) == "x\0\0"


@pytest.mark.parametrize("seed", range(5))
def test_random_garbage_in_the_timeline_never_breaks_the_account(tmp_path: Path, seed: int) -> None:
    sample(tmp_path)
    chance = random.Random(seed)
    whole = (tmp_path / "timeline").read_bytes()
    output = (tmp_path / "output").read_bytes().decode(errors="replace")
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        (tmp_path / "timeline").write_bytes(damaged)
        events = told(tmp_path, final=True)
        assert text(events) == output, f"seed {seed}: {bytes(damaged)!r}"
        assert [event.time_s for event in events] == sorted(event.time_s for event in events)


def test_size_in_the_beginning_is_the_first_of_the_timeline(tmp_path: Path) -> None:
    sample(tmp_path)
    assert first_size(LogReader(tmp_path)) == SIZE
    (tmp_path / "timeline").write_bytes(b"")
    assert first_size(LogReader(tmp_path)) == Size(rows=24, cols=80)


def test_labels_from_others_hold_no_control_characters(tmp_path: Path) -> None:
    log = LogWriter(tmp_path, 0.0)
    log.mark("join", ["\x1b[31mmallory\n"], 1.0)
    log.mark("gap", [], 1.0)
    log.mark("prompt", [""], 1.0)
    assert [event.data for event in told(tmp_path)] == [
        "\\x1b[31mmallory\\n joined",
        "gap: output is missing",
        "awaiting input",
    ]


def test_status_is_as_a_shell_shows_it() -> None:
    assert [status(3, None), status(None, 9), status(None, None)] == [3, 137, 0]


def test_command_can_be_typed_as_it_is_told() -> None:
    assert command_line(["sh", "-c", "a 'b'", os.fsdecode(b"\xff")]) == "sh -c 'a '\"'\"'b'\"'\"'' '?'"
    assert json.dumps(command_line(["ä"])) == "\"'\\u00e4'\""
