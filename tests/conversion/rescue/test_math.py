"""Equalization and the choice of layers: known answers (B2.5)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.conversion.layers.quantized_measure import channel_error, error_share
from edgekit.conversion.rescue.choice import Candidate, fewest, in_order
from edgekit.conversion.rescue.scales import (
    MAX_EXPONENT,
    channel_range,
    divided,
    equalizing_scales,
    multiplied,
)


def test_scales_share_out_between_values_and_weights() -> None:
    """sqrt(values / weights) beside the other channels, as a power of two."""
    assert equalizing_scales(np.array([16.0, 1.0]), np.array([1.0, 1.0])).tolist() == [2.0, 0.5]
    assert equalizing_scales(np.array([1.0, 1.0]), np.array([1.0, 16.0])).tolist() == [2.0, 0.5]
    assert equalizing_scales(np.array([3.0, 3.0]), np.array([2.0, 2.0])).tolist() == [1.0, 1.0]
    assert equalizing_scales(np.array([0.0, 3.0]), np.array([2.0, 0.0])).tolist() == [1.0, 1.0]
    values, weights = np.array([64.0, 1.0]), np.array([0.25, 4.0])
    scales = equalizing_scales(values, weights)
    assert (values / scales).tolist() == [16.0, 4.0]
    assert (weights * scales).tolist() == [1.0, 1.0]


@given(st.lists(st.tuples(st.floats(0, 1e6, width=32), st.floats(0, 1e6, width=32)), min_size=1, max_size=20))
def test_scales_are_powers_of_two(pairs: list[tuple[float, float]]) -> None:
    values, weights = np.array(pairs).T
    scales = equalizing_scales(values, weights)
    assert np.array_equal(np.exp2(np.rint(np.log2(scales))), scales)
    assert (np.abs(np.log2(scales)) <= MAX_EXPONENT).all()
    assert (scales[(values == 0) | (weights == 0)] == 1).all()


def test_groups_and_neighbours_have_their_channels() -> None:
    """Two groups of two channels: rows of the first group read channels 0 and 1, of the second 2 and 3. Two neighbours for each."""
    scales = np.array([2.0, 4.0, 8.0, 16.0])
    weights = np.ones((6, 2, 1), np.float32)
    weights[1, 1] = 5
    found = multiplied(weights, scales, 1, groups=2)
    assert found[:, :, 0].tolist() == [[2, 4], [2, 20], [2, 4], [8, 16], [8, 16], [8, 16]]
    np.testing.assert_array_equal(divided(found, scales, 1, groups=2), weights)
    assert channel_range(weights, 1, groups=2).tolist() == [1, 5, 1, 1]
    columns = np.arange(8, dtype=np.float32)[None]
    assert multiplied(columns, scales, 1, repeat=2).tolist() == [[0, 2, 8, 12, 32, 40, 96, 112]]
    assert channel_range(columns, 1, repeat=2).tolist() == [1, 3, 5, 7]


def test_two_layers_give_the_same_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    first, bias, second = (
        rng.normal(size=(8, 5)).astype("f4"),
        rng.normal(size=8).astype("f4"),
        rng.normal(size=(3, 8)).astype("f4"),
    )
    x = rng.normal(size=(20, 5)).astype("f4")
    between = np.maximum(x @ first.T + bias, 0)
    scales = equalizing_scales(channel_range(between, -1), channel_range(second, 1))
    assert (scales != 1).any()
    again = np.maximum(x @ divided(first, scales, 0).T + divided(bias, scales, -1), 0)
    np.testing.assert_array_equal(again, between / scales)
    np.testing.assert_array_equal(again @ multiplied(second, scales, 1).T, between @ second.T)


def test_a_lost_channel_shows_by_channel_only() -> None:
    before = np.array([[1000.0, 1.0], [-1000.0, -1.0]])
    after = np.array([[1000.0, 0.0], [-1000.0, 0.0]])
    whole, by_channel = error_share([before], [after]), channel_error([before], [after])
    assert whole == pytest.approx(1e-3)
    assert by_channel == pytest.approx(np.sqrt(0.5))
    assert channel_error([before[0]], [after[0]]) is None
    assert channel_error([before], [after[:, :1]]) is None
    assert channel_error([np.zeros((2, 2))], [np.zeros((2, 2))]) is None


def test_the_order_of_layers() -> None:
    """Most gain for its cost; a layer without weights costs as much as an average one; without gain it is left out."""
    found = in_order(
        [
            Candidate("dear", 1.0, 3000),
            Candidate("cheap", 0.9, 100),
            Candidate("free", 0.2, 0),
            Candidate("no", 0.0, 5),
        ]
    )
    assert [one.name for one in found] == ["cheap", "dear", "free"]
    assert in_order([Candidate("b", 1.0, 0), Candidate("a", 1.0, 0)])[0].name == "a"
    assert in_order([]) == ()


@pytest.mark.parametrize("needed", range(1, 17))
def test_the_fewest_layers(needed: int) -> None:
    tried: list[int] = []

    def attempt(count: int) -> str | None:
        tried.append(count)
        return f"with {count}" if count >= needed else None

    found = fewest(0, 16, attempt)
    assert found == (None if needed == 16 else (needed, f"with {needed}"))
    assert len(tried) <= 4
