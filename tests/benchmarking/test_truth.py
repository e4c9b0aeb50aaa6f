"""A small edition of benchmarks/truth.py: the statistics on simulated devices whose truth is known (D1-b1).

Seeds are fixed, so each of these passes or fails for a reason. The limits leave room for so few runs; docs/measuring.md
has the real table.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.truth import compare_rate, coverage_of, gate_counts, upper_bound
from benchmarks.truth_devices import USUAL, not_valid, paused, scenarios
from edgekit.transports.sim.latency import LatencyShape

pytestmark = pytest.mark.base

RUNS = 60
SCENARIOS = {what: (shape_of, launches) for what, shape_of, launches, _ in scenarios(RUNS, 5)}
BAD = [what for what, _, _, kind in scenarios(RUNS, 5) if kind == "bad"]
HEALTHY = [what for what, _, _, kind in scenarios(RUNS, 5) if kind == "healthy"]


@pytest.mark.parametrize(("launches", "ratio"), [(3, 3.0), (5, 0.0), (5, 1.0), (10, 0.3)])
def test_d1_b1_intervals_cover_the_true_median(launches: int, ratio: float) -> None:
    """120 runs: 95 % is 114, three standard errors are 7."""
    share, width = coverage_of(launches, ratio, 120, 5)
    assert 107 <= round(120 * share) <= 119
    assert 0 < width < 0.2


@pytest.mark.parametrize("what", BAD)
def test_d1_b1_what_is_wrong_with_a_device_is_seen(what: str) -> None:
    """At most 1 % may be missed: of 60 runs, 3 or more are so in 2 of 100 sets."""
    shape_of, launches = SCENARIOS[what]
    assert round(RUNS * (1 - not_valid(shape_of, RUNS, 5, launches))) <= 2


@pytest.mark.parametrize("what", HEALTHY)
def test_d1_b1_a_healthy_device_is_valid(what: str) -> None:
    """At most 2 % may be called suspect: of 60 runs, 4 or more are so in 3 of 100 sets."""
    shape_of, launches = SCENARIOS[what]
    assert round(RUNS * not_valid(shape_of, RUNS, 5, launches)) <= 3


@pytest.mark.parametrize(
    ("shape", "gap_s", "pause_s", "kind"),
    [pytest.param(*row[1:], id=row[0]) for row in paused(5) if row[4]],
)
def test_d1_b1_pauses_between_launches_change_no_verdict(
    shape: LatencyShape, gap_s: float, pause_s: float, kind: str
) -> None:
    """As above; a model that takes seconds to load is no noise."""
    share = not_valid(lambda _: shape, RUNS, 5, 5, gap_s, pause_s)
    if kind == "bad":
        assert round(RUNS * (1 - share)) <= 2
    else:
        assert round(RUNS * share) <= 3


def test_d1_b1_compare_is_quiet_where_nothing_differs_and_finds_3_percent() -> None:
    """5 % of 200 are 10, three standard errors 9."""
    assert compare_rate(USUAL, 0.0, None, 200, 5)[0] <= 0.095
    told, pairs = compare_rate(replace(USUAL, launch_sd=0.01), 0.03, 0.03, 60, 5)
    assert told >= 0.85
    assert 5 < pairs < 15


def test_d1_b1_a_gate_does_not_cry_wolf() -> None:
    """At 2 % between launches one in 65 gates fails once, and none is confirmed; a real slowdown is."""
    failed, confirmed = gate_counts(0.02, 0.0, 6000, 5)
    assert 30 < failed < 200
    assert confirmed == 0
    failed, confirmed = gate_counts(0.003, 0.05, 100, 5)
    assert failed == 100
    assert confirmed >= 95


def test_the_upper_bound_is_clopper_and_pearsons() -> None:
    """0 of n: 1 - 0.05**(1/n). 3 of 10: 0.6066 (Clopper and Pearson's charts)."""
    assert upper_bound(0, 100_000) == pytest.approx(2.9957e-5, rel=1e-3)
    assert upper_bound(3, 10) == pytest.approx(0.6066, abs=1e-4)
