"""Rows of benchmarks/push.py: which tool was best, and how much faster or slower edgekit is, with an interval. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekit.stats import median_interval


@dataclass(frozen=True)
class Ratio:
    """Of two ways in the same rounds: the median of the rounds' ratios, and the 95 % confidence interval of
    edgekit.stats.median_interval (Student's t on their logarithms; None with fewer than two rounds)."""

    median: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.median:.2f}"
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Ratio:
    """Paired by round. Raises ValueError where the rounds differ in number."""
    ratios = [a / b for a, b in zip(numerator, denominator, strict=True)]
    return Ratio(statistics.median(ratios), *median_interval(ratios))


def fastest(seconds: Mapping[str, Sequence[float]]) -> str:
    """The way with the smallest median; the first of equal ones."""
    return min(seconds, key=lambda name: statistics.median(seconds[name]))


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def header(*names: str) -> str:
    return row(*names) + "\n" + "|---" * len(names) + "|"


def megabytes(count: float | None) -> str:
    """Decimal megabytes; nothing where unknown."""
    if count is None:
        return ""
    return f"{count / 1e6:.3g}" if count < 1e8 else f"{count / 1e6:.0f}"


def seconds_text(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def median_or_none(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
