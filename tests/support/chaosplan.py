"""What the chaos relay is going to do, as data from one seed: probabilities for events, outages of connections."""

from __future__ import annotations

import random
from dataclasses import dataclass

OUTAGES = ("cut", "hang up", "away", "stall up", "stall down", "stall", "half-open up", "half-open down", "half-open", "throttle")


@dataclass(frozen=True)
class Rates:
    """How probable each fate is for an event that passes in one direction, or is posted."""

    drop: float = 0.0
    repeat: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    refuse: float = 0.0  # posts only: 503 or 429, and nothing is delivered
    fail: float = 0.0  # posts only: delivered, and answered with 503 all the same
    cut: float = 0.0  # posts only: the connection breaks, before or after it is delivered
    delay_most_s: float = 0.3

    @classmethod
    def from_random(cls, generator: random.Random) -> Rates:
        def rate() -> float:
            return generator.choice((0.0, 0.0, 0.05, 0.15, 0.4))

        return cls(rate(), rate(), rate(), rate(), rate() / 2, rate() / 2, rate() / 2, generator.uniform(0.02, 0.5))


@dataclass(frozen=True)
class Outage:
    """From ``at_s`` after the beginning for ``lasts_s``: ``what`` is of OUTAGES."""

    at_s: float
    lasts_s: float
    what: str
    bytes_per_s: int = 0

    def concerns(self, direction: str) -> bool:
        return not self.what.endswith((" up", " down")) or self.what.endswith(direction)


@dataclass(frozen=True)
class SidePlan:
    """What one side's relay does. ``seed`` decides about each event; "up" is towards the broker."""

    seed: str = ""
    up: Rates = Rates()
    down: Rates = Rates()
    posts: Rates = Rates()
    outages: tuple[Outage, ...] = ()
    calm_s: float = 0.0
    lies: float = 0.0  # how many of the events, by `tests/support/lies.py`


@dataclass(frozen=True)
class ChaosPlan:
    """Everything that happens in one run, as a function of ``seed``."""

    seed: int
    calm_s: float
    host: SidePlan
    viewer: SidePlan

    @classmethod
    def from_seed(cls, seed: int) -> ChaosPlan:
        generator = random.Random(f"chaos {seed}")
        calm_s = generator.uniform(1.5, 3.0)
        sides = [_side(generator, f"{seed} {name}", calm_s) for name in ("host", "viewer")]
        return cls(seed, calm_s, *sides)

    @classmethod
    def of_lies(cls, seed: int) -> ChaosPlan:
        """Both sides' broker lies, and nothing else happens."""
        generator = random.Random(f"lies {seed}")
        calm_s = generator.uniform(1.5, 3.0)
        host, viewer = (SidePlan(f"{seed} {name}", calm_s=calm_s, lies=generator.choice((0.1, 0.3, 0.6))) for name in "hv")
        return cls(seed, calm_s, host, viewer)


def _side(generator: random.Random, seed: str, calm_s: float) -> SidePlan:
    outages = [_outage(generator, calm_s) for _ in range(generator.choice((0, 0, 1, 1, 2)))]
    rates = [Rates.from_random(generator) for _ in range(3)]
    return SidePlan(seed, *rates, tuple(sorted(outages, key=lambda outage: outage.at_s)), calm_s)


def _outage(generator: random.Random, calm_s: float) -> Outage:
    at_s = generator.uniform(0.1, calm_s * 0.8)
    lasts_s = min(generator.uniform(0.2, 1.5), calm_s - at_s)
    return Outage(at_s, lasts_s, generator.choice(OUTAGES), generator.choice((20_000, 60_000, 200_000)))
