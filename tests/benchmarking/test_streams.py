"""Throughput and latency under concurrency (D1.3), with the launch of all streams as the unit of repetition (D1.4)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from edgekit.benchmarking.gates import check_gate, parse_gate
from edgekit.benchmarking.plan import BenchOptions, make_plan
from edgekit.benchmarking.regression import values_by_launch
from edgekit.benchmarking.streams import (
    Together,
    check_streams,
    group_launch,
    stream_series,
    throughput_part,
    together,
)
from edgekit.errors import InputError, RemoteError
from edgekit.records import Launch, LaunchMemory, Usage, decode, encode
from edgekit.records.streams import Throughput
from edgekit.runtimes.litert import LiteRtRuntime
from edgekit.runtimes.litert_python import LiteRtPythonRuntime
from edgekit.runtimes.trtexec import TrtexecRuntime
from edgekit.stats import summarize
from tests.benchmarking.records import record

pytestmark = pytest.mark.base


def even(begins: list[float], latencies: list[float], wall_us: float) -> Together:
    """Streams of constant latency, as many inferences as fit."""
    samples = [np.full(int(wall_us // one), one) for one in latencies]
    return together(begins, [float(own.sum()) for own in samples], samples)


def test_only_what_happens_while_all_run_counts() -> None:
    found = even([0.0, 300.0], [100.0, 200.0], 1000.0)
    assert (found.window_begin_us, found.window_us) == (300.0, 700.0)
    assert found.counted == (7, 3)  # at 400, 500, ... 1000; at 500, 700, 900
    assert found.medians_us == (100.0, 200.0)
    assert found.overlap_share == pytest.approx(700 / 1300)
    assert found.latencies.size == 10
    # 7 whole ones, and 3.5 of the other: the last is only half inside
    assert found.inferences_per_second == pytest.approx(10.5 / 700e-6)


def test_what_does_not_count_is_kept_with_the_moment_of_its_end() -> None:
    samples = [np.full(10, 100.0), np.full(5, 200.0)]
    found = together([0.0, 300.0], [1000.0, 1000.0], samples)
    first, second = stream_series(0, samples, found)
    assert first.name == "launch 1, stream 1: latency"
    assert first.t_us.tolist() == [100.0 * n for n in range(1, 11)]
    assert second.t_us[-1] == 1300.0
    assert (first.value.size, second.value.size) == (10, 5)


def test_time_between_inferences_is_spread_over_them() -> None:
    found = together([0.0], [1100.0], [np.full(10, 100.0)])
    assert found.ends_us[0][[0, -1]].tolist() == [110.0, 1100.0]
    assert found.inferences_per_second == pytest.approx(10 / 1100e-6)


def test_streams_that_never_ran_at_once_are_no_measurement() -> None:
    with pytest.raises(RemoteError) as caught:
        even([0.0, 2000.0], [100.0, 100.0], 1000.0)
    assert caught.value.code == "E_RUNNER_STREAMS"


def test_the_pace_adds_up_to_the_window_and_knows_no_difference_between_streams() -> None:
    """Two streams of which one is on a slow core are steady; on the latencies themselves they look like two modes."""
    rng = np.random.default_rng(3)
    launches = []
    for _ in range(5):
        samples = [rng.normal(1000, 10, 1000), rng.normal(2000, 20, 500)]
        launches.append(together([0.0, 0.0], [float(own.sum()) for own in samples], samples))
    assert launches[0].pace.sum() == pytest.approx(launches[0].window_us, rel=0.05)
    latencies, paces = [one.latencies for one in launches], [one.pace for one in launches]
    assert summarize(latencies).stability.modes_apart is not None
    judged = summarize(latencies, paces=paces)
    assert judged.stability.modes_apart is None
    assert judged.stability.step is None
    assert judged.stability.never_steady == 0
    assert judged.median == summarize(latencies).median, "latencies stay what they are"


def test_a_device_that_slows_down_under_streams_is_seen() -> None:
    """D1.6: a throttle step of 15 % in the middle of every launch."""
    rng = np.random.default_rng(4)
    launches = []
    for _ in range(5):
        slow = np.concatenate([np.ones(500), np.full(500, 1.15)])
        samples = [rng.normal(1000 * own, 10) * slow for own in (np.ones(1000), np.full(1000, 1.5))]
        launches.append(together([0.0, 0.0], [float(own.sum()) for own in samples], samples))
    seen = summarize([one.latencies for one in launches], paces=[one.pace for one in launches])
    assert seen.stability.step is not None
    assert seen.stability.step == pytest.approx(0.15, abs=0.03)


def part(**more: Any) -> Launch:
    values: dict[str, Any] = {
        "index": 0,
        "count": 10,
        "begin_us": 0.0,
        "wall_us": 1000.0,
        "cpu_us": 900.0,
        "load_us": 5000.0,
        "first_inference_us": 300.0,
        "actual_accelerator": "cpu",
        "memory": LaunchMemory(peak_rss_bytes=100, pss_bytes=60),
        "usage": Usage(user_us=800, wall_us=9000, minor_faults=3),
        **more,
    }
    return Launch(**values)


def test_memory_and_cost_are_the_sum_over_the_processes() -> None:
    found = even([0.0, 0.0], [100.0, 100.0], 1000.0)
    slower = part(load_us=7000.0, usage=Usage(user_us=900, wall_us=9500, minor_faults=4))
    launch = group_launch([part(), slower], found)
    assert (launch.memory.peak_rss_bytes, launch.memory.pss_bytes) == (200, 120)
    assert (launch.usage.user_us, launch.usage.minor_faults, launch.usage.wall_us) == (1700, 7, 9500)
    assert (launch.load_us, launch.first_inference_us, launch.cpu_us) == (6000.0, 300.0, 1800.0)
    assert (launch.median_us, launch.count) == (100.0, 20)
    assert launch.inferences_per_second == pytest.approx(20_000.0)
    assert launch.group is not None
    assert [stream.stream for stream in launch.group.streams] == [0, 1]


def test_what_one_process_does_not_tell_is_not_known_of_all() -> None:
    """A sum without it would be too small."""
    found = even([0.0, 0.0], [100.0, 100.0], 1000.0)
    launch = group_launch([part(), part(memory=LaunchMemory(peak_rss_bytes=100))], found)
    assert launch.memory.peak_rss_bytes == 200
    assert launch.memory.pss_bytes is None


def grouped(rate: float, launch: int = 0) -> Launch:
    latency = 2e6 / rate
    return group_launch([part(index=launch)] * 2, even([0.0, 0.0], [latency, latency], latency * 100))


def test_throughput_over_launches() -> None:
    found = throughput_part([grouped(rate) for rate in (198.0, 200.0, 202.0)], 2)
    assert found is not None
    assert found.inferences_per_second == pytest.approx(200.0, rel=1e-3)
    assert found.ci95 is not None
    assert found.ci95[0] < 200 < found.ci95[1]
    assert found.overlap_share == 1.0
    assert len(found.per_stream_median_us) == 2
    one = throughput_part([grouped(200.0)], 2)
    assert one is not None
    assert one.ci95 is None, "one launch cannot tell how much launches differ"
    assert throughput_part([grouped(200.0)], None) is None


def test_launches_that_failed_give_no_throughput() -> None:
    found = throughput_part([Launch(index=0, ok=False, error="E_RUNNER_CRASH: x")], 2)
    assert found is not None
    assert found.inferences_per_second is None


@pytest.mark.parametrize("launches", [3, 5])
def test_the_interval_of_the_throughput_covers_it(launches: int) -> None:
    """D1.4: streams of a launch share its factor; the interval is of launches, not of streams. 2,000 seeded runs."""
    rng = np.random.default_rng(launches)
    covered = 0
    for _ in range(2000):
        rates = []
        for factor in np.exp(0.02 * rng.standard_normal(launches)):
            samples = [1000 * factor * np.exp(0.05 * rng.standard_normal(100)) for _ in range(4)]
            begins = [0.0, *rng.uniform(0, 3000, 3)]
            rates.append(
                together(begins, [float(own.sum()) for own in samples], samples).inferences_per_second
            )
        low, high = interval(rates)
        covered += low <= 4000 / math.exp(0.05**2 / 2) <= high
    assert 0.93 <= covered / 2000 <= 0.97


def interval(rates: list[float]) -> tuple[float, float]:
    parts = [part(inferences_per_second=rate, group=grouped(1.0).group) for rate in rates]
    found = throughput_part(parts, 2)
    assert found is not None
    assert found.ci95 is not None
    return found.ci95


@pytest.mark.parametrize(
    ("text", "passed"),
    [("throughput>=190/s", True), ("throughput>=190", True), ("throughput > 12001/min", False)],
)
def test_a_gate_on_throughput(text: str, passed: bool) -> None:
    """More is better: `>=`."""
    measured = record([1.0], throughput=Throughput(streams=2, inferences_per_second=200.0))
    assert check_gate(parse_gate(text), measured).passed is passed
    assert not check_gate(parse_gate(text), record([1.0])).passed, "silence is not a pass"


def test_a_record_with_streams_reads_back() -> None:
    launch = grouped(200.0)
    one = record([1.0], throughput=throughput_part([launch], 2), launches=(launch,))
    assert decode(encode(one)) == one
    assert values_by_launch(one, "throughput") == [launch.inferences_per_second]
    assert values_by_launch(record([1.0]), "throughput") == []


@pytest.mark.parametrize(
    "options", [{"streams": 0}, {"streams": 65}, {"streams": 2, "sustained_minutes": 1.0}]
)
def test_plans_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        make_plan(None, BenchOptions(**options))
    assert caught.value.code == "E_PLAN"


def test_a_tool_cannot_run_in_streams() -> None:
    """It has a loop of its own: nothing makes several of it begin together."""
    check_streams(LiteRtRuntime(), "litert", 4)
    check_streams(LiteRtPythonRuntime(), "litert-python", 4)
    check_streams(TrtexecRuntime(), "trtexec", None)
    with pytest.raises(InputError) as caught:
        check_streams(TrtexecRuntime(), "trtexec", 1)
    assert caught.value.code == "E_STREAMS"
