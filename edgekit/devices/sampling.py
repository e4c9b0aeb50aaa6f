"""Temperatures, frequencies and what is slowed down while something runs: read by the agent, with the device's own timestamps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from edgekit.devices.device import Device
from edgekit.devices.telemetry import Sensors, cooling_of, frequency_of, temperature_of
from edgekit.records import TelemetryPoint

PERIOD_MS = 500
COOLING = "state"
"""The unit of a cooling device's series: steps by which it slows something down."""


@dataclass
class Series:
    """Filled while the block runs, complete after it."""

    points: list[TelemetryPoint] = field(default_factory=list)


@contextmanager
def sampled(device: Device) -> Iterator[Series]:
    """Sample the device's sensors for the time of the block. Nothing is read where it has none."""
    series = Series()
    paths = device.sensors.sampled()
    if not paths:
        yield series
        return
    with device.agent.sample(paths, period_ms=PERIOD_MS) as stream:
        yield series
        for sample in stream.stop():
            series.points += [
                point_of(sample.boottime_ns / 1000, item.path, item.text, device.sensors)
                for item in sample.files
            ]


def point_of(t_us: float, path: str, text: str | None, sensors: Sensors) -> TelemetryPoint:
    """NaN where the file could not be read or makes no sense."""
    name, unit, value = _told(path, text, sensors)
    return TelemetryPoint(
        t_us=t_us, name=name, value=float("nan") if value is None else float(value), unit=unit, path=path
    )


def _told(sampled: str, text: str | None, sensors: Sensors) -> tuple[str, str, int | None]:
    for names, unit, read in (
        (sensors.zones, "mC", temperature_of),
        (sensors.frequencies, "kHz", frequency_of),
        (sensors.cooling, COOLING, cooling_of),
    ):
        for name, path in names.items():
            if path == sampled:
                return name, unit, read(text)
    return sampled, "", None
