"""A device's heat, frequencies and power as they are, moment by moment."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from edgekit.agent.answers import Sample
from edgekit.devices import Device
from edgekit.devices.telemetry import frequency_of, temperature_of
from edgekit.errors import DeviceError, InputError
from edgekit.meters.base import Offer, Rails, Reading
from edgekit.stats.traces import Refused, unwrapped

LEAST_S, MOST_S = 0.1, 3600.0


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One look. `t_us`: CLOCK_BOOTTIME of the device. None is unknown: a sensor that is off, a first look at a counter."""

    t_us: float
    temperatures_mc: dict[str, int | None]
    frequencies_khz: dict[str, int | None]
    power_mw: float | None = None
    """Of all rails of the meter; of a counter the mean since the last look."""
    rails_mw: dict[str, float | None] = {}
    missed: int = 0
    """Looks that did not happen since the first, because the device or the link was busy."""


def watch(
    device: Device, *, meter: Offer | Refused, period_s: float = 1.0, count: int | None = None
) -> Iterator[Moment]:
    """Look every `period_s`, `count` times or until the caller stops. A meter that is read by a command shows nothing here.

    Raises InputError E_WATCH for a period that cannot be, and for a simulated device without `count`, whose time does not
    pass by itself; DeviceError E_NO_SENSORS where there is nothing to look at; DeviceLost."""
    if not LEAST_S <= period_s <= MOST_S:
        raise InputError(
            f"a period of {period_s:g} s cannot be",
            code="E_WATCH",
            hint=f"from {LEAST_S:g} to {MOST_S:g} seconds",
        )
    if device.simulated and count is None:
        raise InputError(
            "the time of a simulated device does not pass by itself", code="E_WATCH", hint="give --count 10"
        )
    offer = meter if isinstance(meter, Offer) and meter.paths else None
    paths = dict.fromkeys((*device.sensors.sampled(), *(offer.paths if offer else ())))
    if not paths:
        raise DeviceError(
            "the device shows neither heat nor frequencies nor power",
            code="E_NO_SENSORS",
            hint="edgekit meters says what power would need; heat and frequencies come from the kernel's drivers",
            device=device.address,
        )
    before: Reading | None = None
    with device.agent.sample(tuple(paths), period_ms=round(period_s * 1000), count=count or 0) as samples:
        for sample in samples:
            reading = Reading(sample.boottime_ns / 1000, {item.path: item.text for item in sample.files})
            rails = rails_mw(offer, before, reading) if offer is not None else {}
            yield _moment(device, sample, reading, rails)
            before = reading


def _moment(device: Device, sample: Sample, reading: Reading, rails: dict[str, float | None]) -> Moment:
    known = [mw for mw in rails.values() if mw is not None]
    sensors = device.sensors
    return Moment(
        t_us=reading.t_us,
        temperatures_mc={
            zone: temperature_of(reading.texts.get(path)) for zone, path in sensors.zones.items()
        },
        frequencies_khz={
            name: frequency_of(reading.texts.get(path)) for name, path in sensors.frequencies.items()
        },
        power_mw=sum(known) if known and len(known) == len(rails) else None,
        rails_mw=rails,
        missed=sample.missed,
    )


def rails_mw(offer: Offer, before: Reading | None, now: Reading) -> dict[str, float | None]:
    """What each rail takes now, or took since `before`; unknown where the meter refuses. Pure."""
    groups = offer.read([now] if before is None else [before, now])
    if isinstance(groups, Refused):
        return dict.fromkeys(offer.rails)
    return {rail: _power_mw(group, rail) for group in groups for rail in group.values}


def _power_mw(group: Rails, rail: str) -> float | None:
    values = group.values[rail]
    if group.unit == "mW":
        return _known(float(values[-1]))
    if values.size < 2 or not group.t_us[-1] > group.t_us[0]:
        return None
    counted = unwrapped(values, group.range_uj.get(rail))
    if isinstance(counted, Refused):
        return None
    return _known(float(counted[-1]) / float(group.t_us[-1] - group.t_us[0]) * 1000)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
