"""What the figures of benchmarks/quantization.py mean: pure functions from figures to yes and no."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

OURS = "edgekit"
RMS_PROMISE, EQUAL_SIZE = 1.02, 1.02
LATENCY_SLACK, LOSS_SLACK, SIZE_SLACK = 0.03, 0.02, 0.01
RESCUE_POINTS, RESCUE_LATENCY, FALLEN_POINTS = 0.01, 1.25, 0.05


@dataclass(frozen=True)
class Lost:
    """Over the evaluation samples: how many are right, how many predictions are others than the float model's, and the root
    mean square of the differences of all logits."""

    correct: int
    flips: int
    rms: float
    samples: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.samples


@dataclass(frozen=True)
class Row:
    """One file's figures: of one network and seed."""

    tool: str
    scheme: str
    format: str
    size_bytes: int
    lost: Lost
    latency_us: float | None = None


@dataclass(frozen=True)
class Against:
    """edgekit's rms over that of the best other tool, at equal size, for each seed. `best`: that tool, the one that was most
    often so."""

    format: str
    scheme: str
    best: str
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        return math.exp(sum(map(math.log, self.ratios)) / len(self.ratios))

    @property
    def kept(self) -> bool:
        return self.ratio <= RMS_PROMISE


def against_best(by_seed: Sequence[Sequence[Row]], format_: str, scheme: str) -> Against | None:
    """None where no other tool makes a file of that scheme which is no more than EQUAL_SIZE times as large as edgekit's."""
    names, ratios = [], []
    for rows in by_seed:
        same = [row for row in rows if (row.format, row.scheme) == (format_, scheme)]
        ours = next((row for row in same if row.tool == OURS), None)
        if ours is None:
            continue
        others = [row for row in same if row.tool != OURS and row.size_bytes <= ours.size_bytes * EQUAL_SIZE]
        if not others:
            continue
        best = min(others, key=lambda row: row.lost.rms)
        names.append(best.tool)
        ratios.append(_ratio(ours.lost.rms, best.lost.rms))
    if not ratios:
        return None
    return Against(format_, scheme, max(sorted(set(names)), key=names.count), tuple(ratios))


def _ratio(ours: float, theirs: float) -> float:
    """Of two errors; both without any are equal."""
    tiny = 1e-12
    return max(ours, tiny) / max(theirs, tiny)


def beaten_by(one: Row, rows: Sequence[Row]) -> Row | None:
    """What keeps `one` from the Pareto front of latency, bytes and rms: a file that is no worse in any of them and better in one by
    more than the slack (3 % of the latency, 2 % of the rms, 1 % of the bytes)."""
    if one.latency_us is None:
        return None
    for other in rows:
        if other is one or other.latency_us is None:
            continue
        pairs = (
            (other.latency_us, one.latency_us, LATENCY_SLACK),
            (other.size_bytes, one.size_bytes, SIZE_SLACK),
            (other.lost.rms, one.lost.rms, LOSS_SLACK),
        )
        no_worse = all(theirs <= mine for theirs, mine, _ in pairs)
        if no_worse and any(theirs * (1 + slack) < mine for theirs, mine, slack in pairs):
            return other
    return None


@dataclass(frozen=True)
class Rescued:
    """`source`, `fallen`, `rescued`: accuracy of the float model, of its int8-static file and of what --rescue made of it."""

    source: float
    fallen: float
    rescued: float
    fallen_us: float
    rescued_us: float

    @property
    def was_lost(self) -> bool:
        return self.source - self.fallen >= FALLEN_POINTS

    @property
    def kept(self) -> bool:
        back = self.source - self.rescued <= RESCUE_POINTS + 1e-9
        return self.was_lost and back and self.rescued_us <= RESCUE_LATENCY * self.fallen_us
