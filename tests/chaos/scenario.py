"""What happens in the session of a seed: which faults, what people do meanwhile, how it ends.

All of it is a function of the seed; when exactly it meets what else happens is the machine's affair.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from codewrap.protocol.geometry import Size
from tests.chaos import program
from tests.chaos.pictures import Pictures
from tests.chaos.stage import DEADLINE_S, Broker, Sizes, Stage
from tests.support.chaosplan import ChaosPlan

SIZES = (Size(24, 80), Size(30, 100), Size(18, 60), Size(24, 120), Size(12, 44))
PASTED_LINES = 3000
# In so many sessions the host's second process is killed among the faults, while the command still runs.
UPLINK_DIES = 0.2


@dataclass(frozen=True)
class Told:
    """What did not hold in a session, and its story."""

    wrong: list[str]
    story: str


@dataclass(frozen=True)
class _Typed:
    """What the viewer's person does, and when."""

    at_s: float
    text: bytes


class Scenario:
    """The session of one seed over one broker."""

    def __init__(self, seed: int, broker: Broker, root: Path, pictures: Pictures, plan: ChaosPlan | None = None) -> None:
        self._seed = seed
        self._plan = plan or ChaosPlan.from_seed(seed)
        self._random = random.Random(f"scenario {seed}")
        self._ends_in_faults = self._random.random() < 0.25
        self._typed = self._what_is_typed()
        self._pause = threading.Event()
        self._title = f"seed {seed} over {broker.kind}, which ends {'among' if self._ends_in_faults else 'after'} the faults"
        sizes = Sizes(*self._random.choices(SIZES, k=3))
        self._stage = Stage(broker, root, pictures, sizes, (self._plan.host, self._plan.viewer))

    def play(self) -> Told:
        """The whole session; raises AssertionError where it cannot even go on."""
        with self._stage as stage:
            try:
                stage.start(self._seed, "ends" if self._ends_in_faults else "waits")
                self._go_through_faults()
                if not self._ends_in_faults:
                    stage.check_rest()
                    stage.order("quit")
                stage.check_end(last_words=program.last_words(self._seed) if self._ends_in_faults else "")
            except AssertionError as error:
                raise AssertionError(f"{self._title}: {error}\n{stage.story()}") from error
            return Told(stage.wrong, f"{self._title}\n{stage.story()}")

    def _go_through_faults(self) -> None:
        begun_s = time.monotonic()
        for relay in self._stage.relays:
            relay.begin()
        self._stage.order("go")
        for at_s, act in self._agenda():
            self._pause.wait(max(0.0, begun_s + at_s - time.monotonic()))
            act()
        for relay in self._stage.relays:
            assert relay.calm.wait(DEADLINE_S)

    def _agenda(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """Everything that people do, in order."""
        settle_s = self._plan.calm_s * self._random.uniform(0.3, 0.7)
        acts: list[tuple[float, Callable[[], None]]] = [(settle_s, self._stage.settle)]
        for _ in range(self._random.choice((0, 1, 3))):
            at_s, size, who = self._random.uniform(0.1, settle_s), self._random.choice(SIZES), self._random.choice("hw")
            acts.append((at_s, lambda who=who, size=size: self._resize(who, size)))
        if self._random.random() < 0.3:
            acts.append((self._random.uniform(0.1, self._plan.calm_s), self._stage.join_late))
        acts += [(each.at_s, lambda each=each: self._stage.type(each.text)) for each in self._typed]
        if self._random.random() < UPLINK_DIES:
            acts.append((self._random.uniform(0.1, settle_s), self._stage.kill_uplink))
        yield from sorted(acts, key=lambda act: act[0])

    def _resize(self, who: str, size: Size) -> None:
        (self._stage.host if who == "h" else self._stage.writer).resize(size)

    def _what_is_typed(self) -> list[_Typed]:
        """Lines with numbers, all among the faults; sometimes a paste."""
        count = self._random.choice((3, 10, 40))
        times = sorted(self._random.uniform(0.0, self._plan.calm_s) for _ in range(count))
        lines = [f"{number:05d} {self._random.choice(program.WORDS[:10])}\r".encode() for number in range(count)]
        pasted = self._random.randrange(count * 3)
        if pasted < count:
            lines[pasted] = b"".join(b"%05d.%05d pasted and pasted\r" % (pasted, row) for row in range(PASTED_LINES))
        return [_Typed(at_s, line) for at_s, line in zip(times, lines, strict=True)]
