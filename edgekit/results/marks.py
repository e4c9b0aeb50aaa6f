"""What stands out in a trend: steps of a metric, and releases. Pure; the page of trends and the command tell the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.records.metrics import Metric
from edgekit.results import wording as w
from edgekit.results.asking import RunRow
from edgekit.results.steps import Point, Step, steps


@dataclass(frozen=True)
class Marks:
    """Of runs, oldest first. `releases`: by the place of a run, what is not as of the run before it."""

    points: tuple[Point, ...]
    steps: tuple[Step, ...]
    releases: dict[int, str]


@dataclass(frozen=True)
class StepTold:
    """A step by its run. `ratio`: to the median of the runs before; None where that is 0."""

    run: str
    started_at: str
    value: float | None
    before: float
    ratio: float | None
    worse: bool
    confirmed: bool


@dataclass(frozen=True)
class ReleaseTold:
    run: str
    started_at: str
    changes: str


def marks_of(rows: Sequence[RunRow], wanted: Metric) -> Marks:
    points = tuple(point_of(row, wanted) for row in rows)
    found = steps(points, lower_is_better=wanted.lower_is_better)
    return Marks(points, tuple(found), releases_of(rows))


def point_of(row: RunRow, wanted: Metric) -> Point:
    """A run's value, with its interval where the metric has one."""
    low = high = None
    if wanted.name == "median_latency":
        low, high = row.ci95_low_us, row.ci95_high_us
    return Point(row.value(wanted.name), low, high, counts=row.verdict != "invalid")


def releases_of(rows: Sequence[RunRow]) -> dict[int, str]:
    """Where the model's or the runtime's version is not the run's before: its place, and what changed."""
    found: dict[int, str] = {}
    for i in range(1, len(rows)):
        before, now = rows[i - 1], rows[i]
        changes = []
        if (before.model_version, before.model_sha256) != (now.model_version, now.model_sha256):
            old, new = before.model_version or "?", now.model_version or "?"
            changes.append(f"model {old} → {new}" if old != new else f"model file changed ({new})")
        if before.runtime_version != now.runtime_version:
            changes.append(f"{now.runtime} {before.runtime_version or '?'} → {now.runtime_version or '?'}")
        if changes:
            found[i] = ", ".join(changes)
    return found


def step_words(step: Step, wanted: Metric) -> str:
    """What changed by how much: "median latency 1.30 × what it was, by one run so far"."""
    by = f"{w.significant(step.ratio, 3)} × what it was" if step.ratio is not None else "no longer 0"
    return f"{wanted.title.lower()} {by}{'' if step.confirmed else ', by one run so far'}"


def told(rows: Sequence[RunRow], marks: Marks) -> tuple[tuple[StepTold, ...], tuple[ReleaseTold, ...]]:
    """Marks by their runs, for other programs."""
    every = [
        StepTold(
            run=rows[one.place].id,
            started_at=rows[one.place].started_at,
            value=marks.points[one.place].value,
            before=one.before,
            ratio=one.ratio,
            worse=one.worse,
            confirmed=one.confirmed,
        )
        for one in marks.steps
    ]
    releases = [ReleaseTold(rows[i].id, rows[i].started_at, words) for i, words in marks.releases.items()]
    return tuple(every), tuple(releases)
