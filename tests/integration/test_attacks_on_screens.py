"""Attacks that reach a viewer by way of cells: in the screen that a late one gets, and on a terminal of another size."""

from __future__ import annotations

import pytest

from codewrap.protocol.geometry import Size
from codewrap.protocol.queries import find_queries
from codewrap.protocol.safety import Sanitizer
from codewrap.terminal.emulator import Screen
from codewrap.viewer.letterbox import Letterbox
from tests.support.attacks import Attack, complain, corpus

CORPUS = corpus()
SIZE, OTHER = Size(rows=10, cols=40), Size(rows=6, cols=30)


@pytest.mark.parametrize("attack", CORPUS, ids=lambda attack: attack.name)
def test_the_screen_for_a_late_viewer_holds_nothing_of_an_attack(attack: Attack) -> None:
    screen = Screen(SIZE)
    screen.feed(b"before " + attack.stream)
    sanitizer = Sanitizer()
    reached = sanitizer.feed(screen.snapshot(10)) + sanitizer.feed(b"\x18 after")
    assert complain(reached) == []
    assert find_queries(reached) == []
    assert reached.endswith(b" after")
    assert screen.failures == 0
    joined = Screen(SIZE)
    joined.feed(reached)
    screen.feed(b"\x18 after")
    assert joined.title == screen.title or attack.kind == "title"  # one that is too long or turned round is cut


@pytest.mark.parametrize("attack", CORPUS, ids=lambda attack: attack.name)
def test_a_terminal_of_another_size_gets_cells_and_modes_alone(attack: Attack) -> None:
    for cut in attack.cuts(most=8):
        letterbox = Letterbox(SIZE, OTHER)
        reached = letterbox.feed(b"before ") + letterbox.feed(attack.stream[:cut]) + letterbox.feed(attack.stream[cut:] + b"\x18")
        assert complain(reached) == [], cut
        assert find_queries(reached) == []
        assert b"\x1b]" not in reached
