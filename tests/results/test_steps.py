"""Where a trend has a step: tables. (D3.5)"""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.results.steps import Point, steps

pytestmark = pytest.mark.base


def points(*values: float | None, spread: float | None = None) -> list[Point]:
    made = []
    for value in values:
        known = value is not None and spread is not None
        low, high = (value * (1 - spread), value * (1 + spread)) if known else (None, None)  # type: ignore[operator]
        made.append(Point(value, low, high))
    return made


@pytest.mark.parametrize(
    ("values", "spread", "expected"),
    [
        ((5, 5.1, 4.9, 0, 0), None, [(3, 0.0, False, True)]),  # 0 is a value
        ((0, 0, 0, 5, 5), None, [(3, None, True, True)]),
        ((0, 0, 0, 0, 0), None, []),
        ((100, 101, 99, 120, 121), None, [(3, 1.2, True, True)]),
        ((100, 101, 99, 80, 81), None, [(3, 0.8, False, True)]),
        ((100, 101, 99, 120), None, [(3, 1.2, True, False)]),
        ((100, 101, 99, 120, 100, 101), None, []),  # one odd run
        ((100, 101, 99, 102, 103), None, []),  # less than 3 %
        ((100, 110, 90, 108, 107), None, []),  # within what was there before
        ((100, 120, 121, 119), None, []),  # too few before
        ((100, 101, 99, 120, 121), 0.15, []),  # intervals have something in common
        ((100, 101, None, 99, None, 120, 121), 0.01, [(5, 1.2, True, True)]),
        ((100, 100, 100, 120, 120, 120, 150, 150), 0.01, [(3, 1.2, True, True), (6, 1.25, True, True)]),
        ((), None, []),
    ],
)
def test_steps(
    values: tuple[float, ...], spread: float | None, expected: list[tuple[int, float | None, bool, bool]]
) -> None:
    found = steps(points(*values, spread=spread), lower_is_better=True)
    told = [
        (one.place, None if one.ratio is None else round(one.ratio, 2), one.worse, one.confirmed)
        for one in found
    ]
    assert told == expected


def test_more_is_better_of_some_metrics_and_invalid_runs_do_not_count() -> None:
    made = points(100, 101, 99, 120, 121)
    assert not steps(made, lower_is_better=False)[0].worse
    made[3] = Point(500.0, counts=False)
    assert steps(made, lower_is_better=True)[0].place == 4


def test_how_often_noise_is_called_a_step() -> None:
    """1,000 series of 30 runs that do not change, without intervals. Runs that scatter by 1 %: 2 in 1,000 have a confirmed
    step; by 3 %: 1 in 8, which is why this is a mark and no gate. A step of 10 % in runs that scatter by 1 % is found."""
    random = np.random.default_rng(11)

    def share(scatter: float, change: float) -> float:
        hits = 0
        for _ in range(1000):
            values = np.exp(random.normal(0, scatter, 30))
            values[15:] *= change
            found = steps(points(*values.tolist()), lower_is_better=True)
            hits += any(one.confirmed and (change == 1 or 15 <= one.place <= 17) for one in found)
        return hits / 1000

    assert share(0.01, 1) <= 0.01
    assert share(0.03, 1) <= 0.18
    assert share(0.01, 1.1) >= 0.95
