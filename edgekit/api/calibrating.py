"""`doctor --calibrate-power`: what a profile has to say of a device's battery, found by a load."""

from __future__ import annotations

import msgspec

from edgekit.agent.answers import Sample
from edgekit.devices import Device
from edgekit.errors import DeviceError, InputError, RemoteError
from edgekit.events import Event, Sink, ignore
from edgekit.meters.base import Missing, Reading
from edgekit.meters.battery import Gauge, find_gauge, not_discharging
from edgekit.meters.calibration import Calibration, calibrate
from edgekit.meters.marker import load_argv
from edgekit.meters.survey import survey
from edgekit.stats.traces import Refused

PERIOD_MS = 500
LEAST_S, MOST_S = 5.0, 3600.0
SPARE_S = 30.0
LEASE_WAIT_S = 60.0


class PowerCalibration(msgspec.Struct, frozen=True, kw_only=True):
    """`power`: what to put into the profile. `ratio`: current times time over the charge that left, 1 where both are exact."""

    device: str
    power: dict[str, str | int]
    ratio: float
    moved_uah: float
    steps: int
    seconds: float
    mean_ma: float


def calibrate_power(device: Device, *, seconds: float = 600.0, sink: Sink = ignore) -> PowerCalibration:
    """Load all CPUs until the charge counter has moved far enough, at most `seconds` long. Changes nothing on the device.

    Raises InputError E_CALIBRATE for a time that cannot be, DeviceError E_CALIBRATE_POWER with the reason where it cannot be told:
    no battery with both files, charging, a counter that stands still; DeviceBusy, DeviceLost."""
    if not LEAST_S <= seconds <= MOST_S:
        raise InputError(
            f"{seconds:g} s is no time for that",
            code="E_CALIBRATE",
            hint=f"from {LEAST_S:g} to {MOST_S:g} seconds",
        )
    with device.leased("calibrate its power", LEASE_WAIT_S):
        seen = survey(device)
        for file in ("charge_counter", "current_now"):
            gauge = find_gauge("battery", seen, file)
            if isinstance(gauge, Missing):
                raise _refused(device, gauge.reason, gauge.needed)
        assert isinstance(gauge, Gauge)
        found = _under_load(device, gauge, seconds, sink)
    if isinstance(found, Refused):
        raise _refused(device, found.reason)
    return PowerCalibration(
        device=device.address,
        power={"current_unit": found.current_unit, "discharge_sign": found.discharge_sign},
        ratio=found.ratio,
        moved_uah=found.moved_uah,
        steps=found.steps,
        seconds=found.seconds,
        mean_ma=found.mean_ma,
    )


def _under_load(device: Device, gauge: Gauge, seconds: float, sink: Sink) -> Calibration | Refused:
    sink(Event("calibrate", f"a load on all CPUs, at most {seconds:g} s", device=device.address))
    paths = (*gauge.paths("current_now"), f"{gauge.folder}/charge_counter")
    argv = load_argv(device.agent, (round(seconds * 1000),))
    readings: list[Reading] = []
    found: Calibration | Refused = Refused("nothing was read")
    try:
        with (
            device.agent.start_run(argv, deadline_s=seconds + SPARE_S),
            device.agent.sample(
                paths, period_ms=PERIOD_MS, count=round(seconds * 1000 / PERIOD_MS)
            ) as samples,
        ):
            for sample in samples:
                readings.append(_reading(sample))
                if (why := _plugged(gauge, readings[-1])) is not None:
                    return Refused(why)
                found = calibrate(gauge, readings)
                if isinstance(found, Calibration):
                    return found
    except RemoteError as error:
        return Refused(error.message)
    return found


def _reading(sample: Sample) -> Reading:
    return Reading(sample.boottime_ns / 1000, {item.path: item.text for item in sample.files})


def _plugged(gauge: Gauge, reading: Reading) -> str | None:
    plugs = {path.removesuffix("/online"): reading.texts.get(path) for path in gauge.plugs}
    return not_discharging(reading.texts.get(gauge.status), plugs)


def _refused(device: Device, why: str, needed: str | None = None) -> DeviceError:
    return DeviceError(
        f"the unit of the battery's current cannot be told: {why}",
        code="E_CALIBRATE_POWER",
        device=device.address,
        hint=needed or "on battery alone, with nothing plugged in (docs/measuring.md)",
    )
