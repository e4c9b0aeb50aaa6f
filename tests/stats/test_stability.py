"""Drift, steps, modes and disagreeing launches are found where they are, and not where they are not (D1.4)."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.stats.agreement import agreement, launches_to_see_modes
from edgekit.stats.drift import Slope, combine
from edgekit.stats.effective import effective_count
from edgekit.stats.levels import levels_of
from edgekit.stats.modes import find_modes
from edgekit.stats.stability import stability_of
from edgekit.stats.steps import best_step, steady_from
from edgekit.stats.types import Stability

pytestmark = pytest.mark.base


def launch(seed: int, count: int = 200, median: float = 5000.0, sd: float = 0.01) -> np.ndarray:
    return median * np.exp(np.random.default_rng(seed).normal(0, sd, count))


def five(**more: float) -> list[np.ndarray]:
    return [launch(seed, **more) for seed in range(5)]


def test_a_quiet_run_has_nothing_to_tell() -> None:
    found = stability_of(five())
    assert (found.step, found.modes_apart, found.never_steady, found.launches_disagree) == (
        None,
        None,
        0,
        False,
    )
    assert found.run_drift == pytest.approx(0, abs=0.01)
    assert found.run_drift_low is not None
    assert found.run_drift_high is not None
    assert found.run_drift_low < found.run_drift < found.run_drift_high
    assert not found.run_drift_certain
    assert found.effective_count == pytest.approx(1000, rel=0.15)


def test_a_drift_over_the_run_is_found_though_launches_differ_more() -> None:
    """3 % over 5 s, on launches that differ at random by 2 %: only their insides tell."""
    random = np.random.default_rng(3)
    row = [
        launch(seed, 400, sd=0.005)
        * np.exp(random.normal(0, 0.02))
        * (1 + 0.03 * (seed + np.linspace(0, 1, 400)) / 5)
        for seed in range(5)
    ]
    found = stability_of(row, [second * 2e6 for second in range(5)])
    assert found.run_drift == pytest.approx(0.03, abs=0.01)
    assert found.run_drift_certain


def test_pauses_between_launches_are_no_noise() -> None:
    """1 s of load in each launch: pauses of 5 s must not stretch the error of the slope inside them sixfold."""
    row = [one * np.exp(0.003 * (-1) ** i) for i, one in enumerate(five())]
    without = stability_of(row, [second * 1e6 for second in range(5)])
    paused = stability_of(row, [second * 6e6 for second in range(5)])
    assert paused.run_drift_high == pytest.approx(without.run_drift_high, abs=1e-4)
    assert paused.run_drift_low == pytest.approx(without.run_drift_low, abs=1e-4)
    assert not paused.run_drift_certain


def test_a_drift_that_goes_on_in_pauses_is_found() -> None:
    """4 % over 25 s, of which 5 s are load: insides show a fifth of it, the launches' levels all."""
    row = [
        launch(seed, 200, sd=0.005) * (1 + 0.04 * (6 * seed + np.linspace(0, 1, 200)) / 25)
        for seed in range(5)
    ]
    found = stability_of(row, [second * 6e6 for second in range(5)])
    assert found.run_drift_certain
    assert found.run_drift is not None
    assert found.run_drift > 0.02


def test_slopes_are_weighted_by_their_precision() -> None:
    found = combine([Slope(1.0, 1.0, 10), Slope(3.0, 3.0, 10)])
    assert (found.value, found.variance) == (pytest.approx(1.5), pytest.approx(0.75))
    assert combine([Slope(1.0, 0.0, 3), Slope(3.0, 3.0, 10)]).value == 1.0


def test_a_step_is_found_with_its_place_and_size() -> None:
    rows = five()
    rows[3][120:] *= 1.1
    found = stability_of(rows)
    assert (found.step_launch, found.step_iteration) == (3, 120)
    assert found.step == pytest.approx(0.10, abs=0.005)


def test_a_launch_that_never_comes_to_rest_is_a_result() -> None:
    """D1.4, after Barrett et al.: never steady."""
    stairs = [row * np.repeat(1.06 ** np.arange(10), 20) for row in five()]
    assert stability_of(stairs).never_steady == 5
    row = levels_of(launch(1) * np.repeat([1.5, 1.2, 1, 1, 1, 1, 1, 1, 1, 1], 20))
    assert row is not None
    assert steady_from(row.medians, 0.002) == 2
    assert best_step(row.medians[:1], 0.002) is None


@pytest.mark.parametrize("share", [0.5, 0.3, 0.2])
def test_two_modes_are_found(share: float) -> None:
    random = np.random.default_rng(9)
    rows = [row * np.where(random.random(200) < share, 1.06, 1.0) for row in five()]
    found = find_modes(rows)
    assert found is not None
    assert found.apart == pytest.approx(0.06, abs=0.01)
    assert found.share == pytest.approx(share, abs=0.1)
    assert found.switches > 30


@pytest.mark.parametrize("sd", [0.01, 0.03, 0.1, 0.3])
def test_noise_alone_has_one_mode(sd: float) -> None:
    assert find_modes(five(sd=sd)) is None
    skewed = [5000 + 5000 * sd * np.random.default_rng(seed).exponential(1, 300) for seed in range(5)]
    assert find_modes(skewed) is None


def test_a_coarse_clock_makes_no_modes() -> None:
    assert find_modes([np.round(row / 100) * 100 for row in five(sd=0.02)]) is None


def test_outliers_are_no_mode() -> None:
    random = np.random.default_rng(9)
    assert find_modes([row * np.where(random.random(200) < 0.02, 1.5, 1.0) for row in five()]) is None


def test_launches_in_two_groups_disagree() -> None:
    found = agreement([5000, 5010, 5260, 5005, 5270])
    assert found is not None
    assert (found.fast, found.slow, found.disagree) == (3, 2, True)
    assert found.spread == pytest.approx(0.054)
    calm = agreement([5000, 5010, 5060, 5005, 5100])
    assert calm is not None
    assert not calm.disagree
    assert agreement([5000]) is None
    assert agreement([0, 1]) is None


def test_how_many_launches_show_modes() -> None:
    """Five launches miss two equal modes in 6.25 %; for 1 % it takes 8, for half of that 9."""
    assert [launches_to_see_modes(0.5, miss) for miss in (0.0625, 0.01, 0.005)] == [5, 8, 9]
    assert launches_to_see_modes() == 9
    assert launches_to_see_modes(0.8, 0.01) == 21
    with pytest.raises(ValueError, match="inside 0 to 1"):
        launches_to_see_modes(1.0)


def test_correlated_samples_are_worth_less() -> None:
    """An AR(1) process with coefficient 0.5: a third of the samples, (1 - r) / (1 + r)."""
    random = np.random.default_rng(4)
    row = np.zeros(6000)
    for i in range(1, row.size):
        row[i] = 0.5 * row[i - 1] + random.normal()
    assert effective_count(row + 100) == pytest.approx(2000, rel=0.2)
    assert effective_count(launch(1, 6000)) == pytest.approx(6000, rel=0.1)
    assert effective_count(np.full(50, 7.0)) == 50
    assert effective_count(np.ones(3)) is None


def test_what_cannot_be_told_is_null() -> None:
    short = stability_of([np.arange(1, 11, dtype=float)])
    assert (short.run_drift, short.step, short.launch_spread, short.judged_launches) == (None, None, None, 0)
    assert stability_of([np.zeros(100)]).run_drift is None
    assert stability_of([]) == Stability(effective_count=0.0)
    still = stability_of([np.full(100, 7.0)] * 3)
    assert (still.step, still.never_steady, still.run_drift_certain) == (None, 0, False)
