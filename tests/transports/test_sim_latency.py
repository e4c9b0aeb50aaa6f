"""Drawn latencies are what the shape says, and the same for the same seed (D1.2)."""

import numpy as np
import pytest

from edgekit.transports.sim.latency import LatencyDraw, LatencyShape

pytestmark = pytest.mark.base

EVERYTHING = LatencyShape(
    autocorrelation=0.4,
    outlier_share=0.01,
    drift=0.05,
    throttle_at_s=3.0,
    throttle_factor=1.2,
    modes=(1.0, 1.1),
    mode_seconds=0.05,
    launch_modes=(1.0, 1.05),
)


def _launch(shape: LatencyShape, index: int = 0, start_s: float = 0.0, seed: int = 7):
    return LatencyDraw(shape, seed).launch(index, start_s)


@pytest.mark.parametrize("shape", [LatencyShape(), EVERYTHING, LatencyShape(modes=(1.0, 1.1))])
def test_same_seed_same_numbers_however_taken(shape):
    """D1.2: seeded; neither the order of launches nor the size of a bite changes a number."""
    draw = LatencyDraw(shape, 7)
    later, whole = draw.launch(1, 2.0), draw.launch(0, 0.0)
    first, expected = whole.first_us(), whole.take(300)
    again = draw.launch(0, 0.0)
    assert again.first_us() == first
    assert np.array_equal(np.concatenate([again.take(1), again.take(99), again.take(200)]), expected)
    assert again.now_us == whole.now_us
    assert np.array_equal(later.take(10), draw.launch(1, 2.0).take(10))
    assert not np.array_equal(later.take(10), expected[:10])


def test_median_spread_and_autocorrelation_are_those_of_the_shape():
    shape = LatencyShape(within_sd=0.02, launch_sd=0.0, autocorrelation=0.5, outlier_share=0.0)
    launch = _launch(shape)
    launch.take(5)
    logs = np.log(launch.take(40_000))
    assert np.exp(np.median(logs)) == pytest.approx(5000, rel=0.002)
    assert logs.std() == pytest.approx(0.02, rel=0.05)
    assert np.corrcoef(logs[:-1], logs[1:])[0, 1] == pytest.approx(0.5, abs=0.03)


def test_launches_differ_by_their_own_factor():
    factors = np.log([_launch(LatencyShape(launch_sd=0.01), index).factor for index in range(2000)])
    assert factors.std() == pytest.approx(0.01, rel=0.1)
    modes = [_launch(LatencyShape(launch_sd=0, launch_modes=(1, 1.1)), i).factor for i in range(400)]
    assert set(np.round(modes, 6)) == {1.0, 1.1}
    assert 0.4 < modes.count(1.0) / 400 < 0.6


def test_drift_throttling_and_outliers_come_at_their_time():
    quiet = {"within_sd": 0.0, "launch_sd": 0.0, "outlier_share": 0.0, "clock_step_us": 0.0}
    drifting = _launch(LatencyShape(drift=0.1, drift_seconds=10, warmup_iterations=0, **quiet), start_s=5.0)
    assert drifting.take(1)[0] == pytest.approx(5000 * 1.05)
    assert drifting.take(3000)[-1] == pytest.approx(5000 * 1.1)
    hot = _launch(LatencyShape(throttle_at_s=1.0, throttle_factor=1.5, warmup_iterations=0, **quiet))
    taken = hot.take(400)
    assert np.flatnonzero(taken > 6000)[0] == pytest.approx(200, abs=1)
    assert taken[-1] == pytest.approx(7500)
    quiet["outlier_share"] = 0.1
    rare = _launch(LatencyShape(outlier_factor=2, warmup_iterations=0, **quiet)).take(5000)
    assert np.mean(rare > 9000) == pytest.approx(0.1, abs=0.02)


def test_a_launch_warms_up_and_its_clock_steps():
    shape = LatencyShape(within_sd=0, launch_sd=0, outlier_share=0, clock_step_us=100.0)
    launch = _launch(shape)
    assert launch.first_us() == pytest.approx(15_000, abs=100)
    taken = launch.take(50)
    assert taken[0] == pytest.approx(6000, abs=100)
    assert taken[4] > taken[6]
    assert np.allclose(taken % 100, 0)


def test_modes_that_stay():
    shape = LatencyShape(modes=(1.0, 1.5), mode_seconds=0.1, warmup_iterations=0)
    high = _launch(shape).take(2000) > 6000
    changes = np.count_nonzero(np.diff(high.astype(int)))
    assert 0.3 < high.mean() < 0.7
    assert changes < 80


@pytest.mark.parametrize(
    "wrong",
    [
        {"median_us": 0},
        {"within_sd": -1},
        {"autocorrelation": 1.0},
        {"drift": -1.0},
        {"modes": ()},
        {"modes": (1.0, 2.0), "mode_shares": (1.0,)},
        {"median_us": float("nan")},
    ],
)
def test_a_shape_that_no_device_has(wrong):
    with pytest.raises(ValueError):
        LatencyShape(**wrong)
