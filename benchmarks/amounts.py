"""How much is measured: in full, one benchmark at a time; shorter, for all of them in one run; and hardly anything, for a try."""

from dataclasses import dataclass, replace

# The field that `--runs` sets.
RUNS = {
    "echo": "echo_keys",
    "throughput": "flood_rounds",
    "file": "file_rounds",
    "stall": "stall_rounds",
    "events": "event_rounds",
    "large": "joins",
    "idle": "idle_s",
    "startup": "launches",
    "kept": "kept_runs",
}


@dataclass(frozen=True, slots=True)
class Amounts:
    """Samples per peer, sizes and times of all benchmarks."""

    echo_keys: int
    flood_rounds: int
    file_rounds: int
    stall_rounds: int
    event_rounds: int
    joins: int
    idle_s: int
    launches: int
    kept_runs: int
    kept_sessions: int = 10_000
    flood_mib: int = 20
    large_mib: int = 1024
    stall_s: float = 10.0
    # A peer that has used this much time has no further floods.
    peer_budget_s: float = 120.0

    @property
    def flood_bytes(self) -> int:
        """Size of the log that floods."""
        return self.flood_mib * 2**20

    def runs(self, kind: str) -> int:
        """What `--runs` of this benchmark is by default."""
        return int(getattr(self, RUNS[kind]))

    def with_runs(self, kind: str, runs: int | None) -> "Amounts":
        """The same with `--runs` for one benchmark, where it was given."""
        return self if runs is None else replace(self, **{RUNS[kind]: runs})

    def with_size(self, mib: int, *, large: bool) -> "Amounts":
        """The same with `--mib`."""
        return replace(self, large_mib=mib) if large else replace(self, flood_mib=mib)


FULL = Amounts(200, 10, 5, 3, 5, 10, 150, 20, 7)
ALL = Amounts(200, 4, 3, 3, 3, 5, 130, 5, 3, peer_budget_s=15.0)
QUICK = Amounts(20, 1, 1, 1, 1, 2, 10, 2, 1, kept_sessions=500, flood_mib=4, large_mib=64, stall_s=3.0)
