"""Streams on a simulated device (D1.2, D1.3): the laws that docs/sim.md states, and one process that fails."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.models import open_model
from tests.sim.devices import MODEL, address, bench, opened, push

QUIET = {"within_sd": 0.001, "launch_sd": 0, "outlier_share": 0}


def test_streams_share_the_processors() -> None:
    """4 of them, 1 thread each: 4 streams run as fast as one, 8 take twice as long."""
    found = {}
    with opened(address(median_us=5000, **QUIET)) as device:
        push(open_model(MODEL), device)
        for streams in (1, 4, 8):
            outcome, samples = bench(device, streams=streams, threads=1, launches=3)
            record = outcome.record
            assert record.verdict.state == "valid", record.verdict.reasons
            assert record.plan.streams == streams
            assert record.throughput is not None
            assert len(record.throughput.per_stream_median_us) == streams
            assert record.latency.count == sum(launch.count for launch in record.launches)
            own = [series for series in samples.telemetry if "stream" in series.name]
            assert len(own) == 3 * streams
            assert sum(series.value.size for series in own) >= record.latency.count
            found[streams] = (record.throughput.inferences_per_second, record.latency.median)
    assert found[1] == pytest.approx((200, 5000), rel=0.01)
    assert found[4] == pytest.approx((800, 5000), rel=0.01)
    assert found[8] == pytest.approx((800, 10_000), rel=0.01)


def test_streams_of_a_launch_have_its_factor_and_their_own_noise() -> None:
    with opened(address(within_sd=0.02, launch_sd=0.05)) as device:
        push(open_model(MODEL), device)
        outcome, samples = bench(device, streams=2, threads=1, launches=4)
    first, second = (
        next(s.value for s in samples.telemetry if s.name == f"launch 1, stream {n}: latency") for n in (1, 2)
    )
    size = min(first.size, second.size)
    assert not np.array_equal(first[:size], second[:size])
    medians = [
        [stream.median_us for stream in launch.group.streams]
        for launch in outcome.record.launches
        if launch.group is not None
    ]
    for one, other in medians:
        assert one == pytest.approx(other, rel=0.02)
    assert max(row[0] or 0 for row in medians) / min(row[0] or 0 for row in medians) > 1.02


def test_streams_are_fewer_than_all_processors_with_a_cpu_set() -> None:
    with opened(address(median_us=5000, **QUIET)) as device:
        push(open_model(MODEL), device)
        outcome, _ = bench(device, streams=4, threads=1, cpus="0-1", launches=2)
    assert outcome.record.latency.median == pytest.approx(10_000, rel=0.01)


@pytest.mark.parametrize("fault", ["crash", "killed", "garbage"])
def test_one_stream_that_fails_makes_the_launch_fail(fault: str) -> None:
    """D1-b3. Two launches of the smoke run go well, and one of the bench."""
    with opened(address(fault=fault, after=3)) as device:
        push(open_model(MODEL), device)
        outcome, _ = bench(device, streams=3, launches=3)
    record = outcome.record
    assert record.verdict.state == "invalid"
    assert [launch.ok for launch in record.launches] == [True, False, False]
    assert "stream 1 of 3" in (record.launches[1].error or "")
    assert record.launches[1].median_us is None
    assert record.latency.count == record.launches[0].count


def test_a_stream_that_hangs_ends_with_the_others() -> None:
    with opened(address(fault="hang", after=2)) as device:
        push(open_model(MODEL), device)
        with pytest.raises(EdgekitError) as caught:
            bench(device, streams=3, launches=3)
    assert caught.value.code == "E_RUNNER_TIMEOUT"


def test_a_healthy_device_is_valid_with_streams() -> None:
    """D1-b1's bar for plain launches is 98 %; here 100 seeded runs of 4 streams."""
    valid = 0
    with opened(address(launch_sd=0.003)) as device:
        push(open_model(MODEL), device)
        for seed in range(100):
            outcome, _ = bench(device, streams=4, threads=1, launches=5, seed=seed)
            valid += outcome.record.verdict.state == "valid"
    assert valid >= 97
