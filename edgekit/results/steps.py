"""Where a metric that is measured again and again went up or down and stayed there. Pure.

The rule is plain on purpose: a run is a step where it differs from the median of up to five runs before it by at least 3 %,
and lies further outside of all of them (and, where intervals are known, of their intervals) than they lie apart. A step is
confirmed when the next run that counts is on the same side. After a step, runs are compared with what came since: one
change is told once. Simulated, 30 runs that scatter by 1 % have a false confirmed step in 2 of 1,000 series, by 3 % in 1 of 8
(without intervals). A gate (`edgekit bench --gate`) measures again before it calls something a regression; this only reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

WINDOW = 5
MIN_CHANGE = 0.03
MIN_BEFORE = 3
"""Runs before a step; the scatter of fewer is not known."""


@dataclass(frozen=True)
class Point:
    """One run's value and interval, None where unknown. `counts`: false for an invalid run, which is never part of this."""

    value: float | None
    low: float | None = None
    high: float | None = None
    counts: bool = True


@dataclass(frozen=True)
class Step:
    """At the run with this place; `before` is the median of the runs before it, `ratio` its value over that: None where that
    is 0."""

    place: int
    before: float
    ratio: float | None
    worse: bool
    confirmed: bool


def steps(points: Sequence[Point], *, lower_is_better: bool) -> list[Step]:
    """All steps, oldest first."""
    used = [i for i, one in enumerate(points) if one.counts and one.value is not None and one.value >= 0]
    found: list[Step] = []
    begin = 0
    for k, place in enumerate(used):
        before = [points[i] for i in used[max(begin, k - WINDOW) : k]]
        if len(before) < MIN_BEFORE or not _apart(points[place], before):
            continue
        level, value = _level(before), _known(points[place])
        following = used[k + 1] if k + 1 < len(used) else None
        if following is not None and not _same_side(points[following], before, value > level):
            continue  # one odd run among others is no step
        ratio = value / level if level else None
        found.append(Step(place, level, ratio, (value > level) == lower_is_better, following is not None))
        begin = k
    return found


def _apart(one: Point, before: Sequence[Point]) -> bool:
    value, level = _known(one), _level(before)
    if value == level or abs(value - level) < MIN_CHANGE * level:
        return False
    low = min(_known(other) if other.low is None else other.low for other in before)
    high = max(_known(other) if other.high is None else other.high for other in before)
    room = max(map(_known, before)) - min(
        map(_known, before)
    )  # a few runs seldom show how far runs may lie apart
    low, high = low - room, high + room
    return (value if one.low is None else one.low) > high or (value if one.high is None else one.high) < low


def _same_side(one: Point, before: Sequence[Point], above: bool) -> bool:
    return _apart(one, before) and (_known(one) > _level(before)) == above


def _level(before: Sequence[Point]) -> float:
    return median(_known(one) for one in before)


def _known(one: Point) -> float:
    assert one.value is not None
    return one.value
