"""Temperatures and frequencies while something runs: read by the agent, with the device's own timestamps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from edgekit.agent.answers import Content, Sample
from edgekit.devices.device import Device
from edgekit.devices.telemetry import frequency_of, temperature_of
from edgekit.records import TelemetryPoint

PERIOD_MS = 500


@dataclass
class Series:
    """Filled while the block runs, complete after it."""

    points: list[TelemetryPoint] = field(default_factory=list)


@contextmanager
def sampled(device: Device) -> Iterator[Series]:
    """Sample the device's sensors for the time of the block. Nothing is read where it has none."""
    series = Series()
    zones = {path: name for name, path in device.sensors.zones.items()}
    frequencies = {path: name for name, path in device.sensors.frequencies.items()}
    paths = device.sensors.sampled()
    if not paths:
        yield series
        return
    with device.agent.sample(paths, period_ms=PERIOD_MS) as stream:
        yield series
        for sample in stream.stop():
            series.points += [_point(sample, item, zones, frequencies) for item in sample.files]


def _point(
    sample: Sample, item: Content, zones: Mapping[str, str], frequencies: Mapping[str, str]
) -> TelemetryPoint:
    """NaN where the file could not be read or makes no sense."""
    zone = item.path in zones
    value = temperature_of(item.text) if zone else frequency_of(item.text)
    return TelemetryPoint(
        t_us=sample.boottime_ns / 1000,
        name=zones[item.path] if zone else frequencies[item.path],
        value=float("nan") if value is None else float(value),
        unit="mC" if zone else "kHz",
        path=item.path,
    )
