"""Minutes of load (D1.3)."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.benchmarking import sustained
from edgekit.benchmarking.sustained import by_minute, latency_series
from edgekit.records import TelemetryPoint

pytestmark = pytest.mark.base


def test_latency_frequency_and_temperature_by_the_minute() -> None:
    first, second = np.full(6000, 10_000.0), np.full(4000, 15_000.0)
    telemetry = [
        TelemetryPoint(5e6, "cpu", 2_000_000.0, "kHz"),
        TelemetryPoint(5e6, "slow cluster", 1_000_000.0, "kHz"),
        TelemetryPoint(5e6, "zone", 50_000.0, "mC"),
        TelemetryPoint(65e6, "cpu", 1_500_000.0, "kHz"),
        TelemetryPoint(65e6, "zone", 80_000.0, "mC"),
        TelemetryPoint(66e6, "zone", float("nan"), "mC"),
    ]
    found = by_minute(np.concatenate([first, second]), 1e6, telemetry)
    one, two = found.minutes[:2]
    assert (one.median_us, two.median_us) == (10_000.0, 15_000.0)
    assert (one.frequency_khz, two.frequency_khz) == (2_000_000.0, 1_500_000.0)
    assert (one.temperature_mc, two.temperature_mc) == (50_000.0, 80_000.0)
    assert one.inferences_per_s == pytest.approx(100.0, rel=0.01)
    assert found.last_over_first == pytest.approx(1.5)
    assert sum(m.count for m in found.minutes) == 10_000, "no sample is dropped"


def test_a_last_minute_that_has_hardly_begun_stands_for_nothing() -> None:
    found = by_minute(np.concatenate([np.full(120, 1e6), np.full(3, 5e6)]), 0.0, [])
    assert len(found.minutes) == 3
    assert found.last_over_first == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("samples", [[], [1000.0], [1e6] * 59])
def test_less_than_two_minutes_have_no_ratio(samples: list[float]) -> None:
    found = by_minute(np.array(samples), 0.0, [])
    assert found.last_over_first is None
    assert sum(m.count for m in found.minutes) == len(samples)


def test_an_iteration_longer_than_a_minute_leaves_a_minute_without_samples() -> None:
    found = by_minute(np.array([30e6, 130e6, 10e6]), 0.0, [])
    assert [m.count for m in found.minutes] == [1, 0, 2]
    assert found.minutes[1].median_us is None


def test_more_samples_than_are_kept_are_thinned_and_the_name_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sustained, "KEPT_SAMPLES", 100)
    samples = np.arange(1.0, 251.0)
    found = latency_series(samples, 1000.0)
    assert found.name == "sustained latency (1 of 3)"
    assert list(found.value[:3]) == [1.0, 4.0, 7.0]
    assert found.t_us[0] == 1001.0
    assert len(found.value) == len(found.t_us) == 84
    assert latency_series(samples[:100], 0.0).name == "sustained latency"
