"""The ratio of two runs by their launches is Welch's, and covers what it says. (D3.3, D3.5)"""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.stats.unpaired import unpaired_ratio

pytestmark = pytest.mark.base


def test_known_values() -> None:
    """Checked against scipy.stats.ttest_ind(log b, log a, equal_var=False), to what rounding df down costs."""
    found = unpaired_ratio([100.0, 102.0, 98.0, 101.0, 99.0], [110.0, 112.0, 108.0, 111.0, 109.0])
    assert found is not None
    assert found.ratio == pytest.approx(1.1000, abs=2e-4)
    assert found.ci95_low is not None
    assert found.ci95_high is not None
    assert found.ci95_low == pytest.approx(1.0760, abs=2e-3)
    assert found.ci95_high == pytest.approx(1.1246, abs=2e-3)
    assert found.p_value is not None
    assert found.p_value < 1e-4
    assert found.differs is True


def test_the_interval_covers_95_percent() -> None:
    """2,000 simulated pairs of runs whose true ratio is 1.05, launches scattered unequally."""
    random = np.random.default_rng(5)
    inside = 0
    for _ in range(2000):
        a = np.exp(random.normal(0, 0.01, 5))
        b = 1.05 * np.exp(random.normal(0, 0.03, 8))
        found = unpaired_ratio(a.tolist(), b.tolist())
        assert found is not None
        assert found.ci95_low is not None
        assert found.ci95_high is not None
        inside += found.ci95_low <= 1.05 <= found.ci95_high
    assert 0.935 <= inside / 2000 <= 0.985


def test_what_cannot_be_told_is_none() -> None:
    assert unpaired_ratio([], [1.0]) is None
    assert unpaired_ratio([0.0, 1.0], [1.0]) is None
    one = unpaired_ratio([2.0], [3.0, 3.0])
    assert one is not None
    assert (one.ratio, one.ci95_low, one.p_value, one.differs) == (pytest.approx(1.5), None, None, None)
    same = unpaired_ratio([2.0, 2.0], [2.0, 2.0])
    assert same is not None
    assert (same.ratio, same.p_value, same.differs) == (1.0, 1.0, False)
