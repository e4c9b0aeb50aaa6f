"""What `results diff` says of two runs (D3.3)."""

from __future__ import annotations

import pytest

from edgekit.benchmarking.difference import difference
from edgekit.records import Latency
from tests.benchmarking.records import record

pytestmark = pytest.mark.base

A = [54.0, 54.5, 54.7, 54.9, 55.3]
TWO_KINDS = [48.0, 48.2, 48.4, 220.0, 230.0]


def test_a_ratio_that_does_not_fit_its_two_values_is_told_why() -> None:
    """The median of all samples falls, the launches' geometric mean rises."""
    b = record(TWO_KINDS, latency=Latency(median=48.4))
    found = difference(record(A), b)
    (median,) = (one for one in found.metrics if one.metric == "median_latency")
    assert median.a is not None
    assert median.b is not None
    assert median.ratio is not None
    assert median.b / median.a < 1 < median.ratio
    assert [
        text for text in found.warnings if text.startswith("median latency: b/a is of the geometric means")
    ]


def test_one_that_fits_is_told_without_a_word() -> None:
    assert difference(record(A), record([one * 1.1 for one in A])).warnings == ()
