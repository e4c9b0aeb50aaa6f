"""B2.2: ranges of tensors, with known answers. Pure numpy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.ranges import BINS, Gatherer, Histogram, Range, words
from edgekit.errors import InputError
from edgekit.models.manifest import RangesFound

pytestmark = pytest.mark.base
RNG = np.random.default_rng(11)
UNIFORM = RNG.uniform(-1, 1, (40, 5000)).astype(np.float32)
NORMAL = RNG.normal(0, 1, (40, 5000)).astype(np.float32)


def gathered(samples: Iterable[Any], how: str = "min-max", percentile: float | None = None) -> Gatherer:
    gatherer = Gatherer(how, percentile)
    for index, values in enumerate(samples):
        gatherer.add("t", np.asarray(values, dtype=np.float32), index)
    return gatherer


def found(samples: Iterable[Any], how: str, percentile: float | None = None, bits: int = 8, symmetric: bool = False) -> Range:  # fmt: skip
    return gathered(samples, how, percentile).ranges({"t": (bits, symmetric)})["t"]


def test_min_max_is_the_true_range_over_all_samples() -> None:
    """Not a moving average: one value in one sample counts (A10's lesson 3)."""
    samples = [[0.1, -0.2]] * 50 + [[0.0, 19.0], [-15.0, 0.0]] + [[0.1, 0.2]] * 50
    assert found(samples, "min-max") == Range(-15.0, 19.0, -15.0, 19.0)
    assert found(samples, "min-max", symmetric=True) == Range(-19.0, 19.0, -15.0, 19.0)


def test_zero_is_always_in_the_range() -> None:
    assert found([[2.0, 3.0]], "min-max") == Range(0.0, 3.0, 2.0, 3.0)
    assert found([[-3.0, -2.0]], "mse").high == 0.0


@pytest.mark.parametrize("percentile", [90.0, 99.0, 99.9])
def test_percentile_of_a_uniform_distribution(percentile: float) -> None:
    """P % of values do not exceed the range; uniform from -1 to 1, that is 2P - 1."""
    result = found(UNIFORM, "percentile", percentile)
    assert result.high == pytest.approx(2 * percentile / 100 - 1, abs=0.005)
    assert result.low == pytest.approx(-result.high, abs=0.005)


def test_percentile_is_numpys() -> None:
    result = found(NORMAL, "percentile", 99.9)
    assert result.high == pytest.approx(float(np.quantile(NORMAL, 0.999)), abs=2 * 8 / BINS)
    assert result.low == pytest.approx(float(np.quantile(NORMAL, 0.001)), abs=2 * 8 / BINS)


def test_percentile_counts_zeros() -> None:
    """After a ReLU most values are zero; they are values."""
    values = np.zeros(1000, dtype=np.float32)
    values[:100] = np.arange(1, 101)
    result = found([values], "percentile", 99.0)
    assert result.low == 0.0
    assert result.high == pytest.approx(90, abs=0.5)
    assert found([values], "percentile", 90.0).high > 0  # a range of nothing would lose all of them


def test_percentile_100_clips_nothing() -> None:
    result = found(NORMAL, "percentile", 100.0)
    assert (result.low, result.high) == (float(NORMAL.min()), float(NORMAL.max()))


@pytest.mark.parametrize("how", ["entropy", "mse"])
def test_a_uniform_distribution_is_not_clipped(how: str) -> None:
    """No bin may be lost where all are equally likely."""
    result = found(UNIFORM, how)
    assert result.high == pytest.approx(1.0, abs=0.03)
    assert result.low == pytest.approx(-1.0, abs=0.03)


@pytest.mark.parametrize("how", ["entropy", "percentile"])
def test_one_outlier_is_clipped(how: str) -> None:
    samples = NORMAL.copy()
    samples[7, 3] = 400.0
    result = found(samples, how, 99.99 if how == "percentile" else None)
    assert 3 < result.high < 40
    assert result.most == 400.0


def _expected_error(values: Any, low: float, high: float, bits: int) -> float:
    step = (high - low) / (2**bits - 1)
    clipped = np.clip(values, low, high)
    return float(np.mean((clipped - values) ** 2) + step**2 / 12)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("scale", [1.0, 37.0])
def test_mse_is_the_least_of_all_ranges(bits: int, scale: float) -> None:
    """By brute force over pairs of ends, on the values themselves."""
    samples = NORMAL[:, :500] * scale
    samples[3, 3] = 12 * scale
    result = found(samples, "mse", bits=bits)
    least, most = samples.min(), samples.max()
    best = min(
        _expected_error(samples, least * a, most * b, bits)
        for a in np.linspace(0.1, 1, 40)
        for b in np.linspace(0.1, 1, 40)
    )
    assert _expected_error(samples, result.low, result.high, bits) <= best * 1.02


def test_mse_of_four_bits_clips_a_normal_distribution_where_it_is_known_to() -> None:
    """The best uniform quantizer of a normal distribution with 16 levels clips at about 2.7 standard deviations (Max,
    "Quantizing for minimum distortion", 1960, table II: step 0.3352, half range 8 * 0.3352 = 2.68)."""
    result = found(NORMAL, "mse", bits=4, symmetric=True)
    assert result.high == pytest.approx(2.68, abs=0.25)


@pytest.mark.parametrize("how", ["entropy", "percentile", "mse"])
def test_a_range_is_within_the_true_one(how: str) -> None:
    samples = np.abs(NORMAL) + 0.5
    result = found(samples, how, 99.0 if how == "percentile" else None)
    assert result.low == 0.0
    assert 0 < result.high <= result.most


def test_order_and_batches_make_no_difference_to_the_reach() -> None:
    """Bins are merged when a larger value comes: the counts are those that the largest would have made at once."""
    growing = [np.full(10, 2.0**k) for k in range(-5, 9)]
    first, second = Histogram(), Histogram()
    for values in growing:
        first.add(values)
    for values in growing[::-1]:
        second.add(values)
    assert first.reach == second.reach == 256.0
    assert first.total == second.total == 140
    assert abs(first.below(100.0) - second.below(100.0)) <= 1


def test_the_same_samples_give_the_same_range() -> None:
    for how in ("min-max", "entropy", "mse"):
        assert found(NORMAL, how) == found(NORMAL, how)


def test_memory_does_not_grow_with_samples() -> None:
    gatherer = Gatherer("mse")
    for index in range(2000):
        gatherer.add("t", NORMAL[index % 40, :100], index)
    counts = gatherer.found["t"].counts
    assert counts is not None
    assert counts.nbytes == 8 * BINS


def test_masks_are_no_values_and_nan_is_an_error() -> None:
    assert found([[-3.4e38, -1.0, 2.0]], "min-max") == Range(-1.0, 2.0, -1.0, 2.0)
    with pytest.raises(InputError) as caught:
        gathered([[1.0], [2.0], [np.nan]])
    assert caught.value.code == "E_DATA_VALUES"
    assert "tensor 't' is NaN on sample 2" in caught.value.message


def test_the_cost_of_clipping_is_counted() -> None:
    gatherer = gathered(UNIFORM, "mse")
    (lost,) = gatherer.cost({"t": (-1.0, 0.5)})
    assert lost.share == pytest.approx(0.25, abs=0.005)
    assert lost.saturation == pytest.approx(0.5 / 1.5, rel=0.01)
    assert gatherer.cost({"t": (-1.1, 1.1), "other": (0.0, 0.1)}) == ()
    said = words(RangesFound(method="mse", samples=40, tensors=2, clipped=(lost,)))
    assert (
        "clips 1 of 2 tensors: up to 25 % of the values (t), and values up to 33 % of the range beyond"
        in said
    )
    assert words(RangesFound(method="min-max", samples=1, tensors=1)) == ""


def test_an_outlier_alone_still_counts_as_one_value() -> None:
    gatherer = gathered([*NORMAL, [500.0]], "entropy")
    (lost,) = gatherer.cost({"t": (-6.0, 6.0)})
    assert lost.share == pytest.approx(1 / (NORMAL.size + 1), rel=0.01)
    assert lost.saturation == pytest.approx((500 - 6) / 12, rel=1e-3)
