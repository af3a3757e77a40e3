"""Links for prompts: asked for beside everything else, told in order, and told without where there is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from codewrap.errors import CodewrapError, TransportError
from codewrap.uplink.answerlinks import MAX_WAITING, AnswerLinks
from codewrap.uplink.occurrence import LINE, Happening, Occurrence, Place

PLACE = Place(120, 7, LINE)
AWAITS = Occurrence(Happening.AWAITING, "build", "Name:", ("it asks",), 5.0, "codewrap attach build", "run-1", PLACE)
ENDED = Occurrence(Happening.ENDED, "build", "exit 0", (), 6.0, "codewrap attach build", "run-2")


class Server:
    """Makes links, when it is let."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Place]] = []
        self.reported: list[tuple[str, str]] = []
        self.failure: CodewrapError | None = None
        self.gate = threading.Event()
        self.gate.set()

    def link(self, prompt: str, place: Place) -> str:
        self._wait()
        self.asked.append((prompt, place))
        return "https://server/a/build#token"

    def report(self, link: str, outcome: str) -> None:
        self._wait()
        self.reported.append((link, outcome))

    def _wait(self) -> None:
        assert self.gate.wait(30)
        if self.failure is not None:
            raise self.failure


class Bench:
    def __init__(self) -> None:
        self.server = Server()
        self.told: list[Occurrence] = []
        self.failed: list[str] = []
        self.links = AnswerLinks(self.server, self.told.append, self.failed.append)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.server.gate.set()
    made.links.close()


def test_prompt_is_told_with_its_link_and_all_else_without(bench: Bench) -> None:
    bench.links.tell(AWAITS)
    bench.links.tell(ENDED)
    bench.links.close()
    assert bench.server.asked == [("Name:", PLACE)]
    assert [(told.event, told.answer_url) for told in bench.told] == [
        (Happening.AWAITING, "https://server/a/build#token"),
        (Happening.ENDED, ""),
    ]


def test_who_tells_waits_for_nothing_and_the_order_stays(bench: Bench) -> None:
    bench.server.gate.clear()
    bench.links.tell(AWAITS)
    bench.links.tell(ENDED)
    assert bench.told == []
    bench.server.gate.set()
    bench.links.close()
    assert [told.event for told in bench.told] == [Happening.AWAITING, Happening.ENDED]


def test_without_a_link_it_is_told_all_the_same_and_the_reason_is_said_once(bench: Bench) -> None:
    bench.server.failure = TransportError("the server", "is away")
    bench.links.tell(AWAITS)
    bench.links.tell(AWAITS)
    bench.links.report("c1", "gone")
    bench.links.close()
    assert bench.told == [AWAITS, AWAITS]
    assert bench.failed == [str(bench.server.failure)]


def test_prompt_whose_place_is_not_known_has_no_link(bench: Bench) -> None:
    nowhere = Occurrence(Happening.AWAITING, "build", "Name:", (), 5.0, "codewrap attach build", "run-1")
    bench.links.tell(nowhere)
    bench.links.close()
    assert (bench.told, bench.server.asked) == ([nowhere], [])


def test_what_became_of_an_answer_is_passed_on(bench: Bench) -> None:
    bench.links.report("c1", "typed")
    bench.links.close()
    assert bench.server.reported == [("c1", "typed")]


def test_more_than_a_server_keeps_up_with_is_dropped_and_said(bench: Bench) -> None:
    bench.server.gate.clear()
    for number in range(MAX_WAITING + 3):
        bench.links.report(f"c{number}", "gone")
    assert bench.failed == ["the server does not keep up"]


def test_end_of_what_never_began_is_no_trouble() -> None:
    Bench().links.close()
