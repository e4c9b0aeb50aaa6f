"""One metric over time, with the runs marked that changed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.records.metrics import Metric
from edgekit.results.asking import RunRow, Trend

RUNS_BEFORE = 5
"""A change is against so many valid runs: one of them alone may have been an odd one."""


@dataclass(frozen=True)
class Point:
    """`change`: the run's 95 % interval of latency lies beyond those of all five valid runs before it; None elsewhere, and
    for metrics that have no interval."""

    run: str
    started_at: str
    version: str | None
    verdict: str
    value: float | None
    ci95_low: float | None
    ci95_high: float | None
    change: Literal["better", "worse"] | None

    @property
    def words(self) -> tuple[str, str, str | None, str]:
        return self.run, self.started_at, self.version, self.verdict


def told_apart(trends: Sequence[Trend]) -> tuple[str, ...]:
    """What sets each apart from the others of its model, recipe, device's model and runtime, which have the same title: the
    profile, the project and the device's address, as far as those differ. Empty where the title is enough."""
    return tuple(
        ", ".join(_apart(one, [other for other in trends if _titled(other) == _titled(one)]))
        for one in trends
    )


def _titled(one: Trend) -> tuple[str | None, ...]:
    return one.model, one.recipe, one.device_model or one.device, one.runtime


def _apart(one: Trend, alike: Sequence[Trend]) -> Iterator[str]:
    if len({other.profile for other in alike}) > 1:
        yield f"profile {one.profile}" if one.profile else "no profile"
    if len({other.project for other in alike}) > 1:
        yield f"project {one.project}" if one.project else "no project"
    if len({other.device for other in alike}) > 1:
        yield one.device


def points_of(runs: Sequence[RunRow], wanted: Metric) -> tuple[Point, ...]:
    """Oldest first, as `runs` are. An interval is known of the median latency only; of the mean where there is no median."""
    before: list[tuple[float, float]] = []
    found = []
    for run in runs:
        interval_of = ("mean_latency",) if run.median_us is None else ("median_latency", "p50_latency")
        low, high = (run.ci95_low_us, run.ci95_high_us) if wanted.name in interval_of else (None, None)
        change: Literal["better", "worse"] | None = None
        if low is not None and high is not None:
            recent = before[-RUNS_BEFORE:]
            if len(recent) == RUNS_BEFORE:
                if low > max(one[1] for one in recent):
                    change = "worse"
                elif high < min(one[0] for one in recent):
                    change = "better"
            if run.verdict == "valid":
                before.append((low, high))
        value = run.metrics[wanted.name]
        found.append(Point(run.id, run.started_at, run.model_version, run.verdict, value, low, high, change))
    return tuple(found)
