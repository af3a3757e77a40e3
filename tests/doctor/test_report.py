"""Findings as values."""

from __future__ import annotations

from codewrap.doctor.report import MAX_DETAIL_CHARACTERS, Report, Status, all_skipped, failed, passed, skipped, warned, words
from codewrap.errors import AuthError, ConfigError, TransportError


def test_only_a_failure_makes_the_whole_fail() -> None:
    harmless = (passed("a", "fine"), warned("b", "odd", "look"), skipped("c", "needs a"))
    assert Report("direct", "http://x", harmless).ok
    assert not Report("direct", "http://x", (*harmless, failed("d", "dead", "start it"))).ok


def test_a_failure_and_a_warning_say_what_to_do() -> None:
    assert failed("a", "it is dead", "start it").detail == "it is dead: start it"
    assert warned("a", "it is old", "renew it").detail == "it is old: renew it"


def test_the_object_has_exactly_what_programs_were_promised() -> None:
    report = Report("direct", "http://x", (passed("a", "fine", 1.23456), skipped("b", "no")))
    assert report.as_object() == {
        "ok": True,
        "mode": "direct",
        "server": "http://x",
        "checks": [
            {"name": "a", "status": "ok", "detail": "fine", "ms": 1.23},
            {"name": "b", "status": "skip", "detail": "no", "ms": None},
        ],
    }


def test_findings_are_counted_by_status() -> None:
    report = Report(None, None, (*all_skipped(("a", "b"), "no server"), passed("c", "fine")))
    assert [report.count(status) for status in Status] == [1, 0, 0, 2]


def test_a_servers_words_cannot_move_the_cursor_nor_fill_the_screen() -> None:
    assert "\x1b" not in failed("a", "\x1b[2J", "x").detail
    assert len(passed("a", "x" * 10_000).detail) == MAX_DETAIL_CHARACTERS


def test_words_leave_out_the_server_and_keep_the_code() -> None:
    assert words(AuthError("http://x", "wrong signature", 401)) == "refused (401), wrong signature"
    assert words(TransportError("http://x", "cannot be reached")) == "cannot be reached"
    assert words(ConfigError("app id", "must be a number")) == "app id: must be a number"
