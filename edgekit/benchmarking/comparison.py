"""What a comparison is asked for and what it says. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgekit.errors import InputError, VerdictError
from edgekit.records import Record
from edgekit.stats.comparing import PairedRatio, paired_ratio, pairs_needed

ComparisonVerdict = Literal["faster", "slower", "no_difference", "invalid"]

PILOT_PAIRS = 5
"""They only plan: if they counted in the result, a pilot that happened to look quiet would stop the run where it looks
surest, and at no difference one would be told in up to 9 % of runs instead of 5 % (simulated)."""
MIN_PLANNED_PAIRS = 5
MAX_PAIRS = 50
"""A plan never asks for more: 100 launches of a second each are three minutes."""
SIGNIFICANCE = 0.05
MIN_PAIRS = 3


@dataclass(frozen=True)
class Compared:
    """`b` against `a`. `planned_pairs`: what the resolution asked for, before `MAX_PAIRS` cut it; None without one.
    `order`: of all launches, those of `pilot_pairs` first, which are in the records but not in `found`."""

    a: str
    b: str
    found: PairedRatio | None
    verdict: ComparisonVerdict
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    records: tuple[Record, Record]
    order: tuple[str, ...]
    seed: int
    resolution: float | None = None
    planned_pairs: int | None = None
    pilot_pairs: int = 0

    @property
    def ratio_of(self) -> Literal["median", "mean"]:
        """What of each launch the ratio is of."""
        return self.records[0].latency.ci95_of

    def document(self) -> dict[str, Any]:
        """As JSON knows it; the two records are in the store."""
        found = self.found
        return {
            "a": self.a,
            "b": self.b,
            "ratio": found.ratio if found else None,
            "ratio_of": self.ratio_of,
            "ci95_low": found.ci95_low if found else None,
            "ci95_high": found.ci95_high if found else None,
            "p_value": found.p_value if found else None,
            "smallest_effect": found.smallest_effect if found else None,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "pairs": found.pairs if found else 0,
            "pilot_pairs": self.pilot_pairs,
            "planned_pairs": self.planned_pairs,
            "resolution": self.resolution,
            "seed": self.seed,
            "order": list(self.order),
            "records": [record.id for record in self.records],
        }

    def exit_code(self, *, strict: bool = False) -> int:
        """4 where it is invalid (with `strict` also where one of the runs is suspect), else 0: slower is an answer."""
        suspect = any(record.verdict.state == "suspect" for record in self.records)
        return VerdictError.exit_code if self.verdict == "invalid" or (strict and suspect) else 0


def check_resolution(resolution: float | None) -> None:
    """Raises InputError E_PLAN for a share that is not above 0 and at most 1."""
    if resolution is not None and not 0 < resolution <= 1:
        raise InputError(
            f"resolution must be above 0 % and at most 100 %, not {resolution:.3g}",
            code="E_PLAN",
            hint="like --resolution 2%",
        )


def pair_order(seed: int, pair: int) -> tuple[Literal["a", "b"], Literal["a", "b"]]:
    """Which goes first in a pair: at random in every other one, the other way round in the next, so that a drift of the
    device favours neither; the same for the same seed."""
    heads = random.Random(f"{seed} {pair // 2}").random() < 0.5  # noqa: S311
    return ("a", "b") if heads == (pair % 2 == 0) else ("b", "a")


def planned_pairs(a_us: Sequence[float], b_us: Sequence[float], resolution: float) -> int:
    """Pairs that the pilot's medians ask for, after the pilot, before the limit."""
    return max(MIN_PLANNED_PAIRS, pairs_needed(a_us, b_us, resolution))


def compare_pairs(
    a_us: Sequence[float | None], b_us: Sequence[float | None], step_us: float = 0.0
) -> PairedRatio | None:
    """The ratio over the pairs of which both launches gave a median above 0; None with no such pair. `step_us`: of the
    clock, or of what a tool prints."""
    both = [(a, b) for a, b in zip(a_us, b_us, strict=True) if a and b]
    return paired_ratio([a for a, _ in both], [b for _, b in both], step_us) if both else None


def conclude(
    found: PairedRatio | None, a: Record, b: Record, resolution: float | None, planned: int | None
) -> tuple[ComparisonVerdict, tuple[str, ...], tuple[str, ...]]:
    """Verdict, reasons why it is invalid, notes.

    A run that is invalid makes the comparison so. One that is suspect is a note: what disturbs both launches of a pair
    cancels out, what does not makes the interval wide.
    """
    reasons = [f"{who}: {reason}" for reason, who in _told(a, b, "invalid").items()]
    notes = [f"{who} suspect: {reason}" for reason, who in _told(a, b, "suspect").items()]
    if found is None or found.p_value is None or found.pairs < MIN_PAIRS:
        reasons.append(f"{found.pairs if found else 0} pairs are too few; at least {MIN_PAIRS} are needed")
    if resolution is not None and found is not None and found.smallest_effect is not None:
        if planned is not None and planned > MAX_PAIRS:
            notes.append(
                f"{resolution:.2%} would have taken {planned} pairs; {MAX_PAIRS} is the most that is run"
            )
        if found.smallest_effect > resolution:
            notes.append(
                f"differences below {found.smallest_effect:.2%} could not be seen; {resolution:.2%} was asked"
            )
    if reasons or found is None or found.p_value is None:
        return "invalid", tuple(reasons), tuple(notes)
    if found.p_value >= SIGNIFICANCE:
        return "no_difference", (), tuple(notes)
    return ("slower" if found.ratio > 1 else "faster"), (), tuple(notes)


def _told(a: Record, b: Record, state: str) -> dict[str, str]:
    """Reasons of the runs in this state, each with whose it is: what disturbs a device is told by both."""
    found: dict[str, str] = {}
    for name, record in (("a", a), ("b", b)):
        if record.verdict.state == state:
            for reason in record.verdict.reasons:
                found[reason] = f"{found[reason]} and {name}" if reason in found else name
    return found
