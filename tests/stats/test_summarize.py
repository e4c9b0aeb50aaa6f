"""Statistics against known truth: quantiles that are known, intervals whose coverage is counted. (A8)"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.stats import median_interval, outlier_mask, summarize
from edgekit.stats.student import t_central_probability, t_quantile

pytestmark = pytest.mark.base


@pytest.mark.parametrize(
    ("df", "expected"),
    # NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, two-sided 95 %
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (29, 2.045), (100, 1.984)],
)
def test_t_quantiles_are_those_of_the_tables(df: int, expected: float) -> None:
    assert t_quantile(0.95, df) == pytest.approx(expected, abs=5e-4)


@settings(deadline=None)  # a busy machine is no failure; pytest-timeout holds
@given(st.integers(1, 200), st.floats(0.01, 0.999))
def test_t_quantile_inverts_the_probability(df: int, confidence: float) -> None:
    assert t_central_probability(t_quantile(confidence, df), df) == pytest.approx(confidence, abs=1e-9)


def test_t_quantile_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="degrees of freedom"):
        t_quantile(0.95, 0)


def test_known_values_of_a_known_row() -> None:
    """The numbers 0..1000 in a scrambled order, in one launch: everything is known in closed form."""
    row = np.random.default_rng(1).permutation(1001).astype(float)
    found = summarize([row])
    assert (found.count, found.launches, found.min, found.max) == (1001, 1, 0, 1000)
    assert (found.median, found.mean, found.p50) == (500, 500, 500)
    assert (found.p90, found.p95, found.p99) == (900, 950, 990)
    assert found.stddev == pytest.approx(math.sqrt(1001 * 1002 / 12))
    assert found.mad == 250
    assert found.outliers == 0


def test_nothing_is_trimmed() -> None:
    """One sample of a second among ones of 10 us stays in mean and max, and is counted as an outlier."""
    row = np.full(99, 10.0) + np.arange(99) * 0.001
    found = summarize([np.append(row, 1e6)])
    assert found.max == 1e6
    assert found.mean == pytest.approx((row.sum() + 1e6) / 100)
    assert (found.count, found.outliers) == (100, 1)


@pytest.mark.parametrize(
    ("count", "known"),
    [
        (19, set()),
        (20, {"p50"}),
        (91, {"p50"}),
        (92, {"p50", "p90"}),
        (181, {"p50", "p90"}),
        (182, {"p50", "p90", "p95"}),
        (901, {"p50", "p90", "p95"}),
        (902, {"p50", "p90", "p95", "p99"}),
        (9001, {"p50", "p90", "p95", "p99"}),
        (9002, {"p50", "p90", "p95", "p99", "p999"}),
    ],
)
def test_a_percentile_with_fewer_than_10_samples_beyond_it_is_null_with_a_reason(
    count: int, known: set[str]
) -> None:
    found = summarize([np.arange(count)])
    for name in ("p50", "p90", "p95", "p99", "p999"):
        value = getattr(found, name)
        assert (value is not None) == (name in known)
        if value is None:
            assert "10 are needed" in found.unavailable[name]
        else:
            assert np.count_nonzero(np.arange(count) > value) >= 10
            assert name not in found.unavailable


def test_percentiles_are_of_all_launches_together() -> None:
    row = np.random.default_rng(2).permutation(1001).astype(float)
    apart = summarize([row[:300], row[300:]])
    assert (apart.p90, apart.p99, apart.count) == (900, 990, 1001)


def test_one_launch_has_no_interval_and_says_why() -> None:
    found = summarize([np.arange(100)])
    assert found.ci95_low is None
    assert found.ci95_high is None
    assert found.between_launch_cv is None
    assert "one launch" in found.unavailable["ci95"]


def test_no_sample_is_not_zero() -> None:
    found = summarize([[], []], load_us=[None, 7.0])
    assert found.count == 0
    assert found.median is None
    assert found.load == 7.0
    assert found.unavailable["median"] == "no launch gave a sample"


def test_an_empty_launch_does_not_count_as_a_launch() -> None:
    assert summarize([[1.0, 2.0], []]).launches == 1


@pytest.mark.parametrize("bad", [[1.0, float("nan")], [float("inf")], [-1.0], [[1.0, 2.0]]])
def test_what_is_no_latency_is_refused(bad: object) -> None:
    with pytest.raises(InputError) as caught:
        summarize([[1.0], bad])  # type: ignore[list-item]
    assert caught.value.code == "E_SAMPLES"
    assert "launch 1" in caught.value.message


def _coverage(
    launches: int, between: float, within: float, spikes: float, runs: int = 1500
) -> tuple[float, float]:
    """Share of simulated runs whose interval holds the true median, and the mean relative width.

    A run: every launch has its own factor (lognormal, `between`), every sample its own (lognormal,
    `within`), and a share of `spikes` takes 5 times as long. Without spikes the true median is 100.
    """
    random = np.random.default_rng([launches, round(between * 1000), round(spikes * 1000)])
    truth = 100 * math.exp(within * _normal_quantile(0.5 / (1 - spikes))) if spikes else 100.0
    held, width = 0, 0.0
    for _ in range(runs):
        factor = np.exp(random.normal(0, between, (launches, 1)))
        table = 100 * factor * np.exp(random.normal(0, within, (launches, 120)))
        table *= np.where(random.random(table.shape) < spikes, 5.0, 1.0)
        low, high = median_interval(np.median(table, axis=1).tolist())
        assert low is not None
        assert high is not None
        held += low <= truth <= high
        width += (high - low) / truth
    return held / runs, width / runs


def _normal_quantile(p: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)


@pytest.mark.parametrize("launches", [2, 3, 5, 10])
@pytest.mark.parametrize(
    ("between", "within", "spikes"), [(0.03, 0.05, 0.0), (0.10, 0.02, 0.0), (0.02, 0.1, 0.05)]
)
def test_the_interval_covers_the_true_median_in_95_of_100_runs(
    launches: int, between: float, within: float, spikes: float
) -> None:
    """Nominal 95 %; three standard errors of the count of 1500 runs are 1.7 points, hence the band."""
    share, _ = _coverage(launches, between, within, spikes)
    assert 0.93 <= share <= 0.97


def test_more_launches_make_the_interval_narrower_and_few_leave_it_wide() -> None:
    _, wide = _coverage(2, 0.05, 0.05, 0.0, runs=300)
    _, middle = _coverage(5, 0.05, 0.05, 0.0, runs=300)
    _, narrow = _coverage(20, 0.05, 0.05, 0.0, runs=300)
    assert wide > 3 * middle > 3 * narrow


def test_an_interval_from_pooled_samples_would_have_been_wrong() -> None:
    """Why launches count: the textbook order-statistics interval of the pooled samples covers far too little."""
    random = np.random.default_rng(5)
    held, runs = 0, 400
    for _ in range(runs):
        table = 100 * np.exp(random.normal(0, 0.05, (5, 1))) * np.exp(random.normal(0, 0.05, (5, 200)))
        pooled = np.sort(table, axis=None)
        half = 1.96 * math.sqrt(pooled.size) / 2
        held += pooled[int(pooled.size / 2 - half)] <= 100 <= pooled[math.ceil(pooled.size / 2 + half)]
    assert held / runs < 0.5


def test_a_bootstrap_over_three_launches_would_have_covered_too_little() -> None:
    """Why it is no bootstrap (docs/adr/0006)."""
    random = np.random.default_rng(8)
    held, runs = 0, 800
    for _ in range(runs):
        medians = np.exp(random.normal(0, 0.05, 3))
        again = np.median(medians[random.integers(0, 3, (400, 3))], axis=1)
        low, high = np.percentile(again, [2.5, 97.5])
        held += low <= 1 <= high
    assert held / runs < 0.85


def test_interval_is_in_proportion_and_stays_above_zero() -> None:
    low, high = median_interval([1.0, 100.0])
    assert low is not None
    assert high is not None
    assert 0 < low < 1.0
    assert high > 100
    scaled = median_interval([10.0, 1000.0])
    assert scaled == pytest.approx((low * 10, high * 10))


def test_medians_below_the_clock_give_an_interval_all_the_same() -> None:
    low, high = median_interval([0.0, 0.0, 1.0])
    assert low == 0.0
    assert high is not None
    assert high > 1.0


def test_an_interval_is_no_finer_than_the_clock() -> None:
    """D1.4: three launches that read the same on a clock that steps by 1 us are not known to the nanosecond."""
    found = summarize([[100.0] * 30] * 3, clock_step_us=1.0)
    assert (found.ci95_low, found.ci95_high) == (pytest.approx(99.5), pytest.approx(100.5))


def test_between_launch_cv_is_that_of_the_medians() -> None:
    found = summarize([[90.0] * 11, [100.0] * 11, [110.0] * 11])
    assert found.between_launch_cv == pytest.approx(0.1)


def test_drift_tells_a_launch_that_slows_down() -> None:
    random = np.random.default_rng(3)
    slower = np.concatenate([random.normal(100, 1, 500), random.normal(110, 1, 500)])
    assert summarize([slower, slower]).drift == pytest.approx(1.10, abs=0.01)
    assert summarize([random.normal(100, 1, 1000)]).drift == pytest.approx(1.0, abs=0.01)
    assert summarize([[1.0, 2.0]]).drift is None


def test_one_launch_that_drifts_is_not_hidden_by_others_that_do_not() -> None:
    random = np.random.default_rng(3)
    steady = [random.normal(100, 1, 1000) for _ in range(4)]
    faster = np.concatenate([random.normal(100, 1, 500), random.normal(80, 1, 500)])
    assert summarize([*steady, faster]).drift == pytest.approx(0.8, abs=0.01)


def test_autocorrelation_is_that_of_a_known_process() -> None:
    """An AR(1) process with coefficient 0.8 has autocorrelation 0.8 at lag 1; independent samples have 0."""
    random = np.random.default_rng(4)
    row = np.zeros(20_000)
    for i in range(1, row.size):
        row[i] = 0.8 * row[i - 1] + random.normal()
    assert summarize([row + 100]).autocorrelation == pytest.approx(0.8, abs=0.03)
    assert summarize([random.normal(100, 1, 20_000)]).autocorrelation == pytest.approx(0.0, abs=0.03)
    assert summarize([[5.0] * 100]).autocorrelation is None


def test_outliers_are_marked_per_launch() -> None:
    """A launch that is slower as a whole is no heap of outliers."""
    random = np.random.default_rng(6)
    fast, slow = random.normal(100, 1, 500), random.normal(200, 1, 500)
    slow[7] = 500
    assert summarize([fast, slow]).outliers == 1
    assert np.flatnonzero(outlier_mask(slow)).tolist() == [7]


def test_a_coarse_clock_does_not_make_every_other_value_an_outlier() -> None:
    row = np.array([10.0] * 90 + [11.0] * 9 + [50.0])
    assert summarize([row]).outliers == 1


@settings(deadline=None)  # a busy machine is no failure; pytest-timeout holds
@given(st.lists(st.lists(st.floats(0, 1e9), max_size=40), max_size=6))
def test_any_launches_give_a_summary_that_makes_sense(launches: list[list[float]]) -> None:
    found = summarize(launches)
    assert found.count == sum(map(len, launches))
    if found.count:
        assert found.min is not None
        assert found.median is not None
        assert found.max is not None
        assert found.min <= found.median <= found.max
    if found.ci95_low is not None:
        assert found.ci95_high is not None
        assert 0 <= found.ci95_low <= found.ci95_high
        assert math.isfinite(found.ci95_high)
