"""From what was seen to what speaks for and against a run (A8)."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.benchmarking.evidence import (
    clock_skew_us,
    frequency_drop,
    other_load,
    rebooted,
    step_iterations,
    throttled,
    timed_from_us,
)
from edgekit.devices.telemetry import Snapshot
from edgekit.parse.proc_stat import CpuTicks
from edgekit.records import Conditions, Latency, Launch, TelemetryPoint, Usage
from edgekit.stats import Stability

pytestmark = pytest.mark.base


def snapshot(**more: Any) -> Snapshot:
    values = {"ticks": None, "thermal_status": None, "throttled": None, **more}
    return Snapshot(conditions=Conditions(), **values)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, None),
        ({"throttled": False}, {"throttled": False}, False),
        ({"throttled": False}, {"throttled": True}, True),
        ({"throttled": True}, {"throttled": False}, True),
        ({"throttled": False}, {"throttled": False, "throttled_since_boot": frozenset({"throttled"})}, True),
        (
            {"throttled": False, "throttled_since_boot": frozenset({"throttled"})},
            {"throttled": False, "throttled_since_boot": frozenset({"throttled"})},
            False,
        ),
    ],
)
def test_throttling_between_the_snapshots_shows_in_the_bits_that_are_kept(
    before: dict[str, Any], after: dict[str, Any], expected: bool | None
) -> None:
    assert throttled(snapshot(**before), snapshot(**after)) is expected


def test_other_load_is_what_is_left_of_the_busy_time() -> None:
    before = snapshot(ticks=CpuTicks(busy=1000, total=10_000))
    after = snapshot(ticks=CpuTicks(busy=1400, total=11_000))
    assert other_load(before, after, own_cpu_us=3e6) == pytest.approx(0.1)  # 400 ticks busy, 300 of them ours
    assert other_load(before, after, own_cpu_us=9e6) == 0.0
    assert other_load(before, snapshot(), own_cpu_us=0) is None
    assert other_load(before, before, own_cpu_us=0) is None


LAUNCH = Launch(index=0, start_us=1_000_000.0, usage=Usage(wall_us=2_000_000))


def khz(t_s: float, value: float, name: str = "policy0") -> TelemetryPoint:
    return TelemetryPoint(t_us=t_s * 1e6, name=name, value=value, unit="kHz")


def test_frequency_counts_only_while_a_launch_runs_and_has_settled() -> None:
    idle = [khz(0.5, 300_000), khz(1.1, 300_000), khz(3.5, 300_000)]
    assert frequency_drop([*idle, khz(1.5, 2_000_000), khz(2.5, 1_500_000)], [LAUNCH]) == pytest.approx(0.25)
    assert frequency_drop(idle, [LAUNCH]) is None
    assert frequency_drop([], [LAUNCH]) is None


def test_the_fastest_cluster_counts_and_an_offline_cpu_does_not() -> None:
    points = [khz(1.5, 2_000_000, "big"), khz(1.5, 500_000, "little"), khz(2.5, 2_000_000, "big")]
    assert frequency_drop([*points, khz(2.0, float("nan"))], [LAUNCH]) == 0.0


def test_a_boot_between_the_snapshots_shows_in_its_id_or_in_the_uptime() -> None:
    """D1.6: reboot. Unknown stays unknown."""
    assert rebooted(snapshot(boot_id="a"), snapshot(boot_id="b")) is True
    assert rebooted(snapshot(boot_id="a"), snapshot(boot_id="a")) is False
    assert rebooted(snapshot(uptime_us=9e6), snapshot(uptime_us=1e6)) is True
    assert rebooted(snapshot(boot_id="a"), snapshot()) is None


def test_the_clocks_of_device_and_host_are_compared() -> None:
    """D1.6: clock jump."""
    before = snapshot(uptime_us=100e6, host_us=5e6)
    assert clock_skew_us(before, snapshot(uptime_us=130e6, host_us=15e6)) == pytest.approx(20e6)
    assert clock_skew_us(before, snapshot(uptime_us=130e6)) is None
    assert clock_skew_us(before, snapshot(uptime_us=1e6, host_us=15e6)) is None


def test_the_timed_iterations_are_the_end_of_a_launch() -> None:
    launch = Launch(index=0, start_us=5e6, wall_us=1e6, usage=Usage(wall_us=1_400_000))
    assert timed_from_us(launch) == pytest.approx(5.4e6)
    assert timed_from_us(Launch(index=0, start_us=5e6)) is None


def test_the_length_of_the_launch_with_the_step_tells_warm_up() -> None:
    """Not that of the shortest of the run; a launch without samples is not counted (D1.4)."""
    launches = [Launch(index=0, count=0), Launch(index=1, count=50), Launch(index=2, count=400)]
    stepped = Latency(stability=Stability(step=-0.1, step_launch=1, step_iteration=80))
    assert step_iterations(stepped, launches) == 400
    assert step_iterations(Latency(), launches) is None
