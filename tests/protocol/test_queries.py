"""Questions found in output, and what a host without a terminal says."""

from __future__ import annotations

import pytest

from codewrap.protocol.queries import QueryKind, QuerySpotter, Responder, TerminalFacts, find_queries
from codewrap.protocol.safety import Sanitizer, strip_reports
from tests.support.attacks import Attack, corpus

FACTS = TerminalFacts(cursor_row=4, cursor_col=9, rows=24, cols=80, modes={2004: True, 25: False})
EXCHANGES = {
    b"\x1b[c": b"\x1b[?62;22c",
    b"\x1bZ": b"\x1b[?62;22c",
    b"\x1b[>c": b"\x1b[>1;10;0c",
    b"\x1b[=c": b"\x1bP!|00000000\x1b\\",
    b"\x1b[5n": b"\x1b[0n",
    b"\x1b[6n": b"\x1b[5;10R",
    b"\x1b[?6n": b"\x1b[?5;10R",
    b"\x1b[?996n": b"",
    b"\x1b[>0q": b"\x1bP>|codewrap\x1b\\",
    b"\x1b[?2004$p": b"\x1b[?2004;1$y",
    b"\x1b[?25$p": b"\x1b[?25;2$y",
    b"\x1b[?9999$p": b"\x1b[?9999;0$y",
    b"\x1b[4$p": b"\x1b[4;0$y",
    b"\x1b[?u": b"",
    b"\x1b[?4m": b"",
    b"\x1b[18t": b"\x1b[8;24;80t",
    b"\x1b[14t": b"",
    b"\x1b[x": b"",
    b"\x1b[1;1;1;1;1;1*y": b"",
    b"\x1b[1$w": b"",
    b"\x1b]11;?\x07": b"",
    b"\x1b]4;1;?\x1b\\": b"",
    b"\x1b]52;c;?\x07": b"",
    b"\x1bP$qm\x1b\\": b"\x1bP0$r\x1b\\",
    b"\x1bP+q544e\x1b\\": b"\x1bP0+r\x1b\\",
    b"\x05": b"",
}
DRAWING = b"text\r\n\x1b[1;31m\x1b[?25l\x1b[?2004h\x1b]0;is this a query?\x07\x1b]11;#000\x07\x1b[>1u\x1b[>4;2m\x1b[1 q\x1b[!p"


@pytest.mark.parametrize(("question", "reply"), EXCHANGES.items(), ids=map(repr, EXCHANGES))
def test_every_question_is_found_answered_and_kept_from_viewers(question: bytes, reply: bytes) -> None:
    stream = b"before" + question + b"after"
    assert [query.end for query in find_queries(stream)] == [len(b"before" + question)]
    assert Responder().answers(stream, FACTS) == reply
    one_by_one = Responder()
    assert b"".join(one_by_one.answers(bytes([byte]), FACTS) for byte in stream) == reply
    assert Sanitizer().feed(stream) == b"beforeafter"
    assert strip_reports(reply) == b""


def test_drawing_holds_no_questions() -> None:
    assert find_queries(DRAWING) == []
    assert QuerySpotter().feed(DRAWING) == []


def test_questions_come_in_order_with_their_arguments() -> None:
    found = QuerySpotter().feed(b"\x1b[?12$p\x1b[5nx\x1b[?996n\x1b[c\x1b[14;2t")
    assert [(query.kind, query.argument) for query in found] == [
        (QueryKind.PRIVATE_MODE, 12),
        (QueryKind.STATUS, 0),
        (QueryKind.PRIVATE_STATUS, 996),
        (QueryKind.PRIMARY_ATTRIBUTES, 0),
        (QueryKind.WINDOW, 14),
    ]


def test_cursor_waiting_to_wrap_is_in_the_last_column() -> None:
    facts = TerminalFacts(cursor_row=0, cursor_col=80, cols=80)
    assert Responder().answers(b"\x1b[6n", facts) == b"\x1b[1;80R"


def test_keyboard_protocol_is_admitted_only_if_spoken() -> None:
    assert Responder().answers(b"\x1b[?u", TerminalFacts(keyboard_flags=5)) == b"\x1b[?5u"


@pytest.mark.parametrize("beginning", [b"\x1b[", b"\x1b]10;", b"\x1bP$q", b"\x1b_G"])
def test_a_question_without_an_end_takes_no_memory_and_hides_none_behind_it(beginning: bytes) -> None:
    spotter = QuerySpotter()
    assert spotter.feed(beginning) == []
    for _ in range(160):
        assert spotter.feed(b"1" * 65_536) == []
    assert len(spotter._cutter.pending) <= 4096
    assert [query.kind for query in spotter.feed(b"\x18\x1b[5n")] == [QueryKind.STATUS]


@pytest.mark.parametrize("attack", corpus(), ids=lambda attack: attack.name)
def test_questions_are_the_same_however_they_are_cut_and_answers_are_reports(attack: Attack) -> None:
    whole = Responder().answers(attack.stream, FACTS)
    if len(attack.stream) < 1000:
        byte_by_byte = Responder()
        assert b"".join(byte_by_byte.answers(bytes([byte]), FACTS) for byte in attack.stream) == whole
    assert strip_reports(whole) == b""
    assert len(whole) <= 8 * len(attack.stream)
