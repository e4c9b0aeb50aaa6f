"""Paired ratios, plans and Welch's test against known results (D1.5, D1.10)."""

from __future__ import annotations

import math

import pytest

from edgekit.stats.comparing import UnpairedRatio, paired_ratio, pairs_needed, welch_p_slower, welch_ratio

pytestmark = pytest.mark.base


def test_a_paired_ratio_is_student_s_t_on_logarithms() -> None:
    """Log ratios 0, 1, 2: mean 1, standard error 1/sqrt(3), t = sqrt(3) with 2 degrees of freedom: p = 0.2254."""
    found = paired_ratio([1, 1, 1], [1, math.e, math.e**2])
    half = 4.302653 / math.sqrt(3)
    assert found.ratio == pytest.approx(math.e)
    assert (found.ci95_low, found.ci95_high) == (
        pytest.approx(math.exp(1 - half), rel=1e-5),
        pytest.approx(math.exp(1 + half), rel=1e-5),
    )
    assert found.p_value == pytest.approx(0.22540, abs=1e-4)
    assert found.smallest_effect == pytest.approx(math.expm1((4.302653 + 1.885618) / math.sqrt(3)), rel=1e-5)


def test_what_moves_both_of_a_pair_cancels_out() -> None:
    found = paired_ratio([100, 200, 400], [103, 206, 412])
    assert found.ratio == pytest.approx(1.03)
    assert found.p_value == pytest.approx(0, abs=1e-12)


def test_one_pair_has_a_ratio_and_nothing_else() -> None:
    found = paired_ratio([100], [103])
    assert (found.ratio, found.ci95_low, found.p_value, found.pairs) == (pytest.approx(1.03), None, None, 1)
    with pytest.raises(ValueError, match="no pairs"):
        paired_ratio([], [])


def test_a_finer_resolution_needs_more_pairs() -> None:
    pilot = [100.0] * 5, [100.0, 101.0, 99.0, 100.5, 99.5]
    coarse, fine = pairs_needed(*pilot, 0.03), pairs_needed(*pilot, 0.005)
    assert 3 <= coarse < 10 < fine
    assert pairs_needed([100.0] * 3, [100.0] * 3, 0.01) == 3
    with pytest.raises(ValueError, match="pilot"):
        pairs_needed([1.0], [1.0], 0.02)


def test_welch_is_one_sided_and_knows_unequal_scatter() -> None:
    """Logs 0, 1, 2 against 3, 4, 5: difference 3, error sqrt(2/3), t = 3.6742, 4 degrees of freedom: p = 0.010656."""
    old, new = [math.exp(v) for v in (0, 1, 2)], [math.exp(v) for v in (3, 4, 5)]
    assert welch_p_slower(old, new) == pytest.approx(0.010656, abs=1e-5)
    assert welch_p_slower(new, old) == pytest.approx(1 - 0.010656, abs=1e-5)
    assert welch_p_slower([1, 1], [2, 2]) == 0.0
    assert welch_p_slower([1, 1], [1, 1]) == 1.0
    assert welch_p_slower([1], [2, 2]) is None


def test_welch_s_ratio_is_two_sided_with_an_interval() -> None:
    """Logs 0, 1, 2 against 3, 4, 5: difference 3, error sqrt(2/3), t = 3.6742, 4 degrees of freedom: p = 0.021312 (D3.3)."""
    old, new = [math.exp(v) for v in (0, 1, 2)], [math.exp(v) for v in (3, 4, 5)]
    found = welch_ratio(old, new)
    half = 2.776445 * math.sqrt(2 / 3)
    assert found is not None
    assert found.ratio == pytest.approx(math.exp(3))
    assert found.p_value == pytest.approx(0.021312, abs=1e-5)
    assert (found.ci95_low, found.ci95_high) == (
        pytest.approx(math.exp(3 - half), rel=1e-5),
        pytest.approx(math.exp(3 + half), rel=1e-5),
    )
    back = welch_ratio(new, old)
    assert back is not None
    assert back.ratio == pytest.approx(1 / found.ratio)


def test_what_rounding_alone_can_make_is_no_difference() -> None:
    same = welch_ratio([10.0] * 5, [11.0] * 5, step_us=1.0)
    assert same is not None
    assert same.p_value == 1.0
    sure = welch_ratio([10.0] * 5, [11.0] * 5)
    assert sure is not None
    assert sure.p_value == 0.0
    assert welch_ratio([1.0], [2.0, 2.0]) == UnpairedRatio(2.0, None, None, None)
    assert welch_ratio([], [1.0]) is None
    assert welch_ratio([0.0, 1.0], [1.0, 1.0]) is None
